"""One step of the search: alphas on the validation batch, then params on the training batch.

Every piece is a program of its own, compiled when first called, so the orders share what they have in common: the
gradients are mapped over the devices (see `parallel`), what comes after their average is the same on each.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
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
# Data, the step's dropout key, and what is added to the op weights.
BATCH = (SHARDED, REPLICATED, REPLICATED)


@flax.struct.dataclass
class SearchState:
    """All that a search step changes.

    Attributes:
        params: of the supernet.
        alphas: "normal", "reduction" and, if it is searched, "sequence", `[edges, operations]` each; "betas", where
            edges are normalised, see `Supernet`.
        opt_state: of the params' optimiser.
        alphas_opt_state: of the alphas' optimiser.
        step: steps done, `[]` int32.
        key: where the dropout keys of all steps come from.
    """

    params: Any
    alphas: Any
    opt_state: Any
    alphas_opt_state: Any
    step: jax.Array
    key: jax.Array


def supernet_loss(model: nn.Module, axis_name: str | None) -> bilevel.Loss:
    """L(params, alphas, (data, key)) of a supernet in training mode, for `bilevel`.

    With (data, key, added) the tree `added` is added to the op weights, see `Supernet`.
    """

    def loss(params, alphas, batch):
        data, key, *added = batch
        if axis_name is not None:  # each device drops its own units
            key = jax.random.fold_in(key, lax.axis_index(axis_name))
        logits = model.apply(
            {"params": params},
            data["features"],
            data["num_frames"],
            alphas,
            True,
            *added,
            rngs={"dropout": key},
        )
        assert isinstance(logits, jax.Array)  # a supernet has no state beside its params
        return classification_loss(logits, data, axis_name)

    return loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSteps:
    """The steps of the search on some devices, and the pieces they are made of, each compiled when first called.

    `programs` and the methods are for callers. What has no batch in it is the same on every device.

    Attributes:
        programs: the gradients, mapped over the devices.
        loss_metrics: (params, alphas, batch) -> those of the loss, mapped too.
        inner: the second order's inner step.
        step_params: (state, gradient) -> state; the one before is given up.
        step_alphas: (state, direct, correction, first) -> state, metrics; the one before is given up. The gradient is
            direct + correction (None is 0); with the first order's gradient, or None, `cosine` is in the metrics.
        batch_key: (state's key, step, 0 for training and 1 for validation) -> dropout key.
        added: step -> what it adds to the op weights; None is nothing.
        hvp, hvp_epsilon, neumann, with_curvature: as in `make_search_steps`.
    """

    programs: bilevel.Gradients
    loss_metrics: Callable
    inner: bilevel.InnerStep
    step_params: Callable
    step_alphas: Callable
    batch_key: Callable
    added: Callable[[jax.Array], Any] | None
    hvp: str
    hvp_epsilon: float
    neumann: Mapping[str, Any]
    with_curvature: bool

    def update_alphas(
        self, state: SearchState, train_data: Any, val_data: Any, order: str, log_cosine: bool = False
    ) -> tuple[SearchState, dict]:
        """A step of the alphas, by one of `bilevel.HYPERGRADIENTS`.

        Args:
            state: is given up.
            train_data, val_data: batches.
            order: FIRST, SECOND or IMPLICIT.
            log_cosine: an order that is not the first also computes the first's gradient of the same batches, and
                `cosine` is in its metrics: of the angle between the two gradients.

        Returns:
            The state, and metrics: of the loss, and the norms of the gradient's parts, `direct` and `correction`.
        """
        arguments = {
            "gradients": self.programs,
            "params": state.params,
            "alphas": state.alphas,
            "val_batch": self._batch(state, val_data, VALIDATION),
        }
        if order == bilevel.FIRST:
            (_, metrics), direct = bilevel.first_order(**arguments)
            state, norms = self.step_alphas(state, direct, None, None)
            return state, {**metrics, **norms}

        # One dropout key serves every pass over the training batch: the product is of one function.
        arguments |= {"train_batch": self._batch(state, train_data, TRAINING)}
        if order == bilevel.IMPLICIT:
            (_, metrics), direct, correction = bilevel.implicit(**arguments, **self.neumann)
        else:
            (_, metrics), direct, correction = bilevel.second_order(
                **arguments,
                inner=self.inner,
                opt_state=state.opt_state,
                hvp=self.hvp,
                hvp_epsilon=self.hvp_epsilon,
            )
        first = None
        if log_cosine and order == bilevel.IMPLICIT:
            first = direct
        elif log_cosine:  # by a program that this order needs anyway
            _, (_, first) = self.programs.grad_both(state.params, state.alphas, arguments["val_batch"])
        state, norms = self.step_alphas(state, direct, correction, first)
        return state, {**metrics, **norms}

    def update_params(
        self, state: SearchState, train_data: Any, added: Any = None
    ) -> tuple[SearchState, dict]:
        """A step of the params; `state` is given up.

        `added` takes the place of what the step adds to the op weights, if it adds anything.
        """
        batch = self._batch(state, train_data, TRAINING, added)
        (_, metrics), (gradient, _) = self.programs.grad_both(state.params, state.alphas, batch)
        return self.step_params(state, gradient), metrics

    def evaluate(self, state: SearchState, val_data: Any, added: Any) -> dict:
        """Metrics of the loss on a validation batch, with `added` to the op weights."""
        return self.loss_metrics(state.params, state.alphas, self._batch(state, val_data, VALIDATION, added))

    def curvature(self, state: SearchState, val_data: Any, v: Any) -> Any:
        """d2 L_val / da2 . v, v like the alphas."""
        batch = self._batch(state, val_data, VALIDATION)
        return self.programs.hvp_alphas(state.params, state.alphas, batch, v)

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
        point = (state.params, state.alphas)
        on_train = (*point, self._batch(state, train_data, TRAINING))
        on_val = (*point, self._batch(state, val_data, VALIDATION))
        direction = state.params  # any will do
        inner = (state.params, direction, state.opt_state)
        calls: list[tuple[Callable, tuple]] = []
        if order == bilevel.IMPLICIT and self.neumann["terms"]:
            calls.append((self.programs.hvp_params, (*on_train, direction)))
        if (order == bilevel.SECOND and self.hvp == bilevel.EXACT) or order == bilevel.IMPLICIT:
            calls.append((self.programs.hvp_mixed, (*on_train, direction)))
        if self.with_curvature:
            calls.append((self.programs.hvp_alphas, (*on_val, state.alphas)))
        calls.append((self.programs.grad_both, on_train))
        if order == bilevel.FIRST or self.hvp == bilevel.FINITE_DIFFERENCES:
            calls.append((self.programs.grad_alphas, on_val))
        if order == bilevel.SECOND:
            calls.append((self.inner.apply, inner))
            calls.append((self.inner.pull_back, (*inner, direction)))
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
    tx: optax.GradientTransformation,
    alphas_tx: optax.GradientTransformation,
    devices: Sequence[jax.Device],
    hvp: str = bilevel.EXACT,
    hvp_epsilon: float = 0.01,
    neumann: Mapping[str, Any] | None = None,
    with_curvature: bool = False,
    added: Callable[[jax.Array], Any] | None = None,
    mapping: str = parallel.PMAP,
    compiler_options: dict | None = None,
) -> SearchSteps:
    """The steps of all orders; nothing is compiled before it is called.

    Args:
        loss: per device, see `supernet_loss`.
        tx: of the params; also the inner step of the second order.
        alphas_tx: of the alphas.
        devices: to map over.
        hvp, hvp_epsilon: see `bilevel.second_order`.
        neumann: the implicit gradient's `terms`, `rate` and `decay`, see `bilevel.implicit`.
        with_curvature: `compile` compiles the curvature's program too.
        added: step -> what it adds to the op weights; None is nothing, and nothing is compiled for it.
        mapping: see `parallel.mapped`.
        compiler_options: of all that is mapped, see `compilation.options`.
    """

    def mapped(function, *others):
        batch = BATCH if added else BATCH[:2]
        return parallel.mapped(
            function,
            layout=(REPLICATED, REPLICATED, batch, *others),
            devices=devices,
            mapping=mapping,
            compiler_options=compiler_options,
        )

    gradients = bilevel.make_gradients(loss, parallel.mean)
    inner = bilevel.make_inner_step(tx)
    return SearchSteps(
        programs=bilevel.Gradients(
            grad_alphas=mapped(gradients.grad_alphas),
            grad_both=mapped(gradients.grad_both),
            hvp_mixed=mapped(gradients.hvp_mixed, REPLICATED),
            hvp_params=mapped(gradients.hvp_params, REPLICATED),
            hvp_alphas=mapped(gradients.hvp_alphas, REPLICATED),
        ),
        loss_metrics=mapped(lambda *arguments: parallel.mean(loss(*arguments)[1])),
        inner=bilevel.InnerStep(apply=jax.jit(inner.apply), pull_back=jax.jit(inner.pull_back)),
        step_params=_params_step(inner),
        step_alphas=_alphas_step(alphas_tx),
        batch_key=jax.jit(_batch_key, static_argnums=2),
        added=added and jax.jit(added),
        hvp=hvp,
        hvp_epsilon=hvp_epsilon,
        neumann=neumann or {},
        with_curvature=with_curvature,
    )


def _params_step(inner: bilevel.InnerStep) -> Callable:
    def step_params(state, gradient):
        params, opt_state = inner.apply(state.params, gradient, state.opt_state)
        return state.replace(params=params, opt_state=opt_state, step=state.step + 1)

    return jax.jit(step_params, donate_argnums=0)


def _alphas_step(tx: optax.GradientTransformation) -> Callable:
    def step_alphas(state, direct, correction, first):
        correction = jax.tree.map(jnp.zeros_like, direct) if correction is None else correction
        gradient = jax.tree.map(jnp.add, direct, correction)
        updates, opt_state = tx.update(gradient, state.alphas_opt_state, state.alphas)
        metrics = {"direct": optax.tree.norm(direct), "correction": optax.tree.norm(correction)}
        if first is not None:
            metrics["cosine"] = bilevel.cosine(first, gradient)
        alphas = optax.apply_updates(state.alphas, updates)
        return state.replace(alphas=alphas, alphas_opt_state=opt_state), metrics

    return jax.jit(step_alphas, donate_argnums=0)


def _batch_key(key: jax.Array, step: jax.Array, which: int) -> jax.Array:
    """The dropout key of a step's batch; `which` is TRAINING or VALIDATION."""
    return jax.random.fold_in(jax.random.fold_in(key, step), which)


def init_state(
    *,
    params: Any,
    alphas: Any,
    tx: optax.GradientTransformation,
    alphas_tx: optax.GradientTransformation,
    key: jax.Array,
    devices: Sequence[jax.Device],
) -> SearchState:
    """The state before the first step, on all devices."""
    state = SearchState(
        params=params,
        alphas=alphas,
        opt_state=tx.init(params),
        alphas_opt_state=alphas_tx.init(alphas),
        step=jnp.zeros((), jnp.int32),
        key=key,
    )
    return parallel.replicate(state, devices)
