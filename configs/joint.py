"""The follow-up's search on a corpus of your own: CNN and sequence cells are searched together.

    python -m jax_ser_darts.main --config=joint --config.data.corpus=NAME --config.data.source=DIR \
        --workdir=DIR

Source: Rajapakshe et al. (2024), emoDARTS: features, CNN and optimisers of configs/cnn_search.py; after the
CNN four sequence cells of four nodes, whose candidates are LSTMs and RNNs of one to four layers,
bidirectional ones with attention, identity and none (`--config.search.sequence=all`; groups of them: lstm,
rnn, lstm_att, rnn_att). Their width is ours. The same on a corpus that has a config: `configs/ravdess.py:quick,joint`.

`paper` has not been run to the end. `quick` has, on RAVDESS (8 classes, 1 fold, 3 test speakers): UA 0.266 in 20
minutes, the tests running beside it. Its few steps move the alphas so little that both orders find the same cells.
"""

from jax_ser_darts.configs import cnn_search
from jax_ser_darts.search_space.sequence_operations import ALL

JOINT = "joint"  # a choice of the configs of a corpus
VARIANTS = cnn_search.VARIANTS


def get_config(variant: str = "paper"):
    """`paper` is the published size, for an accelerator; `quick` has two small cells of either kind."""
    if variant not in VARIANTS:
        raise ValueError(f"configs/joint.py has the variants {', '.join(VARIANTS)}, not {variant!r}")
    return search_jointly(cnn_search.get_config(variant), quick=variant == "quick")


def search_jointly(c, *, quick: bool):
    """The config, with sequence cells to search: four of four nodes, or two of two nodes."""
    c.search.sequence = ALL
    c.search.sequence_nodes = 2 if quick else 4
    for part in (c.search, c.train):
        part.sequence_cells = 2 if quick else 4
    return c


def split_variant(variant: str) -> tuple[str, bool]:
    """A variant without the choice `joint`, and whether it was there: `quick,joint` -> quick, True."""
    size, *choices = variant.split(",")
    rest = [choice for choice in choices if choice != JOINT]
    return ",".join([size, *rest]), JOINT in choices
