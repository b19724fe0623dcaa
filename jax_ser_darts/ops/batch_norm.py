"""Batch normalisation that knows padding and devices, and the weighted mixture of normalised candidates.

Statistics are sums over the valid positions of the whole global batch, divided by their number: exact whatever
the lengths on each device (Flax's BatchNorm averages the devices' means, which differs when lengths do).

With n valid positions, mean m, variance v, r = 1 / sqrt(v + epsilon), yhat = r (y - m) and a gradient u of yhat:

    dy = r (u - mean(u) - yhat mean(u yhat)) = r u - r^3 mean(u (y - m)) (y - m) - r mean(u)
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.ops.depthwise import Padded, pad_reference
from jax_ser_darts.ops.kernels import kernel
from jax_ser_darts.ops.masks import ValidPositions, over_devices
from jax_ser_darts.ops.primitives import BN_EPSILON, a_channel, along_both, sums


def _flat(y):
    return y.reshape(y.shape[0], -1)


@kernel
def _first_frames(y, mask):
    return jnp.sum(y[:, 0] * mask[:, 0], axis=(1, 2)), jnp.sum(mask[:, 0])


@kernel
def _shifted_sums(y, shift, mask):
    """Sums of y - shift and of its square, over valid positions."""
    d = (y - a_channel(shift)) * mask
    return sums(_flat(d), _flat(jnp.square(d)))


def moments(
    ys: Sequence[jax.Array], mask: jax.Array, count: jax.Array, axis_name: str | None
) -> tuple[list[jax.Array], list[jax.Array]]:
    """Mean and (biased) variance a channel.

    One pass over y - shift: E[d^2] - E[d]^2 cancels in float32 where the mean is far from 0, but not where the shift is
    near the mean. The mean of all first frames is: each utterance with a valid frame has its first.

    Args:
        ys: arrays `[C, T, F, B]`.
        mask: `[1, T, F, B]`.
        count: valid positions of the global batch.

    Returns:
        means, variances: one `[C]` an array.
    """
    firsts = over_devices([_first_frames(lax.stop_gradient(y), mask) for y in ys], axis_name)
    shifts = [total / jnp.maximum(number, 1) for total, number in firsts]
    both = over_devices([_shifted_sums(y, s, mask) for y, s in zip(ys, shifts, strict=True)], axis_name)
    distances = [d / count for d, _ in both]
    means = [s + d for s, d in zip(shifts, distances, strict=True)]
    squares = (squares / count for _, squares in both)
    return means, [jnp.maximum(q - jnp.square(d), 0) for q, d in zip(squares, distances, strict=True)]


# ---------------------------------------------------------------------------------------------------- one candidate


@kernel
def _input_gradient(u, y, mean, mask, scale, slope, offset):
    """(scale u - slope (y - m) - offset), on valid positions."""
    dy = a_channel(scale) * u - a_channel(slope) * (y - a_channel(mean)) - a_channel(offset)
    return dy * mask


def _slope_and_offset(scale, r, mean_u, mean_uy):
    """Of the input gradient, for y weighted by `scale` = weight * r."""
    return scale * r * r * mean_uy, scale * mean_u


@functools.partial(kernel, static=("pad",))
def _normalise_relu_pad(y, mean, r, mask, pad):
    h = jnp.maximum((y - a_channel(mean)) * a_channel(r), jnp.zeros((), y.dtype)) * mask
    t, f = pad
    return lax.pad(h, jnp.zeros((), y.dtype), ((0, 0, 0), (t, t, 0), (f, f, 0), (0, 0, 0)))


@kernel
def _behind_relu(g, y, mean, mask):
    """u = g where the normalised y is above zero; its sum, and that of u (y - m)."""
    centred = y - a_channel(mean)
    u = lax.select(centred > 0, g * mask, jnp.zeros_like(g))
    return sums(_flat(u), _flat(u * centred))


@kernel
def _relu_input_gradient(g, y, mean, mask, r, slope, offset):
    centred = y - a_channel(mean)
    u = lax.select(centred > 0, g, jnp.zeros_like(g))
    return (a_channel(r) * u - a_channel(slope) * centred - a_channel(offset)) * mask


def normalised_relu(y: jax.Array, valid: ValidPositions, pad: int, axis_name: str | None) -> Padded:
    """ReLU(BN(y)) of `[C, T, F, B]`, zero on padding, ready for the next convolution (stride 1)."""
    pads = along_both(pad, y.shape[2], alone=0)
    h, padded = _normalised_relu(y, valid.mask, valid.count, pads, axis_name)
    return Padded(x=h, phases=(padded,), pad=pads, stride=(1, 1))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _normalised_relu(y, mask, count, pad, axis_name):
    return _normalised_relu_forward(y, mask, count, pad, axis_name)[0]


def _normalised_relu_forward(y, mask, count, pad, axis_name):
    (mean,), (variance,) = moments([y], mask, count, axis_name)
    r = lax.rsqrt(variance + BN_EPSILON)
    padded = _normalise_relu_pad(y, mean, r, mask, pad=pad)
    # Only its gradient is used: nobody computes it.
    h = jnp.maximum((y - a_channel(mean)) * a_channel(r), jnp.zeros((), y.dtype)) * mask
    return (h, padded), (y, mask, count, mean, r)


def _normalised_relu_backward(pad, axis_name, saved, cotangents):
    y, mask, count, mean, r = saved
    g, _ = cotangents  # `depthwise` gives the margin none
    total, total_y = over_devices(_behind_relu(g, y, mean, mask), axis_name)
    slope, offset = _slope_and_offset(r, r, total / count, total_y / count)
    dy = _relu_input_gradient(g, y, mean, mask, r, slope, offset)
    return dy, jnp.zeros_like(mask), jnp.zeros_like(count)


_normalised_relu.defvjp(_normalised_relu_forward, _normalised_relu_backward)


def normalised_relu_reference(y: jax.Array, valid: ValidPositions, pad: int, axis_name: str | None) -> Padded:
    """As `normalised_relu`, left to autodiff."""
    h = mixture_reference((y,), (), jnp.ones(1, y.dtype), valid, axis_name)
    return pad_reference(jax.nn.relu(h), pad, 1)


# ---------------------------------------------------------------------------------------------------- the mixture


def mixture(
    ys: Sequence[jax.Array],
    xs: Sequence[jax.Array],
    weights: jax.Array,
    valid: ValidPositions,
    axis_name: str | None,
) -> jax.Array:
    """Weighted sum of the candidates of an edge: sum_k a_k BN(y_k) + sum_m b_m x_m.

    Normalisation and weighting are one scale and one shift a channel, so no normalised candidate is ever stored.

    Args:
        ys: K arrays `[C, T, F, B]`, to be normalised.
        xs: M arrays `[C, T, F, B]` as they are, zero on padding.
        weights: `[K + M]`, the a_k and then the b_m.
        valid: positions of all arrays.

    Returns:
        `[C, T, F, B]`, zero on padding.
    """
    return _mixture(tuple(ys), tuple(xs), weights, valid.mask, valid.count, axis_name)


@kernel
def _mix(ys, xs, scales, shift, weights, mask):
    total = sum(a_channel(s) * y for s, y in zip(scales, ys, strict=True)) - a_channel(shift)
    total = total * mask
    for k, x in enumerate(xs):
        total = total + weights[len(ys) + k] * x
    return total


@kernel
def _products(g, ys, xs, means, mask):
    """Sums of g, of g (y_k - m_k) and of g x_m."""
    g = g * mask
    centred = (y - a_channel(m) for y, m in zip(ys, means, strict=True))
    return sums(_flat(g), *(_flat(g * y) for y in centred), *(_flat(g * x) for x in xs))


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _mixture(ys, xs, weights, mask, count, axis_name):
    return _mixture_forward(ys, xs, weights, mask, count, axis_name)[0]


def _mixture_forward(ys, xs, weights, mask, count, axis_name):
    means, variances = moments(ys, mask, count, axis_name)
    rs = [lax.rsqrt(v + BN_EPSILON) for v in variances]
    scales = [weights[k] * r for k, r in enumerate(rs)]
    shift = sum((s * m for s, m in zip(scales, means, strict=True)), jnp.zeros((), weights.dtype))
    shift = jnp.broadcast_to(shift, (ys or xs)[0].shape[:1])
    total = _mix(ys, xs, scales, shift, weights, mask)
    return total, (ys, xs, weights, mask, count, means, rs)


def _mixture_backward(axis_name, saved, g):
    # da_k = sum_c sum(g yhat_k), on this device: gradients of parameters are averaged over the devices later.
    ys, xs, weights, mask, count, means, rs = saved
    local = _products(g, ys, xs, means, mask)
    of_ys, of_xs = local[1 : 1 + len(ys)], local[1 + len(ys) :]
    da = [jnp.sum(r * gy) for r, gy in zip(rs, of_ys, strict=True)] + [jnp.sum(gx) for gx in of_xs]
    total_g, *totals_gy = over_devices(local[: 1 + len(ys)], axis_name)
    dys = []
    for k, (y, m, r, total_gy) in enumerate(zip(ys, means, rs, totals_gy, strict=True)):
        scale = weights[k] * r
        slope, offset = _slope_and_offset(scale, r, total_g / count, total_gy / count)
        dys.append(_input_gradient(g, y, m, mask, scale, slope, offset))
    dxs = tuple(
        weights[len(ys) + k] * g for k in range(len(xs))
    )  # left to be fused with those of other edges
    return tuple(dys), dxs, jnp.stack(da), jnp.zeros_like(mask), jnp.zeros_like(count)


_mixture.defvjp(_mixture_forward, _mixture_backward)


def mixture_reference(
    ys: Sequence[jax.Array],
    xs: Sequence[jax.Array],
    weights: jax.Array,
    valid: ValidPositions,
    axis_name: str | None,
) -> jax.Array:
    """As `mixture`, left to autodiff."""
    total = jnp.zeros_like((ys or xs)[0])
    for k, y in enumerate(ys):
        mean = over_devices(jnp.sum(y * valid.mask, axis=(1, 2, 3)), axis_name) / valid.count
        centred = (y - a_channel(mean)) * valid.mask
        variance = over_devices(jnp.sum(jnp.square(centred), axis=(1, 2, 3)), axis_name) / valid.count
        total = total + weights[k] * centred * a_channel(lax.rsqrt(variance + BN_EPSILON))
    for k, x in enumerate(xs):
        total = total + weights[len(ys) + k] * x
    return total
