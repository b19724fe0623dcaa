"""The sequence part, over TIME within each utterance: bidirectional LSTM, attention pooling, classifier.

The published code pools time away and runs its LSTM across the batch; here a prediction depends on nothing but
its own utterance's valid frames.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp


def to_sequence(x: jax.Array) -> jax.Array:
    """CNN activations to one vector a frame: `[C, T, F, B]` -> `[B, T, F * C]`."""
    c, t, f, b = x.shape
    return x.transpose(3, 1, 2, 0).reshape(b, t, f * c)


class AttentionPooling(nn.Module):
    """Weighted mean over the valid frames, with weights softmax_t(v . tanh(W h_t))."""

    units: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, h: jax.Array, num_frames: jax.Array) -> jax.Array:
        """`[B, T, D]`, `[B]` -> `[B, D]`."""
        scores = nn.Dense(self.units, param_dtype=self.dtype, name="attend")(h)
        scores = nn.Dense(1, use_bias=False, param_dtype=self.dtype, name="score")(nn.tanh(scores))[..., 0]
        valid = jnp.arange(h.shape[1], dtype=num_frames.dtype)[None, :] < num_frames[:, None]
        # Finite, so that an utterance that only fills the batch (no valid frame) gives no NaN.
        weights = nn.softmax(jnp.where(valid, scores, jnp.finfo(self.dtype).min), axis=-1)
        return jnp.einsum("bt,btd->bd", weights, h)


class SequencePart(nn.Module):
    """Projection of each frame, bidirectional LSTM over time, attention pooling, classifier.

    Attributes:
        classes: number of emotions.
        project: width of the projection of a frame's F * C values.
        hidden: LSTM units a direction.
        attention: width of the attention's hidden layer.
        dropout: on the projected frames and on the pooled vector.
    """

    classes: int
    project: int
    hidden: int
    attention: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, num_frames: jax.Array, train: bool) -> jax.Array:
        """CNN activations `[C, T, F, B]`, valid frames `[B]` -> logits `[B, classes]`."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        h = nn.relu(nn.Dense(self.project, param_dtype=self.dtype, name="project")(to_sequence(x)))
        cell = lambda name: nn.OptimizedLSTMCell(self.hidden, param_dtype=self.dtype, name=name)
        recurrent = nn.Bidirectional(nn.RNN(cell("forward")), nn.RNN(cell("backward")))(
            drop(h),
            seq_lengths=num_frames.astype(int),  # Flax adds them to default integers
        )
        assert isinstance(recurrent, jax.Array)  # and no carry beside it
        pooled = AttentionPooling(self.attention, self.dtype, name="pool")(recurrent, num_frames)
        return nn.Dense(self.classes, param_dtype=self.dtype, name="classify")(drop(pooled))
