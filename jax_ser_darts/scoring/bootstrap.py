"""The bootstrap of all intervals: speakers, search seeds and training seeds are drawn with replacement.

It starts from a method's `table`, counts `[R, S, U, K, K]`: search seeds (1 where nothing is searched), training
seeds, test speakers, truth, prediction. Speakers are those of all folds, each with the predictions of the fold that
tests them. A resample is a resampled confusion matrix, so thousands of them are one array.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jax_ser_darts.scoring.confusion import METRICS, metrics_of, shares_of
from jax_ser_darts.scoring.predictions import Predictions

SHARES = "shares"  # of a method's draws: confusion matrices as shares of the truth


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A metric and the ends of its interval, all as fractions of 1."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """A dict that JSON can hold."""
        return {"value": self.value, "low": self.low, "high": self.high}


def make_table(
    predictions: Mapping[tuple[int, int], Sequence[Predictions]], speakers: Sequence[str]
) -> np.ndarray:
    """A method's table, see the module.

    Args:
        predictions: (index of the search seed, index of the training seed) -> predictions of each fold.
        speakers: the order of the table's third axis.
    """
    shape = [1 + max(indices) for indices in zip(*predictions, strict=True)]
    place = {name: i for i, name in enumerate(speakers)}
    classes = len(next(iter(predictions.values()))[0].classes)
    table = np.zeros((*shape, len(speakers), classes, classes), np.int64)
    for seeds, folds in predictions.items():
        for fold in folds:
            counts = collections.Counter(zip(fold.speakers, fold.labels, fold.predictions, strict=True))
            for (speaker, label, prediction), times in counts.items():
                table[(*seeds, place[speaker], label, prediction)] += times
    return table


def means(table: np.ndarray) -> dict[str, float]:
    """UA, WA and F1 of the pooled speakers, averaged over the seeds."""
    metrics = metrics_of(table.sum(axis=2))
    return {name: float(metrics[name].mean()) for name in METRICS}


def bootstrap(
    tables: Mapping[str, np.ndarray], *, resamples: int, seed: int = 0, sizes: np.ndarray | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """How else it could have come out, with other speakers, other searches and other trainings.

    Each resample draws the speakers with replacement, the same ones for every method, so that differences are paired;
    then for each method its search seeds, and within each drawn one its training seeds. Of n seeds n - 1 are drawn (Rao
    and Wu 1988): with n, the few that there are would vary by (n - 1) / n of what they must, half of it with two. What
    there is one of is not drawn: an interval does not cover what was not repeated.

    Args:
        tables: method -> counts, see the module. All with the same speakers.
        resamples: how many.
        seed: of the draws.
        sizes: how many equal units each row of a table's third axis stands for, `[U]`; one speaker each by default.

    Returns:
        Method -> metric -> its draws `[resamples]`; SHARES -> `[resamples, K, K]`.
    """
    rng = np.random.default_rng(seed)
    units = next(iter(tables.values())).shape[2]
    sizes = np.ones(units, int) if sizes is None else sizes
    # As float64, which holds these counts exactly and multiplies them far faster than int64.
    times_drawn = rng.multinomial(sizes.sum(), sizes / sizes.sum(), size=resamples).astype(float)
    draws = {}
    for method, table in tables.items():
        searches, trainings, _, classes, _ = table.shape
        bootstrap_weights = np.zeros((resamples, searches, trainings))
        rows = np.arange(resamples)
        search_draws, training_draws = max(searches - 1, 1), max(trainings - 1, 1)
        for drawn in rng.integers(searches, size=(search_draws, resamples)):
            within = rng.multinomial(training_draws, np.full(trainings, 1 / trainings), size=resamples)
            bootstrap_weights[rows, drawn] += within / (search_draws * training_draws)
        by_unit = np.moveaxis(table, 2, 0).reshape(units, -1).astype(float)
        counts = (times_drawn @ by_unit).reshape(resamples, searches, trainings, classes**2)
        metrics = metrics_of(counts.reshape(*counts.shape[:3], classes, classes))
        draws[method] = {name: np.sum(metrics[name] * bootstrap_weights, axis=(1, 2)) for name in METRICS}
        pooled = np.einsum("nrs,nrsc->nc", bootstrap_weights, counts)
        draws[method][SHARES] = shares_of(pooled.reshape(resamples, classes, classes))
    return draws


def estimate(value: float, draws: np.ndarray, level: float) -> Estimate:
    """A value with the percentile interval of its draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))


def estimate_shares(
    confusion: np.ndarray, draws: np.ndarray, level: float
) -> tuple[tuple[Estimate | None, ...], ...]:
    """Shares of the truth with their intervals; None in the row of a class without utterances.

    A draw without a class says nothing of its recall, and is left out.

    Args:
        confusion: counts `[K, K]`.
        draws: of the shares, `[resamples, K, K]`, NaN for a share of nothing.
        level: of the intervals.
    """
    shares = shares_of(confusion)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.nanquantile(np.where(np.isnan(shares), 0.0, draws), tails, axis=0)
    cells = np.stack([shares, low, high], axis=-1).tolist()
    return tuple(tuple(None if np.isnan(cell[0]) else Estimate(*cell) for cell in row) for row in cells)
