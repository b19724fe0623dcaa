"""The implementations of the networks' operations, and the one place that chooses between them."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_ser_darts.ops import batch_norm, depthwise, pooling
from jax_ser_darts.ops.masks import ValidPositions
from jax_ser_darts.search_space.operations import MAX, Pooling


@dataclasses.dataclass(frozen=True)
class Backend:
    """One implementation of each operation; see depthwise.py, pooling.py and batch_norm.py for what they compute."""

    pad: Callable
    depthwise: Callable
    max_pool: Callable
    mixture: Callable
    normalised_relu: Callable

    def normalise(self, y: jax.Array, valid: ValidPositions, axis_name: str | None) -> jax.Array:
        """Batch normalisation without an affine part of `[C, T, F, B]`, zero on padding."""
        return self.mixture((y,), (), jnp.ones(1, y.dtype), valid, axis_name)

    def pool(
        self, spec: Pooling, x: jax.Array, stride: int, before: ValidPositions, after: ValidPositions
    ) -> jax.Array:
        """The largest, or the mean, of the valid positions of each window.

        Args:
            spec: which of them, and the window.
            x: `[C, T, F, B]`, zero on padding.
            stride: 1 or 2.
            before, after: of x and of the output.

        Returns:
            `[C, T', F', B]`, zero on padding.
        """
        if spec.kind == MAX:
            return pooling.on_valid(
                self.max_pool(x, before.mask, spec.window, stride, after.size), after.mask
            )

        def total(y):
            ones = jnp.ones((y.shape[0], spec.window, spec.window), y.dtype)
            return self.depthwise(self.pad(y, spec.window // 2, stride), (ones,), (1,), after.size)[0]

        return total(x) / jnp.maximum(total(before.mask), 1) * after.mask


# Written for this job: fast on a CPU. Each can be differentiated in reverse, and then forward.
CUSTOM = Backend(
    pad=depthwise.pad,
    depthwise=depthwise.depthwise,
    max_pool=pooling.max_pool,
    mixture=batch_norm.mixture,
    normalised_relu=batch_norm.normalised_relu,
)
# XLA's own operations and autodiff: the oracle of the tests, and what other tools can read.
REFERENCE = Backend(
    pad=depthwise.pad_reference,
    depthwise=depthwise.depthwise_reference,
    max_pool=pooling.max_pool_reference,
    mixture=batch_norm.mixture_reference,
    normalised_relu=batch_norm.normalised_relu_reference,
)


def choose(custom_kernels: bool) -> Backend:
    """The implementation that a setting asks for, the same on every platform so far."""
    return CUSTOM if custom_kernels else REFERENCE
