"""What a training job trains: each network of the grid on each fold, whatever else is run."""

import dataclasses
import json

import numpy as np
import pytest
from random_corpora import random_corpus
from tiny import tiny_config

from jax_ser_darts.bilevel import ORDERS
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import set_up
from jax_ser_darts.grid.jobs import search_jobs
from jax_ser_darts.grid.worker import network_designs
from jax_ser_darts.models.baselines import BASELINES
from jax_ser_darts.search_space.genotype import from_json, random_genotype


@pytest.fixture
def experiment(tmp_path):
    c = tiny_config()
    c.folds.count = 0
    c.folds.run = (0, 1)
    c.folds.validation_groups = 1
    c.features.coefficients = 5
    c.search.methods = ()
    seed = next(seed for seed in range(100) if len(random_corpus(seed).groups) >= 5)
    return set_up(c, tmp_path, random_corpus(seed))


def search(experiment):
    """Every search of the config as one that is done; job -> its genotype."""
    rng, space, found = np.random.default_rng(0), experiment.config.space, {}
    for job in search_jobs(experiment.config, [0, 1]):
        folder = job.folder(experiment.workdir)
        folder.mkdir(parents=True, exist_ok=True)
        found[job] = random_genotype(rng, nodes=space.nodes, operations=space.operations)
        found[job].save(folder / "genotype.json")
        (folder / "job.json").write_text(json.dumps(dict.fromkeys(("kind", "method", "seconds", "wall"))))
    return found


def test_each_network_has_a_design_a_fold_and_a_name_of_its_own(experiment):
    baselines, experiment.config.search.methods = experiment.config.baselines, ORDERS
    baselines.random, baselines.networks = 2, BASELINES
    found = search(experiment)
    designs = network_designs(experiment)
    assert len(designs) == len(ORDERS) + 2 + 2 * len(BASELINES)
    assert all(len(folds) == 2 for folds in designs.values())
    assert [from_json(design.value) for design in designs["second/search_0"]] == [
        genotype for job, genotype in found.items() if job.method == "second"
    ]


def test_nothing_is_added_by_default(experiment):
    experiment.config.search.methods = ("first",)
    search(experiment)
    assert set(network_designs(experiment)) == {"first/search_0"}


def test_a_search_that_is_missing_is_named(experiment):
    experiment.config.search.methods = ("first",)
    with pytest.raises(ConfigError, match=r"first/seed_0/fold_0/job\.json is missing: run --mode=search"):
        network_designs(experiment)


def test_a_fold_has_the_same_draws_whatever_other_folds_are_run(experiment):
    experiment.config.baselines.random = 1
    (both,) = network_designs(experiment).values()
    assert both[0].key != both[1].key
    for fold, expected in zip(experiment.folds, both, strict=True):
        (alone,) = network_designs(dataclasses.replace(experiment, folds=(fold,))).values()
        assert [design.key for design in alone] == [expected.key]


def test_each_space_has_draws_of_its_own(experiment):
    config = experiment.config
    config.baselines.random = 2
    alone = network_designs(experiment)
    config.search.variants.joint = {"order": "first", "sequence": "rnn", "sequence_nodes": 2}
    config.search.methods = ("first", "joint")
    search(experiment)
    both = network_designs(experiment)
    added = [f"random_rnn_nodes_2_{draw}" for draw in range(2)]
    assert list(both) == ["first/search_0", "joint/search_0", *alone, *added]
    assert list(alone) == ["random_0", "random_1"]
    for draw, name in enumerate(added):
        assert both[f"random_{draw}"][0].key == alone[f"random_{draw}"][0].key
        assert len(both[name][0].value["sequence"]) == 2
        assert "sequence" not in both[f"random_{draw}"][0].value
