"""The implementations of the supernet's operations: FAST, its VALUES alone, and the PLAIN one that checks it."""

import dataclasses
from collections.abc import Callable

from jax_ser_darts.ops import batch_norm, depthwise, pooling


@dataclasses.dataclass(frozen=True)
class Backend:
    """One implementation of each operation; see depthwise.py, pooling.py and batch_norm.py for what they compute."""

    pad: Callable
    depthwise: Callable
    max_pool: Callable
    mixture: Callable
    normalised_relu: Callable

    @property
    def values(self) -> "Backend":
        """The same operations in a form that can be differentiated forward, whatever it costs in reverse."""
        return VALUES if self is FAST else self


FAST = Backend(
    pad=depthwise.pad,
    depthwise=depthwise.depthwise,
    max_pool=pooling.max_pool,
    mixture=batch_norm.mixture,
    normalised_relu=batch_norm.normalised_relu,
)
VALUES = Backend(
    pad=depthwise.pad,
    depthwise=depthwise.depthwise_value,
    max_pool=pooling.max_pool_value,
    mixture=batch_norm.mixture_value,
    normalised_relu=batch_norm.normalised_relu_value,
)
PLAIN = Backend(
    pad=depthwise.pad_plain,
    depthwise=depthwise.depthwise_plain,
    max_pool=pooling.max_pool_plain,
    mixture=batch_norm.mixture_plain,
    normalised_relu=batch_norm.normalised_relu_plain,
)
