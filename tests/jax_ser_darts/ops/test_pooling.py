"""Pooling: of the valid positions of each window, with the gradients of XLA's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_ser_darts.ops.backend import CUSTOM, REFERENCE
from jax_ser_darts.ops.masks import halved, valid_positions
from jax_ser_darts.search_space.operations import AVERAGE, Pooling

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
BACKENDS = pytest.mark.parametrize("backend", [CUSTOM, REFERENCE], ids=["custom", "reference"])


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def pool_input(size, *, ties=False):
    """Utterances of all, some, one and none of the frames; all below zero: a padding of zeros would win."""
    t, f = size
    before = valid_positions(jnp.array([t, t // 2, 1, 0], jnp.int32), size, jnp.float64, None)
    x = normal(0, 3, t, f, 4) - 5.0
    return before, (jnp.round(x) if ties else x) * before.mask


def after_stride(before, stride):
    return before if stride == 1 else halved(before, None)


def xlas_max_pool(x, mask, side, stride, size):
    margins = ((0, 0), (side // 2, side // 2), (side // 2, side // 2), (0, 0))
    padded = jnp.pad(jnp.where(mask > 0, x, -jnp.inf), margins, constant_values=-jnp.inf)
    return lax.reduce_window(padded, -jnp.inf, lax.max, (1, side, side, 1), (1, stride, stride, 1), "VALID")


def value_and_gradient(pool, x, before, after, side, stride, shares):
    def loss(x):
        best = pool(x, before.mask, side, stride, after.size)
        best = jnp.where(after.mask > 0, best, 0.0)
        return jnp.sum(best * shares), best

    gradient, best = jit(jax.grad(loss, has_aux=True))(x)
    return best, gradient


@BACKENDS
@pytest.mark.parametrize("ties", [False, True], ids=["", "ties"])
@pytest.mark.parametrize(
    ("size", "side", "stride"),
    [
        ((7, 6), 3, 1),
        ((7, 6), 3, 2),
        ((8, 5), 3, 2),
        ((7, 6), 5, 1),
        ((8, 7), 7, 2),
        ((7, 1), 3, 1),
        ((8, 1), 5, 2),
    ],
)
def test_max_pool_is_xlas_in_value_and_gradient(size, side, stride, ties, backend):
    before, x = pool_input(size, ties=ties)
    after = after_stride(before, stride)
    shares = normal(1, 3, *after.size, 4)
    found = value_and_gradient(backend.max_pool, x, before, after, side, stride, shares)
    expected = value_and_gradient(xlas_max_pool, x, before, after, side, stride, shares)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_max_pool_forward_over_reverse(stride):
    before, x = pool_input((7, 6))
    after = after_stride(before, stride)
    direction, shares = normal(2, *x.shape), normal(3, 3, *after.size, 4)

    def along(pool):
        loss = lambda x: jnp.sum(jnp.sin(pool(x, before.mask, 3, stride, after.size) * after.mask) * shares)
        return jit(lambda x, d: jax.jvp(jax.grad(loss), (x,), (d,)))(x, direction)

    for a, b in zip(along(CUSTOM.max_pool), along(REFERENCE.max_pool), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@BACKENDS
def test_max_pool_sees_nothing_but_valid_positions(backend):
    before, x = pool_input((7, 5))
    spoilt = jnp.where(before.mask > 0, x, 99.0)
    clean, dirty = (
        np.asarray(backend.max_pool(y, before.mask, 3, 1, before.size) * before.mask) for y in (x, spoilt)
    )
    np.testing.assert_array_equal(clean, dirty)


@BACKENDS
@pytest.mark.parametrize(
    ("size", "side", "stride"), [((7, 6), 3, 1), ((7, 6), 3, 2), ((8, 5), 3, 2), ((7, 6), 5, 2)]
)
def test_average_pool_is_the_mean_over_the_valid_positions_of_each_window(size, side, stride, backend):
    before, x = pool_input(size)
    after = after_stride(before, stride)
    found = np.asarray(jit(lambda x: backend.pool(Pooling(AVERAGE, side), x, stride, before, after))(x))
    assert found.shape == (3, *after.size, 4)
    assert np.isfinite(found).all()
    x, lengths = np.asarray(x), np.asarray(before.num_frames)
    for c, i, j, b in np.ndindex(found.shape):
        t, f = stride * i, stride * j
        if t < lengths[b]:
            r = side // 2
            window = x[c, max(t - r, 0) : min(t + r + 1, lengths[b]), max(f - r, 0) : f + r + 1, b]
            np.testing.assert_allclose(found[c, i, j, b], window.mean(), rtol=1e-12)
