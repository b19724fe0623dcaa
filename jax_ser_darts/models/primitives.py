"""The few array operations that the cells are made of, each in a fast and a plain form.

Layout: activations are `[C, T, F, B]` (channels, frames, coefficients, batch). With the batch last, every shift
in time or frequency is a move of whole vectors, so a depthwise convolution is one fused loop without a shuffle,
and a 1x1 convolution is a plain matrix product. Operations that serve several edges at once carry a leading edge
axis `[E, C, T, F, B]`.

`FAST` and `PLAIN` compute the same values and gradients. PLAIN leaves all to XLA's own convolution and to
autodiff: it is the oracle in the tests and can be differentiated in any order. FAST can be differentiated once in
reverse, and then forward (which is what the exact second-order product needs).
"""

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

BN_EPSILON = 1e-5


def alone(x: jax.Array) -> jax.Array:
    """x, computed in a loop of its own: on a CPU nothing is fused across it.

    XLA:CPU would loop over the shape of whatever reads x, or compute x again for every tap that does. Where x is a
    shift-and-add and its reader a matrix product over flat positions, the loop then no longer runs over whole
    vectors: measured 21 ms instead of 4 for the pair (C = 8, 5 x 5 taps, 64 x 64 positions, batch 16, 4 edges).
    An `optimization_barrier` is gone before fusion; a conditional stays. A NaN in front makes x all NaN.
    """
    if jax.default_backend() != "cpu":
        return x  # there a conditional may wait for the host
    first = x[(0,) * x.ndim]
    return lax.cond(first == first, lambda y: y, lambda y: jnp.full_like(y, jnp.nan), x)


# ---------------------------------------------------------------------------------------------------- sums


def _reduce_together(arrays: Sequence[jax.Array], axes: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Sums equal-shaped arrays over the axes, as one variadic reduction."""
    zeros = tuple(jnp.zeros((), a.dtype) for a in arrays)
    add = lambda left, right: tuple(x + y for x, y in zip(left, right, strict=True))
    return tuple(lax.reduce(tuple(arrays), zeros, add, axes))


def sums(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Sums several `[..., T, F, B]` arrays over (T, F, B) in a single pass over memory -> `[...]` each.

    XLA:CPU would make a pass of each; as one variadic reduction 25 of them cost little more than one.
    """
    shape, last = arrays[0].shape, arrays[0].ndim - 1

    def total(_, arrays):  # B last and apart: its lanes are added only once, so the long sum stays vectorised
        lanes = _reduce_together(arrays, (last - 2, last - 1))
        return _reduce_together(lanes, (last - 2,))

    def transpose(_, cotangents):
        return tuple(jnp.broadcast_to(c[..., None, None, None], shape) for c in cotangents)

    return jax.custom_derivatives.linear_call(total, transpose, (), arrays)


# ---------------------------------------------------------------------------------------------------- depthwise


def _tap(x: jax.Array, start: tuple[int, int], size: tuple[int, int], stride: int) -> jax.Array:
    """The part of `[..., T, F, B]` that one tap of a kernel reads: `size` positions from `start`."""
    (t, f), (n, m) = start, size
    return x[..., t : t + stride * (n - 1) + 1 : stride, f : f + stride * (m - 1) + 1 : stride, :]


def _offsets(kernel: int, dilation: int, pad: int) -> list[int]:
    """Where each tap of a centred kernel starts in an input padded by `pad` on each side."""
    return [pad + (i - kernel // 2) * dilation for i in range(kernel)]


def _scaled(w: jax.Array) -> jax.Array:
    return w[..., None, None, None]


def _depthwise(x, w, stride, dilation, pad, size):
    taps = list(enumerate(_offsets(w.shape[-1], dilation, pad)))
    return functools.reduce(
        jnp.add,
        (
            _tap(x, (t, f), size, stride)[None] * _scaled(w[:, :, i, j])
            for (i, t), (j, f) in itertools.product(taps, taps)
        ),
    )


def _adjoint(term, starts, stride, padded):
    """Lays taps back onto an input of size `padded`: the transpose of reading them with `_tap`.

    Each of the stride's phases is a stride-1 sum of shifted terms; the phases are then interleaved.

    Args:
        term: (number of the tap, window) -> `[E, C, n, m, B]`, where `window` cuts its part out of an output-sized
            array that `_margin` has widened. The edges are summed.
    """
    n, m = (-(-p // stride) for p in padded)
    reach = _reach(starts, stride)
    phases = []
    for phase in itertools.product(range(stride), repeat=2):
        terms = [
            term(
                k,
                functools.partial(
                    _tap, start=(reach - t // stride, reach - f // stride), size=(n, m), stride=1
                ),
            )
            for k, (t, f) in enumerate(starts)
            if (t % stride, f % stride) == phase
        ]
        phases.append(functools.reduce(jnp.add, list(functools.reduce(jnp.add, terms))) if terms else None)
    if stride == 1:
        return phases[0]
    like = next(p for p in phases if p is not None)
    c, b = like.shape[0], like.shape[-1]
    grid = jnp.stack([jnp.zeros_like(like) if p is None else p for p in phases])
    grid = grid.reshape(stride, stride, c, n, m, b).transpose(2, 3, 0, 4, 1, 5)
    return grid.reshape(c, n * stride, m * stride, b)[:, : padded[0], : padded[1]]


def _reach(starts, stride):
    return max(max(start) for start in starts) // stride


def _margin(g, starts, stride, padded, fill):
    """Widens `[..., T', F', B]` so that every window of `_adjoint` lies inside."""
    n, m = (-(-p // stride) for p in padded)
    reach = _reach(starts, stride)
    width = [(0, 0)] * (g.ndim - 3) + [(reach, n - g.shape[-3]), (reach, m - g.shape[-2]), (0, 0)]
    return jnp.pad(g, width, constant_values=fill)


def _depthwise_input_gradient(g, w, stride, dilation, pad, padded):
    starts = list(itertools.product(_offsets(w.shape[-1], dilation, pad), repeat=2))
    wide = _margin(g, starts, stride, padded, 0)
    flat = w.reshape(*w.shape[:2], -1)
    term = lambda k, window: window(wide) * _scaled(flat[:, :, k])
    return _adjoint(term, starts, stride, padded)


def _depthwise_weight_gradient(x, g, kernel, stride, dilation, pad):
    taps = _offsets(kernel, dilation, pad)
    size = g.shape[2:4]
    products = [_tap(x, start, size, stride)[None] * g for start in itertools.product(taps, taps)]
    return jnp.stack(sums(*products), axis=-1).reshape(*g.shape[:2], kernel, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def depthwise(
    x: jax.Array, w: jax.Array, stride: int, dilation: int, pad: int, size: tuple[int, int]
) -> jax.Array:
    """Depthwise convolution of one input with the kernels of E edges, as a sum of shifted slices.

    Args:
        x: `[C, T + 2 pad, F + 2 pad, B]`, padded by `pad` zeros on each side of T and F.
        w: `[E, C, k, k]`, k odd.
        stride, dilation: of both axes.
        pad: at least `dilation * (k // 2)`.
        size: output positions (T', F').

    Returns:
        `[E, C, T', F', B]`.
    """
    return _depthwise_forward(x, w, stride, dilation, pad, size)[0]


def _depthwise_forward(x, w, stride, dilation, pad, size):
    return _depthwise(x, w, stride, dilation, pad, size), (x, w)


def _depthwise_backward(stride, dilation, pad, size, saved, g):
    x, w = saved
    dx = alone(_depthwise_input_gradient(g, w, stride, dilation, pad, x.shape[1:3]))
    return dx, _depthwise_weight_gradient(x, g, w.shape[-1], stride, dilation, pad)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def depthwise_plain(x, w, stride, dilation, pad, size):
    """As `depthwise`, by XLA's grouped convolution."""
    edges, c, kernel, _ = w.shape
    slack = pad - dilation * (kernel // 2)
    y = lax.conv_general_dilated(
        x[:, slack : x.shape[1] - slack, slack : x.shape[2] - slack],
        w.transpose(1, 0, 2, 3).reshape(c * edges, 1, kernel, kernel),
        window_strides=(stride, stride),
        padding="VALID",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("CHWN", "OIHW", "CHWN"),
        feature_group_count=c,
        precision=lax.Precision.HIGHEST,
    )
    return y.reshape(c, edges, *y.shape[1:]).swapaxes(0, 1)[:, :, : size[0], : size[1]]


# ---------------------------------------------------------------------------------------------------- pointwise


def pointwise(x: jax.Array, w: jax.Array) -> jax.Array:
    """1x1 convolution an edge: `[E, C, T, F, B]`, `[E, C, D]` -> `[E, D, T, F, B]`."""
    # Flat positions: with several axes to contract, the weight gradient's product would first be transposed.
    y = jnp.einsum("ecn,ecd->edn", alone(x).reshape(*x.shape[:2], -1), w)
    return alone(y.reshape(*y.shape[:2], *x.shape[2:]))


# ---------------------------------------------------------------------------------------------------- pooling


def max_pool_plain(x: jax.Array, stride: int, pad: int, size: tuple[int, int]) -> jax.Array:
    """As `max_pool`, left to autodiff."""
    return _max_and_tap(x, stride, pad, size)[0]


def _pool_starts(pad):
    return list(itertools.product(_offsets(3, 1, pad), repeat=2))


def _max_and_tap(x, stride, pad, size):
    """Largest of each 3x3 window, and the number of the tap that holds it (the first one, on a tie)."""
    first, *others = _pool_starts(pad)
    best = _tap(x, first, size, stride)
    index = jnp.zeros(best.shape, jnp.int8)
    for k, start in enumerate(others, start=1):
        tap = _tap(x, start, size, stride)
        larger = tap > best
        best = jnp.where(larger, tap, best)
        index = jnp.where(larger, jnp.int8(k), index)
    return best, index


def max_pool(x: jax.Array, stride: int, pad: int, size: tuple[int, int]) -> jax.Array:
    """3x3 max pooling of `[C, T + 2 pad, F + 2 pad, B]`, whose padding is very negative -> `[C, T', F', B]`.

    On a tie the gradient goes to the first of the window, as in XLA's and PyTorch's.
    """
    return _max_pool(x, stride, pad, size, x.shape[1:3])


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _max_pool(x, stride, pad, size, padded):
    return _max_and_tap(x, stride, pad, size)[0]


def _max_pool_forward(x, stride, pad, size, padded):
    return _max_and_tap(x, stride, pad, size)


def _max_pool_backward(stride, pad, size, padded, index, g):
    starts = _pool_starts(pad)
    wide = _margin(g, starts, stride, padded, 0)[None]
    winner = _margin(index, starts, stride, padded, -1)[None]
    zero = jnp.zeros((), g.dtype)
    return (
        _adjoint(
            lambda k, window: jnp.where(window(winner) == k, window(wide), zero), starts, stride, padded
        ),
    )


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)
