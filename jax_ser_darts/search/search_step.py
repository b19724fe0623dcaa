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


@dataclasses.dataclass(frozen=True)
class SearchSteps:
    """The compiled pieces of the search on some devices.

    Attributes:
        update_alphas: (state, train batch, validation batch, order, compared=False) -> state, figures. With `compared`
            a second-order step also computes the first order's gradient of the same batches, and `cosine` is in its
            figures: of the angle between the two orders' gradients.
        update_weights: (state, train batch, added=None) -> state, figures. `added` takes the place of what the step
            adds to the softmax weights, if it adds anything.
        evaluate: (state, validation batch, added) -> figures.
        compile: (state, train batch, validation batch, order) -> None: calls every program of an order once, side by
            side, so that all cores compile. Without it the first step compiles them one after the other.
        curvature: (state, validation batch, v) -> d2 L_val / da2 . v, v like the alphas.
        programs: the gradients, mapped over the devices.
    """

    update_alphas: Callable
    update_weights: Callable
    evaluate: Callable
    compile: Callable
    curvature: Callable
    programs: bilevel.Gradients


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
    """The steps of both orders.

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
        compiler_options: of the gradients, see compilation.py.
    """

    def mapped(function, *others):
        batch = BATCH if added else BATCH[:2]
        layout = (REPLICATED, REPLICATED, batch, *others)
        how = {"devices": devices, "mapping": mapping, "compiler_options": compiler_options}
        return parallel.mapped(function, layout=layout, **how)

    def compiled(gradients, inner):
        return (
            bilevel.Gradients(
                of_alphas=mapped(gradients.of_alphas),
                of_both=mapped(gradients.of_both),
                mixed_product=mapped(gradients.mixed_product, REPLICATED),
                weights_product=mapped(gradients.weights_product, REPLICATED),
                alphas_product=mapped(gradients.alphas_product, REPLICATED),
            ),
            bilevel.InnerStep(apply=jax.jit(inner.apply), pull_back=jax.jit(inner.pull_back)),
        )

    inner = bilevel.make_inner_step(weights_optimiser)
    gradients, virtual = compiled(bilevel.make_gradients(loss, parallel.mean), inner)
    algebra = bilevel.Algebra(
        finite_difference_step=jax.jit(bilevel.finite_difference_step),
        move=jax.jit(bilevel.move),
        central_difference=jax.jit(bilevel.central_difference),
        neumann_step=jax.jit(bilevel.neumann_step, static_argnames=("rate", "decay")),
        scaled=jax.jit(bilevel.scaled, static_argnums=1),
    )

    def step_weights(state, gradient):
        weights, weights_state = inner.apply(state.weights, gradient, state.weights_state)
        return state.replace(weights=weights, weights_state=weights_state, step=state.step + 1)

    def step_alphas(state, direct, term, first):
        term = jax.tree.map(jnp.zeros_like, direct) if term is None else term
        gradient = jax.tree.map(jnp.add, direct, term)
        updates, alphas_state = alphas_optimiser.update(gradient, state.alphas_state, state.alphas)
        figures = {"direct": optax.tree.norm(direct), "term": optax.tree.norm(term)}
        if first is not None:
            figures["cosine"] = bilevel.cosine(first, gradient)
        alphas = optax.apply_updates(state.alphas, updates)
        return state.replace(alphas=alphas, alphas_state=alphas_state), figures

    # What follows has no batch in it: the same on every device.
    step_weights = jax.jit(step_weights, donate_argnums=0)
    step_alphas = jax.jit(step_alphas, donate_argnums=0)
    keys = jax.jit(
        lambda key, step, which: jax.random.fold_in(jax.random.fold_in(key, step), which), static_argnums=2
    )
    added = added and jax.jit(added)

    def batch_of(state, data, which, instead=None):
        batch = data, keys(state.key, state.step, which)
        return (*batch, added(state.step) if instead is None else instead) if added else batch

    def update_alphas(state, train_data, val_data, order, compared=False):
        val_batch = batch_of(state, val_data, 1)
        first = None
        if order == bilevel.FIRST:
            (_, figures), direct = bilevel.first_order(
                gradients=gradients, weights=state.weights, alphas=state.alphas, val_batch=val_batch
            )
            term = None
        elif order == bilevel.IMPLICIT:
            (_, figures), direct, term = bilevel.implicit(
                gradients=gradients,
                weights=state.weights,
                alphas=state.alphas,
                train_batch=batch_of(state, train_data, 0),
                val_batch=val_batch,
                algebra=algebra,
                **series,
            )
            first = direct if compared else None
        else:
            # One dropout key serves every pass over the training batch: the product is of one function.
            (_, figures), direct, term = bilevel.second_order(
                gradients=gradients,
                inner=virtual,
                weights=state.weights,
                alphas=state.alphas,
                state=state.weights_state,
                train_batch=batch_of(state, train_data, 0),
                val_batch=val_batch,
                product=product,
                difference_size=difference_size,
                algebra=algebra,
            )
            if compared:  # by the program for both gradients: this order needs it anyway
                first = gradients.of_both(state.weights, state.alphas, val_batch)[1][1]
        state, norms = step_alphas(state, direct, term, first)
        return state, {**figures, **norms}

    def update_weights(state, train_data, instead=None):
        batch = batch_of(state, train_data, 0, instead)
        (_, figures), (gradient, _) = gradients.of_both(state.weights, state.alphas, batch)
        return step_weights(state, gradient), figures

    def compile_all(state, train_data, val_data, order):
        train_batch, val_batch = (
            batch_of(state, data, which) for which, data in enumerate((train_data, val_data))
        )
        at = (state.weights, state.alphas)
        at_step = (state.weights, state.weights, state.weights_state)  # any direction will do
        towards_weights = (*at, train_batch, state.weights)
        calls = [(gradients.of_both, (*at, train_batch))]
        if order == bilevel.FIRST or product == bilevel.FINITE_DIFFERENCES:
            calls.append((gradients.of_alphas, (*at, val_batch)))
        if order == bilevel.SECOND:
            calls.append((virtual.apply, at_step))
            calls.append((virtual.pull_back, (*at_step, state.weights)))
        if (order == bilevel.SECOND and product == bilevel.EXACT) or order == bilevel.IMPLICIT:
            calls.insert(0, (gradients.mixed_product, towards_weights))  # the longest first
        if order == bilevel.IMPLICIT and series["terms"]:
            calls.insert(0, (gradients.weights_product, towards_weights))
        if with_curvature:
            calls.append((gradients.alphas_product, (*at, val_batch, state.alphas)))
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

    figures_of = mapped(lambda *at: parallel.mean(loss(*at)[1]))

    def evaluate(state, val_data, instead):
        return figures_of(state.weights, state.alphas, batch_of(state, val_data, 1, instead))

    def curvature(state, val_data, v):
        return gradients.alphas_product(state.weights, state.alphas, batch_of(state, val_data, 1), v)

    return SearchSteps(update_alphas, update_weights, evaluate, compile_all, curvature, gradients)


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
