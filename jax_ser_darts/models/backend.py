"""The two implementations of the supernet's operations: FAST, and the PLAIN one that checks it."""

import dataclasses
from collections.abc import Callable

from jax_ser_darts.models import batch_norm, primitives


@dataclasses.dataclass(frozen=True)
class Backend:
    """One implementation of each operation; see primitives.py and batch_norm.py for what they compute."""

    depthwise: Callable
    max_pool: Callable
    mixture: Callable


FAST = Backend(depthwise=primitives.depthwise, max_pool=primitives.max_pool, mixture=batch_norm.mixture)
PLAIN = Backend(
    depthwise=primitives.depthwise_plain,
    max_pool=primitives.max_pool_plain,
    mixture=batch_norm.mixture_plain,
)
