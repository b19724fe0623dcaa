"""A grid's results: each method is compared with the random architectures of its own search space."""

import json
import types

import grids
import pytest

from jax_ser_darts import config as configs
from jax_ser_darts import results
from jax_ser_darts.environment import environment
from jax_ser_darts.files import write_json
from jax_ser_darts.jobs import SEARCH, Job
from jax_ser_darts.report import tables


def test_the_improvement_is_over_the_random_architectures_of_a_methods_own_space(tmp_path):
    config = grids.grid_config()
    config.search.variants.joint = {"order": "first", "sequence": "rnn"}
    config.search.orders = ("first", "joint")
    found = grids.make(tmp_path, config)
    summary = results.summarise(found, found.jobs, environment=environment())
    over = {"first": "random", "joint": "random_rnn", "cnn_matched": "random", "svm": "random"}
    of = summary["methods"]
    assert {name: method["over"] for name, method in of.items() if method["over"]} == over
    assert of["random"]["ri"] is of["random_rnn"]["ri"] is None
    for method, base in over.items():
        expected = 100 * (of[method]["ua"]["value"] / of[base]["ua"]["value"] - 1)
        assert of[method]["ri"]["value"] == pytest.approx(expected)
    assert any("joint over random_rnn" in note for note in tables.notes({**summary, "left_out": []}))


STOP = {"rule": "eigenvalue", "epoch": 2, "genotype_epoch": 0, "reason": "it grew"}


@pytest.mark.parametrize(
    ("method", "about", "taken"),
    [
        ("robust_darts", {"stopped": STOP}, 0),
        ("robust_darts", {"stopped": None}, 2),
        ("first", {}, 2),  # from before there were rules
        ("darts_pt", {"stopped": STOP}, 2),  # a selection goes on from the last epoch
    ],
)
def test_a_search_comes_with_what_stopped_it_and_the_epoch_that_was_taken(tmp_path, method, about, taken):
    job = Job(SEARCH, method, 1, 0)
    folder = job.folder(tmp_path)
    folder.mkdir(parents=True)
    write_json(folder / "search.json", about)
    write_json(folder / "genotype.json", {"normal": [], "reduction": []})
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"epoch": epoch}) + "\n" for epoch in range(3)))
    found = types.SimpleNamespace(workdir=tmp_path, config=configs.default())
    (one,) = results.searches(found, [job, Job("train", method, 1, 0, 0)])
    assert (one["method"], one["seed"], one["fold"]) == (method, 1, 0)
    assert one["stopped"] == about.get("stopped")
    assert one["genotype_epoch"] == taken
