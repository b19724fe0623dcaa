"""Batch normalisation that knows padding and devices, and the weighted mixture of normalised candidates.

Statistics are sums over the valid positions of the whole global batch, divided by their number: exact whatever
the lengths on each device (Flax's BatchNorm averages the devices' means, which differs when lengths do).
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.models.primitives import BN_EPSILON, alone, sums


def frame_mask(num_frames: jax.Array, frames: int, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """1 on the valid frames of each utterance, 0 on padding: `[B]` -> `[1, T, 1, B]`."""
    valid = jnp.arange(frames, dtype=num_frames.dtype)[:, None] < num_frames[None, :]
    return valid.astype(dtype)[None, :, None, :]


def over_devices(tree, axis_name: str | None):
    """Sums over the devices of a mapped axis, where there is one."""
    return tree if axis_name is None else lax.psum(tree, axis_name)


def count_valid(mask: jax.Array, coefficients: int, axis_name: str | None) -> jax.Array:
    """Valid positions (T x F x B) of the global batch, at least 1: `[1, T, 1, B]` -> scalar."""
    return jnp.maximum(over_devices(jnp.sum(mask) * coefficients, axis_name), 1.0)


def _broadcast(statistic):
    return statistic[..., None, None, None]


def moments(ys: Sequence[jax.Array], mask: jax.Array, count: jax.Array, axis_name: str | None):
    """Mean and (biased) variance a channel, in two passes: one pass would cancel in float32.

    Args:
        ys: arrays `[..., C, T, F, B]`, equal shapes.
        mask: `[1, T, 1, B]`.
        count: valid positions of the global batch.

    Returns:
        means, variances: one `[..., C]` an array.
    """
    mask = mask.reshape((1,) * (ys[0].ndim - 4) + mask.shape)
    means = [m / count for m in over_devices(sums(*(y * mask for y in ys)), axis_name)]
    squares = (jnp.square((y - _broadcast(m)) * mask) for y, m in zip(ys, means, strict=True))
    return means, [v / count for v in over_devices(sums(*squares), axis_name)]


def mixture_plain(ys, weights, mask, count, axis_name):
    """As `mixture`, left to autodiff."""
    means, variances = moments(ys, mask, count, axis_name)
    total = jnp.zeros_like(ys[0])
    for k, (y, m, v) in enumerate(zip(ys, means, variances, strict=True)):
        normalised = (y - _broadcast(m)) * _broadcast(lax.rsqrt(v + BN_EPSILON))
        total = total + _broadcast(weights[:, k])[..., None] * normalised
    return total * mask[None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def mixture(
    ys: tuple[jax.Array, ...], weights: jax.Array, mask: jax.Array, count: jax.Array, axis_name: str | None
) -> jax.Array:
    """Weighted sum of batch-normalised candidates, on each of E edges: sum_k a_k BN(y_k).

    Normalisation and weighting are one scale and one shift a channel, so no normalised candidate is ever stored.

    Args:
        ys: K arrays `[E, C, T, F, B]`.
        weights: `[E, K]`, the a_k.
        mask: `[1, T, 1, B]`.
        count: valid positions of the global batch.

    Returns:
        `[E, C, T, F, B]`, zero on padding.
    """
    return _mixture_forward(ys, weights, mask, count, axis_name)[0]


def _mixture_forward(ys, weights, mask, count, axis_name):
    means, variances = moments(ys, mask, count, axis_name)
    rs = [lax.rsqrt(v + BN_EPSILON) for v in variances]
    scales = [weights[:, k, None] * r for k, r in enumerate(rs)]
    shift = sum(s * m for s, m in zip(scales, means, strict=True))
    total = sum(_broadcast(s) * y for s, y in zip(scales, ys, strict=True))
    return (total - _broadcast(shift)) * mask[None], (ys, weights, mask, count, means, rs)


def _mixture_backward(axis_name, saved, g):
    # With r_k = 1/std, yhat_k = r_k (y_k - m_k) and means over the valid positions of the global batch:
    #   S_k = mean(g yhat_k) = r_k (mean(g y_k) - m_k mean(g)),   da_k = sum_c sum(g yhat_k),
    #   dy_k = a_k r_k (g - mean(g) - yhat_k S_k).
    ys, weights, mask, count, means, rs = saved
    g = alone(g * mask[None])
    local = sums(g, *(g * y for y in ys))
    da = [jnp.sum(r * (gy - m * local[0]), axis=-1) for gy, m, r in zip(local[1:], means, rs, strict=True)]
    mean_g, *mean_gy = (s / count for s in over_devices(local, axis_name))
    dys = []
    for k, (y, m, r) in enumerate(zip(ys, means, rs, strict=True)):
        scale = weights[:, k, None] * r
        s = r * (mean_gy[k] - m * mean_g)
        slope = scale * r * s
        offset = slope * m - scale * mean_g
        dys.append((_broadcast(scale) * g - _broadcast(slope) * y + _broadcast(offset)) * mask[None])
    return tuple(dys), jnp.stack(da, axis=-1), jnp.zeros_like(mask), jnp.zeros_like(count)


mixture.defvjp(_mixture_forward, _mixture_backward)
