"""Whether methods differ: paired tests, their correction, and variance components.

Everything starts from a method's `table` of counts, see bootstrap.py.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from jax_ser_darts.scoring.confusion import metrics_of


def cluster_ua(table: np.ndarray, clusters: Sequence[str]) -> np.ndarray:
    """UA of each cluster of speakers, averaged over the seeds: `[clusters]`, in the order of their sorted names."""
    names, at = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.stack([table[:, :, at == i].sum(axis=2) for i in range(len(names))], axis=2)
    return metrics_of(sums)["ua"].mean(axis=(0, 1))


def sign_flip(differences: np.ndarray, *, permutations: int, seed: int = 0) -> float:
    """Two-sided p-value of paired differences `[clusters]`: their mean against its distribution under random signs.

    Exact where 2^clusters is at most `permutations`. If two methods are equally good, the difference of a speaker is as
    likely to have the other sign; nothing is assumed of its distribution, and speakers are independent of each other
    where utterances, folds' trainings and seeds are not: those are averaged before. So a p-value is of the networks
    that were trained, and not of other searches, trainings or draws. No p is below `smallest_p`, which is 1
    for a single cluster.
    """
    if len(differences) < 2 or not np.any(differences):
        return 1.0
    test = stats.permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=permutations,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def smallest_p(clusters: int, *, permutations: int) -> float:
    """The lowest p-value that `sign_flip` can give: of all 2^clusters signs, or of so many drawn ones and the own."""
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
