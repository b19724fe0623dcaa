"""Normalisation: statistics of the valid positions of all devices; the fused mixture is the plain one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_ser_darts.ops import masks
from jax_ser_darts.ops.backend import CUSTOM, REFERENCE
from jax_ser_darts.ops.batch_norm import moments
from jax_ser_darts.ops.primitives import BN_EPSILON

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

K, M, C, T, F, B = 3, 2, 4, 6, 5, 16
AXIS = "devices"
# Uneven on purpose: of eight devices one has no valid frame at all, one has one frame, one has all.
LENGTHS = np.array([6, 6, 0, 0, 1, 0, 5, 2, 3, 3, 6, 1, 4, 0, 2, 6], np.int32)


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def valid_in(lengths, axis_name=None, dtype=jnp.float64):
    return masks.valid_positions(jnp.asarray(lengths), (T, F), dtype, axis_name)


def inputs(seed=0):
    """Candidates with large means and different scales a channel, candidates as they are, and all weights."""
    ys = tuple(
        normal(seed + k, C, T, F, B) * jnp.exp(normal(seed + 10 + k, C, 1, 1, 1))
        + 10 * normal(seed + 20 + k, C, 1, 1, 1)
        for k in range(K)
    )
    xs = tuple(normal(seed + 40 + m, C, T, F, B) * valid_in(LENGTHS).mask for m in range(M))
    return ys, xs, jax.nn.softmax(normal(seed + 30, K + M))


def assert_close(found, expected, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(np.abs(b).max()))


def picked(y, lengths=LENGTHS):
    """`[..., T, F, B]` -> `[..., valid positions]`, by picking them one by one."""
    columns = [y[..., t, f, b] for b in range(B) for t in range(lengths[b]) for f in range(F)]
    return np.stack(columns, axis=-1)


# ---------------------------------------------------------------------------------------- grids, moments


def test_a_mask_marks_and_counts_the_valid_frames():
    valid = masks.valid_positions(jnp.array([0, 1, 3, 9], jnp.int32), (4, 2), jnp.float32, None)
    assert valid.mask.shape == (1, 4, 2, 4)
    assert np.asarray(valid.mask)[0, :, 1].T.tolist() == [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
    ]
    assert float(valid.count) == 16
    assert float(masks.valid_positions(jnp.zeros(3, jnp.int32), (4, 2), jnp.float32, None).count) == 1


def test_moments_are_those_of_the_valid_positions():
    ys, *_ = inputs()
    valid = valid_in(LENGTHS)
    means, variances = jit(lambda ys: moments(ys, valid.mask, valid.count, None))(ys)
    valid = [picked(np.asarray(y)) for y in ys]
    assert_close(means, [v.mean(axis=-1) for v in valid])
    assert_close(variances, [v.var(axis=-1) for v in valid])


@pytest.mark.parametrize("mean", [1e2, 1e4])
def test_a_large_mean_does_not_cancel_in_single_precision(mean):
    y = (mean + normal(0, C, T, F, B)).astype(jnp.float32)
    valid = valid_in(LENGTHS, dtype=jnp.float32)
    _, (variance,) = moments([y], valid.mask, valid.count, None)
    expected = picked(np.asarray(y, np.float64)).var(axis=-1)
    np.testing.assert_allclose(variance, expected, rtol=1e-3)  # the rounding of y - shift


# ---------------------------------------------------------------------------------------- the mixture


def every_order(function):
    """Value, gradients and the gradients' derivative along the inputs."""

    def compute(point, lengths, share, directions):
        def loss(*point):
            value = function(*point, valid_in(lengths), None)
            return jnp.sum(jnp.sin(value) * share), value

        gradient = jax.grad(loss, argnums=tuple(range(len(point))), has_aux=True)
        grads, along, value = jax.jvp(gradient, point, directions, has_aux=True)
        return value, grads, along

    return jit(compute)


@pytest.fixture(scope="module")
def orders():
    with jax.enable_x64(True):
        return every_order(CUSTOM.mixture), every_order(REFERENCE.mixture)


@pytest.mark.parametrize(
    "lengths",
    [LENGTHS, np.full(B, T, np.int32), np.eye(1, B, dtype=np.int32)[0]],
    ids=["uneven", "full", "one frame"],
)
def test_the_mixture_is_the_plain_one_in_every_order(orders, lengths):
    fast, plain = orders
    arguments = (inputs(), jnp.asarray(lengths), normal(40, C, T, F, B) * valid_in(lengths).mask, inputs(50))
    assert_close(fast(*arguments), plain(*arguments))


def test_the_mixture_by_its_formula(orders):
    ys, xs, weights = inputs()
    value, *_ = orders[0](inputs(), jnp.asarray(LENGTHS), normal(40, C, T, F, B), inputs(50))
    expected = sum(np.asarray(w) * np.asarray(x) for w, x in zip(weights[K:], xs, strict=True))
    for k, y in enumerate(np.asarray(y) for y in ys):
        valid = picked(y)
        mean, std = valid.mean(axis=-1), np.sqrt(valid.var(axis=-1) + BN_EPSILON)
        normalised = (y - mean[:, None, None, None]) / std[:, None, None, None]
        expected = expected + float(weights[k]) * normalised * np.asarray(valid_in(LENGTHS).mask)
    assert_close(value, expected)


def test_what_stands_on_padding_has_no_effect_and_no_gradient(orders):
    ys, xs, weights = inputs()
    valid = np.broadcast_to(np.asarray(valid_in(LENGTHS).mask) > 0, ys[0].shape)
    spoilt = tuple(jnp.where(valid, y, 1e6) for y in ys)
    rest = (jnp.asarray(LENGTHS), normal(40, C, T, F, B), inputs(50))
    value, (dys, _, _), _ = orders[0]((ys, xs, weights), *rest)
    dirty, (spoilt_dys, _, _), _ = orders[0]((spoilt, xs, weights), *rest)
    assert_close(dirty, value)
    assert_close(spoilt_dys, dys)
    assert all((np.asarray(dy)[~valid] == 0).all() for dy in dys)


def test_a_normalised_relu_is_the_plain_one_in_every_order():
    def convolved(backend):
        def function(y, w, valid, axis_name):
            h = backend.normalised_relu(y, valid, 2, axis_name)
            return backend.depthwise(h, (w,), (2,), valid.size)[0] * valid.mask

        return every_order(function)

    def point(seed):
        return inputs(seed)[0][0], normal(seed + 60, C, 3, 3)

    arguments = (point(0), jnp.asarray(LENGTHS), normal(40, C, T, F, B), point(50))
    assert_close(convolved(CUSTOM)(*arguments), convolved(REFERENCE)(*arguments))


# ---------------------------------------------------------------------------------------- devices


def sharded(tree, devices):
    """The batch, last of every array, cut for the devices: `[..., B]` -> `[devices, ..., B / devices]`."""
    return jax.tree.map(lambda x: np.stack(np.split(np.asarray(x), devices, axis=-1)), tree)


def unsharded(tree):
    return jax.tree.map(lambda x: np.concatenate(list(np.asarray(x)), axis=-1), tree)


def step(function, arrays, weights, lengths, share, axis_name):
    """Value, gradients and gradients' derivative of a mean over the valid frames of the global batch.

    Each device's loss is its own sum, times the devices, over the global count: the mean over devices of its
    gradient is then that of a single device.
    """
    valid = valid_in(lengths, axis_name)
    devices = 1 if axis_name is None else lax.axis_size(axis_name)

    def loss(arrays, weights):
        value = function(*arrays, weights, valid, axis_name)
        return jnp.sum(jnp.sin(value) * share) * devices / valid.count, value

    def gradient(arrays, weights):
        (darrays, dweights), value = jax.grad(loss, argnums=(0, 1), has_aux=True)(arrays, weights)
        # Weights are on every device: their gradients are averaged. An array is on one: its gradient is divided.
        mean = dweights if axis_name is None else lax.pmean(dweights, axis_name)
        return (jax.tree.map(lambda g: g / devices, darrays), mean), value

    direction = jax.tree.map(jnp.cos, (arrays, weights))
    grads, along, value = jax.jvp(gradient, (arrays, weights), direction, has_aux=True)
    return value, grads, along


@pytest.mark.parametrize("backend", [CUSTOM, REFERENCE], ids=["custom", "reference"])
@pytest.mark.parametrize("devices", [2, 8])
def test_devices_with_different_lengths_give_what_one_device_gives(backend, devices):
    *arrays, weights = inputs()
    batch = (tuple(arrays), LENGTHS, normal(40, C, T, F, B))
    run = lambda axis: lambda a, n, g: step(backend.mixture, a, weights, n, g, axis)
    whole = jit(run(None))(*batch)
    value, (darrays, dweights), (along, along_weights) = jax.pmap(run(AXIS), axis_name=AXIS)(
        *sharded(batch, devices)
    )
    for one in np.asarray(dweights):  # the same on every device
        assert_close(one, whole[1][1])
    found = unsharded(value), (unsharded(darrays), dweights[0]), (unsharded(along), along_weights[0])
    assert_close(found, whole)
