"""Whether methods differ: intervals, paired tests and variance components from confusion matrices.

Everything starts from a method's `table`, counts `[R, S, U, K, K]`: search seeds (1 where nothing is searched),
training seeds, test speakers, truth, answer. Speakers are those of all folds, each with the answers of the fold that
tests them.
"""

import collections
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from jax_ser_darts.scoring.scores import Estimate, metrics_of

FIGURES = ("ua", "wa", "f1")


def means(table: np.ndarray) -> dict[str, float]:
    """UA, WA and F1 of the pooled speakers, averaged over the seeds."""
    figures = metrics_of(table.sum(axis=2))
    return {name: float(figures[name].mean()) for name in FIGURES}


def bootstrap(
    tables: Mapping[str, np.ndarray], *, resamples: int, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """How else it could have come out, with other speakers, other searches and other trainings.

    Each resample draws the speakers with replacement, the same ones for every method, so that differences are paired;
    then for each method its search seeds, and within each drawn one its training seeds. Of n seeds n - 1 are drawn (Rao
    and Wu 1988): with n, the few that there are would vary by (n - 1) / n of what they must, half of it with two. What
    there is one of is not drawn: an interval does not cover what was not repeated.

    Args:
        tables: method -> counts, see the module. All with the same speakers.
        resamples: how many. seed: of the draws.

    Returns:
        Method -> figure -> its draws `[resamples]`.
    """
    rng = np.random.default_rng(seed)
    speakers = next(iter(tables.values())).shape[2]
    heard = rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=resamples)
    found = {}
    for method, table in tables.items():
        searches, trainings, _, classes, _ = table.shape
        weights = np.zeros((resamples, searches, trainings))
        rows = np.arange(resamples)
        of_searches, of_trainings = max(searches - 1, 1), max(trainings - 1, 1)
        for drawn in rng.integers(searches, size=(of_searches, resamples)):
            within = rng.multinomial(of_trainings, np.full(trainings, 1 / trainings), size=resamples)
            weights[rows, drawn] += within / (of_searches * of_trainings)
        counts = np.einsum("nu,rsuc->nrsc", heard, table.reshape(*table.shape[:3], classes**2))
        figures = metrics_of(counts.reshape(*counts.shape[:3], classes, classes))
        found[method] = {name: np.sum(figures[name] * weights, axis=(1, 2)) for name in FIGURES}
    return found


def estimate(value: float, draws: np.ndarray, level: float) -> Estimate:
    """A value with the percentile interval of its draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))


def of_clusters(table: np.ndarray, clusters: Sequence[str]) -> np.ndarray:
    """UA of each cluster of speakers, averaged over the seeds: `[clusters]`, in the order of their sorted names."""
    names, at = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.stack([table[:, :, at == i].sum(axis=2) for i in range(len(names))], axis=2)
    return metrics_of(sums)["ua"].mean(axis=(0, 1))


def sign_flip(differences: np.ndarray, *, permutations: int, seed: int = 0) -> float:
    """Two-sided p-value of paired differences `[clusters]`: their mean against its distribution under random signs.

    Exact where 2^clusters is at most `permutations`. If two methods are equally good, the difference of a speaker is as
    likely to have the other sign; nothing is assumed of its distribution, and speakers are independent of each other
    where utterances, folds' trainings and seeds are not: those are averaged before. So a p-value is of the networks
    that were trained: it says nothing of other searches, trainings or draws. No p is below `smallest_p`, which is 1
    for a single cluster.
    """
    if len(differences) < 2 or not np.any(differences):
        return 1.0
    found = stats.permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=permutations,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def smallest_p(clusters: int, *, permutations: int) -> float:
    """The lowest p-value that `sign_flip` can give: of all 2^clusters signs, or of so many drawn ones and the own."""
    return 2.0 / (2**clusters if 2**clusters <= permutations else permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, so that the chance of any false finding stays below the level (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values, float)[order] * factors), 1.0)
    found = np.empty(len(p_values))
    found[order] = adjusted
    return found.tolist()


def variance_components(ua: np.ndarray) -> dict[str, float | None]:
    """Where the UA of a fold varies from: standard deviations due to fold, search seed and training seed.

    Nested analysis of variance: trainings within searches within folds (each fold has a search of its own). Estimates
    by mean squares; a negative variance is set to 0. None where there is one alone: its share is then in the one above
    (one training a search: "search" holds both), but one fold leaves no share of folds anywhere.

    Args:
        ua: `[folds, search seeds, training seeds]`.
    """
    folds, searches, trainings = ua.shape
    of_search, of_fold = ua.mean(axis=2), ua.mean(axis=(1, 2))

    def mean_square(deviations, freedom):
        return float(np.sum(deviations**2) / freedom) if freedom else None

    training = mean_square(ua - of_search[..., None], folds * searches * (trainings - 1))
    search = mean_square(of_search - of_fold[:, None], folds * (searches - 1))
    fold = mean_square(of_fold - ua.mean(), folds - 1)
    below_search = (training or 0.0) / trainings
    below_fold = search if search is not None else below_search
    variances = {
        "fold": None if fold is None else fold - below_fold / (searches if search is not None else 1),
        "search": None if search is None else search - below_search,
        "training": training,
    }
    return {name: None if v is None else float(np.sqrt(max(v, 0.0))) for name, v in variances.items()}


def make_table(answers: Mapping[tuple[int, int], Sequence], speakers: Sequence[str]) -> np.ndarray:
    """A method's table.

    Args:
        answers: (index of the search seed, index of the training seed) -> `scores.Predictions` of each fold.
        speakers: the order of the table's third axis.
    """
    shape = [1 + max(index) for index in zip(*answers, strict=True)]
    place = {name: i for i, name in enumerate(speakers)}
    classes = len(next(iter(answers.values()))[0].classes)
    table = np.zeros((*shape, len(speakers), classes, classes), np.int64)
    for at, folds in answers.items():
        for of in folds:
            counts = collections.Counter(zip(of.speakers, of.labels, of.predictions, strict=True))
            for (speaker, label, prediction), times in counts.items():
                table[(*at, place[speaker], label, prediction)] += times
    return table
