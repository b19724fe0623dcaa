"""A user's module: baselines of their own, as docs/extending_baselines.md has them."""

import flax.linen as nn
import jax.numpy as jnp

from jax_ser_darts.models.baselines import register


@register("mean_frame")
class MeanFrame(nn.Module):
    """The mean of an utterance's frames through one hidden layer."""

    classes: int
    axis_name: str | None = None
    dropout: float = 0.0
    width: int = 32

    @nn.compact
    def __call__(self, features, num_frames, *, train, drop_path_rate=0.0):
        valid = jnp.arange(features.shape[1])[None, :] < num_frames[:, None]
        frames = jnp.maximum(num_frames, 1)[:, None].astype(features.dtype)
        mean = jnp.sum(features * valid[..., None], axis=1) / frames
        hidden = nn.relu(nn.Dense(self.width, name="hidden")(mean))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        return nn.Dense(self.classes, name="classify")(hidden), None


@register("linear")
class Linear(nn.Module):
    """No hidden layer, so no other size."""

    classes: int
    axis_name: str | None = None

    @nn.compact
    def __call__(self, features, num_frames, *, train, drop_path_rate=0.0):
        return nn.Dense(self.classes, name="classify")(jnp.mean(features, axis=1)), None
