"""The gradient of the alphas against a closed form, and its second-order term against autodiff."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ser_darts import bilevel, optimisers
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.relaxed import UNROLL
from jax_ser_darts.models.supernet import Supernet, init_alphas
from jax_ser_darts.ops.backend import REFERENCE
from jax_ser_darts.search_space.genotype import BETAS


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def difference(tree, other):
    """Largest difference, relative to the largest value of `other`."""
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)]) for t in (tree, other))
    return np.abs(a - b).max() / np.abs(b).max()


class TestClosedForm:
    """DARTS's figure 2: L_val = a w - 2 a + 1, L_train = w^2 - 2 a w + a^2, plain gradient descent."""

    XI = 0.3

    @staticmethod
    def loss(w, a, batch):
        is_val = batch
        val = a * w - 2 * a + 1
        train = w**2 - 2 * a * w + a**2
        return jnp.where(is_val, val, train), {}

    @pytest.mark.parametrize(("w", "a"), [(2.0, 2.0), (-2.0, 2.0), (0.5, -1.5)])
    @pytest.mark.parametrize("hvp", bilevel.PRODUCTS)
    def test_second_order(self, w, a, hvp):
        w, a = jnp.float64(w), jnp.float64(a)
        tx = optax.sgd(self.XI)
        _, direct, correction = bilevel.second_order(
            gradients=bilevel.make_gradients(self.loss),
            inner=bilevel.make_inner_step(tx),
            params=w,
            alphas=a,
            opt_state=tx.init(w),
            train_batch=False,
            val_batch=True,
            hvp=hvp,
        )
        virtual = w - 2 * self.XI * (w - a)
        assert direct == pytest.approx(float(virtual - 2), abs=1e-12)
        assert correction == pytest.approx(float(2 * self.XI * a), abs=1e-9)

    def test_the_implicit_gradient_without_products_is_the_second_orders(self):
        """L_val is linear in w, so its gradient is the same before and after the virtual step."""
        _, direct, correction = bilevel.implicit(
            gradients=bilevel.make_gradients(self.loss),
            params=jnp.float64(-2.0),
            alphas=jnp.float64(2.0),
            train_batch=False,
            val_batch=True,
            terms=0,
            rate=self.XI,
        )
        assert direct == pytest.approx(-4, abs=1e-12)
        assert correction == pytest.approx(2 * self.XI * 2, abs=1e-12)

    def test_first_order_is_the_limit_of_no_step(self):
        w, a = jnp.float64(0.7), jnp.float64(-1.2)
        _, direct = bilevel.first_order(
            gradients=bilevel.make_gradients(self.loss), params=w, alphas=a, val_batch=True
        )
        assert direct == pytest.approx(float(w - 2), abs=1e-12)


class TestImplicit:
    """L_train = w'Aw / 2 - w'Ba, solved by w = A^-1 B a; L_val = |w - c|^2 / 2 + a'd."""

    RATE, DECAY = 0.8, 0.05

    @pytest.fixture
    def quadratic(self):
        rng = np.random.default_rng(3)
        basis, _ = np.linalg.qr(rng.normal(size=(4, 4)))
        hessian = basis @ np.diag([0.4, 0.7, 1.0, 1.5]) @ basis.T
        b, c, d, a = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3), rng.normal(size=3)

        def loss(w, alphas, batch):
            train = w @ (hessian @ w) / 2 - w @ (b @ alphas)
            val = jnp.sum((w - c) ** 2) / 2 + alphas @ d
            return jnp.where(batch, val, train), {}

        return loss, hessian, b, c, d, a

    def gradient(self, loss, w, a, **options):
        gradients = bilevel.make_gradients(loss)
        gradients = bilevel.Gradients(**{name: jax.jit(f) for name, f in vars(gradients).items()})
        _, direct, correction = bilevel.implicit(
            gradients=gradients,
            params=jnp.asarray(w),
            alphas=jnp.asarray(a),
            train_batch=False,
            val_batch=True,
            rate=self.RATE,
            **options,
        )
        return np.asarray(direct + correction)

    def test_many_terms_are_the_gradient_through_the_solution(self, quadratic):
        loss, hessian, b, c, d, a = quadratic
        solution = np.linalg.solve(hessian, b)
        expected = d + solution.T @ (solution @ a - c)
        np.testing.assert_allclose(self.gradient(loss, solution @ a, a, terms=80), expected, rtol=1e-9)

    @pytest.mark.parametrize("terms", [0, 1, 3])
    def test_few_terms_are_the_series_cut_off(self, quadratic, terms):
        """Anywhere, not at the solution alone, and with the decay in the Hessian."""
        loss, hessian, b, c, d, a = quadratic
        w = np.arange(4.0)
        step = np.eye(4) - self.RATE * (hessian + self.DECAY * np.eye(4))
        inverse = self.RATE * sum(np.linalg.matrix_power(step, k) for k in range(terms + 1))
        expected = d + b.T @ (inverse @ (w - c))
        found = self.gradient(loss, w, a, terms=terms, decay=self.DECAY)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


NODES, OPERATIONS = 1, ("max_pool_3x3", "skip_connect", "dil_conv_3x3", "none")


@pytest.fixture(scope="module")
def problem():
    """A tiny supernet with betas and an optimiser that clips, decays and has momentum, some steps into a search."""
    with jax.enable_x64(True):
        model = Supernet(
            classes=3,
            operations=OPERATIONS,
            cells=1,
            nodes=NODES,
            channels=2,
            partial_channels=2,
            reductions=frozenset(),
            project=5,
            hidden=4,
            attention=3,
            backend=REFERENCE,
            edges=UNROLL,  # a loop cannot be differentiated backwards twice, as the oracle here is
            dtype=jnp.float64,
        )
        rng = np.random.default_rng(0)
        batches = [
            (
                jnp.asarray(rng.normal(size=(4, 10, 6))),
                jnp.asarray([10, 7, 9, 4], jnp.int32),
                jnp.asarray([0, 1, 2, 1]),
            )
            for _ in range(2)
        ]
        alphas = init_alphas(
            jax.random.key(0),
            nodes=NODES,
            operations=len(OPERATIONS),
            scale=0.5,
            edge_normalisation=True,
            dtype=jnp.float64,
        )
        params = init_variables(model, 0, *batches[0][:2], alphas, train=False)["params"]
        params = jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), params)

        def loss(params, alphas, batch):
            features, num_frames, labels = batch
            logits = model.apply({"params": params}, features, num_frames, alphas, train=False)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), {}

        tx = optimisers.sgd(
            schedule=optimisers.cosine(start=0.1, end=0.01, steps=10),
            momentum=0.9,
            weight_decay=3e-2,
            clip=0.2,
        )
        momentum = jax.tree.map(lambda w: jnp.asarray(rng.normal(size=w.shape) * 0.1), params)
        opt_state = optax.tree.set(tx.init(params), trace=momentum)
        gradient = jax.jit(jax.grad(lambda w: loss(w, alphas, batches[0])[0]))(params)
        assert float(optax.tree.norm(gradient)) > 0.2, "clipping must be at work in this test"
        return loss, tx, params, alphas, opt_state, *batches


def second_order_of(problem, *, jit, **options):
    loss, tx, params, alphas, opt_state, train_batch, val_batch = problem
    gradients = bilevel.make_gradients(loss)
    if jit:
        gradients = bilevel.Gradients(**{name: jax.jit(f) for name, f in vars(gradients).items()})
    return bilevel.second_order(
        gradients=gradients,
        inner=bilevel.make_inner_step(tx),
        params=params,
        alphas=alphas,
        opt_state=opt_state,
        train_batch=train_batch,
        val_batch=val_batch,
        **options,
    )


@pytest.fixture(scope="module")
def exact(problem):
    with jax.enable_x64(True):
        return second_order_of(problem, jit=True)


def test_the_exact_correction_is_autodiff_through_the_whole_update(problem, exact):
    """The correction itself: the total derivative through clipping, decay and momentum, less the direct part."""
    loss, tx, params, alphas, opt_state, train_batch, val_batch = problem

    def through_the_update(inner_alphas):
        g = jax.grad(lambda w: loss(w, inner_alphas, train_batch)[0])(params)
        updates, _ = tx.update(g, opt_state, params)
        return loss(optax.apply_updates(params, updates), alphas, val_batch)[0]

    correction = jax.jit(jax.grad(through_the_update))(alphas)
    assert difference(exact[2], correction) < 1e-9
    assert float(optax.tree.norm(correction)) > 1e-6, "a correction that vanishes proves nothing"
    assert float(optax.tree.norm(correction[BETAS]["normal"])) > 1e-6


def test_the_direct_part_is_the_gradient_at_the_virtual_params(problem, exact):
    loss, tx, params, alphas, opt_state, train_batch, val_batch = problem
    g = jax.jit(jax.grad(lambda w: loss(w, alphas, train_batch)[0]))(params)
    updates, _ = tx.update(g, opt_state, params)
    virtual = optax.apply_updates(params, updates)
    direct = jax.jit(jax.grad(lambda a: loss(virtual, a, val_batch)[0]))(alphas)
    assert difference(exact[1], direct) < 1e-9


class TestFiniteDifferences:
    """On a smooth loss, where the central difference errs by O(r^2)."""

    @staticmethod
    def smooth_problem():
        rng = np.random.default_rng(1)
        params = {"a": jnp.asarray(rng.normal(size=(6, 5))), "b": jnp.asarray(rng.normal(size=(5, 3)))}
        alphas = {"mix": jnp.asarray(rng.normal(size=(3,)))}

        def loss(w, a, batch):
            x, y = batch
            mix = jax.nn.softmax(a["mix"])
            h = x @ w["a"]
            h = mix[0] * jnp.tanh(h) + mix[1] * nn.gelu(h) + mix[2] * jnp.sin(h)
            return optax.softmax_cross_entropy_with_integer_labels(h @ w["b"], y).mean(), {}

        batches = [
            (jnp.asarray(rng.normal(size=(8, 6))), jnp.asarray(rng.integers(0, 3, 8))) for _ in range(2)
        ]
        tx = optimisers.sgd(
            schedule=optimisers.cosine(start=0.1, end=0.01, steps=10),
            momentum=0.9,
            weight_decay=3e-4,
            clip=0.5,
        )
        return loss, tx, params, alphas, tx.init(params), *batches

    @pytest.mark.parametrize("epsilon", [1e-2, 1e-4])
    def test_agree_with_the_exact_correction(self, epsilon):
        problem = self.smooth_problem()
        options = {"hvp": bilevel.FINITE_DIFFERENCES, "hvp_epsilon": epsilon}
        _, _, by_differences = second_order_of(problem, jit=False, **options)
        _, _, by_product = second_order_of(problem, jit=False)
        assert difference(by_differences, by_product) < 10 * epsilon**2

    def test_a_wrong_scale_is_seen(self, monkeypatch):
        """The published code's `(p - n) / 2 * eps` is off by eps^2: the tests above must not let it pass."""
        problem = self.smooth_problem()
        wrong = lambda p, n, r: jax.tree.map(lambda a, b: (a - b) / 2.0 * r, p, n)
        monkeypatch.setattr(bilevel, "central_difference", wrong)
        _, _, by_wrong_scale = second_order_of(problem, jit=False, hvp=bilevel.FINITE_DIFFERENCES)
        _, _, by_product = second_order_of(problem, jit=False)
        assert difference(by_wrong_scale, by_product) > 0.5

    def test_an_unknown_product_is_an_error(self):
        with pytest.raises(ValueError, match=r"exact, finite_differences"):
            second_order_of(self.smooth_problem(), jit=False, hvp="guess")


def test_a_vanishing_direction_gives_no_nan():
    r = bilevel.finite_difference_step({"w": jnp.zeros(3)}, 0.01)
    assert np.isfinite(float(r))
