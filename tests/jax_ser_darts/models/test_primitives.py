"""The array operations: FAST is PLAIN in value, in both gradients, and in the product of the second order."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_ser_darts.models.backend import FAST, PLAIN
from jax_ser_darts.models.grid import halved, make_grid
from jax_ser_darts.models.primitives import pointwise, sums
from jax_ser_darts.models.relaxed import average_pool

# Compiled without optimisation: what is computed is the same, and compiling is most of a test's time.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

TOLERANCE = {"float64": 1e-10, "float32": 2e-5}  # of the largest number


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape, dtype="float64"):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def assert_close(found, expected, dtype="float64"):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert a.dtype == b.dtype == dtype
        assert np.abs(a - b).max(initial=0) <= TOLERANCE[dtype] * max(1, np.abs(b).max(initial=0))


def every_order(function):
    """Value, gradients of a loss that is not linear in it, and the gradients' derivative along the inputs."""

    def compute(inputs, directions, weights):
        def loss(*inputs):
            return jnp.sum(jnp.sin(function(*inputs)) * weights)

        gradient = jax.grad(loss, argnums=tuple(range(len(inputs))))
        return function(*inputs), *jax.jvp(gradient, inputs, directions)

    return jit(compute)


# -------------------------------------------------------------------------------- depthwise

SIZES = [(7, 6), (8, 5), (9, 9)]
CASES = [  # edges, size and slack take turns, so that each meets every kernel, dilation and stride
    (kernel, dilation, stride, (1, 3)[(i + i // 2 + i // 4) % 2], SIZES[i % 3], (i // 2) % 2)
    for i, (kernel, dilation, stride) in enumerate(itertools.product((3, 5), (1, 2), (1, 2)))
]


def depthwise_inputs(kernel, dilation, stride, edges, size, slack, dtype="float64"):
    """Inputs of a depthwise convolution whose padding is `slack` wider than it must be."""
    pad = dilation * (kernel // 2) + slack
    shape = (2, size[0] + 2 * pad, size[1] + 2 * pad, 3)
    after = tuple(-(-n // stride) for n in size)
    inputs = normal(0, *shape, dtype=dtype), normal(1, edges, 2, kernel, kernel, dtype=dtype)
    directions = normal(2, *shape, dtype=dtype), normal(3, edges, 2, kernel, kernel, dtype=dtype)
    return inputs, directions, normal(4, edges, 2, *after, 3, dtype=dtype), (stride, dilation, pad, after)


@pytest.mark.parametrize(("kernel", "dilation", "stride", "edges", "size", "slack"), CASES)
def test_depthwise_is_xlas_convolution_in_every_order(kernel, dilation, stride, edges, size, slack):
    *arrays, static = depthwise_inputs(kernel, dilation, stride, edges, size, slack)
    fast = every_order(lambda x, w: FAST.depthwise(x, w, *static))(*arrays)
    plain = every_order(lambda x, w: PLAIN.depthwise(x, w, *static))(*arrays)
    assert_close(fast, plain)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_in_single_precision(stride):
    *arrays, static = depthwise_inputs(5, 2, stride, 3, (8, 7), 0, "float32")
    fast = every_order(lambda x, w: FAST.depthwise(x, w, *static))(*arrays)
    plain = every_order(lambda x, w: PLAIN.depthwise(x, w, *static))(*arrays)
    assert_close(fast, plain, "float32")


@pytest.mark.parametrize("backend", [FAST, PLAIN], ids=["fast", "plain"])
def test_depthwise_by_its_definition(backend):
    (x, w), _, _, (stride, dilation, pad, size) = depthwise_inputs(3, 2, 2, 2, (5, 4), 1)
    depthwise = functools.partial(backend.depthwise, stride=stride, dilation=dilation, pad=pad, size=size)
    found = np.asarray(jit(depthwise)(x, w))
    x, w = np.asarray(x), np.asarray(w)
    for e, c, t, f in np.ndindex(found.shape[:4]):
        expected = sum(
            w[e, c, i, j] * x[c, pad + stride * t + (i - 1) * dilation, pad + stride * f + (j - 1) * dilation]
            for i in range(3)
            for j in range(3)
        )
        np.testing.assert_allclose(found[e, c, t, f], expected, rtol=1e-12)


# -------------------------------------------------------------------------------- max pooling


def reduce_window_max(x, stride, pad, size):
    """XLA's own pooling of `[C, T + 2, F + 2, B]`, pad = 1."""
    assert pad == 1
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, stride, stride, 1), "VALID")


@functools.partial(jit, static_argnums=(2, 3))
def three_pools(padded, weights, stride, size):
    """Value and gradient of FAST's, PLAIN's and XLA's pooling."""
    orders = []
    for pool in (FAST.max_pool, PLAIN.max_pool, reduce_window_max):
        value, pullback = jax.vjp(functools.partial(pool, stride=stride, pad=1, size=size), padded)
        orders.append((value, *pullback(weights)))
    return orders


def pool_input(size, dtype="float64", ties=False):
    """Utterances of all, some, one and none of the frames, ready for max pooling."""
    t, f = size
    grid = make_grid(jnp.array([t, t // 2, 1, 0], jnp.int32), size, jnp.dtype(dtype), None)
    x = normal(0, 3, t, f, 4, dtype=dtype) - 5.0  # all below zero: a padding of zeros would win
    x = jnp.round(x) if ties else x
    return grid, x * grid.mask


@pytest.mark.parametrize("ties", [False, True], ids=["", "ties"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 6), (8, 5)])
def test_max_pool_is_xlas_in_value_and_gradient(size, stride, ties):
    grid, x = pool_input(size, ties=ties)
    padded = grid.pad_lowest(x, 1)
    after = tuple(-(-n // stride) for n in size)
    weights = normal(1, 3, *after, 4)
    fast, plain, xla = three_pools(padded, weights, stride, after)
    assert_close(fast, xla)
    assert_close(plain, xla)


@pytest.mark.parametrize("stride", [1, 2])
def test_max_pool_forward_over_reverse(stride):
    grid, x = pool_input((7, 6))
    after = tuple(-(-n // stride) for n in (7, 6))
    arrays = (x,), (normal(2, *x.shape),), normal(1, 3, *after, 4)

    def pooled(pool):  # tanh makes the padding finite
        return lambda x: jnp.tanh(pool(grid.pad_lowest(x, 1), stride, 1, after))

    assert_close(every_order(pooled(FAST.max_pool))(*arrays), every_order(pooled(PLAIN.max_pool))(*arrays))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_max_pool_sees_nothing_but_valid_positions(dtype):
    size = (7, 5)
    grid, x = pool_input(size, dtype)
    spoilt = jnp.where(grid.mask > 0, x, jnp.asarray(99, x.dtype))
    clean, dirty = (np.asarray(FAST.max_pool(grid.pad_lowest(y, 1), 1, 1, size)) for y in (x, spoilt))
    np.testing.assert_array_equal(clean, dirty)
    assert np.isfinite(clean).all()
    x, lengths = np.asarray(x), np.asarray(grid.num_frames)
    for c, t, f, b in np.ndindex(clean.shape):
        if t < lengths[b]:
            window = x[c, max(t - 1, 0) : min(t + 2, lengths[b]), max(f - 1, 0) : f + 2, b]
            assert clean[c, t, f, b] == window.max()


# -------------------------------------------------------------------------------- average pooling


@pytest.mark.parametrize("backend", [FAST, PLAIN], ids=["fast", "plain"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 6), (8, 5)])
def test_average_pool_is_the_mean_over_the_valid_positions_of_each_window(size, stride, backend):
    grid, x = pool_input(size)
    after = grid if stride == 1 else halved(grid, None)
    found = np.asarray(
        jit(functools.partial(average_pool, backend, stride=stride))(x, before=grid, after=after)
    )
    assert found.shape == (3, *after.size, 4)
    assert np.isfinite(found).all()
    x, lengths = np.asarray(x), np.asarray(grid.num_frames)
    for c, i, j, b in np.ndindex(found.shape):
        t, f = stride * i, stride * j
        if t < lengths[b]:
            window = x[c, max(t - 1, 0) : min(t + 2, lengths[b]), max(f - 1, 0) : f + 2, b]
            np.testing.assert_allclose(found[c, i, j, b], window.mean(), rtol=1e-12)


# -------------------------------------------------------------------------------- pointwise, sums


def test_pointwise_mixes_channels_and_nothing_else():
    x, w = normal(0, 2, 3, 4, 5, 2), normal(1, 2, 3, 6)
    expected = np.einsum("ectfb,ecd->edtfb", np.asarray(x), np.asarray(w))
    np.testing.assert_allclose(pointwise(x, w), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_sums_of_several_arrays_and_their_gradients(lead):
    arrays = tuple(normal(seed, *lead, 4, 5, 2) for seed in range(3))
    weights = [normal(10 + seed, *lead) for seed in range(3)]
    found, pullback = jax.vjp(sums, *arrays)
    assert_close(found, [jnp.sum(a, axis=(-3, -2, -1)) for a in arrays])
    assert_close(
        pullback(tuple(weights)),
        [jnp.broadcast_to(w[..., None, None, None], a.shape) for w, a in zip(weights, arrays, strict=True)],
    )
    _, forward = jax.jvp(sums, arrays, arrays)  # linear: its derivative along its input is its value
    assert_close(forward, found)
