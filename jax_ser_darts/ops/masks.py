"""Where an activation is valid: the frames of each utterance, at each resolution."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax


def over_devices(tree: Any, axis_name: str | None) -> Any:
    """Sums over the devices of a mapped axis, where there is one."""
    return tree if axis_name is None else lax.psum(tree, axis_name)


@flax.struct.dataclass
class ValidPositions:
    """The positions of activations `[C, T, F, B]` that hold an utterance; the others are padding.

    Attributes:
        num_frames: valid frames an utterance, `[B]`; 0 for an utterance that only fills the batch.
        mask: 1 on valid frames, 0 on padding, `[1, T, F, B]`: whole, so that no loop has to compute it.
        count: valid positions (T x F x B) over all devices, at least 1.
        size: (T, F).
    """

    num_frames: jax.Array
    mask: jax.Array
    count: jax.Array
    size: tuple[int, int] = flax.struct.field(pytree_node=False)


def valid_positions(
    num_frames: jax.Array, size: tuple[int, int], dtype: jnp.dtype, axis_name: str | None
) -> ValidPositions:
    """Those of utterances of `num_frames` `[B]` in an array of `size` (T, F)."""
    t, f = size
    valid = jnp.arange(t, dtype=num_frames.dtype)[:, None] < num_frames[None, :]
    valid = valid.astype(dtype)
    count = jnp.maximum(over_devices(jnp.sum(valid) * f, axis_name), 1)
    mask = jnp.broadcast_to(valid[None, :, None, :], (1, t, f, num_frames.shape[0]))
    return ValidPositions(num_frames=num_frames, mask=mask, count=count, size=(t, f))


def halved(valid: ValidPositions, axis_name: str | None) -> ValidPositions:
    """The positions after a stride of 2: output frame t stands at input frame 2 t."""
    t, f = valid.size
    size = (t + 1) // 2, (f + 1) // 2
    return valid_positions((valid.num_frames + 1) // 2, size, valid.mask.dtype, axis_name)
