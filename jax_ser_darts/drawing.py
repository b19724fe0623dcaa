"""Cells as graphs: where each node's input comes from, and through which operation."""

import pathlib

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from jax_ser_darts.search_space.genotype import Genotype, source_name

FORMATS = (".png", ".svg", ".pdf")
COLOURS = {"input": "#dfe8f5", "node": "#fdf1d6", "output": "#e2f0df"}
BEND, ASPECT = 0.16, 1.43
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
        for turn, edge in enumerate(edges):
            _arrow(ax, places[edge.source], places[2 + i], edge.operation, turn)
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


def _arrow(ax, start, end, label, turn=0):
    """Straight between the two rows; along one row it bends outwards. Labels stand near the end, off the crossings."""
    (x0, y0), (x1, y1) = start, end
    bend = BEND * np.sign(-y0) if label and y0 == y1 else 0.0
    ax.annotate(
        "",
        xy=end,
        xytext=start,
        zorder=1,
        arrowprops={
            "arrowstyle": "-|>",
            "color": "0.35" if label else "0.8",
            "shrinkA": 14,
            "shrinkB": 14,
            "connectionstyle": f"arc3,rad={bend}",
        },
    )
    share = 0.5 if bend else 0.8 - 0.15 * turn
    # An arc's middle is half its bend off the chord; a unit of x is drawn longer than one of y.
    ax.text(
        x0 + share * (x1 - x0),
        y0 + share * (y1 - y0) - bend / 2 * ASPECT * (x1 - x0),
        label,
        ha="center",
        va="center",
        fontsize=8,
        zorder=3,
        bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.85} if label else None,
    )
