"""What searches and trainings minimise."""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jax_ser_darts.errors import UserError


class DivergedError(UserError):
    """The loss is no longer finite; the message says where and what to try."""


def classification_loss(logits: jax.Array, batch: dict, axis_name: str | None) -> tuple[jax.Array, dict]:
    """Weighted cross-entropy of a device's part of a batch.

    The sum is divided by the weights of the GLOBAL batch (times the devices), so that the average over devices is
    the loss of the global batch, however unevenly classes or padding fall.

    Args:
        logits: `[B, K]`.
        batch: label `[B]`; weight `[B]`, 0 on padding.

    Returns:
        loss, {"loss", "accuracy"}; both average over devices to the global batch's.
    """
    devices = 1 if axis_name is None else lax.axis_size(axis_name)
    total = lambda x: x if axis_name is None else lax.psum(x, axis_name)
    weight = batch["weight"].astype(logits.dtype)
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    loss = jnp.sum(weight * nll) * devices / jnp.maximum(total(jnp.sum(weight)), 1e-9)
    real = (weight > 0).astype(logits.dtype)
    right = jnp.argmax(logits, axis=-1).astype(batch["label"].dtype) == batch["label"]
    accuracy = jnp.sum(jnp.where(right, real, 0)) * devices / jnp.maximum(total(jnp.sum(real)), 1.0)
    return loss, {"loss": loss, "accuracy": accuracy}
