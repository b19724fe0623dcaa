"""Scores as aligned text."""

import collections
from collections.abc import Mapping, Sequence

from jax_ser_darts.scoring.bootstrap import Estimate
from jax_ser_darts.scoring.scores import Scores

Table = list[list[str]]  # rows of cells, the first of them the head
UNKNOWN = "-"


def aligned(table: Table) -> str:
    """The first column to the left, the others to the right, a line below the head."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def interval(estimate: Estimate | None, digits: int = 3, sign: str = "") -> str:
    """0.512 [0.430, 0.594]."""
    if estimate is None:
        return UNKNOWN
    value, low, high = (f"{x:{sign}.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def confusion_rows(
    classes: Sequence[str], confusion: Sequence[Sequence[int]], shares: Sequence[Sequence[Estimate | None]]
) -> Table:
    """A confusion matrix: a row for each true class, how many utterances it has, cells in per cent of them.

    Args:
        classes: names.
        confusion: counts `[truth, prediction]`.
        shares: the same as shares of the truth, see `Scores`.
    """

    def percent(share: Estimate | None) -> str:
        return interval(share and Estimate(100 * share.value, 100 * share.low, 100 * share.high), digits=0)

    head = ["truth \\ prediction, %", "n", *classes]
    return [
        head,
        *(
            [name, str(sum(counts)), *map(percent, cells)]
            for name, counts, cells in zip(classes, confusion, shares, strict=True)
        ),
    ]


def score_table(rows: Mapping[str, Scores]) -> str:
    """Scores by name: intervals in brackets, warnings and the bootstrap below."""
    table = [["name", "n", "UA", "WA", "F1"]]
    table += [
        [name, str(scores.n), *map(interval, (scores.ua, scores.wa, scores.f1))]
        for name, scores in rows.items()
    ]
    warned = collections.defaultdict(list)
    for name, scores in rows.items():
        for warning in scores.warnings:
            warned[warning].append(name)
    notes = [
        f"{'all' if len(names) == len(rows) > 1 else ', '.join(names)}: {warning}"
        for warning, names in warned.items()
    ]
    notes += dict.fromkeys(
        _bootstrap_note(scores) for scores in rows.values()
    )  # an ordered set: most share one
    return "\n".join([aligned(table), *notes])


def confusion_table(scores: Scores) -> str:
    """The confusion matrix, warnings and the bootstrap below."""
    rows = confusion_rows(scores.classes, scores.confusion, scores.shares)
    return "\n".join([aligned(rows), *scores.warnings, _bootstrap_note(scores)])


def _bootstrap_note(scores: Scores) -> str:
    return (
        f"[{100 * scores.level:g} % intervals: bootstrap over {scores.unit}s, {scores.resamples} resamples]"
    )
