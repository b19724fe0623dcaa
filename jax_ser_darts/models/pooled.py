"""Baselines on frames that are pooled over time (mean and maximum), for a frozen encoder's: a linear probe, an MLP."""

import flax.linen as nn
import jax
import jax.numpy as jnp


def pooled(frames: jax.Array, num_frames: jax.Array) -> jax.Array:
    """Mean and maximum of the valid frames: `[B, T, D]`, `[B]` -> `[B, 2 D]`; zeros where there is none."""
    valid = (jnp.arange(frames.shape[1], dtype=num_frames.dtype)[None, :] < num_frames[:, None])[..., None]
    count = jnp.maximum(num_frames, 1)[:, None].astype(frames.dtype)
    mean = jnp.sum(jnp.where(valid, frames, 0), axis=1) / count
    largest = jnp.max(jnp.where(valid, frames, jnp.finfo(frames.dtype).min), axis=1)
    return jnp.concatenate([mean, jnp.where(valid.any(axis=1), largest, 0)], axis=-1)


class Linear(nn.Module):
    """Logistic regression; called as `baselines.Baseline`."""

    classes: int
    axis_name: str | None = None
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        num_frames: jax.Array,
        *,
        train: bool,
        drop_path_rate: float | jax.Array = 0.0,
    ) -> tuple[jax.Array, None]:
        """`[B, T, F]`, `[B]` -> logits `[B, classes]`, and None."""
        x = nn.Dropout(self.dropout, deterministic=not train)(pooled(features, num_frames))
        return nn.Dense(self.classes, name="classify")(x), None


class MLP(nn.Module):
    """One hidden layer of `width` units; called as `baselines.Baseline`."""

    classes: int
    axis_name: str | None = None
    dropout: float = 0.0
    width: int = 64

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        num_frames: jax.Array,
        *,
        train: bool,
        drop_path_rate: float | jax.Array = 0.0,
    ) -> tuple[jax.Array, None]:
        """`[B, T, F]`, `[B]` -> logits `[B, classes]`, and None."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        hidden = nn.relu(nn.Dense(self.width, name="hidden")(drop(pooled(features, num_frames))))
        return nn.Dense(self.classes, name="classify")(drop(hidden)), None
