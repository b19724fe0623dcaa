"""Recurrences over time, many at once, and attention over time; padding changes nothing in either.

The recurrences of a node have inputs and weights of their own and nothing to do with each other, so they run in one loop
over the frames, as one batched product a frame: a cell of 4 nodes and 12 candidates has 336 layers in 16 loops.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.search_space.sequence_operations import FAMILIES


def both_ways(x: jax.Array) -> jax.Array:
    """Turns the second direction round in time: `[T, N, D, ...]`, D = 1 or 2; its own inverse."""
    return x if x.shape[2] == 1 else jnp.stack([x[:, :, 0], jnp.flip(x[:, :, 1], axis=0)], axis=2)


def recur(
    gates: Mapping[str, jax.Array], recurrent: Mapping[str, jax.Array], valid: jax.Array
) -> dict[str, jax.Array]:
    """Runs a layer of several families over time.

    On padding a state is held. So the second direction, which meets the padding first, starts at the last valid frame.

    Args:
        gates: family -> what its gates get from the layer's input, bias included, `[T, N, D, B, G H]`: N recurrences of D
            directions, G gates of H units (of an LSTM: input, forget, cell, output).
        recurrent: family -> `[N, D, H, G H]`.
        valid: which frames are, bool `[T, B]`.

    Returns:
        family -> outputs, `[T, N, D, B, H]`.
    """
    start, masks = {}, {}
    for family, w in recurrent.items():
        n, d, h, _ = w.shape
        zeros = jnp.zeros((n, d, valid.shape[1], h), w.dtype)
        start[family] = (zeros,) * (2 if FAMILIES[family].gates == 4 else 1)
        masks[family] = both_ways(jnp.stack([valid] * d, axis=1)[:, None])[..., None]

    def frame(states, now):
        after = {}
        for family, (gate, is_valid) in now.items():
            moved = _move(
                gate + jnp.einsum("ndbh,ndhg->ndbg", states[family][0], recurrent[family]), states[family]
            )
            after[family] = tuple(
                jnp.where(is_valid, new, old) for new, old in zip(moved, states[family], strict=True)
            )
        return after, {family: state[0] for family, state in after.items()}

    turned = {family: (both_ways(gate), masks[family]) for family, gate in gates.items()}
    _, outputs = lax.scan(frame, start, turned)
    return {family: both_ways(h) for family, h in outputs.items()}


def _move(gates, state):
    """The state after one frame: (output,) of an RNN, (output, cell) of an LSTM."""
    if len(state) == 1:
        return (jnp.tanh(gates),)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    cell = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def attend(query: jax.Array, key: jax.Array, value: jax.Array, valid: jax.Array) -> jax.Array:
    """Scaled dot-product attention over the valid frames (Vaswani et al. 2017, equation 1), one head.

    Args:
        query, key, value: `[N, B, T, H]`.
        valid: bool `[B, T]`.

    Returns:
        `[N, B, T, H]`; the mean of all frames where an utterance has no valid one.
    """
    scores = jnp.einsum("nbth,nbsh->nbts", query, key) * query.shape[-1] ** -0.5
    # Finite, so that an utterance that only fills the batch gives no NaN.
    scores = jnp.where(valid[None, :, None, :], scores, jnp.finfo(scores.dtype).min)
    return jnp.einsum("nbts,nbsh->nbth", jax.nn.softmax(scores, axis=-1), value)
