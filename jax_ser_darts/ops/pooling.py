"""Pooling of the valid positions; windows end at the border and at the end of an utterance."""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.ops.depthwise import find_taps, join_phases, split_phases, window
from jax_ser_darts.ops.kernels import kernel
from jax_ser_darts.ops.masks import ValidPositions
from jax_ser_darts.ops.primitives import along_both


def on_valid(x: jax.Array, mask: jax.Array) -> jax.Array:
    """`[C, T, F, B]` where the mask is 1, zero elsewhere, whatever it holds there.

    Not a product with the mask: fast math may turn a m + b m into (a + b) m, and the sum of two very negative numbers
    is minus infinity, times 0 not a number.
    """
    return lax.select(jnp.broadcast_to(mask > 0, x.shape), x, jnp.zeros_like(x))


def halved_maximum(x: jax.Array, before: ValidPositions, after: ValidPositions) -> jax.Array:
    """Largest valid number of each 2x2 window: `[C, T, F, B]` -> `[C, T', F', B]`."""
    (t, f), (_, step) = after.size, along_both(2, x.shape[2])
    rows, columns = 2 * t - x.shape[1], step * f - x.shape[2]
    inside = jnp.broadcast_to(before.mask > 0, x.shape)
    lowest = jnp.finfo(x.dtype).min
    x = lax.select(inside, x, jnp.full_like(x, lowest))
    x = jnp.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)), constant_values=lowest)
    best, *others = (x[:, i::2, j::step] for i, j in itertools.product(range(2), range(step)))
    for other in others:
        best = lax.select(other > best, other, best)  # on a tie the gradient goes to the first
    return on_valid(best, after.mask)


@functools.partial(kernel, static=("side", "stride"))
def _pool_phases(x, mask, side, stride):
    """Phases of x with the lowest number there is on padding and margin: never a maximum."""
    lowest = jnp.asarray(jnp.finfo(x.dtype).min, x.dtype)
    inside = lax.select(jnp.broadcast_to(mask > 0, x.shape), x, jnp.full_like(x, lowest))
    sides = [
        (n // 2, n // 2 + -(have + n // 2 * 2) % s, 0)
        for n, s, have in zip(side, stride, x.shape[1:3], strict=True)
    ]
    return split_phases(lax.pad(inside, lowest, ((0, 0, 0), *sides, (0, 0, 0))), stride)


def max_pool(x: jax.Array, mask: jax.Array, side: int, stride: int, size: tuple[int, int]) -> jax.Array:
    """Largest valid number of each window: `[C, T, F, B]` -> `[C, T', F', B]`; very negative where there is none.

    On a tie the gradient goes to the first of the window, as in XLA's and PyTorch's.

    Args:
        x: `[C, T, F, B]`.
        mask: 1 on valid positions, `[1, T, F, B]`.
        side: of the window, odd, at most 11.
        stride: 1 or 2.
        size: output positions (T', F').
    """
    f = x.shape[2]
    return _max_pool(x, mask, along_both(side, f), along_both(stride, f), tuple(size), x.shape[1:3])


@functools.partial(kernel, static=("side", "stride", "size"))
def _max_and_tap(phases, side, stride, size):
    """Largest of each window, and the number of the tap that holds it."""
    c, b = phases[0].shape[0], phases[0].shape[-1]
    first, *others = find_taps(side, 1, (side[0] // 2, side[1] // 2), stride)
    best = window(phases[first.phase], first[1:], size)
    index = jnp.zeros(best.shape, jnp.int8)
    for k, tap in enumerate(others, start=1):
        candidate = window(phases[tap.phase], tap[1:], size)
        larger = candidate > best
        best = lax.select(larger, candidate, best)
        index = lax.select(larger, jnp.full_like(index, k), index)
    return best.reshape(c, *size, b), index.reshape(c, *size, b)


@functools.partial(kernel, static=("side", "stride", "size"))
def _max_gradient(g, index, side, stride, size):
    """The phases of the input's gradient: each position takes from the windows whose largest it is."""
    pad = side[0] // 2, side[1] // 2
    part = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    c, b = g.shape[0], g.shape[-1]
    # Windows before and after a position that read it.
    reach = tuple((n + s - 1) // s for n, s in zip(pad, stride, strict=True))
    wider = ((r, max(0, r + n - have), 0) for r, n, have in zip(reach, part, g.shape[1:3], strict=True))
    margins = ((0, 0, 0), *wider, (0, 0, 0))
    wide, winner = lax.pad(g, jnp.zeros((), g.dtype), margins), lax.pad(index, jnp.int8(-1), margins)
    phases = []
    for p, q in itertools.product(*map(range, stride)):
        total = None
        for i, j in itertools.product(*map(range, side)):
            t, f = p + pad[0] - i, q + pad[1] - j  # this position is tap (i, j) of the window there
            if t % stride[0] or f % stride[1]:
                continue
            start = (t // stride[0] + reach[0], f // stride[1] + reach[1])
            here = window(winner, start, part) == side[1] * i + j
            term = window(wide, start, part)
            term = lax.select(here, term, jnp.zeros_like(term))
            total = term if total is None else total + term
        assert total is not None  # each position is in a window
        phases.append(total.reshape(c, *part, b))
    return tuple(phases)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _max_pool(x, mask, side, stride, size, before):
    return _max_pool_forward(x, mask, side, stride, size, before)[0]


def _max_pool_forward(x, mask, side, stride, size, before):
    phases = _pool_phases(x, mask, side=side, stride=stride)
    best, index = _max_and_tap(phases, side=side, stride=stride, size=size)
    return best, (index, mask)


def _max_pool_backward(side, stride, size, before, saved, g):
    index, mask = saved
    phases = _max_gradient(g, index, side=side, stride=stride, size=before)
    dx = phases[0] if stride == (1, 1) else join_phases(phases, stride, before)
    return dx * mask, jnp.zeros_like(mask)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def max_pool_reference(
    x: jax.Array, mask: jax.Array, side: int, stride: int, size: tuple[int, int]
) -> jax.Array:
    """As `max_pool`, left to autodiff."""
    sides, strides = along_both(side, x.shape[2]), along_both(stride, x.shape[2])
    lowest = jnp.asarray(jnp.finfo(x.dtype).min, x.dtype)
    margins = ((0, 0, 0), *((n // 2, n // 2, 0) for n in sides), (0, 0, 0))
    padded = lax.pad(jnp.where(mask > 0, x, lowest), lowest, margins)
    best = None
    for start in itertools.product(*map(range, sides)):
        rows, columns = (
            slice(first, first + s * (n - 1) + 1, s) for first, s, n in zip(start, strides, size, strict=True)
        )
        tap = padded[:, rows, columns]
        best = tap if best is None else jnp.where(tap > best, tap, best)
    assert best is not None  # a window has a tap
    return best
