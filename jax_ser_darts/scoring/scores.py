"""Predictions of a system -> UA, WA, F1 and the confusion matrix, each with a bootstrap interval.

UA (unweighted accuracy) is the mean of the recalls of the classes, WA (weighted accuracy) the share of right
answers, F1 the mean of the classes' F1. All three follow from the confusion matrix alone, so that a bootstrap
resample is a resampled confusion matrix, and thousands of them are one array [resamples, truth, answer].
"""

import collections
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jax_ser_darts.errors import UserError

Unit = Literal["utterance", "speaker"]
_FEW_SPEAKERS = 10


class ScoreError(UserError):
    """These answers cannot be scored; the message names the utterances."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a system answered to a set of utterances, in any order; checked when made.

    Attributes:
        ids: names of the utterances, each once.
        labels: the true classes, ints in [0, len(classes)).
        predictions: the answered classes, ints in [0, len(classes)).
        speakers: who speaks.
        classes: names of the classes.

    Raises:
        ScoreError: no utterance, a repeated id, a missing prediction (None, or negative), a number that is no
            class, or columns of different lengths.
    """

    ids: Sequence[str]
    labels: Sequence[int]
    predictions: Sequence[int]
    speakers: Sequence[str]
    classes: Sequence[str]

    def __post_init__(self):
        columns = {field: len(getattr(self, field)) for field in ("ids", "labels", "predictions", "speakers")}
        if len(set(columns.values())) > 1:
            raise ScoreError(
                f"The columns have different lengths: {columns}; give one of each per utterance."
            )
        if not len(self.ids):
            raise ScoreError("There is nothing to score: no utterance.")
        repeated = [name for name, times in collections.Counter(self.ids).items() if times > 1]
        if repeated:
            raise ScoreError(f"{_some(repeated)} counted more than once; score every utterance exactly once.")
        missing = [
            name
            for name, answer in zip(self.ids, self.predictions, strict=True)
            if answer is None or answer < 0
        ]
        if missing:
            raise ScoreError(f"{_some(missing)} without a prediction; predict every utterance of the split.")
        for column in ("labels", "predictions"):
            values = getattr(self, column)
            known = range(len(self.classes))
            strange = [f"{name} ({x})" for name, x in zip(self.ids, values, strict=True) if x not in known]
            if strange:
                raise ScoreError(
                    f"{_some(strange)} in `{column}` not among the classes 0..{len(self.classes) - 1} = "
                    f"{list(self.classes)}."
                )

    def to_json(self) -> dict[str, Any]:
        """A dict that JSON can hold."""
        return {
            "classes": list(self.classes),
            "ids": [str(name) for name in self.ids],
            "labels": [int(label) for label in self.labels],
            "predictions": [int(answer) for answer in self.predictions],
            "speakers": [str(speaker) for speaker in self.speakers],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Predictions":
        """What `to_json` wrote; checked again."""
        return cls(**saved)


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the ends of its interval, all as fractions of 1."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation, over folds or draws; the deviation of one alone is None."""

    mean: float
    std: float | None

    def __str__(self) -> str:
        """0.512 (0.031), without brackets where there is no deviation."""
        return f"{self.mean:.3f}" + ("" if self.std is None else f" ({self.std:.3f})")


@dataclasses.dataclass(frozen=True)
class Scores:
    """The figures of one set of answers.

    Attributes:
        classes: names of the classes, the order of rows and columns.
        ua, wa, f1: the figures; `ua` and `f1` are means over the classes that occur in the truth.
        confusion: counts; rows are the truth, columns the answer.
        shares: the confusion matrix with each row divided by its sum (the diagonal holds the recalls); None
            in the row of a class without utterances.
        speakers: how many speakers.
        unit: what the bootstrap drew: "utterance" or "speaker".
        level, resamples, seed: of the bootstrap.
        warnings: what a reader of the figures has to know.
    """

    classes: tuple[str, ...]
    ua: Estimate
    wa: Estimate
    f1: Estimate
    confusion: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[Estimate | None, ...], ...]
    speakers: int
    unit: Unit
    level: float
    resamples: int
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many utterances."""
        return sum(map(sum, self.confusion))

    def to_json(self) -> dict[str, Any]:
        """A dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Scores":
        """What `to_json` wrote, before or after JSON."""
        estimates = {figure: Estimate(**saved[figure]) for figure in ("ua", "wa", "f1")}
        tables = {
            "confusion": tuple(map(tuple, saved["confusion"])),
            "shares": tuple(tuple(cell and Estimate(**cell) for cell in row) for row in saved["shares"]),
        }
        names = {field: tuple(saved[field]) for field in ("classes", "warnings")}
        return cls(**{**saved, **estimates, **tables, **names})


def score(
    answers: Predictions,
    *,
    unit: Unit = "utterance",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Scores:
    """Scores one set of answers, e.g. of the test part of one fold.

    The intervals are percentile bootstrap intervals. Utterances of one speaker resemble each other, so
    drawing whole speakers is the honest resampling: it answers "how else could it have come out, with other
    speakers?" But a fold tests about two, and two speakers give no more than three different draws. So one
    fold draws utterances, and its interval holds for these speakers only; `pool`, with all speakers of the
    corpus, draws speakers.

    Args:
        answers: the utterances, each once.
        unit: what is drawn with replacement: "utterance", or "speaker" with all its utterances.
        level: of the intervals.
        resamples: how many draws.
        seed: of the draws.
    """
    classes = len(answers.classes)
    labels, predictions = np.asarray(answers.labels, np.int64), np.asarray(answers.predictions, np.int64)
    cell = labels * classes + predictions
    speakers, speaker = np.unique(np.asarray(answers.speakers), return_inverse=True)
    table = np.zeros((len(speakers), classes * classes), np.int64)
    np.add.at(table, (speaker, cell), 1)
    counts = table.sum(axis=0)

    rng = np.random.default_rng(seed)
    if unit == "utterance":
        # Drawing n utterances with replacement is drawing their cells of the confusion matrix.
        draws = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    elif unit == "speaker":
        draws = (
            rng.multinomial(len(speakers), np.full(len(speakers), 1 / len(speakers)), size=resamples) @ table
        )
    else:
        raise ValueError(f"unit = {unit!r}: the bootstrap draws by 'utterance' or by 'speaker'.")

    confusion = counts.reshape(classes, classes)
    values = metrics_of(confusion)
    tails = [(1 - level) / 2, (1 + level) / 2]
    intervals = {}
    for name, drawn in metrics_of(draws.reshape(resamples, classes, classes)).items():
        # A draw without the class says nothing of its recall; a class without utterances has none.
        intervals[name] = np.nanquantile(np.where(np.isnan(values[name]), 0.0, drawn), tails, axis=0)

    def estimate(name: str, *at: int) -> Estimate | None:
        value, (low, high) = values[name][at], intervals[name][(slice(None), *at)]
        return None if np.isnan(value) else Estimate(float(value), float(low), float(high))

    absent = [name for name, row in zip(answers.classes, confusion, strict=True) if not row.sum()]
    warnings = []
    if absent:
        warnings.append(
            f"UA and F1 are over {classes - len(absent)} classes: no utterance of {', '.join(absent)}"
        )
    if unit == "speaker" and len(speakers) < _FEW_SPEAKERS:
        warnings.append(f"the intervals are too narrow: they draw only {len(speakers)} speaker(s)")
    return Scores(
        classes=tuple(answers.classes),
        ua=estimate("ua"),
        wa=estimate("wa"),
        f1=estimate("f1"),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        shares=tuple(tuple(estimate("shares", i, j) for j in range(classes)) for i in range(classes)),
        speakers=len(speakers),
        unit=unit,
        level=level,
        resamples=resamples,
        seed=seed,
        warnings=tuple(warnings),
    )


def pool(folds: Sequence[Predictions], *, unit: Unit = "speaker", **options: Any) -> Scores:
    """Scores the union of the folds: every utterance counts once, with the answer of the fold that tested it.

    Args:
        folds: the answers of each fold.
        unit: what the bootstrap draws; speakers, see `score`. Below 10 speakers the result carries a warning.
        **options: `level`, `resamples`, `seed` of `score`.

    Raises:
        ScoreError: no fold, folds with different classes, or an utterance in two folds; names the utterances.
    """
    if not folds:
        raise ScoreError("There is nothing to score: no fold.")
    classes = {tuple(fold.classes) for fold in folds}
    if len(classes) > 1:
        raise ScoreError(f"The folds have different classes: {sorted(classes)}.")
    columns = {
        column: [value for fold in folds for value in getattr(fold, column)]
        for column in ("ids", "labels", "predictions", "speakers")
    }
    return score(Predictions(**columns, classes=folds[0].classes), unit=unit, **options)


def over_folds(scores: Sequence[Scores]) -> dict[str, Spread]:
    """Mean and standard deviation (n - 1) of the folds' figures: {"ua": ..., "wa": ..., "f1": ...}."""
    if not scores:
        raise ScoreError("There is no fold to average over.")
    return {name: _spread([getattr(fold, name).value for fold in scores]) for name in ("ua", "wa", "f1")}


def over_means(groups: Sequence[Sequence[Scores]]) -> dict[str, Spread]:
    """Mean and standard deviation (n - 1) over groups, each the mean of its figures: {"ua": ..., "wa": ..., "f1": ...}.

    Args:
        groups: such as the trainings of each system that was drawn, or the systems of each fold.
    """
    return {
        name: _spread([statistics.fmean(getattr(one, name).value for one in of) for of in groups])
        for name in ("ua", "wa", "f1")
    }


def table(
    rows: Mapping[str, Scores],
    *,
    averages: Mapping[str, Mapping[str, Spread]] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Scores by name as text: aligned columns, intervals in brackets, warnings and the bootstrap below.

    Args:
        rows: name -> scores.
        averages: further rows, of `over_means`: name -> figure -> mean, with its deviation in round brackets.
        columns: further columns: title -> name of a row -> what stands there.
    """
    averages, columns = averages or {}, columns or {}

    def show(figure: Estimate) -> str:
        return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"

    lines = [["name", "n", "UA", "WA", "F1"]]
    lines += [[name, str(of.n), show(of.ua), show(of.wa), show(of.f1)] for name, of in rows.items()]
    lines += [
        [name, "", *(str(of[figure]) for figure in ("ua", "wa", "f1"))] for name, of in averages.items()
    ]
    for title, of in columns.items():
        lines[0].append(title)
        for line in lines[1:]:
            line.append(of.get(line[0], ""))
    warned = collections.defaultdict(list)
    for name, of in rows.items():
        for warning in of.warnings:
            warned[warning].append(name)
    notes = [
        f"{'all' if len(names) == len(rows) > 1 else ', '.join(names)}: {warning}"
        for warning, names in warned.items()
    ]
    notes += dict.fromkeys(_bootstrap_note(of) for of in rows.values())  # an ordered set: most share one
    return "\n".join([*_aligned(lines, left=1), *notes])


def confusion_table(scores: Scores) -> str:
    """The confusion matrix as text: a row for each true class, cells in per cent of it with intervals."""

    def show(cell: Estimate | None) -> str:
        return (
            "-" if cell is None else f"{100 * cell.value:.0f} [{100 * cell.low:.0f}, {100 * cell.high:.0f}]"
        )

    lines = [["truth \\ answer, %", "n", *scores.classes]]
    for name, counts, cells in zip(scores.classes, scores.confusion, scores.shares, strict=True):
        lines.append([name, str(sum(counts)), *map(show, cells)])
    return "\n".join([*_aligned(lines, left=1), *scores.warnings, _bootstrap_note(scores)])


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def metrics_of(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Confusion matrices [..., truth, answer] -> ua, wa, f1 [...] and shares [..., truth, answer].

    UA and F1 are over the classes that have utterances; NaN stands for a share of nothing.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    truths, answers = confusion.sum(axis=-1), confusion.sum(axis=-2)
    present = truths > 0
    at_least_one = np.maximum(truths, 1)

    def mean(of_class: np.ndarray) -> np.ndarray:
        return np.sum(of_class * present, axis=-1) / np.maximum(present.sum(axis=-1), 1)

    return {
        "ua": mean(right / at_least_one),
        "wa": right.sum(axis=-1) / np.maximum(truths.sum(axis=-1), 1),
        "f1": mean(2 * right / np.maximum(truths + answers, 1)),
        "shares": np.where(present[..., None], confusion / at_least_one[..., None], np.nan),
    }


def _aligned(lines: Sequence[Sequence[str]], *, left: int) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    pad = [str.ljust] * left + [str.rjust] * (len(widths) - left)
    rows = ["  ".join(to(*cell) for to, *cell in zip(pad, line, widths, strict=True)) for line in lines]
    return [rows[0], "-" * len(rows[0]), *rows[1:]]


def _bootstrap_note(scores: Scores) -> str:
    return (
        f"[{100 * scores.level:g} % intervals: bootstrap over {scores.unit}s, {scores.resamples} resamples]"
    )


def _some(names: Sequence[Any], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} utterance(s): {', '.join(map(str, names[:most]))}{more}:"
