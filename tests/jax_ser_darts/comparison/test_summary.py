"""The summary of a grid: each method is compared with the random architectures of its own search space."""

import grids
import pytest

from jax_ser_darts.bookkeeping.environment import environment
from jax_ser_darts.comparison.summary import summarise
from jax_ser_darts.report import tables


def test_the_improvement_is_over_the_random_architectures_of_a_methods_own_space(tmp_path):
    config = grids.grid_config()
    config.search.variants.joint = {"order": "first", "sequence": "rnn"}
    config.search.orders = ("first", "joint")
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
