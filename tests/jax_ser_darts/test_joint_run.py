"""A joint search from sound to scores: the sequence cells are searched, saved, trained and counted like the CNN's."""

import json

import numpy as np
import pytest
from tiny import tiny_config

from jax_ser_darts import main
from jax_ser_darts.search_space import genotype as genotypes

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*")]


def test_a_joint_search_leaves_a_sequence_cell_whose_network_is_trained_and_scored(tmp_path):
    c = tiny_config()
    c.devices = 1
    c.folds.run = (0,)
    c.search.sequence, c.search.sequence_nodes = "rnn_att", 1
    c.search.methods = ("second",)
    c.train.auxiliary = 0.0
    for part in (c.search, c.train):
        part.cells, part.reductions = 1, (0,)
        part.sequence_cells, part.sequence_width = 1, 2
    main.run(c, tmp_path, "all")

    folder = tmp_path / "search" / "second" / "seed_0" / "fold_0"
    found = genotypes.load(folder / "genotype.json")
    assert set(found.operations("sequence")) <= {"rnn_att_1", "rnn_att_2", "skip_connect"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        assert np.asarray(line["alphas"]["sequence"]).shape == (2, 4)
        assert 0 < line["entropy"]["sequence"] <= np.log(4)
        assert 0 <= line["skip_share"]["sequence"] <= 1
        assert set(line["genotype"]) == {"normal", "reduction", "sequence"}
    assert lines[0]["alphas"]["sequence"] != lines[1]["alphas"]["sequence"]
    rates = [line["learning_rate"] for line in lines]
    assert rates[0] == pytest.approx(c.search.learning_rate)
    assert rates == sorted(set(rates), reverse=True), "xi falls from epoch to epoch"
    assert genotypes.from_json(lines[-1]["genotype"]) == found

    trained = json.loads(
        (tmp_path / "train" / "second" / "search_0" / "fold_0" / "seed_0" / "network.json").read_text()
    )
    assert trained["genotype"] == found.to_json()
    assert "second" in (tmp_path / "report" / "table.txt").read_text()
