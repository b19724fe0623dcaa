"""The two implementations of the supernet's operations: FAST, and the PLAIN one that checks it."""

import dataclasses
from collections.abc import Callable

from jax_ser_darts.models import normalisation, primitives


@dataclasses.dataclass(frozen=True)
class Backend:
    """One implementation of each operation; see primitives.py and normalisation.py for what they compute."""

    depthwise: Callable
    max_pool: Callable
    mixture: Callable


FAST = Backend(
    depthwise=primitives.depthwise, max_pool=primitives.max_pool, mixture=normalisation.mixture
)
PLAIN = Backend(
    depthwise=primitives.depthwise_plain,
    max_pool=primitives.max_pool_plain,
    mixture=normalisation.mixture_plain,
)
