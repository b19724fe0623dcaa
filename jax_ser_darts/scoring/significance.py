"""Whether methods differ: paired tests, their correction, and variance components.

Everything starts from a method's `table` of counts, see bootstrap.py.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from jax_ser_darts.scoring.confusion import metrics_of

_SIGNS_AT_ONCE = 2**22  # 32 MiB as float64, however many clusters and permutations there are


def cluster_ua(table: np.ndarray, clusters: Sequence[str]) -> np.ndarray:
    """UA of each cluster of speakers, averaged over the seeds: `[clusters]`, in the order of their sorted names."""
    names, at = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((*table.shape[:2], len(names), *table.shape[3:]), table.dtype)
    np.add.at(np.moveaxis(sums, 2, 0), at, np.moveaxis(table, 2, 0))
    return metrics_of(sums)["ua"].mean(axis=(0, 1))


def sign_flips(differences: np.ndarray, *, permutations: int, seed: int = 0) -> np.ndarray:
    """Two-sided p-values of paired differences: their mean against its distribution under random signs.

    Exact where 2^clusters is at most `permutations`. If two methods are equally good, the difference of a speaker is as
    likely to have the other sign; nothing is assumed of its distribution, and speakers are independent of each other
    where utterances, folds' trainings and seeds are not: those are averaged before. So a p-value is of the networks
    that were trained, and not of other searches, trainings or draws. No p is below `smallest_p`, which is 1
    for a single cluster.

    Args:
        differences: `[pairs, clusters]`, of pairs of methods; all pairs get the same signs.
        permutations: how many signs are drawn for a cluster, where all would be more.
        seed: of the draws.

    Returns:
        `[pairs]`; those of scipy.stats.permutation_test, in memory that hangs on the number of clusters alone.
    """
    pairs, clusters = differences.shape
    exact = 2**clusters <= permutations
    observed = differences.mean(axis=1)
    rounding = (
        100 * np.finfo(float).eps * np.abs(differences).mean(axis=1)
    )  # means that differ by less are one
    below, above = np.zeros((2, pairs), np.int64)
    for signs in _all_signs(clusters) if exact else _drawn_signs(clusters, permutations, seed):
        means = signs @ differences.T / clusters
        below += np.count_nonzero(means <= observed + rounding, axis=0)
        above += np.count_nonzero(means >= observed - rounding, axis=0)
    own = 0 if exact else 1  # among all signs they are there already
    p = 2 * (np.minimum(below, above) + own) / ((2**clusters if exact else permutations) + own)
    return np.where(np.any(differences, axis=1), np.minimum(p, 1.0), 1.0)


def _all_signs(clusters: int) -> Iterator[np.ndarray]:
    """Every row of `clusters` signs once, in blocks `[rows, clusters]`."""
    for numbers in _blocks(2**clusters, clusters):
        yield 1.0 - 2.0 * (numbers[:, None] >> np.arange(clusters) & 1)


def _drawn_signs(clusters: int, permutations: int, seed: int) -> Iterator[np.ndarray]:
    """Random signs, in blocks `[rows, clusters]`; what is drawn does not depend on the size of the blocks."""
    rng = np.random.default_rng(seed)
    for numbers in _blocks(permutations, clusters):
        drawn = rng.integers(2**32, size=(len(numbers), clusters), dtype=np.uint32)
        yield 2.0 * (drawn & 1) - 1.0  # a bit each, as `permuted` of two takes it


def _blocks(rows: int, clusters: int) -> Iterator[np.ndarray]:
    size = max(_SIGNS_AT_ONCE // clusters, 1)
    for first in range(0, rows, size):
        yield np.arange(first, min(first + size, rows))


def smallest_p(clusters: int, *, permutations: int) -> float:
    """The lowest p-value that `sign_flips` can give: of all 2^clusters signs, or of so many drawn ones and the own."""
    return 2.0 / (2**clusters if 2**clusters <= permutations else permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, so that the chance of any false finding stays below the level (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values, float)[order] * factors), 1.0)
    corrected = np.empty(len(p_values))
    corrected[order] = adjusted
    return corrected.tolist()


def variance_components(ua: np.ndarray) -> dict[str, float | None]:
    """Where the UA of a fold varies from: standard deviations due to fold, search seed and training seed.

    Nested analysis of variance: trainings within searches within folds (each fold has a search of its own). Estimates
    by mean squares; a negative variance is set to 0. None where there is one alone: its share is then in the one above
    (one training a search: "search" holds both), but one fold leaves no share of folds anywhere.

    Args:
        ua: `[folds, search seeds, training seeds]`.
    """
    folds, searches, trainings = ua.shape
    search_means, fold_means = ua.mean(axis=2), ua.mean(axis=(1, 2))

    def mean_square(deviations, freedom):
        return float(np.sum(deviations**2) / freedom) if freedom else None

    training = mean_square(ua - search_means[..., None], folds * searches * (trainings - 1))
    search = mean_square(search_means - fold_means[:, None], folds * (searches - 1))
    fold = mean_square(fold_means - ua.mean(), folds - 1)
    below_search = (training or 0.0) / trainings
    below_fold = search if search is not None else below_search
    variances = {
        "fold": None if fold is None else fold - below_fold / (searches if search is not None else 1),
        "search": None if search is None else search - below_search,
        "training": training,
    }
    return {name: None if v is None else float(np.sqrt(max(v, 0.0))) for name, v in variances.items()}
