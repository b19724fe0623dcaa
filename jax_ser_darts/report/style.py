"""Colours that read on white and on black, and a figure as text for the page, or as files beside it."""

import contextlib
import io
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from jax_ser_darts.files import writing

TEXT, LINE, MUTED = "#1f2329", "#d5d9df", "#848d97"  # on the page TEXT and LINE become the theme's
ACCENT = "#3d7fc4"
COLOURS = ("#3d7fc4", "#dd8320", "#2a9d7f", "#9b6dd0", "#d4566a", "#7d8690", "#b3892b", "#3ba3b8", "#c465a8")
MARKERS = ("o", "D", "^", "s")
_OPERATIONS = (
    ("pool", "#b3741d"),
    ("skip", "#747d87"),
    ("dil", "#2a8f74"),
    ("conv", "#3d7fc4"),
    ("", "#8b62bf"),
)
_SETTINGS: dict[Any, Any] = {  # Matplotlib lists the keys in its types
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "jax_ser_darts",
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "axes.facecolor": "none",
}


def settings() -> contextlib.AbstractContextManager:
    """Matplotlib's settings while figures are drawn."""
    return matplotlib.rc_context(_SETTINGS)


def plain(text: str) -> str:
    """A name of others as a label: between two dollars Matplotlib would read mathematics."""
    return text.replace("$", r"\$")


def colours(names: Iterable[str]) -> dict[str, str]:
    """Name -> colour, the same in all figures; the first ones differ the most."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def markers(names: Iterable[str]) -> dict[str, str]:
    """Name -> marker of dots: another one where the colours begin again."""
    return {name: MARKERS[i // len(COLOURS) % len(MARKERS)] for i, name in enumerate(names)}


def operation_colour(operation: str) -> str:
    """Of an operation's family."""
    return next(colour for part, colour in _OPERATIONS if part in operation)


def save(figure: Figure, folder: pathlib.Path, name: str) -> str:
    """Writes NAME.svg and NAME.png, and returns the SVG to put into a page: in its theme's colours, of any width."""
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    png, svg = (folder / f"{name}.{kind}" for kind in ("png", "svg"))
    with writing(png):
        figure.savefig(png, dpi=160)
    with writing(svg):
        svg.write_text(text.getvalue())
    return inline(text.getvalue(), name)


def write(figure: Figure, path: pathlib.Path) -> None:
    """A file alone, PNG, SVG or PDF by its name; the same figure gives the same file."""
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    with writing(path):
        figure.savefig(path, dpi=160, metadata=metadata)


def inline(svg: str, name: str) -> str:
    """An SVG file's text as an element of a page: no background, no fixed size, no ids that another figure has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head, rest = svg.split(">", 1)
    width = re.search(r'width="([\d.]+)pt"', head)
    assert width is not None  # Matplotlib's have one
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    head += (
        f' role="img" aria-label="{name.replace("_", " ")}" style="max-width:{float(width[1]) * 4 / 3:.0f}px"'
    )
    rest = re.sub(r'<g id="patch_1">.*?</g>', "", rest, count=1, flags=re.DOTALL)  # the figure's background
    rest = rest.replace(TEXT, "currentColor").replace(LINE, "var(--line)")
    rest = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", rest)
    return f"{head}>{rest}"
