"""Tests of differences: equal to enumeration, right about often enough, and honest about what was not repeated."""

import itertools

import numpy as np
import pytest

from jax_ser_darts.scoring import scores
from jax_ser_darts.scoring.scores import Predictions
from jax_ser_darts.scoring.significance import (
    bootstrap,
    estimate,
    holm,
    make_table,
    means,
    of_clusters,
    sign_flip,
    smallest_p,
    variance_components,
)

CLASSES = ("a", "b", "c")


def random_answers(seed, *, speakers, each=12, right=0.6):
    rng = np.random.default_rng(seed)
    names = [f"{speaker}_{i}" for speaker in speakers for i in range(each)]
    labels = np.tile(np.arange(each) % 3, len(speakers))
    predictions = np.where(rng.random(len(names)) < right, labels, rng.integers(3, size=len(names)))
    heard = np.repeat(speakers, each).tolist()
    return Predictions(names, labels.tolist(), predictions.tolist(), heard, CLASSES)


def grid_of_answers(*, searches=2, trainings=3):
    folds = [("s0", "s1"), ("s2",), ("s3", "s4")]
    return {
        (r, s): [random_answers([r, s, k], speakers=fold) for k, fold in enumerate(folds)]
        for r in range(searches)
        for s in range(trainings)
    }


SPEAKERS = [f"s{i}" for i in range(5)]


def test_a_table_has_every_answer_and_its_means_are_those_of_the_pooled_folds():
    answers = grid_of_answers()
    table = make_table(answers, SPEAKERS)
    assert table.shape == (2, 3, 5, 3, 3)
    assert table.sum() == 6 * 5 * 12
    pooled = [scores.pool(folds, resamples=1) for folds in answers.values()]
    for name, value in means(table).items():
        assert value == pytest.approx(np.mean([getattr(one, name).value for one in pooled]))


def test_clusters_are_scored_by_themselves():
    answers = grid_of_answers(searches=1, trainings=1)
    found = of_clusters(make_table(answers, SPEAKERS), ["fold0", "fold0", "fold1", "fold2", "fold2"])
    np.testing.assert_allclose(found, [scores.score(fold, resamples=1).ua.value for fold in answers[0, 0]])


@pytest.mark.parametrize("n", [3, 6, 9])
def test_a_sign_flip_p_value_is_that_of_all_signs(n):
    differences = np.random.default_rng(n).normal(0.3, 1.0, size=n)
    signs = np.array(list(itertools.product((-1, 1), repeat=n)))
    as_extreme = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12
    assert sign_flip(differences, permutations=10_000) == pytest.approx(as_extreme.mean())


def test_the_surest_difference_has_the_smallest_p_and_none_has_p_1():
    for n in (1, 2, 7, 24):  # 2^24 signs are drawn from
        p = sign_flip(np.full(n, 0.1), permutations=1000)
        assert p == pytest.approx(smallest_p(n, permutations=1000))
    assert sign_flip(np.zeros(7), permutations=1000) == 1
    assert sign_flip(np.arange(1.0, 8), permutations=1000) == sign_flip(-np.arange(1.0, 8), permutations=1000)


def test_equal_methods_are_told_apart_no_more_often_than_the_level_says():
    rng = np.random.default_rng(0)
    found = [sign_flip(rng.standard_t(3, size=8), permutations=300) for _ in range(400)]
    assert np.mean(np.array(found) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    better = [sign_flip(rng.normal(1.5, 1, size=8), permutations=300) for _ in range(50)]
    assert np.mean(np.array(better) <= 0.05) > 0.7


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    p = np.random.default_rng(0).random(20) ** 4
    adjusted = np.array(holm(p))
    assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)
    assert np.all((adjusted >= p) & (adjusted <= np.minimum(20 * p, 1) + 1e-12))


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
        one = bootstrap({"m": table[:1, :1]}, resamples=200, seed=trial)
        interval = estimate(means(table[:1, :1])["ua"], one["m"]["ua"], 0.9)
        without_seeds.append(interval.low <= 0.6 <= interval.high)
    assert np.mean(held) > 0.8
    assert np.mean(without_seeds) < np.mean(held) - 0.1, "one seed says nothing of the others"


@pytest.mark.parametrize(("searches", "trainings"), [(2, 1), (3, 1), (1, 2), (1, 4)])
def test_few_seeds_vary_by_as_much_as_their_mean_does(searches, trainings):
    """Also two of them: the mean of the bootstrap's variances is that of the mean over so many seeds."""
    rng, sd = np.random.default_rng(0), 0.06
    spread = (0, sd, 0) if searches > 1 else (0, 0, sd)
    found = [
        bootstrap(
            {"m": draw_table(rng, speakers=200, searches=searches, trainings=trainings, spread=spread)},
            resamples=60,
            seed=trial,
        )["m"]["ua"].var(ddof=1)
        for trial in range(150)
    ]
    assert np.mean(found) == pytest.approx(sd**2 / (searches * trainings), rel=0.25)


def test_methods_are_drawn_with_the_same_speakers():
    """So what two methods find equally hard cancels in their difference."""
    table = draw_table(np.random.default_rng(1), searches=1, trainings=1, spread=(0.15, 0, 0))
    draws = bootstrap({"a": table, "b": table}, resamples=100)
    np.testing.assert_array_equal(draws["a"]["ua"], draws["b"]["ua"])
    assert draws["a"]["ua"].std() > 0.01


def test_variance_components_are_found_again():
    rng = np.random.default_rng(0)
    ua = (
        0.6
        + 0.08 * rng.normal(size=(400, 1, 1))
        + 0.05 * rng.normal(size=(400, 4, 1))
        + 0.06 * rng.normal(size=(400, 4, 2))
    )
    found = variance_components(ua)
    assert found["fold"] == pytest.approx(0.08, rel=0.1)
    assert found["search"] == pytest.approx(0.05, rel=0.1)
    assert found["training"] == pytest.approx(0.06, rel=0.1)
    no_search = variance_components(
        0.6 + 0.08 * rng.normal(size=(400, 1, 1)) + 0.03 * rng.normal(size=(400, 1, 4))
    )
    assert no_search["search"] is None
    assert no_search["fold"] == pytest.approx(0.08, rel=0.1)
    assert no_search["training"] == pytest.approx(0.03, rel=0.1)


def test_what_there_is_one_of_has_no_variance():
    assert variance_components(np.full((1, 1, 1), 0.5)) == {"fold": None, "search": None, "training": None}
    one_training = variance_components(np.random.default_rng(0).normal(size=(3, 4, 1)))
    assert one_training["training"] is None
    assert one_training["search"] > 0
    assert variance_components(np.ones((3, 2, 2))) == {"fold": 0.0, "search": 0.0, "training": 0.0}
