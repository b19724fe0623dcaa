"""The summary of a grid: each method is compared with the random architectures of its own search space."""

import collections
import json

import grids
import pytest

from jax_ser_darts.grid import jobs
from jax_ser_darts.report import tables
from jax_ser_darts.report.summary import agreement, family, summarise
from jax_ser_darts.rundir.environment import environment
from jax_ser_darts.scoring import significance


def test_the_improvement_is_over_the_random_architectures_of_a_methods_own_space(tmp_path):
    config = grids.grid_config()
    config.search.variants.joint = {"order": "first", "sequence": "rnn"}
    config.search.methods = ("first", "joint")
    found = grids.make(tmp_path, config)
    summary = summarise(found, found.jobs, environment=environment())
    over = {"first": "random", "joint": "random_rnn", "cnn_matched": "random", "svm": "random"}
    of = summary["methods"]
    assert {name: method["over"] for name, method in of.items() if method["over"]} == over
    assert of["random"]["ri"] is of["random_rnn"]["ri"] is None
    for method, base in over.items():
        expected = 100 * (of[method]["ua"]["value"] / of[base]["ua"]["value"] - 1)
        assert of[method]["ri"]["value"] == pytest.approx(expected)
    assert any("joint over random_rnn" in note for note in tables.notes({**summary, "left_out": []}))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_what_differs_does_by_test_and_by_interval(tmp_path, monkeypatch, p):
    config = grids.grid_config()
    config.scores.level = 0.2  # intervals so narrow that some leave out 0 and some do not
    found = grids.make(tmp_path, config)
    monkeypatch.setattr(significance, "sign_flip", lambda *_, **__: p)
    tests = summarise(found, found.jobs, environment=environment())["tests"]
    apart = [not test["low"] <= 0 <= test["high"] for test in tests]
    assert any(apart)
    assert not all(apart)
    assert [test["differs"] for test in tests] == [p == 0 and one for one in apart]


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
    found = grids.make(tmp_path, grids.grid_config())
    monkeypatch.setattr(significance, "sign_flip", lambda *_, **__: 0.01)
    tests = summarise(found, found.jobs, environment=environment())["tests"]
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
    found = agreement([{"method": "second", "epochs": lines}])
    assert found == {"second": {"cosine": [0.5], "term_share": [0.25]}}


def test_a_job_that_was_gone_on_with_took_all_of_its_seconds(tmp_path):
    found = grids.make(tmp_path, grids.grid_config())
    job = found.jobs[0]
    before = summarise(found, found.jobs, environment=environment())["wall_seconds"]
    path = job.folder(tmp_path) / jobs.FILE_NAME
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "seconds": about["wall"] + 1000, "compiling": 100}))
    after = summarise(found, found.jobs, environment=environment())["wall_seconds"]
    assert after == pytest.approx(before + 1100)


def test_one_slow_job_does_not_change_the_seconds_of_its_method(tmp_path):
    found = grids.make(tmp_path, grids.grid_config())
    of = summarise(found, found.jobs, environment=environment())["methods"]["first"]
    job = next(job for job in found.jobs if job.kind == jobs.TRAIN and job.method == "first")
    path = job.folder(tmp_path) / jobs.FILE_NAME
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "seconds": about["seconds"] + 1e6}))
    slow = summarise(found, found.jobs, environment=environment())["methods"]["first"]
    assert slow["train_seconds"] < of["train_seconds"] + 1e3
