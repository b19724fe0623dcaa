"""A function with remat is the same function, and is computed twice where its gradient is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts.ops.remat import remat


@pytest.fixture(scope="module", autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def function(arguments, constants):
    return jnp.exp(arguments["w"] @ arguments["x"]) * constants["mask"]


def loss(w, x, *, again):
    mask = {"mask": jnp.array([1.0, 0.0, 1.0])}
    turns = jnp.asarray(jnp.sum(x * x) > 0, jnp.int32)
    arguments = {"w": w, "x": x}
    y = remat(function, arguments, mask, turns) if again else function(arguments, mask)
    return jnp.sum(y * jnp.arange(3.0))


@pytest.fixture(scope="module")
def point():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(3, 4))), jnp.asarray(rng.normal(size=4))


@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
def test_value_and_gradients_are_those_of_the_function(point, argnums):
    found, expected = (
        jax.jit(jax.value_and_grad(lambda *a, again=again: loss(*a, again=again), argnums))(*point)
        for again in (True, False)
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_the_gradient_can_be_differentiated_forward(point):
    w, x = point
    v = jnp.cos(w)

    def product(again):
        of_x = lambda w: jax.grad(lambda x: loss(w, x, again=again))(x)
        return jax.jit(lambda: jax.jvp(of_x, (w,), (v,))[1])()

    np.testing.assert_allclose(product(True), product(False), rtol=1e-13)


def test_the_compiler_does_not_find_that_both_computations_are_one(point):
    def exponentials(again):
        gradient = jax.jit(jax.value_and_grad(lambda w, x: loss(w, x, again=again)))
        return gradient.lower(*point).compile().as_text().count(" exponential(")

    assert exponentials(False) == 1
    assert exponentials(True) == 2
