"""Which CNN cells halve frames and coefficients."""

from collections.abc import Collection


def reduction_cells(cells: int, chosen: Collection[int] | None = None) -> frozenset[int]:
    """The chosen cells; None is at a third and two thirds of the depth (DARTS, section 3.1.1)."""
    return frozenset({cells // 3, 2 * cells // 3} if chosen is None else chosen)


def smallest_side(size: int, *, stem_stride: int, reductions: Collection[int]) -> int:
    """What the stem and the reductions leave of a side, rounded down."""
    return size // stem_stride // 2 ** len(reductions)
