"""The candidate operations of a sequence cell: recurrences over time, by their names in emoDARTS.

Source: Rajapakshe et al. (2024), emoDARTS: stacked LSTMs and RNNs of one to four layers, bidirectional ones
of one or two layers with attention, identity, and `none`.
"""

import dataclasses

from jax_ser_darts.search_space.operations import NONE, SKIP

LSTM, RNN = "lstm", "rnn"
LSTM_ATTENTION, RNN_ATTENTION = "lstm_att", "rnn_att"
FIXED, ALL = "fixed", "all"


@dataclasses.dataclass(frozen=True)
class Recurrence:
    """A stack of recurrent layers over time.

    Attributes:
        family: LSTM or RNN (one direction), LSTM_ATTENTION or RNN_ATTENTION (both directions, then attention).
        layers: of the stack.
    """

    family: str
    layers: int


@dataclasses.dataclass(frozen=True)
class Family:
    """What the recurrences of a family share.

    Attributes:
        gates: pre-activations a unit: 4 of an LSTM, 1 of an RNN (tanh).
        directions: 1, or 2 (the second runs from the last valid frame to the first).
        attention: whether self-attention over time follows the last layer.
    """

    gates: int
    directions: int
    attention: bool


FAMILIES = {
    LSTM: Family(gates=4, directions=1, attention=False),
    RNN: Family(gates=1, directions=1, attention=False),
    LSTM_ATTENTION: Family(gates=4, directions=2, attention=True),
    RNN_ATTENTION: Family(gates=1, directions=2, attention=True),
}
MOST_LAYERS = {LSTM: 4, RNN: 4, LSTM_ATTENTION: 2, RNN_ATTENTION: 2}
RECURRENCES = {
    f"{family}_{layers}": Recurrence(family, layers)
    for family, most in MOST_LAYERS.items()
    for layers in range(1, most + 1)
}
SEQUENCE_OPERATIONS = (*RECURRENCES, SKIP, NONE)
GROUPS = {
    ALL: SEQUENCE_OPERATIONS,
    **{
        family: (*(name for name, r in RECURRENCES.items() if r.family == family), SKIP, NONE)
        for family in FAMILIES
    },
}
SEQUENCES = (FIXED, *GROUPS)


def sequence_operations(sequence: str) -> tuple[str, ...]:
    """The candidates of a group; () for FIXED, where nothing is searched after the CNN.

    Raises:
        ValueError: there is no such group.
    """
    if sequence == FIXED:
        return ()
    if sequence not in GROUPS:
        raise ValueError(f"sequence {sequence!r} is not one of {', '.join(SEQUENCES)}")
    return GROUPS[sequence]
