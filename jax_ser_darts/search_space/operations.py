"""The candidate operations of a CNN cell: those of the original paper, by their DARTS names.

Source: Liu, Simonyan, Yang (2019), DARTS, section 3.1; Rajapakshe et al. (2023) use the same eight.
"""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A (ReLU, depthwise k x k, pointwise, BN) stage, once or twice.

    Attributes:
        kernel: k, odd.
        dilation: of the depthwise kernel.
        stages: 2 for the separable convolutions, 1 for the dilated ones.
    """

    kernel: int
    dilation: int
    stages: int

    @property
    def pad(self) -> int:
        """Zeros needed on each side to keep the size."""
        return self.dilation * (self.kernel // 2)


NONE, MAX_POOL, AVG_POOL, SKIP = "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"
CONVOLUTIONS = {
    "sep_conv_3x3": Convolution(kernel=3, dilation=1, stages=2),
    "sep_conv_5x5": Convolution(kernel=5, dilation=1, stages=2),
    "dil_conv_3x3": Convolution(kernel=3, dilation=2, stages=1),
    "dil_conv_5x5": Convolution(kernel=5, dilation=2, stages=1),
}
OPERATIONS = (MAX_POOL, AVG_POOL, SKIP, *CONVOLUTIONS, NONE)


def check_operations(operations: Sequence[str]) -> tuple[str, ...]:
    """The operations as a tuple.

    Raises:
        ValueError: for an unknown or repeated name, or where nothing but `none` could be chosen.
    """
    unknown = [name for name in operations if name not in OPERATIONS]
    if unknown:
        raise ValueError(f"unknown operations {unknown}; there are {', '.join(OPERATIONS)}")
    if len(set(operations)) != len(operations):
        raise ValueError(f"an operation is named twice: {', '.join(operations)}")
    if not set(operations) - {NONE}:
        raise ValueError("a search space needs at least one operation besides 'none'")
    return tuple(operations)
