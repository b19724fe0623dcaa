"""The bootstrap: equal to SciPy's, right about as often as it says, and honest about what was not repeated."""

import numpy as np
import pytest
from made_up import make_predictions
from scipy import stats

from jax_ser_darts.scoring.bootstrap import (
    SHARES,
    bootstrap,
    estimate,
    estimate_shares,
    make_table,
    means,
)
from jax_ser_darts.scoring.confusion import metrics_of, shares_of
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.scoring.scores import pool

CLASSES = ("a", "b", "c")
SPEAKERS = [f"s{i}" for i in range(5)]


def random_predictions(seed, *, speakers, each=12, right=0.6):
    rng = np.random.default_rng(seed)
    names = [f"{speaker}_{i}" for speaker in speakers for i in range(each)]
    labels = np.tile(np.arange(each) % 3, len(speakers))
    predictions = np.where(rng.random(len(names)) < right, labels, rng.integers(3, size=len(names)))
    who = np.repeat(speakers, each).tolist()
    return Predictions(names, labels.tolist(), predictions.tolist(), who, CLASSES)


def grid_of_predictions(*, searches=2, trainings=3):
    folds = [("s0", "s1"), ("s2",), ("s3", "s4")]
    return {
        (r, s): [random_predictions([r, s, k], speakers=fold) for k, fold in enumerate(folds)]
        for r in range(searches)
        for s in range(trainings)
    }


def test_a_table_has_every_prediction_and_its_means_are_those_of_the_pooled_folds():
    predictions = grid_of_predictions()
    table = make_table(predictions, SPEAKERS)
    assert table.shape == (2, 3, 5, 3, 3)
    assert table.sum() == 6 * 5 * 12
    pooled = [pool(folds, resamples=1) for folds in predictions.values()]
    for name, value in means(table).items():
        assert value == pytest.approx(np.mean([getattr(scores, name).value for scores in pooled]))


@pytest.mark.parametrize("unit", ["speaker", "utterance"])
def test_the_interval_of_one_network_is_that_of_scipy(unit):
    """scipy.stats.bootstrap, of the same units."""
    made = make_predictions(1, n=150)
    confusion = np.zeros((150, 4, 4), int)
    confusion[np.arange(150), made.labels, made.predictions] = 1
    names = made.speakers if unit == "speaker" else made.ids
    units = np.stack([confusion[[name == own for name in names]].sum(axis=0) for own in sorted(set(names))])

    def ua(indices):
        return metrics_of(units[indices].sum(axis=0))["ua"]

    expected = stats.bootstrap(
        (np.arange(len(units)),),
        ua,
        vectorized=False,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    draws = bootstrap({"m": units[None, None]}, resamples=20_000)["m"]["ua"]
    interval = estimate(ua(np.arange(len(units))), draws, 0.95)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=0.01)
    assert interval.high - interval.low > 0.1, "or this test shows nothing"


def test_a_row_of_several_equal_units_is_drawn_as_they_are():
    """Five speakers alike, and two others: as one row of size five."""
    table = np.random.default_rng(0).integers(0, 20, size=(1, 1, 3, 2, 2))
    apart = bootstrap({"m": table[:, :, [0] * 5 + [1, 2]]}, resamples=20_000)["m"]["ua"]
    together = bootstrap({"m": table}, resamples=20_000, sizes=np.array([5, 1, 1]))["m"]["ua"]
    assert np.quantile(apart, [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(together, [0.1, 0.5, 0.9]), abs=0.01
    )


def test_shares_are_drawn_with_the_networks_and_one_without_a_class_is_left_out():
    predictions = grid_of_predictions()
    table = make_table(predictions, SPEAKERS)
    table[:, :, 1:, 2] = 0  # one speaker alone has the third class
    draws = bootstrap({"m": table}, resamples=400)["m"][SHARES]
    assert np.isnan(draws[:, 2]).any()
    np.testing.assert_allclose(draws[:, :2].sum(axis=-1), 1)
    confusion = table.sum(axis=(0, 1, 2))
    shares = estimate_shares(confusion, draws, 0.95)
    values = [[share.value for share in row] for row in shares]
    np.testing.assert_allclose(values, shares_of(confusion))
    assert all(0 <= share.low <= share.value <= share.high <= 1 for row in shares for share in row)
    confusion[1] = 0
    assert estimate_shares(confusion, draws, 0.95)[1] == (None,) * 3


def draw_table(rng, *, speakers=12, searches=3, trainings=2, spread=(0.06, 0.04, 0.03), base=0.6):
    """A method whose chance to be right varies with speaker, search and training by known deviations."""
    chance = (
        base
        + spread[0] * rng.normal(size=(1, 1, speakers))
        + spread[1] * rng.normal(size=(searches, 1, 1))
        + spread[2] * rng.normal(size=(searches, trainings, 1))
    )
    right = rng.binomial(40, np.clip(chance, 0, 1)[..., None], size=(searches, trainings, speakers, 2))
    table = np.zeros((searches, trainings, speakers, 2, 2), int)
    for k in range(2):
        table[..., k, k], table[..., k, 1 - k] = right[..., k], 40 - right[..., k]
    return table


def test_an_interval_holds_the_truth_about_as_often_as_it_says_and_needs_the_seeds_for_it():
    rng = np.random.default_rng(0)
    held, without_seeds = [], []
    for trial in range(150):
        table = draw_table(rng)
        draws = bootstrap({"m": table}, resamples=200, seed=trial)["m"]["ua"]
        interval = estimate(means(table)["ua"], draws, 0.9)
        held.append(interval.low <= 0.6 <= interval.high)
        alone = bootstrap({"m": table[:1, :1]}, resamples=200, seed=trial)
        interval = estimate(means(table[:1, :1])["ua"], alone["m"]["ua"], 0.9)
        without_seeds.append(interval.low <= 0.6 <= interval.high)
    assert np.mean(held) > 0.8
    assert np.mean(without_seeds) < np.mean(held) - 0.1, "one seed says nothing of the others"


@pytest.mark.parametrize(("searches", "trainings"), [(2, 1), (3, 1), (1, 2), (1, 4)])
def test_few_seeds_vary_by_as_much_as_their_mean_does(searches, trainings):
    """Also two of them: the mean of the bootstrap's variances is that of the mean over so many seeds."""
    rng, sd = np.random.default_rng(0), 0.06
    spread = (0, sd, 0) if searches > 1 else (0, 0, sd)
    variances = [
        bootstrap(
            {"m": draw_table(rng, speakers=200, searches=searches, trainings=trainings, spread=spread)},
            resamples=60,
            seed=trial,
        )["m"]["ua"].var(ddof=1)
        for trial in range(150)
    ]
    assert np.mean(variances) == pytest.approx(sd**2 / (searches * trainings), rel=0.25)


def test_methods_are_drawn_with_the_same_speakers():
    """So what two methods find equally hard cancels in their difference."""
    table = draw_table(np.random.default_rng(1), searches=1, trainings=1, spread=(0.15, 0, 0))
    draws = bootstrap({"a": table, "b": table}, resamples=100)
    np.testing.assert_array_equal(draws["a"]["ua"], draws["b"]["ua"])
    assert draws["a"]["ua"].std() > 0.01
