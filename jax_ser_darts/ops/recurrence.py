"""Recurrences over time, many at once, and attention over time; padding changes nothing in either.

The recurrences of a node have inputs and params of their own and nothing to do with each other, so all of
one depth and family run in one loop over the frames, as one batched product a frame: of input and state
together, so that nothing as wide as the gates is kept for all frames on the way forward. On padding a state
is held: a recurrence that meets the padding first, because its time has been turned round, starts at the last
valid frame.

The backward passes are written out: a gate's gradient needs its activation and nothing else, and the weights'
gradient is one product after the loop instead of one a frame. Both can be differentiated forward.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jax_ser_darts.search_space.sequence_operations import FAMILIES


class LayerParams(NamedTuple):
    """Of N recurrences of D directions, I inputs, H units, G gates (of an LSTM: input, forget, cell, output).

    Attributes:
        kernel: `[N, D, I + H, G H]`, of the inputs and of the state.
        bias: `[N, D, G H]`.
    """

    kernel: jax.Array
    bias: jax.Array


def turned(x: jax.Array) -> jax.Array:
    """Turns the second direction round in time: `[T, N, D, ...]`, D = 1 or 2; its own inverse."""
    return x if x.shape[2] == 1 else jnp.stack([x[:, :, 0], jnp.flip(x[:, :, 1], axis=0)], axis=2)


def recur(family: str, x: jax.Array, params: LayerParams, valid: jax.Array) -> jax.Array:
    """Runs a layer of recurrences of a family over time.

    Args:
        family: a name of FAMILIES.
        x: inputs, `[T, N, B, I]`, the same for both directions.
        params: see there.
        valid: which frames are, bool `[T, B]`.

    Returns:
        `[T, N, B, D H]`, the directions one after the other.
    """
    n, d, *shape = params.kernel.shape
    t, b = valid.shape
    flat = lambda x: turned(jnp.stack([x] * d, axis=2)).reshape(t, -1, b, x.shape[-1])
    run = lstm if FAMILIES[family].gates == 4 else rnn
    kernel, bias = params.kernel.reshape(n * d, *shape), params.bias.reshape(n * d, -1)
    h = run(flat(x), kernel, bias, jnp.tile(flat(valid[:, None, :, None]), (1, n, 1, 1)))
    h = turned(h.reshape(t, n, d, b, -1))
    return h[:, :, 0] if d == 1 else jnp.concatenate([h[:, :, 0], h[:, :, 1]], axis=-1)


def _product(x, kernel):
    return jnp.einsum("nbi,nig->nbg", x, kernel)


def _where_valid(is_valid, x):
    return jnp.where(is_valid, x, jnp.zeros((), x.dtype))


def _before(states):
    """What each frame started from: `[T, ...]` moved on by one frame, zeros first."""
    return jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])


def _start(x, kernel):
    return jnp.zeros((*x.shape[1:3], kernel.shape[1] - x.shape[-1]), x.dtype)


def _weight_gradients(x, hs, dgates):
    read = jnp.concatenate([x, _before(hs)], axis=-1)
    return jnp.einsum("tnbi,tnbg->nig", read, dgates), jnp.sum(dgates, axis=(0, 2))


@jax.custom_vjp
def rnn(x: jax.Array, kernel: jax.Array, bias: jax.Array, valid: jax.Array) -> jax.Array:
    """N recurrences h = tanh((x, h) W + b) over time.

    Args:
        x: `[T, N, B, I]`.
        kernel: W, `[N, I + H, H]`.
        bias: b, `[N, H]`.
        valid: bool `[T, N, B, 1]`.

    Returns:
        h after each frame, `[T, N, B, H]`.
    """
    return _rnn_forward(x, kernel, bias, valid)[0]


def _rnn_forward(x, kernel, bias, valid):
    def frame(h, now):
        x, is_valid = now
        gate = _product(jnp.concatenate([x, h], axis=-1), kernel) + bias[:, None]
        h = jnp.where(is_valid, jnp.tanh(gate), h)
        return h, h

    _, hs = lax.scan(frame, _start(x, kernel), (x, valid))
    return hs, (x, hs, kernel, valid)


def _rnn_backward(saved, g):
    x, hs, kernel, valid = saved
    inputs, back = x.shape[-1], kernel.transpose(0, 2, 1)

    def frame(dh, now):
        g, h, is_valid = now
        dh = dh + g
        here = _where_valid(is_valid, dh)
        dgate = here * (1 - h * h)
        dx, dbefore = jnp.split(_product(dgate, back), [inputs], axis=-1)
        return dh - here + dbefore, (dx, dgate)

    _, (dx, dgates) = lax.scan(frame, _start(x, kernel), (g, hs, valid), reverse=True)
    return dx, *_weight_gradients(x, hs, dgates), None


rnn.defvjp(_rnn_forward, _rnn_backward)


@jax.custom_vjp
def lstm(x: jax.Array, kernel: jax.Array, bias: jax.Array, valid: jax.Array) -> jax.Array:
    """N LSTMs over time (Hochreiter and Schmidhuber 1997, with forget gates).

    Args:
        x: `[T, N, B, I]`.
        kernel: of input, forget, cell, output gate: `[N, I + H, 4 H]`.
        bias: `[N, 4 H]`.
        valid: bool `[T, N, B, 1]`.

    Returns:
        h after each frame, `[T, N, B, H]`.
    """
    return _lstm_forward(x, kernel, bias, valid)[0]


def _lstm_forward(x, kernel, bias, valid):
    start = _start(x, kernel)
    units = start.shape[-1]
    # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: one function for all gates.
    scale, shift = (
        jnp.asarray(np.repeat(values, units)[None, None], x.dtype)
        for values in ((0.5, 0.5, 1.0, 0.5), (0.5, 0.5, 0.0, 0.5))
    )

    def frame(state, now):
        (h, cell), (x, is_valid) = state, now
        gates = _product(jnp.concatenate([x, h], axis=-1), kernel) + bias[:, None]
        active = jnp.tanh(gates * scale) * scale + shift
        i, f, c, o = jnp.split(active, 4, axis=-1)
        moved = f * cell + i * c
        h = jnp.where(is_valid, o * jnp.tanh(moved), h)
        cell = jnp.where(is_valid, moved, cell)
        return (h, cell), (h, cell, active)

    _, (hs, cells, active) = lax.scan(frame, (start, start), (x, valid))
    return hs, (x, hs, cells, active, kernel, valid)


def _lstm_backward(saved, g):
    x, hs, cells, active, kernel, valid = saved
    inputs, back = x.shape[-1], kernel.transpose(0, 2, 1)

    def frame(state, now):
        (dh, dcell), (g, active, cell, cell_before, is_valid) = state, now
        i, f, c, o = jnp.split(active, 4, axis=-1)
        dh = dh + g
        dh_here, dcell_here = _where_valid(is_valid, dh), _where_valid(is_valid, dcell)
        squashed = jnp.tanh(cell)
        moved = dcell_here + dh_here * o * (1 - squashed * squashed)
        dgates = jnp.concatenate(
            [
                moved * c * i * (1 - i),
                moved * cell_before * f * (1 - f),
                moved * i * (1 - c * c),
                dh_here * squashed * o * (1 - o),
            ],
            axis=-1,
        )
        dx, dbefore = jnp.split(_product(dgates, back), [inputs], axis=-1)
        return (dh - dh_here + dbefore, dcell - dcell_here + moved * f), (dx, dgates)

    start = _start(x, kernel)
    steps = g, active, cells, _before(cells), valid
    _, (dx, dgates) = lax.scan(frame, (start, start), steps, reverse=True)
    return dx, *_weight_gradients(x, hs, dgates), None


lstm.defvjp(_lstm_forward, _lstm_backward)


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
