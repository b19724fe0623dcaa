"""Tests of differences: equal to enumeration, right about often enough, and none of what is there once."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from jax_ser_darts.scoring import significance
from jax_ser_darts.scoring.confusion import metrics_of
from jax_ser_darts.scoring.significance import (
    cluster_ua,
    holm,
    sign_flips,
    smallest_p,
    variance_components,
)


def sign_flip(differences, **options):
    """The p-value of one pair."""
    (p,) = sign_flips(np.asarray(differences)[None], **options)
    return p


def test_clusters_are_scored_by_themselves_and_seeds_are_averaged():
    table = np.random.default_rng(0).integers(0, 9, size=(2, 3, 5, 4, 4))
    names = ["fold1", "fold1", "fold0", "fold2", "fold2"]
    expected = [np.mean(metrics_of(table[:, :, at].sum(axis=2))["ua"]) for at in ([2], [0, 1], [3, 4])]
    np.testing.assert_allclose(cluster_ua(table, names), expected)


@pytest.mark.parametrize("n", [3, 6, 9])
def test_a_sign_flip_p_value_is_that_of_all_signs(n):
    differences = np.random.default_rng(n).normal(0.3, 1.0, size=n)
    signs = np.array(list(itertools.product((-1, 1), repeat=n)))
    as_extreme = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12
    assert sign_flip(differences, permutations=10_000) == pytest.approx(as_extreme.mean())


def test_a_drawn_sign_flip_p_value_is_near_that_of_all_signs():
    differences = np.random.default_rng(1).normal(0.4, 1.0, size=14)
    exact = sign_flip(differences, permutations=2**14)
    assert sign_flip(differences, permutations=5000) == pytest.approx(exact, abs=0.03)
    t_test = stats.ttest_1samp(differences, 0.0).pvalue
    assert exact == pytest.approx(t_test, abs=0.03), "differences are normal"


@pytest.mark.parametrize("n", [2, 5, 13, 14, 24, 90])
def test_p_values_are_those_of_scipy_to_the_bit(n, monkeypatch):
    """Of all signs, and of drawn ones, whatever is held at once; UAs of few utterances have many equal means."""
    rng = np.random.default_rng(n)
    pairs = np.concatenate([rng.normal(0.2, 1, (4, n)), rng.integers(-3, 4, (4, n)) / 8, np.zeros((1, n))])
    expected = [
        stats.permutation_test(
            (differences,),
            lambda x, axis: np.mean(x, axis=axis),
            permutation_type="samples",
            n_resamples=9_000,
            vectorized=True,
            rng=np.random.default_rng(0),
        ).pvalue
        for differences in pairs
    ]
    for at_once in (2**22, 10_000, 1):
        monkeypatch.setattr(significance, "_SIGNS_AT_ONCE", at_once)
        assert sign_flips(pairs, permutations=9_000).tolist() == expected


def test_three_thousand_speakers_and_twenty_methods_take_little_memory():
    """18 GB once. What is drawn is a tenth of the default, for the time: memory does not hang on it."""
    pairs = np.random.default_rng(0).normal(0.02, 1, (190, 3_000))
    tracemalloc.start()
    began = time.monotonic()
    p = sign_flips(pairs, permutations=10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.all((p > 0) & (p <= 1))
    assert peak < 2**28
    assert time.monotonic() - began < 60


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
