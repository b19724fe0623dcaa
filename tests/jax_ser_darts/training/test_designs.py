"""What is trained beside the found networks: drawn from the same space, or designed by hand to their size."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from random_corpora import random_corpus
from tiny import tiny_config

from jax_ser_darts import modes
from jax_ser_darts.bilevel import ORDERS
from jax_ser_darts.experiment import set_up
from jax_ser_darts.models.baselines import BASELINES, parameters
from jax_ser_darts.search_space.genotype import from_json, random_genotype
from jax_ser_darts.training import svm
from jax_ser_darts.training.designs import all_designs, baseline_design, matched_parameters, random_design


@pytest.fixture
def experiment(tmp_path):
    c = tiny_config()
    c.folds.count = 0
    c.folds.run = (0, 1)
    c.folds.validation_groups = 1
    c.features.coefficients = 5
    seed = next(seed for seed in range(100) if len(random_corpus(seed).groups) >= 5)
    return set_up(c, tmp_path, random_corpus(seed))


def genotypes(experiment, count):
    rng = np.random.default_rng(0)
    space = experiment.config.space
    return [random_genotype(rng, nodes=space.nodes, operations=space.operations) for _ in range(count)]


def size(experiment, design):
    return parameters(design.network.clone(axis_name=None), *experiment.shapes)


def test_each_method_has_a_design_a_fold_and_a_name_of_its_own(experiment):
    baselines = experiment.config.baselines
    baselines.random, baselines.networks = 2, BASELINES
    found = {order: genotypes(experiment, 2) for order in ORDERS}
    designs = all_designs(experiment, found)
    assert len(designs) == len(ORDERS) + 2 + 2 * len(BASELINES)
    assert all(len(of_folds) == 2 for of_folds in designs.values())
    assert not {modes.GIVEN_GENOTYPE, svm.METHOD} & set(designs)
    assert [from_json(design.value) for design in designs["second"]] == found["second"]


def test_nothing_is_added_by_default(experiment):
    assert set(all_designs(experiment, {"first": genotypes(experiment, 2)})) == {"first"}


def test_draws_differ_and_come_back_with_their_seed(experiment):
    experiment.config.space.nodes = 4
    draws = [random_design(experiment, draw, fold) for draw in range(4) for fold in range(2)]
    assert len({design.key for design in draws}) == 8, "each fold has draws of its own"
    assert random_design(experiment, 1, 0).key == draws[2].key
    seed = draws[2].notes["random_seed"]
    space = experiment.config.space
    again = random_genotype(np.random.default_rng(seed), nodes=space.nodes, operations=space.operations)
    assert from_json(draws[2].value) == again
    experiment.config.seed = 1
    assert random_design(experiment, 1, 0).key != draws[2].key


def test_a_fold_has_the_same_draws_whatever_other_folds_are_run(experiment):
    experiment.config.baselines.random = 1
    (both,) = all_designs(experiment, {}).values()
    assert both[0].key != both[1].key
    for fold, expected in zip(experiment.folds, both, strict=True):
        (alone,) = all_designs(dataclasses.replace(experiment, folds=(fold,)), {}).values()
        assert [design.key for design in alone] == [expected.key]


def test_draws_of_a_joint_space_have_a_sequence_cell_and_the_same_cnn(experiment):
    alone = random_design(experiment, 0, 0).value
    experiment.config.search.sequence, experiment.config.search.sequence_nodes = "rnn", 2
    joint = random_design(experiment, 0, 0)
    assert len(joint.value["sequence"]) == 2
    assert {name: joint.value[name] for name in alone} == alone
    experiment.config.train.sequence_cells = 1
    fewer = random_design(experiment, 0, 0)
    assert size(experiment, fewer) < size(experiment, joint)


def test_each_space_has_draws_of_its_own(experiment):
    config = experiment.config
    before = all_designs(experiment, {})
    config.baselines.random = 2
    alone = all_designs(experiment, {})
    config.search.variants.joint = {"order": "first", "sequence": "rnn", "sequence_nodes": 2}
    config.search.methods = ("first", "joint")
    both = all_designs(experiment, {})
    added = [f"random_rnn_nodes_2_{draw}" for draw in range(2)]
    assert [*before, "random_0", "random_1", *added] == [*alone, *added] == list(both)
    for draw, name in enumerate(added):
        assert both[f"random_{draw}"][0].key == alone[f"random_{draw}"][0].key
        assert len(both[name][0].value["sequence"]) == 2
        assert "sequence" not in both[f"random_{draw}"][0].value


def test_the_matched_size_is_the_mean_of_the_found_networks_and_stays(experiment):
    found = {"first": genotypes(experiment, 2)}
    sizes = [size(experiment, design) for design in all_designs(experiment, found)["first"]]
    target = matched_parameters(experiment, found)
    assert target == round(np.mean(sizes))
    experiment.config.train.channels = 8  # as if a later run had found larger ones
    assert matched_parameters(experiment, found) == target
    experiment.config.baselines.parameters = 777
    assert matched_parameters(experiment, found) == 777


@pytest.mark.parametrize("kind", BASELINES)
def test_a_matched_baseline_has_about_as_many_parameters_as_asked_for(experiment, kind):
    experiment.config.baselines.parameters = 20_000
    design = baseline_design(experiment, kind, "matched", {})
    assert abs(size(experiment, design) / 20_000 - 1) < 0.05
    assert design.value["name"] == kind
    assert design.notes == {"matched_parameters": 20_000}
    assert design.network.dropout == experiment.config.train.dropout
    assert design.network.dtype == jnp.float32
