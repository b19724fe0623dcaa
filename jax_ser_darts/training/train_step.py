"""One training step of a network, and its predictions, mapped over the devices."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from jax_ser_darts.devices import parallel
from jax_ser_darts.devices.parallel import REPLICATED, SHARDED
from jax_ser_darts.losses import classification_loss


@flax.struct.dataclass
class TrainState:
    """All that a training step changes.

    Attributes:
        variables: "params" and, where it has any, "batch_stats" of the network.
        opt_state: of the optimiser.
        step: steps done, `[]` int32.
        key: where the keys of dropout and drop-path come from.
    """

    variables: Any
    opt_state: Any
    step: jax.Array
    key: jax.Array


@dataclasses.dataclass(frozen=True)
class TrainSteps:
    """The compiled functions of a network on some devices.

    Attributes:
        train: (state, batch, drop-path rate) -> state, metrics.
        predict: (variables, batch) -> class probabilities `[devices, B / devices, K]`.
    """

    train: jax.stages.Wrapped
    predict: jax.stages.Wrapped


def smoothed(loss: jax.Array, logits: jax.Array, batch: dict, smoothing: float, axis_name: str) -> jax.Array:
    """Cross-entropy with a share `smoothing` of the target spread evenly over all classes."""
    if not smoothing:
        return loss
    even = -jnp.mean(jax.nn.log_softmax(logits), axis=-1)
    weight = batch["weight"].astype(logits.dtype)
    total = lax.psum(jnp.sum(weight), axis_name) / lax.axis_size(axis_name)
    return (1 - smoothing) * loss + smoothing * jnp.sum(weight * even) / jnp.maximum(total, 1e-9)


def make_train_steps(
    *,
    network: nn.Module,
    tx: optax.GradientTransformation,
    devices: Sequence[jax.Device],
    auxiliary_weight: float,
    label_smoothing: float,
    drop_path: bool,
    mapping: str = parallel.PMAP,
    compiler_options: dict | None = None,
) -> TrainSteps:
    """The steps of a network whose `axis_name` is parallel.AXIS.

    Args:
        network: what to train; called as `models.network.Network`.
        tx: optimiser of its params.
        devices: to map over.
        auxiliary_weight: of the auxiliary head's loss.
        label_smoothing: see `smoothed`.
        drop_path: whether edges are dropped at all; without it nothing is drawn for them.
        mapping: see `parallel.mapped`.
        compiler_options: see `compilation.options`.
    """
    mapped = functools.partial(
        parallel.mapped, devices=devices, mapping=mapping, compiler_options=compiler_options
    )

    def train(state, batch, drop_path_rate):
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), lax.axis_index(parallel.AXIS))

        def loss(params):
            variables = {**state.variables, "params": params}
            (logits, auxiliary), changed = network.apply(
                variables,
                batch["features"],
                batch["num_frames"],
                train=True,
                drop_path_rate=drop_path_rate if drop_path else 0.0,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            value, metrics = classification_loss(logits, batch, parallel.AXIS)
            value = smoothed(value, logits, batch, label_smoothing, parallel.AXIS)
            if auxiliary is not None:
                value = value + auxiliary_weight * classification_loss(auxiliary, batch, parallel.AXIS)[0]
            return value, (metrics, changed)

        gradient, (metrics, changed) = jax.grad(loss, has_aux=True)(state.variables["params"])
        gradient, metrics = parallel.mean((gradient, metrics))
        params = state.variables["params"]
        updates, opt_state = tx.update(gradient, state.opt_state, params)
        variables = {**changed, "params": optax.apply_updates(params, updates)}
        state = state.replace(variables=variables, opt_state=opt_state, step=state.step + 1)
        return state, metrics

    def predict(variables, batch):
        logits, _ = network.apply(variables, batch["features"], batch["num_frames"], train=False)
        return jax.nn.softmax(logits)

    return TrainSteps(
        train=mapped(train, layout=(REPLICATED, SHARDED, REPLICATED), donate=(0,)),
        predict=mapped(predict, layout=(REPLICATED, SHARDED), out=SHARDED),
    )
