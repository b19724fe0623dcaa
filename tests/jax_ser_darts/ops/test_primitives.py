"""Sums and 1x1 convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts.ops.kernels import kernel
from jax_ser_darts.ops.primitives import pointwise, sums


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def test_pointwise_mixes_channels_and_nothing_else():
    x, w = normal(0, 3, 4, 5, 2), normal(1, 3, 6)
    expected = np.einsum("ctfb,cd->dtfb", np.asarray(x), np.asarray(w))
    np.testing.assert_allclose(pointwise(x, w), expected, rtol=1e-12, atol=1e-12)


def test_sums_of_several_arrays_and_their_gradients():
    arrays = tuple(normal(seed, 4, 5, 2) for seed in range(3))
    shares = tuple(normal(10 + seed, 4) for seed in range(3))
    found, pull_back = jax.vjp(sums, *arrays)
    _, forward = jax.jvp(sums, arrays, arrays)  # linear: its derivative along its input is its value
    for total, moved, g, a, share in zip(found, forward, pull_back(shares), arrays, shares, strict=True):
        np.testing.assert_allclose(total, np.asarray(a).sum((1, 2)), rtol=1e-12)
        np.testing.assert_allclose(moved, total, rtol=1e-12)
        np.testing.assert_array_equal(g, np.broadcast_to(np.asarray(share)[:, None, None], a.shape))


def test_a_kernel_is_its_function_with_its_derivatives():
    def function(x, w, power):
        return jnp.sin(x * w) ** power

    x, w = normal(0, 4, 3), normal(1, 4, 3)
    whole = kernel(function, static=("power",))
    orders = []
    for f in (whole, function):
        loss = jax.grad(lambda x, w, f=f: jnp.sum(f(x, w, power=3) ** 2), argnums=(0, 1))
        orders.append(
            (f(x, w, power=3), jax.jit(lambda x, w, loss=loss: jax.jvp(loss, (x, w), (w, x)))(x, w))
        )
    for a, b in zip(*map(jax.tree.leaves, orders), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
