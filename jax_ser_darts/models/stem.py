"""The first layer of supernet and discrete network: from features to maps."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ser_darts.models.initialise import drawn
from jax_ser_darts.ops.backend import Backend
from jax_ser_darts.ops.masks import ValidPositions
from jax_ser_darts.ops.primitives import pointwise

CONV, PROJECT = STEMS = ("conv", "project")


def arranged(features: jax.Array, stem: str) -> jax.Array:
    """`[B, T, F]` as one map of T and F, `[1, T, F, B]`; for PROJECT as F maps of T, `[F, T, 1, B]`."""
    return features.transpose(2, 1, 0)[:, :, None] if stem == PROJECT else features.transpose(1, 2, 0)[None]


def first_maps(
    module: nn.Module,
    x: jax.Array,
    before: ValidPositions,
    after: ValidPositions,
    *,
    stem: str,
    channels: int,
    backend: Backend,
    dtype: jnp.dtype,
) -> jax.Array:
    """A 3x3 convolution of one map, or a projection of each frame; `[C, T, F, B]` -> `[channels, T', F', B]`.

    Args:
        module: whose param the weights are.
        x: see `arranged`.
        before, after: positions of x and of the output.
        stem: CONV or PROJECT.
        channels, backend, dtype: of the module.
    """
    if stem == PROJECT:
        return pointwise(x, module.param("project", drawn, (x.shape[0], channels), dtype))
    stride = 1 if before.size == after.size else 2
    w = module.param("depthwise", drawn, (channels, 3, 3), dtype)
    (y,) = backend.depthwise(backend.pad(x, 1, stride), (w,), (1,), after.size)
    return y
