"""A sweep is the plain loops over sources and nodes, in value and in every order of differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts.ops import sweep

NODES, SOURCES, N = 3, 4, 5
EDGES = [(node, source) for node in range(NODES) for source in range(2 + node)]


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def prepare(x, constants):
    return {"sine": jnp.sin(x) * constants, "itself": x}


@jax.custom_vjp
def ruled_tanh(x):
    """With a rule of its own, as the supernet's kernels have: it cannot be differentiated forward."""
    return jnp.tanh(x)


ruled_tanh.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, g: (g * (1 - y * y),))


def mix(prepared, edge, constants, tanh=ruled_tanh):
    del constants
    return edge["alphas"] * (tanh(edge["w"] * prepared["sine"]) + edge["w"] * prepared["itself"])


def row(_, source, node):
    return node * (node + 3) // 2 + source


def scan(inputs, per_edge, constants):
    """In one array that is read and written."""
    stack = jnp.concatenate([inputs, jnp.zeros((NODES, N))])
    return sweep.run(sweep.Sweep(prepare, mix, 0, SOURCES, NODES, 2, row), (stack,), per_edge, constants)[2:]


def scan_in_two(inputs, per_edge, constants):
    """The inputs from an array of their own, then the nodes."""
    first = sweep.Sweep(prepare, mix, 0, 2, NODES, 0, row)
    rest = sweep.Sweep(prepare, mix, 2, SOURCES, NODES, 0, row)
    nodes = sweep.run(first, (inputs, jnp.zeros((NODES, N))), per_edge, constants)
    return sweep.run(rest, (nodes,), per_edge, constants)


def plain(inputs, per_edge, constants):
    states = list(inputs)
    for node in range(NODES):
        edges = [
            {name: w[row(name, source, node)] for name, w in per_edge.items()} for source in range(2 + node)
        ]
        states.append(
            sum(mix(prepare(states[s], constants), edge, constants, jnp.tanh) for s, edge in enumerate(edges))
        )
    return jnp.stack(states[2:])


def point(seed):
    per_edge = {
        "w": normal(seed, len(EDGES), N),
        "alphas": normal(seed + 1, len(EDGES))[:, None] * jnp.ones((1, N)),
    }
    return normal(seed + 2, 2, N), per_edge


def every_order(function):
    constants, share = normal(90, N), normal(91, NODES, N)
    loss = lambda *at: jnp.sum(jnp.sin(function(*at, constants)) * share)
    gradient = jax.grad(loss, argnums=(0, 1))
    return jax.jit(lambda: (function(*point(0), constants), *jax.jvp(gradient, point(0), point(10))))()


@pytest.mark.parametrize("function", [scan, scan_in_two])
def test_a_sweep_is_the_plain_loops_in_every_order(function):
    for a, b in zip(*(jax.tree.leaves(every_order(f)) for f in (function, plain)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["w", "alphas"])
def test_one_weight_alone_has_the_gradient_that_it_has_with_all(name):
    inputs, per_edge = point(0)

    def gradient(function):
        return jax.grad(lambda x: jnp.sum(jnp.sin(function(inputs, {**per_edge, name: x}, normal(90, N)))))(
            per_edge[name]
        )

    np.testing.assert_allclose(gradient(scan), gradient(plain), rtol=1e-10, atol=1e-12)


def test_gradients_that_nobody_asks_for_are_not_computed():
    inputs, per_edge = point(0)
    loss = lambda alphas, w: jnp.sum(scan(inputs, {"alphas": alphas, "w": w}, jnp.ones(N)))
    size = lambda argnums: len(
        str(jax.make_jaxpr(jax.grad(loss, argnums=argnums))(per_edge["alphas"], per_edge["w"]))
    )
    assert size(0) < size((0, 1))
