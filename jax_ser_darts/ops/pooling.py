"""3x3 pooling of the valid positions; windows end at the border and at the end of an utterance."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.ops.depthwise import find_taps, join_phases, split_phases, window
from jax_ser_darts.ops.kernels import kernel
from jax_ser_darts.ops.masks import Grid

PAD = 1


def average_pool(
    pad: Callable, depthwise: Callable, x: jax.Array, stride: int, before: Grid, after: Grid
) -> jax.Array:
    """Mean over the valid positions of each window.

    Args:
        pad, depthwise: see depthwise.py.
        x: `[C, T, F, B]`, zero on padding.
        stride: 1 or 2.
        before, after: grids of x and of the output.

    Returns:
        `[C, T', F', B]`.
    """

    def total(y):
        ones = jnp.ones((y.shape[0], 3, 3), y.dtype)
        return depthwise(pad(y, PAD, stride), (ones,), (1,), after.size)[0]

    return total(x) / jnp.maximum(total(before.mask), 1)


def on_valid(x: jax.Array, mask: jax.Array) -> jax.Array:
    """`[C, T, F, B]` where the mask is 1, zero elsewhere, whatever it holds there.

    Not a product with the mask: fast math may turn a m + b m into (a + b) m, and the sum of two very negative numbers
    is minus infinity, times 0 not a number.
    """
    return lax.select(jnp.broadcast_to(mask > 0, x.shape), x, jnp.zeros_like(x))


@functools.partial(kernel, static=("stride",))
def _pool_phases(x, mask, stride):
    """Phases of x with the lowest number there is on padding and margin: never a maximum."""
    lowest = jnp.finfo(x.dtype).min
    lowest = jnp.asarray(lowest, x.dtype)
    inside = lax.select(jnp.broadcast_to(mask > 0, x.shape), x, jnp.full_like(x, lowest))
    even = [-(n + 2 * PAD) % stride for n in x.shape[1:3]]
    margins = ((0, 0, 0), (PAD, PAD + even[0], 0), (PAD, PAD + even[1], 0), (0, 0, 0))
    return split_phases(lax.pad(inside, lowest, margins), stride)


def max_pool(x: jax.Array, mask: jax.Array, stride: int, size: tuple[int, int]) -> jax.Array:
    """Largest valid number of each window: `[C, T, F, B]` -> `[C, T', F', B]`; very negative where there is none.

    On a tie the gradient goes to the first of the window, as in XLA's and PyTorch's.
    """
    return _max_pool(x, mask, stride, tuple(size), x.shape[1:3])


def max_pool_value(x, mask, stride, size):
    """As `max_pool`, without its rule for the backward pass."""
    return _max_pool_forward(x, mask, stride, tuple(size), x.shape[1:3])[0]


@functools.partial(kernel, static=("stride", "size"))
def _max_and_tap(phases, stride, size):
    """Largest of each window, and the number of the tap that holds it."""
    c, b = phases[0].shape[0], phases[0].shape[-1]
    first, *others = find_taps(3, 1, PAD, stride)
    best = window(phases[first.phase], first[1:], size)
    index = jnp.zeros(best.shape, jnp.int8)
    for k, tap in enumerate(others, start=1):
        candidate = window(phases[tap.phase], tap[1:], size)
        larger = candidate > best
        best = lax.select(larger, candidate, best)
        index = lax.select(larger, jnp.full_like(index, k), index)
    return best.reshape(c, *size, b), index.reshape(c, *size, b)


@functools.partial(kernel, static=("stride", "size"))
def _max_gradient(g, index, stride, size):
    """The phases of the input's gradient: each position takes from the windows whose largest it is."""
    part = tuple(-(-n // stride) for n in size)
    c, b = g.shape[0], g.shape[-1]
    back = ((1, max(0, 1 + n - have), 0) for n, have in zip(part, g.shape[1:3], strict=True))
    margins = ((0, 0, 0), *back, (0, 0, 0))
    wide, winner = lax.pad(g, jnp.zeros((), g.dtype), margins), lax.pad(index, jnp.int8(-1), margins)
    phases = []
    for p in range(stride):
        for q in range(stride):
            total = None
            for i in range(3):
                for j in range(3):
                    t, f = p + PAD - i, q + PAD - j  # this position is tap (i, j) of the window there
                    if t % stride or f % stride:
                        continue
                    start = (t // stride + 1, f // stride + 1)
                    here = window(winner, start, part) == 3 * i + j
                    term = window(wide, start, part)
                    term = lax.select(here, term, jnp.zeros_like(term))
                    total = term if total is None else total + term
            phases.append(total.reshape(c, *part, b))
    return tuple(phases)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _max_pool(x, mask, stride, size, before):
    return _max_pool_forward(x, mask, stride, size, before)[0]


def _max_pool_forward(x, mask, stride, size, before):
    best, index = _max_and_tap(_pool_phases(x, mask, stride=stride), stride=stride, size=size)
    return best, (index, mask)


def _max_pool_backward(stride, size, before, saved, g):
    index, mask = saved
    phases = _max_gradient(g, index, stride=stride, size=before)
    dx = phases[0] if stride == 1 else join_phases(phases, stride, before)
    return dx * mask, jnp.zeros_like(mask)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def max_pool_plain(x, mask, stride, size):
    """As `max_pool`, by XLA's own pooling, left to autodiff."""
    lowest = jnp.asarray(jnp.finfo(x.dtype).min, x.dtype)
    margins = ((0, 0, 0), (PAD, PAD, 0), (PAD, PAD, 0), (0, 0, 0))
    padded = lax.pad(jnp.where(mask > 0, x, lowest), lowest, margins)
    starts = [(t, f) for t in range(3) for f in range(3)]
    best = None
    for t, f in starts:
        tap = padded[
            :,
            t : t + stride * (size[0] - 1) + 1 : stride,
            f : f + stride * (size[1] - 1) + 1 : stride,
        ]
        best = tap if best is None else jnp.where(tap > best, tap, best)
    return best
