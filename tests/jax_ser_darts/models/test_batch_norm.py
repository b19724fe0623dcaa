"""Normalisation: statistics of the valid positions of all devices; the fused mixture is the plain one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_ser_darts.models.batch_norm import count_valid, frame_mask, mixture, mixture_plain, moments
from jax_ser_darts.models.primitives import BN_EPSILON

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

K, E, C, T, F, B = 3, 2, 4, 6, 5, 16
AXIS = "devices"
# Uneven on purpose: of eight devices one has no valid frame at all, one has one frame, one has all.
LENGTHS = np.array([6, 6, 0, 0, 1, 0, 5, 2, 3, 3, 6, 1, 4, 0, 2, 6], np.int32)


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def inputs(seed=0):
    """Candidates with large means and different scales an edge and a channel, and their weights."""
    ys = tuple(
        normal(seed + k, E, C, T, F, B) * jnp.exp(normal(seed + 10 + k, E, C, 1, 1, 1))
        + 10 * normal(seed + 20 + k, E, C, 1, 1, 1)
        for k in range(K)
    )
    return ys, jax.nn.softmax(normal(seed + 30, E, K))


def mask_and_count(lengths, axis_name=None):
    mask = frame_mask(lengths, T, jnp.float64)
    return mask, count_valid(mask, F, axis_name)


def assert_close(found, expected, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(np.abs(b).max()))


# ---------------------------------------------------------------------------------------- masks, moments


def test_a_mask_is_one_on_the_valid_frames():
    mask = np.asarray(frame_mask(jnp.array([0, 1, 3, 9], jnp.int32), 4))
    assert mask.shape == (1, 4, 1, 4)
    assert mask.dtype == np.float32
    assert mask[0, :, 0, :].T.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_valid_positions_are_counted_and_never_zero():
    lengths = jnp.array([0, 2, 3], jnp.int32)
    assert float(count_valid(frame_mask(lengths, 4), 5, None)) == 25
    assert float(count_valid(frame_mask(0 * lengths, 4), 5, None)) == 1


def valid_positions(y):
    """`[..., T, F, B]` -> `[..., valid positions]`, by picking them one by one."""
    picked = [y[..., t, f, b] for b in range(B) for t in range(LENGTHS[b]) for f in range(F)]
    return np.stack(picked, axis=-1)


@pytest.mark.parametrize("edges", [True, False], ids=["edges", "no edges"])
def test_moments_are_those_of_the_valid_positions(edges):
    ys, _ = inputs()
    ys = ys if edges else [y[0] for y in ys]
    means, variances = jit(lambda ys: moments(ys, *mask_and_count(jnp.asarray(LENGTHS)), None))(ys)
    valid = [valid_positions(np.asarray(y)) for y in ys]
    assert_close(means, [v.mean(axis=-1) for v in valid])
    assert_close(variances, [v.var(axis=-1) for v in valid])


def test_a_large_mean_does_not_cancel_in_single_precision():
    y = (1e4 + normal(0, 1, C, T, F, B)).astype(jnp.float32)
    mask = frame_mask(jnp.asarray(LENGTHS), T)
    _, (variance,) = moments([y], mask, count_valid(mask, F, None), None)
    expected = valid_positions(np.asarray(y, np.float64)).var(axis=-1)
    np.testing.assert_allclose(variance, expected, rtol=1e-4)  # 1e-4 of one: the mean's own rounding, squared


# ---------------------------------------------------------------------------------------- the mixture


def every_order(function):
    """Value, gradients and the gradients' derivative along the inputs."""

    def compute(ys, weights, lengths, cotangent, directions):
        def loss(ys, weights):
            value = function(ys, weights, *mask_and_count(lengths), None)
            return jnp.sum(jnp.sin(value) * cotangent), value

        gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
        grads, along, value = jax.jvp(
            lambda *inputs: gradient(*inputs), (ys, weights), directions, has_aux=True
        )
        return value, grads, along

    return jit(compute)


@pytest.fixture(scope="module")
def orders():
    with jax.enable_x64(True):
        return every_order(mixture), every_order(mixture_plain)


@pytest.mark.parametrize(
    "lengths",
    [LENGTHS, np.full(B, T, np.int32), np.eye(1, B, dtype=np.int32)[0]],
    ids=["uneven", "full", "one frame"],
)
def test_the_mixture_is_the_plain_one_in_every_order(orders, lengths):
    fast, plain = orders
    arguments = (*inputs(), jnp.asarray(lengths), normal(40, E, C, T, F, B), inputs(50))
    assert_close(fast(*arguments), plain(*arguments))


def test_the_mixture_by_its_formula(orders):
    ys, weights = inputs()
    value, *_ = orders[0](ys, weights, jnp.asarray(LENGTHS), normal(40, E, C, T, F, B), inputs(50))
    expected = np.zeros((E, C, T, F, B))
    for k, y in enumerate(np.asarray(y) for y in ys):
        valid = valid_positions(y)
        mean, std = valid.mean(axis=-1), np.sqrt(valid.var(axis=-1) + BN_EPSILON)
        normalised = (y - mean[..., None, None, None]) / std[..., None, None, None]
        expected += np.asarray(weights)[:, k, None, None, None, None] * normalised
    for b in range(B):
        expected[:, :, LENGTHS[b] :, :, b] = 0
    assert_close(value, expected)


def test_what_stands_on_padding_has_no_effect_and_no_gradient(orders):
    ys, weights = inputs()
    mask = np.asarray(frame_mask(jnp.asarray(LENGTHS), T)) > 0
    spoilt = tuple(jnp.where(mask[None], y, 1e6) for y in ys)
    rest = (weights, jnp.asarray(LENGTHS), normal(40, E, C, T, F, B), inputs(50))
    value, (dys, _), _ = orders[0](ys, *rest)
    dirty, (spoilt_dys, _), _ = orders[0](spoilt, *rest)
    assert_close(dirty, value)
    assert_close(spoilt_dys, dys)
    assert all((np.asarray(dy)[..., ~np.broadcast_to(mask[0], (T, F, B))] == 0).all() for dy in dys)


# ---------------------------------------------------------------------------------------- devices


def sharded(tree, devices):
    """The batch, last of every array, cut for the devices: `[..., B]` -> `[devices, ..., B / devices]`."""
    return jax.tree.map(lambda x: np.stack(np.split(np.asarray(x), devices, axis=-1)), tree)


def unsharded(tree):
    return jax.tree.map(lambda x: np.concatenate(list(np.asarray(x)), axis=-1), tree)


def step(function, ys, weights, lengths, cotangent, axis_name):
    """Value, gradients and gradients' derivative of a mean over the valid frames of the global batch.

    Each device's loss is its own sum, times the devices, over the global count: the mean over devices of its
    gradient is then that of a single device.
    """
    mask, count = mask_and_count(lengths, axis_name)
    devices = 1 if axis_name is None else lax.axis_size(axis_name)

    def loss(ys, weights):
        value = function(ys, weights, mask, count, axis_name)
        return jnp.sum(jnp.sin(value) * cotangent) * devices / count, value

    def gradient(ys, weights):
        (dys, dweights), value = jax.grad(loss, argnums=(0, 1), has_aux=True)(ys, weights)
        # Weights are on every device: their gradients are averaged. A y is on one: its gradient is divided.
        mean = dweights if axis_name is None else lax.pmean(dweights, axis_name)
        return (jax.tree.map(lambda g: g / devices, dys), mean), value

    direction = jax.tree.map(jnp.cos, (ys, weights))
    grads, along, value = jax.jvp(gradient, (ys, weights), direction, has_aux=True)
    return value, grads, along


@pytest.mark.parametrize("function", [mixture, mixture_plain], ids=["fast", "plain"])
@pytest.mark.parametrize("devices", [2, 8])
def test_devices_with_different_lengths_give_what_one_device_gives(function, devices):
    ys, weights = inputs()
    batch = (ys, LENGTHS, normal(40, E, C, T, F, B))
    whole = jit(lambda ys, n, g: step(function, ys, weights, n, g, None))(*batch)
    mapped = jax.pmap(lambda ys, n, g: step(function, ys, weights, n, g, AXIS), axis_name=AXIS)
    parts = mapped(*sharded(batch, devices))
    value, (dys, dweights), (along_ys, along_weights) = parts
    for one in np.asarray(dweights):  # the same on every device
        assert_close(one, whole[1][1])
    found = unsharded(value), (unsharded(dys), dweights[0]), (unsharded(along_ys), along_weights[0])
    assert_close(found, whole)
