"""Draws a cell of a genotype like a circuit: a row an operation, a rail a source.

Works on any cell that is a list of nodes, each a list of (operation, source): sources count the cell's inputs first,
then its nodes. A source's rail runs down from it; an operation takes it where there is a dot, and gives it to its node,
which adds. All nodes end in the output.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from jax_ser_darts.report import style

INPUTS = ("c-2", "c-1")
# Inches: an operation's width, the room between columns, a row's height, the room for a title.
_BOX, _GAP, _ROW, _TITLE = 1.62, 0.62, 0.5, 0.4


def draw(cell: Sequence[Sequence[tuple[str, int]]], *, inputs: Sequence[str] = INPUTS) -> Figure:
    """A figure of the cell."""
    return _figure([("", cell)], inputs)


def draw_all(cells: Mapping[str, Sequence[Sequence[tuple[str, int]]]]) -> Figure:
    """A figure of several cells, one below the other, each under its name."""
    return _figure([(f"{name} cell", cell) for name, cell in cells.items()], INPUTS)


def _figure(titled, inputs):
    sizes = [_size(cell, len(inputs)) for _, cell in titled]
    above = [_TITLE if title else 0.0 for title, _ in titled]
    width, height = max(w for w, _ in sizes), sum(h for _, h in sizes) + sum(above)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    top = 0.0
    for (title, cell), (cell_width, cell_height), room in zip(titled, sizes, above, strict=True):
        if title:
            axes.text(0.1, top + room / 2, title, color=style.TEXT, va="center", fontsize=11, weight="bold")
        _draw(axes, cell, inputs, top + room, cell_width)
        top += room + cell_height
    return figure


def _size(cell, rails):
    """Width and height of a cell's drawing, inches."""
    width = _left(rails) + len(cell) * (_BOX + _GAP) + 0.95
    return width, _ROW * (sum(map(len, cell)) + 0.3) + 0.42


def _left(rails):
    return 0.45 * rails + 0.25


def _draw(axes, cell, inputs, top, width):
    rails = len(inputs)
    left = _left(rails)
    rail_x = [0.3 + 0.45 * i for i in range(rails)]
    rail_y = [top + 0.3] * rails
    taken: list[list[float]] = [[] for _ in range(rails)]
    row_y, outputs = top + 0.55 + _ROW / 2, []
    for i, node in enumerate(cell):
        box_x = left + i * (_BOX + _GAP)
        node_x = box_x + _BOX + _GAP * 0.5
        ys = [row_y + k * _ROW for k in range(len(node))]
        node_y = sum(ys) / len(ys)
        for (operation, source), y in zip(node, ys, strict=True):
            taken[source].append(y)
            axes.plot([rail_x[source], box_x], [y, y], color=style.MUTED, lw=1.3, zorder=1)
            axes.plot(rail_x[source], y, "o", color=style.MUTED, ms=4, zorder=2)
            axes.add_patch(
                FancyBboxPatch(
                    (box_x, y - 0.155),
                    _BOX,
                    0.31,
                    boxstyle="round,pad=0,rounding_size=0.07",
                    fc=style.operation_colour(operation),
                    ec="none",
                    zorder=3,
                )
            )
            axes.text(
                box_x + _BOX / 2,
                y,
                operation,
                color="white",
                ha="center",
                va="center",
                fontsize=9.5,
                zorder=4,
            )
            axes.plot([box_x + _BOX, node_x], [y, y], color=style.MUTED, lw=1.3, zorder=1)
        axes.plot([node_x, node_x], [ys[0], ys[-1]], color=style.MUTED, lw=1.3, zorder=1)
        rail_x.append(node_x)
        rail_y.append(node_y)
        taken.append([])
        outputs.append((node_x, node_y))
        row_y = ys[-1] + _ROW
    for x, y, ends in zip(rail_x, rail_y, taken, strict=True):
        if ends:
            axes.plot([x, x], [y, max(ends)], color=style.MUTED, lw=1.3, zorder=1)
    for name, x, y in zip(inputs, rail_x, rail_y, strict=False):
        _badge(axes, x, y, name)
    end_x = width - 0.5
    for i, (x, y) in enumerate(outputs):
        axes.plot([x, end_x], [y, y], color=style.MUTED, lw=1.0, ls=(0, (4, 2)), zorder=0)
        axes.add_patch(Circle((x, y), 0.165, fc=style.ACCENT, ec="none", zorder=5))
        axes.text(x, y, str(i), color="white", ha="center", va="center", fontsize=9.5, zorder=6)
    ys = [y for _, y in outputs]
    axes.plot(
        [end_x, end_x], [min(ys) - 0.14, max(ys) + 0.14], color=style.TEXT, lw=4, solid_capstyle="round"
    )
    axes.text(end_x + 0.1, sum(ys) / len(ys), "out", color=style.TEXT, ha="left", va="center", fontsize=9.5)


def _badge(axes, x, y, text):
    axes.text(x, y, text, color=style.TEXT, ha="center", va="bottom", fontsize=9.5, zorder=6)
