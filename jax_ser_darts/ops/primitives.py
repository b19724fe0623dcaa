"""Sums, 1x1 convolutions and moves of channels: what everything else is made of.

Layout: activations are `[C, T, F, B]` (channels, frames, coefficients, batch). With the batch last, every shift
in time or frequency is a move of whole vectors, so a depthwise convolution is one fused loop without a shuffle,
and a 1x1 convolution is a plain matrix product.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

BN_EPSILON = 1e-5


def a_channel(statistic: jax.Array) -> jax.Array:
    """`[C]` -> `[C, 1, 1, 1]`, to scale or shift `[C, T, F, B]`."""
    return statistic[:, None, None, None]


def _reduce_together(arrays: Sequence[jax.Array], axes: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Sums equal-shaped arrays over the axes, as one variadic reduction."""
    zeros = tuple(jnp.zeros((), a.dtype) for a in arrays)
    add = lambda left, right: tuple(x + y for x, y in zip(left, right, strict=True))
    return tuple(lax.reduce(tuple(arrays), zeros, add, axes))


def sums(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Sums several `[C, ...]` arrays of one shape over all axes but the first, in a single pass -> `[C]` each.

    XLA:CPU would make a pass of each; as one variadic reduction 25 of them cost little more than one. That needs
    `compilation.FAST_MATH`: without leave to reorder the additions no sum is vectorised (6 times slower).
    """
    shape = arrays[0].shape
    inner = tuple(range(1, len(shape)))

    def total(_, arrays):
        return _reduce_together(arrays, inner)

    def transpose(_, cotangents):
        return tuple(lax.broadcast_in_dim(c, shape, (0,)) for c in cotangents)

    return jax.custom_derivatives.linear_call(total, transpose, (), arrays)


def along_both(length: int, coefficients: int, alone: int = 1) -> tuple[int, int]:
    """(along T, along F) of a window, a stride or a margin; a single coefficient has no neighbours."""
    return length, length if coefficients > 1 else alone


def halves(x: jax.Array, size: tuple[int, int]) -> list[jax.Array]:
    """The even and the odd positions of `[C, T, F, B]`: two arrays `[C, T', F', B]`, size = (T', F')."""
    (t, f), (_, step) = size, along_both(2, x.shape[2])
    x = jnp.pad(x, ((0, 0), (0, 2 * t - x.shape[1]), (0, step * f - x.shape[2]), (0, 0)))
    return [x[:, ::2, ::step], x[:, 1::2, step - 1 :: step]]


def half_widths(channels: int) -> tuple[int, int]:
    """Output channels of the two halves of DARTS's factorised reduction."""
    return channels - channels // 2, channels // 2


def shuffled(parts: Sequence[jax.Array], groups: int) -> jax.Array:
    """The channels of some arrays one after the other, in `groups` groups; then all groups' first, second ..."""
    x = jnp.concatenate(parts, axis=0)
    return x.reshape(groups, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)


def pointwise(x: jax.Array, w: jax.Array) -> jax.Array:
    """1x1 convolution: `[C, T, F, B]`, `[C, D]` -> `[D, T, F, B]`."""
    # Flat positions: with several axes to contract, the weight gradient's product would first be transposed.
    return jnp.einsum("cn,cd->dn", x.reshape(x.shape[0], -1), w).reshape(w.shape[1], *x.shape[1:])


def pointwise_parts(parts: Sequence[jax.Array], ws: Sequence[jax.Array]) -> jax.Array:
    """1x1 convolutions of some arrays, their channels one after the other."""
    outputs = [pointwise(part, w) for part, w in zip(parts, ws, strict=True)]
    return jnp.concatenate(outputs, axis=0) if len(outputs) > 1 else outputs[0]
