"""Search steps: the same on one device and on eight, and each order does what it says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from jax_ser_darts import bilevel, optimisers
from jax_ser_darts.devices import parallel
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.supernet import Supernet, auxiliary_skip, init_alphas
from jax_ser_darts.search.search_step import init_state, make_search_steps, supernet_loss

OPERATIONS = ("max_pool_3x3", "skip_connect", "dil_conv_3x3", "none")
STEPS = 3


class Problem:
    """A tiny search on `count` devices, with utterances of different lengths and weights."""

    def __init__(self, count, dtype, added=None, mapping=parallel.PMAP):
        self.dtype = dtype
        self.devices = jax.devices()[:count]
        self.model = Supernet(
            classes=3,
            operations=OPERATIONS,
            cells=2,
            nodes=1,
            channels=2,
            reductions=frozenset({1}),
            project=4,
            hidden=3,
            attention=3,
            axis_name=parallel.AXIS,
            dtype=dtype,
        )
        schedule = optimisers.cosine(start=0.1, end=0.01, steps=10)
        self.optimisers = {
            "tx": optimisers.sgd(schedule=schedule, momentum=0.9, weight_decay=1e-2, clip=1.0),
            "alphas_tx": optimisers.adam_with_l2(learning_rate=0.1, betas=(0.5, 0.999), weight_decay=1e-3),
        }
        self.steps = make_search_steps(
            loss=supernet_loss(self.model, parallel.AXIS),
            devices=self.devices,
            added=added,
            mapping=mapping,
            **self.optimisers,
        )

    def fresh_state(self):
        key = jax.random.key(0)
        alphas = init_alphas(key, nodes=1, operations=len(OPERATIONS), scale=0.1, dtype=self.dtype)
        shapes = (jax.ShapeDtypeStruct((8, 10, 6), self.dtype), jax.ShapeDtypeStruct((8,), jnp.int32))
        params = init_variables(self.model.clone(axis_name=None), 0, *shapes, alphas, train=False)["params"]
        return init_state(params=params, alphas=alphas, key=key, devices=self.devices, **self.optimisers)

    def batch(self, seed):
        rng = np.random.default_rng(seed)
        batch = {
            "features": rng.normal(size=(8, 10, 6)).astype(self.dtype),
            "num_frames": rng.integers(3, 11, size=8).astype(np.int32),
            "label": rng.integers(0, 3, size=8).astype(np.int32),
            "weight": rng.uniform(0.5, 2, size=8).astype(np.float32),
        }
        return parallel.shard(batch, self.devices)

    def run(self, order):
        state, metrics = self.fresh_state(), []
        for step in range(STEPS):
            train, val = self.batch(step), self.batch(100 + step)
            state, alphas_metrics = self.steps.update_alphas(state, train, val, order)
            state, params_metrics = self.steps.update_params(state, train)
            metrics.append((alphas_metrics, params_metrics))
        return jax.device_get((state.params, state.alphas, metrics))


@functools.cache
def after_three_steps(count, bits=64, mapping=parallel.PMAP):
    """Order -> weights, alphas and metrics, on so many devices."""
    with jax.enable_x64(bits == 64):
        problem = Problem(count, jnp.float64 if bits == 64 else jnp.float32, mapping=mapping)
        return {order: problem.run(order) for order in bilevel.ORDERS}


def largest_difference(tree, other):
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(a - b).max()), tree, other)))


@pytest.mark.parametrize("order", bilevel.ORDERS)
@pytest.mark.parametrize(("bits", "tolerance"), [(64, 1e-8), pytest.param(32, 5e-3, marks=pytest.mark.slow)])
def test_one_device_and_eight_agree(order, bits, tolerance):
    """Weights, alphas and metrics of the same global batches; float32 differs by rounding, grown by Adam."""
    assert (
        largest_difference(after_three_steps(1, bits)[order], after_three_steps(8, bits)[order]) < tolerance
    )


@pytest.mark.slow
def test_pmap_and_shard_map_are_the_same_bit_by_bit():
    assert largest_difference(after_three_steps(8), after_three_steps(8, mapping=parallel.SHARD_MAP)) == 0


@pytest.mark.parametrize("order", bilevel.ORDERS)
def test_the_step_moves_params_and_alphas(order):
    with jax.enable_x64(True):
        start = jax.device_get(Problem(1, jnp.float64).fresh_state())
    params, alphas, _ = after_three_steps(1)[order]
    assert largest_difference(params, start.params) > 1e-3
    assert largest_difference(alphas, start.alphas) > 1e-2


def test_the_orders_differ_by_the_correction():
    first, second = after_three_steps(1)["first"], after_three_steps(1)["second"]
    assert largest_difference(first[1], second[1]) > 1e-6
    assert all(metrics["correction"] == 0 for metrics, _ in first[2])
    assert all(metrics["correction"] > 0 for metrics, _ in second[2])


@pytest.mark.slow  # test_bilevel.py has both gradients
def test_the_cosine_is_that_of_the_two_orders_gradients():
    """Read off the first update of plain gradient descent, which is the gradient itself."""
    with jax.enable_x64(True):
        problem = Problem(2, jnp.float64)
        problem.optimisers["alphas_tx"] = optax.sgd(1.0)
        problem.steps = make_search_steps(
            loss=supernet_loss(problem.model, parallel.AXIS), devices=problem.devices, **problem.optimisers
        )
        gradients, metrics = {}, {}
        for order in bilevel.ORDERS:
            before = problem.fresh_state()
            start = jax.device_get(before.alphas)
            state, metrics[order] = problem.steps.update_alphas(
                before, problem.batch(0), problem.batch(1), order, order == bilevel.SECOND
            )
            moved = jax.tree.map(np.subtract, start, jax.device_get(state.alphas))
            gradients[order] = np.concatenate([x.ravel() for x in jax.tree.leaves(moved)])
        one, other = gradients.values()
        expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert "cosine" not in metrics[bilevel.FIRST]
    assert 0 < abs(expected) < 1 - 1e-6
    np.testing.assert_allclose(metrics[bilevel.SECOND]["cosine"], expected, rtol=1e-9)


COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **__: COMPILED.append(event) if "backend_compile" in event else None
)


def falling_skip(step):
    """DARTS-'s auxiliary skip connection, from 1 to 0 in two steps."""
    return auxiliary_skip(optimisers.linear(start=1.0, end=0.0, steps=2)(step), operations=OPERATIONS)


@pytest.mark.parametrize(
    ("order", "added"), [("second", None), pytest.param("first", falling_skip, marks=pytest.mark.slow)]
)
def test_after_the_first_step_nothing_is_compiled_and_nothing_moves_between_host_and_devices(order, added):
    problem = Problem(2, jnp.float32, added)
    state = problem.fresh_state()
    batches = [(problem.batch(i), problem.batch(100 + i)) for i in range(3)]
    COMPILED.clear()
    for i, (train, val) in enumerate(batches):
        with jax.transfer_guard("disallow" if i else "allow"):
            state, _ = problem.steps.update_alphas(state, train, val, order)
            state, _ = problem.steps.update_params(state, train)
        if i == 0:
            assert COMPILED
            COMPILED.clear()
    assert not COMPILED


def test_the_auxiliary_skip_falls_with_the_steps_until_the_supernet_is_the_plain_one():
    """The loss of the same weights: another than without it at first, the same at last; nothing is compiled anew."""
    with jax.enable_x64(True):
        plain, helped = Problem(2, jnp.float64), Problem(2, jnp.float64, falling_skip)
        losses = {}
        for problem in (plain, helped):
            for done in (0, 1, 2):
                state = problem.fresh_state()
                state = state.replace(step=state.step + done)
                COMPILED.clear()
                _, metrics = problem.steps.update_params(state, problem.batch(0))
                losses[problem, done] = float(metrics["loss"])
            assert not COMPILED
    apart = [abs(losses[plain, done] - losses[helped, done]) for done in (0, 1, 2)]
    assert min(apart[:2]) > 1e-6
    assert apart[2] < 1e-12


@pytest.mark.slow  # test_bilevel.py has each product alone
def test_both_hessians_are_the_slopes_of_the_gradients_and_the_implicit_order_uses_them():
    """Of the supernet as it is searched, on two devices; in the alphas the whole matrix."""
    with jax.enable_x64(True):
        problem = Problem(2, jnp.float64)
        problem.steps = make_search_steps(
            loss=supernet_loss(problem.model, parallel.AXIS),
            devices=problem.devices,
            neumann={"terms": 2, "rate": 0.01, "decay": 0.1},
            **problem.optimisers,
        )
        state, (train, val) = problem.fresh_state(), (problem.batch(0), problem.batch(1))
        both = problem.steps.programs.grad_both
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 1)

        def slope(params, alphas, which, r=1e-5):
            """Of the gradients along (params, alphas), by central differences."""
            moved = lambda sign: (
                jax.tree.map(lambda x, d: x + sign * r * d, at, along)
                for at, along in ((state.params, params), (state.alphas, alphas))
            )
            plus, minus = (both(*moved(sign), (val, key))[1][which] for sign in (1, -1))
            return jax.tree.map(lambda p, m: (p - m) / (2 * r), plus, minus)

        no_params = jax.tree.map(jnp.zeros_like, state.params)
        flat, unravel = ravel_pytree(state.alphas)
        units = [parallel.replicate(unravel(row), problem.devices) for row in jnp.eye(flat.size)]
        rows = lambda trees: np.stack([ravel_pytree(jax.device_get(tree))[0] for tree in trees])
        hessian = rows(problem.steps.curvature(state, val, unit) for unit in units)
        expected = rows(slope(no_params, unit, 1) for unit in units)
        np.testing.assert_allclose(hessian, expected, atol=1e-6 * np.abs(expected).max())

        along = jax.tree.map(jnp.cos, state.params)
        product = problem.steps.programs.hvp_params(state.params, state.alphas, (val, key), along)
        expected = slope(along, jax.tree.map(jnp.zeros_like, state.alphas), 0)
        product, expected = rows([product, expected])
        np.testing.assert_allclose(product, expected, atol=1e-5 * np.abs(expected).max())

        before = jax.device_get(state.alphas)
        state, metrics = problem.steps.update_alphas(state, train, val, bilevel.IMPLICIT, True)
        assert metrics["correction"] > 0
        assert 0 < abs(metrics["cosine"]) < 1
        assert largest_difference(before, jax.device_get(state.alphas)) > 1e-2


def test_the_virtual_step_leaves_the_params_alone():
    """The alphas' step returns the state's own weights and optimiser."""
    with jax.enable_x64(True):
        problem = Problem(1, jnp.float64)
        state = problem.fresh_state()
        before = jax.device_get(state)
        state, _ = problem.steps.update_alphas(state, problem.batch(0), problem.batch(1), bilevel.SECOND)
        after = jax.device_get(state)
    assert largest_difference(before.params, after.params) == 0
    assert (
        largest_difference(
            optax.tree.get(before.opt_state, "trace"), optax.tree.get(after.opt_state, "trace")
        )
        == 0
    )
    assert before.step == after.step
