"""Cells as graphs: where each node's input comes from, and through which operation."""

import pathlib

import matplotlib
from matplotlib.figure import Figure

from jax_ser_darts.search_space.genotype import Genotype, source_name

FORMATS = (".png", ".svg", ".pdf")
COLOURS = {"input": "#dfe8f5", "node": "#fdf1d6", "output": "#e2f0df"}
SPREAD = 2.2  # between nodes, in the width of about two labels


def draw(genotype: Genotype, path: str | pathlib.Path, title: str = "") -> None:
    """Draws all cells of a genotype, one below the other.

    Inputs (the outputs of the two cells before, c-2 and c-1) stand on the left, nodes in their order, the
    cell's output, to which all nodes go, on the right.

    Args:
        genotype: what is drawn.
        path: PNG, SVG or PDF, by its name.
        title: above it all.

    Raises:
        ValueError: the name ends in something else.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: drawings end in {', '.join(FORMATS)}")
    widest = max(len(getattr(genotype, cell)) for cell in genotype.cells)
    height = 3.0 * len(genotype.cells) + (0.4 if title else 0.0)
    figure = Figure(figsize=(4.0 + 2.2 * widest, height), layout="constrained")
    if title:
        figure.suptitle(title)
    axes = figure.subplots(len(genotype.cells), squeeze=False)[:, 0]
    for ax, cell in zip(axes, genotype.cells, strict=True):
        _draw_cell(ax, getattr(genotype, cell), f"{cell} cell")
    path.parent.mkdir(parents=True, exist_ok=True)
    # No date and no random ids: the same genotype gives the same file.
    with matplotlib.rc_context({"svg.hashsalt": "cells", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)


def _draw_cell(ax, nodes, title):
    places = {0: (0.0, 1.0), 1: (0.0, -1.0)}
    for i in range(len(nodes)):
        places[2 + i] = (SPREAD * (i + 1), 1.0 if i % 2 == 0 else -1.0)
    output = (SPREAD * (len(nodes) + 1), 0.0)
    for i, edges in enumerate(nodes):
        for edge in edges:
            _arrow(ax, places[edge.source], places[2 + i], edge.operation)
        _arrow(ax, places[2 + i], output, "")
    for source, place in places.items():
        _box(ax, place, source_name(source), COLOURS["input" if source < 2 else "node"])
    _box(ax, output, "output", COLOURS["output"])
    ax.set_title(title, loc="left")
    ax.set_xlim(-0.6, output[0] + 0.7)
    ax.set_ylim(-2.0, 2.0)
    ax.axis("off")


def _box(ax, place, text, colour):
    ax.text(
        *place,
        text,
        ha="center",
        va="center",
        zorder=4,
        bbox={"boxstyle": "round", "fc": colour, "ec": "0.3"},
    )


def _arrow(ax, start, end, label):
    """Straight between the two rows; along one row it bends outwards, the further the longer."""
    (x0, y0), (x1, y1) = start, end
    length = (x1 - x0) / SPREAD
    bend = 0.0 if y0 != y1 or not label else (-0.12 if y0 > 0 else 0.12) * min(length, 3)
    ax.annotate(
        "",
        xy=end,
        xytext=start,
        zorder=1,
        arrowprops={
            "arrowstyle": "-|>",
            "color": "0.35" if label else "0.75",
            "shrinkA": 14,
            "shrinkB": 14,
            "connectionstyle": f"arc3,rad={bend}",
        },
    )
    if label:
        # Off the middle, so that labels of crossing arrows stand apart; an arc is half its bend away from the chord.
        share = 0.5 if bend else 0.36
        x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        ax.text(
            x,
            y - bend * (x1 - x0) / 2,
            label,
            ha="center",
            va="center",
            fontsize=8,
            zorder=3,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.85},
        )
