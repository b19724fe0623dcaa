"""Depthwise convolutions: the custom kernel is the reference in value and in every derivative of both orders."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts.ops.backend import CUSTOM, REFERENCE

# Compiled without optimisation: what is computed is the same, and compiling is most of a test's time.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

TOLERANCE = {"float64": 1e-10, "float32": 2e-5}  # of the largest number
KERNELS = (3, 7, 3, 5)
DILATIONS = (1, 1, 2, 2)
REACH = 4
C, B = 2, 3


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


def every_order(backend, stride, size):
    """Values, gradients of a loss that is not linear in them, and the gradients' derivative along the inputs."""

    def convolve(x, ws):
        return backend.depthwise(backend.pad(x, REACH, stride), ws, DILATIONS[: len(ws)], size)

    def loss(x, ws, shares):
        return sum(jnp.sum(jnp.sin(y) * s) for y, s in zip(convolve(x, ws), shares, strict=True))

    def compute(inputs, directions, shares):
        gradient = jax.grad(lambda x, ws: loss(x, ws, shares), argnums=(0, 1))
        return convolve(*inputs), *jax.jvp(gradient, inputs, directions)

    return jit(compute)


def problem(size, stride, channels=C, dtype="float64", columns=None):
    """Inputs, directions and the outputs' shares of the loss: four kernels that read one activation."""
    after = tuple(-(-n // stride) for n in size)

    def draw(seed):
        ws = tuple(normal(seed + 1 + i, C, k, columns or k, dtype=dtype) for i, k in enumerate(KERNELS))
        return normal(seed, channels, *size, B, dtype=dtype), ws

    shares = tuple(normal(50 + i, C, *after, B, dtype=dtype) for i in range(len(KERNELS)))
    return (draw(0), draw(20), shares), after


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 6), (8, 5)])
def test_depthwise_is_xlas_convolution_in_every_order(size, stride):
    arrays, after = problem(size, stride)
    assert_close(every_order(CUSTOM, stride, after)(*arrays), every_order(REFERENCE, stride, after)(*arrays))


@pytest.mark.parametrize("stride", [1, 2])
def test_where_nothing_is_beside_it_a_kernel_is_its_middle_column(stride):
    arrays, after = problem((7, 1), stride)
    inputs, directions, shares = arrays
    value, gradients, slopes = every_order(CUSTOM, stride, after)(*arrays)
    assert_close((value, gradients, slopes), every_order(REFERENCE, stride, after)(*arrays))
    columns = [(x, tuple(w[:, :, w.shape[2] // 2 :][:, :, :1] for w in ws)) for x, ws in (inputs, directions)]
    assert_close(value, every_order(CUSTOM, stride, after)(*columns, shares)[0])
    # XLA's convolution of the same with zeros beside it, as of more coefficients.
    x, ws = inputs
    wide = jnp.pad(x, ((0, 0), (0, 0), (REACH, REACH), (0, 0)))
    run = jit(lambda x, ws: REFERENCE.depthwise(REFERENCE.pad(x, REACH, 1), ws, DILATIONS, x.shape[1:3]))
    assert_close(value, [y[:, ::stride, REACH : REACH + 1] for y in run(wide, ws)])


@pytest.mark.parametrize("stride", [1, 2])
def test_one_channel_that_all_kernels_read(stride):
    arrays, after = problem((6, 7), stride, channels=1)
    assert_close(every_order(CUSTOM, stride, after)(*arrays), every_order(REFERENCE, stride, after)(*arrays))


def test_depthwise_in_single_precision():
    arrays, after = problem((8, 7), 2, dtype="float32")
    fast, plain = every_order(CUSTOM, 2, after)(*arrays), every_order(REFERENCE, 2, after)(*arrays)
    assert_close(fast, plain, "float32")


@pytest.mark.parametrize("backend", [CUSTOM, REFERENCE], ids=["custom", "reference"])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_by_its_definition(backend, stride):
    size, dilation = (5, 4), 2
    x, w = normal(0, C, *size, B), normal(1, C, 3, 3)
    after = tuple(-(-n // stride) for n in size)
    run = jit(lambda x, w: backend.depthwise(backend.pad(x, 3, stride), (w,), (dilation,), after)[0])
    found, x, w = np.asarray(run(x, w)), np.asarray(x), np.asarray(w)
    wide = np.pad(x, ((0, 0), (dilation, dilation), (dilation, dilation), (0, 0)))
    assert found.shape == (C, *after, B)
    for c, t, f in np.ndindex(found.shape[:3]):
        window = wide[c, stride * t : stride * t + 2 * dilation + 1 : dilation]
        window = window[:, stride * f : stride * f + 2 * dilation + 1 : dilation]
        np.testing.assert_allclose(
            found[c, t, f], (w[c][:, :, None] * window).sum((0, 1)), rtol=1e-12, atol=1e-12
        )
