"""Pooling of the valid positions; windows end at the border and at the end of an utterance."""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.ops.depthwise import find_taps, join_phases, split_phases, window
from jax_ser_darts.ops.kernels import kernel
from jax_ser_darts.ops.masks import ValidPositions


def on_valid(x: jax.Array, mask: jax.Array) -> jax.Array:
    """`[C, T, F, B]` where the mask is 1, zero elsewhere, whatever it holds there.

    Not a product with the mask: fast math may turn a m + b m into (a + b) m, and the sum of two very negative numbers
    is minus infinity, times 0 not a number.
    """
    return lax.select(jnp.broadcast_to(mask > 0, x.shape), x, jnp.zeros_like(x))


def halved_maximum(x: jax.Array, before: ValidPositions, after: ValidPositions) -> jax.Array:
    """Largest valid number of each 2x2 window: `[C, T, F, B]` -> `[C, T', F', B]`."""
    t, f = after.size
    rows, columns = 2 * t - x.shape[1], 2 * f - x.shape[2]
    inside = jnp.broadcast_to(before.mask > 0, x.shape)
    lowest = jnp.finfo(x.dtype).min
    x = lax.select(inside, x, jnp.full_like(x, lowest))
    x = jnp.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)), constant_values=lowest)
    best = x[:, ::2, ::2]
    for other in (x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]):
        best = lax.select(other > best, other, best)  # on a tie the gradient goes to the first
    return on_valid(best, after.mask)


@functools.partial(kernel, static=("side", "stride"))
def _pool_phases(x, mask, side, stride):
    """Phases of x with the lowest number there is on padding and margin: never a maximum."""
    pad = side // 2
    lowest = jnp.asarray(jnp.finfo(x.dtype).min, x.dtype)
    inside = lax.select(jnp.broadcast_to(mask > 0, x.shape), x, jnp.full_like(x, lowest))
    even = [-(n + 2 * pad) % stride for n in x.shape[1:3]]
    margins = ((0, 0, 0), (pad, pad + even[0], 0), (pad, pad + even[1], 0), (0, 0, 0))
    return split_phases(lax.pad(inside, lowest, margins), stride)


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
    return _max_pool(x, mask, side, stride, tuple(size), x.shape[1:3])


@functools.partial(kernel, static=("side", "stride", "size"))
def _max_and_tap(phases, side, stride, size):
    """Largest of each window, and the number of the tap that holds it."""
    c, b = phases[0].shape[0], phases[0].shape[-1]
    first, *others = find_taps(side, 1, side // 2, stride)
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
    pad = side // 2
    part = tuple(-(-n // stride) for n in size)
    c, b = g.shape[0], g.shape[-1]
    reach = (pad + stride - 1) // stride  # windows before and after a position that read it
    wider = ((reach, max(0, reach + n - have), 0) for n, have in zip(part, g.shape[1:3], strict=True))
    margins = ((0, 0, 0), *wider, (0, 0, 0))
    wide, winner = lax.pad(g, jnp.zeros((), g.dtype), margins), lax.pad(index, jnp.int8(-1), margins)
    phases = []
    for p, q in itertools.product(range(stride), repeat=2):
        total = None
        for i, j in itertools.product(range(side), repeat=2):
            t, f = p + pad - i, q + pad - j  # this position is tap (i, j) of the window there
            if t % stride or f % stride:
                continue
            start = (t // stride + reach, f // stride + reach)
            here = window(winner, start, part) == side * i + j
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
    dx = phases[0] if stride == 1 else join_phases(phases, stride, before)
    return dx * mask, jnp.zeros_like(mask)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def max_pool_reference(
    x: jax.Array, mask: jax.Array, side: int, stride: int, size: tuple[int, int]
) -> jax.Array:
    """As `max_pool`, left to autodiff."""
    pad = side // 2
    lowest = jnp.asarray(jnp.finfo(x.dtype).min, x.dtype)
    margins = ((0, 0, 0), (pad, pad, 0), (pad, pad, 0), (0, 0, 0))
    padded = lax.pad(jnp.where(mask > 0, x, lowest), lowest, margins)
    best = None
    for t, f in itertools.product(range(side), repeat=2):
        tap = padded[
            :,
            t : t + stride * (size[0] - 1) + 1 : stride,
            f : f + stride * (size[1] - 1) + 1 : stride,
        ]
        best = tap if best is None else jnp.where(tap > best, tap, best)
    assert best is not None  # a window has a tap
    return best
