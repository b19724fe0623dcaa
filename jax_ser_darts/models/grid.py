"""Where an activation is valid: the frames of each utterance, at each resolution."""

import flax.struct
import jax
import jax.numpy as jnp

from jax_ser_darts.models.batch_norm import count_valid, frame_mask


@flax.struct.dataclass
class Grid:
    """The positions of activations `[..., T, F, B]`.

    Attributes:
        num_frames: valid frames an utterance, `[B]`; 0 for an utterance that only fills the batch.
        mask: 1 on valid frames, `[1, T, 1, B]`.
        count: valid positions (T x F x B) over all devices.
        size: (T, F).
    """

    num_frames: jax.Array
    mask: jax.Array
    count: jax.Array
    size: tuple[int, int] = flax.struct.field(pytree_node=False)

    def pad(self, x: jax.Array, pad: int) -> jax.Array:
        """Zeros round T and F of `[..., T, F, B]`; activations are zero on padding frames already."""
        return jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(pad, pad), (pad, pad), (0, 0)])

    def pad_lowest(self, x: jax.Array, pad: int) -> jax.Array:
        """As `pad`, but padding frames and margin are the lowest number there is: never a maximum."""
        lowest = jnp.finfo(x.dtype).min
        inside = jnp.where(self.mask > 0, x, jnp.asarray(lowest, x.dtype))
        return jnp.pad(inside, [(0, 0), (pad, pad), (pad, pad), (0, 0)], constant_values=lowest)


def make_grid(num_frames: jax.Array, size: tuple[int, int], dtype: jnp.dtype, axis_name: str | None) -> Grid:
    """The grid of utterances of `num_frames` `[B]` in an array of `size` (T, F)."""
    mask = frame_mask(num_frames, size[0], dtype)
    return Grid(num_frames=num_frames, mask=mask, count=count_valid(mask, size[1], axis_name), size=size)


def halved(grid: Grid, axis_name: str | None) -> Grid:
    """The grid after a stride of 2: output frame t stands at input frame 2 t."""
    t, f = grid.size
    return make_grid((grid.num_frames + 1) // 2, ((t + 1) // 2, (f + 1) // 2), grid.mask.dtype, axis_name)
