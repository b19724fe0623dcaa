"""The scores of one system: UA, WA, F1 and the confusion matrix, each with its interval."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jax_ser_darts.scoring.bootstrap import SHARES, Estimate, bootstrap, estimate, estimate_shares, make_table
from jax_ser_darts.scoring.confusion import METRICS, metrics_of
from jax_ser_darts.scoring.predictions import Predictions

Unit = Literal["utterance", "speaker"]
FEW_SPEAKERS = 10  # below, intervals that draw speakers are too narrow


@dataclasses.dataclass(frozen=True)
class Scores:
    """The metrics of one set of predictions.

    Attributes:
        classes: names of the classes, the order of rows and columns.
        ua, wa, f1: the metrics; `ua` and `f1` are means over the classes that occur in the truth.
        confusion: counts; rows are the truth, columns the prediction.
        shares: the confusion matrix with each row divided by its sum (the diagonal holds the recalls); None
            in the row of a class without utterances.
        speakers: how many speakers.
        unit: what the bootstrap drew: "utterance" or "speaker".
        level, resamples, seed: of the bootstrap.
        warnings: what a reader of the metrics has to know.
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
        estimates = {name: Estimate(**saved[name]) for name in METRICS}
        tables = {
            "confusion": tuple(map(tuple, saved["confusion"])),
            "shares": tuple(tuple(cell and Estimate(**cell) for cell in row) for row in saved["shares"]),
        }
        names = {name: tuple(saved[name]) for name in ("classes", "warnings")}
        return cls(**{**saved, **estimates, **tables, **names})


def score(
    predictions: Predictions,
    *,
    unit: Unit = "utterance",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Scores:
    """Scores one set of predictions, e.g. of the test part of one fold.

    The intervals are percentile bootstrap intervals. Utterances of one speaker resemble each other, so
    drawing whole speakers is the honest resampling: it answers "how else could it have come out, with other
    speakers?" But a fold tests about two, and two speakers give no more than three different draws. So one
    fold draws utterances, and its interval holds for these speakers only; `pool`, with all speakers of the
    corpus, draws speakers.

    Args:
        predictions: for the utterances, each once.
        unit: what is drawn with replacement: "utterance", or "speaker" with all its utterances.
        level: of the intervals.
        resamples: how many draws.
        seed: of the draws.
    """
    classes, speakers = len(predictions.classes), sorted(set(predictions.speakers))
    table = make_table({(0, 0): [predictions]}, speakers)
    confusion = table.sum(axis=(0, 1, 2))
    if unit == "speaker":
        units, sizes = table, None
    elif unit == "utterance":
        # Utterances of one cell of the confusion matrix are equal: drawing them is drawing their cell.
        units, sizes = np.eye(classes**2, dtype=int).reshape(1, 1, -1, classes, classes), confusion.ravel()
    else:
        raise ValueError(f"unit = {unit!r}: the bootstrap draws by 'utterance' or by 'speaker'.")
    (draws,) = bootstrap({"": units}, resamples=resamples, seed=seed, sizes=sizes).values()
    metrics = metrics_of(confusion)
    return Scores(
        classes=tuple(predictions.classes),
        **{name: estimate(float(metrics[name]), draws[name], level) for name in METRICS},
        confusion=tuple(map(tuple, confusion.tolist())),
        shares=estimate_shares(confusion, draws[SHARES], level),
        speakers=len(speakers),
        unit=unit,
        level=level,
        resamples=resamples,
        seed=seed,
        warnings=_warnings(predictions.classes, confusion, len(speakers) if unit == "speaker" else None),
    )


def pool(folds: Sequence[Predictions], *, unit: Unit = "speaker", **options: Any) -> Scores:
    """Scores the union of the folds, see `Predictions.join` for its errors.

    Args:
        folds: the predictions of each fold.
        unit: what the bootstrap draws; speakers, see `score`. Below FEW_SPEAKERS the result carries a warning.
        **options: `level`, `resamples`, `seed` of `score`.
    """
    return score(Predictions.join(folds), unit=unit, **options)


def absent_classes(classes: Sequence[str], confusion: np.ndarray) -> list[str]:
    """Names of the classes without an utterance in counts `[truth, prediction]`."""
    return [name for name, row in zip(classes, confusion, strict=True) if not row.sum()]


def absent_warning(classes: Sequence[str], absent: Sequence[str]) -> str:
    """That UA and F1 are not over all classes."""
    return f"UA and F1 are over {len(classes) - len(absent)} classes: no utterance of {', '.join(absent)}"


def _warnings(classes: Sequence[str], confusion: np.ndarray, speakers: int | None) -> tuple[str, ...]:
    warnings = []
    if absent := absent_classes(classes, confusion):
        warnings.append(absent_warning(classes, absent))
    if speakers is not None and speakers < FEW_SPEAKERS:
        warnings.append(f"the intervals are too narrow: they draw only {speakers} speaker(s)")
    return tuple(warnings)
