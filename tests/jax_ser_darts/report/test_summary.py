"""The summary of a grid: each method beside the random architectures of its own space, each seed by itself."""

import collections
import dataclasses

import grids
import numpy as np
import pytest

from jax_ser_darts.grid import jobs
from jax_ser_darts.report import notes, summary
from jax_ser_darts.report.results import predictions_of
from jax_ser_darts.report.summary import agreement, family, summarise
from jax_ser_darts.rundir.environment import environment
from jax_ser_darts.scoring.scores import pool


def test_the_improvement_is_over_the_random_architectures_of_a_methods_own_space(tmp_path):
    config = grids.grid_config()
    config.search.variants.joint = {"order": "first", "sequence": "rnn"}
    config.search.methods = ("first", "joint")
    results = grids.make(tmp_path, config)
    everything = summarise(results, results.jobs, environment=environment())
    over = {"first": "random", "joint": "random_rnn", "cnn_matched": "random", "svm": "random"}
    methods = everything["methods"]
    assert {name: method["over"] for name, method in methods.items() if method["over"]} == over
    assert methods["random"]["ri"] is methods["random_rnn"]["ri"] is None
    for method, base in over.items():
        expected = 100 * (methods[method]["ua"]["value"] / methods[base]["ua"]["value"] - 1)
        assert methods[method]["ri"]["value"] == pytest.approx(expected)
    assert any("joint over random_rnn" in note for note in notes.notes({**everything, "left_out": []}))


def test_a_seed_by_itself_has_the_scores_of_its_pooled_folds_and_a_method_those_of_all(tmp_path):
    """So the same networks have the same metrics and intervals, whatever else is in the grid."""
    results = grids.make(tmp_path, grids.grid_config())
    everything = summarise(results, results.jobs, environment=environment())
    options = {"level": 0.95, "resamples": results.config.scores.resamples}
    for name, method in everything["methods"].items():
        networks = collections.defaultdict(list)
        for job in results.jobs:
            if job.kind != jobs.SEARCH and job.method == name:
                networks[job.search_seed, job.seed].append(predictions_of(results, job))
        assert [(seed["search_seed"], seed["train_seed"]) for seed in method["seeds"]] == list(networks)
        scores = [pool(folds, **options) for folds in networks.values()]
        for metric in ("ua", "wa", "f1"):
            values = [getattr(seed, metric).value for seed in scores]
            assert method[metric]["value"] == pytest.approx(np.mean(values))
            for seed, expected, folds in zip(method["seeds"], scores, networks.values(), strict=True):
                assert seed[metric] == dataclasses.asdict(getattr(expected, metric))
                by_fold = [getattr(pool([fold], resamples=1), metric).value for fold in folds]
                assert seed["over_folds"][metric]["mean"] == pytest.approx(np.mean(by_fold))
                assert seed["over_folds"][metric]["std"] == pytest.approx(np.std(by_fold, ddof=1))
            groups = np.reshape(values, (method["searches"], method["trainings"]))
            groups = groups.mean(axis=1) if len(groups) > 1 else groups[0]
            assert method["over_seeds"][metric]["mean"] == pytest.approx(np.mean(values))
            if len(groups) > 1:
                assert method["over_seeds"][metric]["std"] == pytest.approx(np.std(groups, ddof=1))
        assert method["confusion"] == np.sum([seed.confusion for seed in scores], axis=0).tolist()
        if len(scores) == 1:
            assert method["ua"] == method["seeds"][0]["ua"]
            assert method["shares"] == [
                [dataclasses.asdict(share) for share in row] for row in scores[0].shares
            ]


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_what_differs_does_by_test_and_by_interval(tmp_path, monkeypatch, p):
    config = grids.grid_config()
    config.scores.level = 0.5  # intervals so narrow that some leave out 0 and some do not
    results = grids.make(tmp_path, config)
    monkeypatch.setattr(summary, "sign_flips", lambda pairs, **__: np.full(len(pairs), p))
    tests = summarise(results, results.jobs, environment=environment())["tests"]
    apart = [not test["low"] <= 0 <= test["high"] for test in tests]
    assert any(apart)
    assert not all(apart)
    assert [test["differs"] for test in tests] == [p == 0 and differs for differs in apart]


METHODS = {
    "first": {"searched": True, "over": "random"},
    "joint": {"searched": True, "over": "random_all"},
    "random": {"searched": False, "over": None},
    "random_all": {"searched": False, "over": None},
    "svm": {"searched": False, "over": "random"},
    "genotype": {"searched": False, "over": "random"},  # that of a file: found, if not here
    "cnn_paper": {"searched": False, "over": "random"},
}


@pytest.mark.parametrize(
    ("a", "b", "question"),
    [
        ("first", "joint", "search or search"),
        ("first", "random", "search or random"),
        ("random_all", "joint", "search or random"),
        ("joint", "random", "others"),
        ("svm", "first", "search or baseline"),
        ("genotype", "random", "search or random"),
        ("genotype", "cnn_paper", "search or baseline"),
        ("svm", "cnn_paper", "others"),
        ("random", "random_all", "others"),
        ("random", "svm", "others"),
    ],
)
def test_a_pair_of_methods_answers_one_question_whichever_comes_first(a, b, question):
    assert family(a, b, METHODS) == family(b, a, METHODS) == question


def test_p_values_are_corrected_for_the_pairs_of_their_own_question(tmp_path, monkeypatch):
    results = grids.make(tmp_path, grids.grid_config())
    monkeypatch.setattr(summary, "sign_flips", lambda pairs, **__: np.full(len(pairs), 0.01))
    tests = summarise(results, results.jobs, environment=environment())["tests"]
    # Two searches, one random method, two baselines: the correction multiplies by the number of pairs.
    sizes = {"search or search": 1, "search or random": 2, "search or baseline": 4, "others": 3}
    assert collections.Counter(test["family"] for test in tests) == sizes
    for test in tests:
        assert test["p_holm"] == pytest.approx(0.01 * sizes[test["family"]])


def test_epochs_whose_gradients_were_not_finite_are_left_out_of_the_agreement():
    line = lambda epoch, term, direct, cosine: {
        "epoch": epoch,
        "val": {"correction": term, "direct": direct},
        "agreement": {"cosine": cosine},
    }
    lines = [line(0, 1.0, 4.0, 0.5), line(1, None, 4.0, 0.9), line(2, 1.0, 0.0, 0.9), {"epoch": 3}]
    means = agreement([{"method": "second", "epochs": lines}])
    assert means == {"second": {"cosine": [0.5], "term_share": [0.25]}}


def test_a_job_that_was_gone_on_with_took_all_of_its_seconds(tmp_path):
    results = grids.make(tmp_path, grids.grid_config())
    job = results.jobs[0]
    before = summarise(results, results.jobs, environment=environment())["wall_seconds"]
    grids.enlist(job.folder(tmp_path), seconds=job.record(tmp_path)["wall"] + 1000, compiling=100)
    after = summarise(results, results.jobs, environment=environment())["wall_seconds"]
    assert after == pytest.approx(before + 1100)


def test_one_slow_job_does_not_change_the_seconds_of_its_method(tmp_path):
    results = grids.make(tmp_path, grids.grid_config())
    before = summarise(results, results.jobs, environment=environment())["methods"]["first"]
    job = next(job for job in results.jobs if job.kind == jobs.TRAIN and job.method == "first")
    grids.enlist(job.folder(tmp_path), seconds=job.record(tmp_path)["seconds"] + 1e6)
    slow = summarise(results, results.jobs, environment=environment())["methods"]["first"]
    assert slow["train_seconds"] < before["train_seconds"] + 1e3
