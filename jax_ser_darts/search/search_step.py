"""One step of the search: alphas on the validation batch, then weights on the training batch.

Every piece is a program of its own, compiled when first called, so both orders share what they have in common:
the gradients are mapped over the devices (see `parallel`), what comes after their average is the same on each.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from jax_ser_darts import bilevel
from jax_ser_darts.devices import hosts, parallel
from jax_ser_darts.devices.parallel import REPLICATED, SHARDED
from jax_ser_darts.losses import classification_loss

TRAINING, VALIDATION = 0, 1  # of the two batches of a step
BATCH = (
    SHARDED,
    REPLICATED,
    REPLICATED,
)  # a batch, its step's dropout key, what is added to the softmax weights


@flax.struct.dataclass
class SearchState:
    """All that a search step changes.

    Attributes:
        weights: of the supernet.
        alphas: "normal", "reduction" and, if it is searched, "sequence", `[edges, operations]` each; "betas", where
            edges are normalised, see `Supernet`.
        weights_state, alphas_state: of the optimisers.
        step: steps done, `[]` int32.
        key: where the dropout keys of all steps come from.
    """

    weights: Any
    alphas: Any
    weights_state: Any
    alphas_state: Any
    step: jax.Array
    key: jax.Array


def supernet_loss(model, axis_name: str | None) -> bilevel.Loss:
    """L(weights, alphas, (batch, key)) of a supernet in training mode, for `bilevel`.

    With (batch, key, added) the tree `added` is added to the softmax weights, see `Supernet`.
    """

    def loss(weights, alphas, batch):
        data, key, *added = batch
        if axis_name is not None:  # each device drops its own units
            key = jax.random.fold_in(key, lax.axis_index(axis_name))
        logits = model.apply(
            {"params": weights},
            data["features"],
            data["num_frames"],
            alphas,
            True,
            *added,
            rngs={"dropout": key},
        )
        return classification_loss(logits, data, axis_name)

    return loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSteps:
    """The steps of the search on some devices, and the pieces they are made of, each compiled when first called.

    `programs` and the methods are for callers. What has no batch in it is the same on every device.

    Attributes:
        programs: the gradients, mapped over the devices.
        loss_figures: (weights, alphas, batch) -> those of the loss, mapped too.
        virtual: the second order's inner step.
        algebra: what lies between the gradients.
        step_weights: (state, gradient) -> state; the one before is given up.
        step_alphas: (state, direct, term, first) -> state, figures; the one before is given up. The gradient is direct
            + term (None is 0); with the first order's gradient, or None, `cosine` is in the figures.
        batch_key: (state's key, step, 0 for training and 1 for validation) -> dropout key.
        added: step -> what it adds to the softmax weights; None is nothing.
        product, difference_size, series, with_curvature: as in `make_search_steps`.
    """

    programs: bilevel.Gradients
    loss_figures: Callable
    virtual: bilevel.InnerStep
    algebra: bilevel.Algebra
    step_weights: Callable
    step_alphas: Callable
    batch_key: Callable
    added: Callable[[jax.Array], Any] | None
    product: str
    difference_size: float
    series: dict | None
    with_curvature: bool

    def update_alphas(
        self, state: SearchState, train_data: Any, val_data: Any, order: str, compared: bool = False
    ) -> tuple[SearchState, dict]:
        """A step of the alphas, by one of `bilevel.HYPERGRADIENTS`.

        Args:
            state: is given up.
            train_data, val_data: batches.
            order: FIRST, SECOND or IMPLICIT.
            compared: an order that is not the first also computes the first's gradient of the same batches, and
                `cosine` is in its figures: of the angle between the two gradients.

        Returns:
            The state, and figures: of the loss, and the norms `direct` and `term` of the gradient's parts.
        """
        at = {
            "gradients": self.programs,
            "weights": state.weights,
            "alphas": state.alphas,
            "val_batch": self._batch(state, val_data, VALIDATION),
        }
        if order == bilevel.FIRST:
            (_, figures), direct = bilevel.first_order(**at)
            state, norms = self.step_alphas(state, direct, None, None)
            return state, {**figures, **norms}

        # One dropout key serves every pass over the training batch: the product is of one function.
        at |= {"train_batch": self._batch(state, train_data, TRAINING), "algebra": self.algebra}
        if order == bilevel.IMPLICIT:
            (_, figures), direct, term = bilevel.implicit(**at, **self.series)
        else:
            (_, figures), direct, term = bilevel.second_order(
                **at,
                inner=self.virtual,
                state=state.weights_state,
                product=self.product,
                difference_size=self.difference_size,
            )
        first = None
        if compared and order == bilevel.IMPLICIT:
            first = direct
        elif compared:  # by a program that this order needs anyway
            _, (_, first) = self.programs.grad_both(state.weights, state.alphas, at["val_batch"])
        state, norms = self.step_alphas(state, direct, term, first)
        return state, {**figures, **norms}

    def update_weights(
        self, state: SearchState, train_data: Any, added: Any = None
    ) -> tuple[SearchState, dict]:
        """A step of the weights; `state` is given up.

        `added` takes the place of what the step adds to the softmax weights, if it adds anything.
        """
        batch = self._batch(state, train_data, TRAINING, added)
        (_, figures), (gradient, _) = self.programs.grad_both(state.weights, state.alphas, batch)
        return self.step_weights(state, gradient), figures

    def evaluate(self, state: SearchState, val_data: Any, added: Any) -> dict:
        """Figures of the loss on a validation batch, with `added` to the softmax weights."""
        return self.loss_figures(state.weights, state.alphas, self._batch(state, val_data, VALIDATION, added))

    def curvature(self, state: SearchState, val_data: Any, v: Any) -> Any:
        """d2 L_val / da2 . v, v like the alphas."""
        batch = self._batch(state, val_data, VALIDATION)
        return self.programs.hvp_alphas(state.weights, state.alphas, batch, v)

    def compile(self, state: SearchState, train_data: Any, val_data: Any, order: str) -> None:
        """Calls each program of an order that takes long to compile once, side by side, so that all cores compile.

        Without it the first step compiles them one after the other.
        """
        calls = self._calls(state, train_data, val_data, order)
        # Programs of several processes wait for each other, so all have to start them in one order.
        workers = len(calls) if hosts.count() == 1 else 1
        with concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool:
            started = []
            for program, arguments in calls:
                # Python traces one program at a time: that of the first is compiled while the next is traced.
                program.trace(*arguments)
                started.append(pool.submit(program, *arguments))
            for done in started:
                jax.block_until_ready(done.result())

    def _calls(self, state, train_data, val_data, order):
        """The programs of an order that take long to compile, second derivatives first, and arguments of each."""
        at = (state.weights, state.alphas)
        on_train = (*at, self._batch(state, train_data, TRAINING))
        on_val = (*at, self._batch(state, val_data, VALIDATION))
        at_step = (state.weights, state.weights, state.weights_state)  # any direction will do
        calls = []
        if order == bilevel.IMPLICIT and self.series["terms"]:
            calls.append((self.programs.hvp_params, (*on_train, state.weights)))
        if (order == bilevel.SECOND and self.product == bilevel.EXACT) or order == bilevel.IMPLICIT:
            calls.append((self.programs.hvp_mixed, (*on_train, state.weights)))
        if self.with_curvature:
            calls.append((self.programs.hvp_alphas, (*on_val, state.alphas)))
        calls.append((self.programs.grad_both, on_train))
        if order == bilevel.FIRST or self.product == bilevel.FINITE_DIFFERENCES:
            calls.append((self.programs.grad_alphas, on_val))
        if order == bilevel.SECOND:
            calls.append((self.virtual.apply, at_step))
            calls.append((self.virtual.pull_back, (*at_step, state.weights)))
        return calls

    def _batch(self, state, data, which, added=None):
        """A batch as `supernet_loss` takes it."""
        batch = data, self.batch_key(state.key, state.step, which)
        if self.added is None:
            return batch
        return *batch, self.added(state.step) if added is None else added


def make_search_steps(
    *,
    loss: bilevel.Loss,
    weights_optimiser: optax.GradientTransformation,
    alphas_optimiser: optax.GradientTransformation,
    devices: Sequence[jax.Device],
    product: str = bilevel.EXACT,
    difference_size: float = 0.01,
    series: dict | None = None,
    with_curvature: bool = False,
    added: Callable[[jax.Array], Any] | None = None,
    mapping: str = parallel.PMAP,
    compiler_options: dict | None = None,
) -> SearchSteps:
    """The steps of all orders; nothing is compiled before it is called.

    Args:
        loss: per device, see `supernet_loss`.
        weights_optimiser: also the inner step of the second order.
        alphas_optimiser: of the alphas.
        devices: to map over.
        product, difference_size: see `bilevel.second_order`.
        series: the implicit gradient's `terms`, `rate` and `decay`, see `bilevel.implicit`.
        with_curvature: `compile` compiles the curvature's program too.
        added: step -> what it adds to the softmax weights; None is nothing, and nothing is compiled for it.
        mapping: see `parallel.mapped`.
        compiler_options: of all that is mapped, see `compilation.options`.
    """

    def mapped(function, *others):
        batch = BATCH if added else BATCH[:2]
        layout = (REPLICATED, REPLICATED, batch, *others)
        how = {"devices": devices, "mapping": mapping, "compiler_options": compiler_options}
        return parallel.mapped(function, layout=layout, **how)

    gradients = bilevel.make_gradients(loss, parallel.mean)
    inner = bilevel.make_inner_step(weights_optimiser)
    return SearchSteps(
        programs=bilevel.Gradients(
            grad_alphas=mapped(gradients.grad_alphas),
            grad_both=mapped(gradients.grad_both),
            hvp_mixed=mapped(gradients.hvp_mixed, REPLICATED),
            hvp_params=mapped(gradients.hvp_params, REPLICATED),
            hvp_alphas=mapped(gradients.hvp_alphas, REPLICATED),
        ),
        loss_figures=mapped(lambda *at: parallel.mean(loss(*at)[1])),
        virtual=bilevel.InnerStep(apply=jax.jit(inner.apply), pull_back=jax.jit(inner.pull_back)),
        algebra=bilevel.Algebra(
            finite_difference_step=jax.jit(bilevel.finite_difference_step),
            move=jax.jit(bilevel.move),
            central_difference=jax.jit(bilevel.central_difference),
            neumann_step=jax.jit(bilevel.neumann_step, static_argnames=("rate", "decay")),
            scaled=jax.jit(bilevel.scaled, static_argnums=1),
        ),
        step_weights=_weights_step(inner),
        step_alphas=_alphas_step(alphas_optimiser),
        batch_key=jax.jit(_batch_key, static_argnums=2),
        added=added and jax.jit(added),
        product=product,
        difference_size=difference_size,
        series=series,
        with_curvature=with_curvature,
    )


def _weights_step(inner: bilevel.InnerStep) -> Callable:
    def step_weights(state, gradient):
        weights, weights_state = inner.apply(state.weights, gradient, state.weights_state)
        return state.replace(weights=weights, weights_state=weights_state, step=state.step + 1)

    return jax.jit(step_weights, donate_argnums=0)


def _alphas_step(optimiser: optax.GradientTransformation) -> Callable:
    def step_alphas(state, direct, term, first):
        term = jax.tree.map(jnp.zeros_like, direct) if term is None else term
        gradient = jax.tree.map(jnp.add, direct, term)
        updates, alphas_state = optimiser.update(gradient, state.alphas_state, state.alphas)
        figures = {"direct": optax.tree.norm(direct), "correction": optax.tree.norm(term)}
        if first is not None:
            figures["cosine"] = bilevel.cosine(first, gradient)
        alphas = optax.apply_updates(state.alphas, updates)
        return state.replace(alphas=alphas, alphas_state=alphas_state), figures

    return jax.jit(step_alphas, donate_argnums=0)


def _batch_key(key: jax.Array, step: jax.Array, which: int) -> jax.Array:
    """The dropout key of a step's batch; `which` is TRAINING or VALIDATION."""
    return jax.random.fold_in(jax.random.fold_in(key, step), which)


def init_state(
    *,
    weights: Any,
    alphas: Any,
    weights_optimiser: optax.GradientTransformation,
    alphas_optimiser: optax.GradientTransformation,
    key: jax.Array,
    devices: Sequence[jax.Device],
) -> SearchState:
    """The state before the first step, on all devices."""
    state = SearchState(
        weights=weights,
        alphas=alphas,
        weights_state=weights_optimiser.init(weights),
        alphas_state=alphas_optimiser.init(alphas),
        step=jnp.zeros((), jnp.int32),
        key=key,
    )
    return parallel.replicate(state, devices)
