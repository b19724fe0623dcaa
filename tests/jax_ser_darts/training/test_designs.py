"""What is trained beside the found networks: drawn from the same space, or designed by hand to their size."""

import jax.numpy as jnp
import numpy as np
import pytest
from changes import changed
from random_corpora import random_corpus
from tiny import tiny_settings

from jax_ser_darts.experiment import set_up
from jax_ser_darts.models.baselines import BASELINES, parameters
from jax_ser_darts.search_space.genotype import from_json, random_genotype
from jax_ser_darts.training.designs import (
    baseline_design,
    genotype_design,
    matched_parameters,
    random_design,
)

LEAVE_ONE_OUT = {
    "folds.count": 0,
    "folds.run": (0, 1),
    "folds.validation_groups": 1,
    "features.coefficients": 5,
}


@pytest.fixture
def experiment(tmp_path):
    seed = next(seed for seed in range(100) if len(random_corpus(seed).groups) >= 5)
    return set_up(tiny_settings(LEAVE_ONE_OUT), tmp_path, random_corpus(seed))


def genotypes(experiment, count):
    rng = np.random.default_rng(0)
    space = experiment.config.space
    return [random_genotype(rng, nodes=space.nodes, operations=space.operations) for _ in range(count)]


def size(experiment, design):
    return parameters(design.network.clone(axis_name=None), *experiment.shapes)


def test_the_design_of_a_genotype_is_that_of_no_other(experiment):
    first, other = genotypes(experiment, 2)
    design = genotype_design(experiment, first)
    assert from_json(design.value) == first
    assert design.key == genotype_design(experiment, first).key != genotype_design(experiment, other).key


def test_draws_differ_and_come_back_with_their_seed(experiment):
    experiment = changed(experiment, {"space.nodes": 4})
    draws = [random_design(experiment, draw, fold) for draw in range(4) for fold in range(2)]
    assert len({design.key for design in draws}) == 8, "each fold has draws of its own"
    assert random_design(experiment, 1, 0).key == draws[2].key
    seed = draws[2].notes["random_seed"]
    space = experiment.config.space
    again = random_genotype(np.random.default_rng(seed), nodes=space.nodes, operations=space.operations)
    assert from_json(draws[2].value) == again
    assert random_design(changed(experiment, {"seed": 1}), 1, 0).key != draws[2].key


def test_draws_of_a_joint_space_have_a_sequence_cell_and_the_same_cnn(experiment):
    cnn = random_design(experiment, 0, 0).value
    experiment = changed(experiment, {"search.sequence": "rnn", "search.sequence_nodes": 2})
    joint = random_design(experiment, 0, 0)
    assert len(joint.value["sequence"]) == 2
    assert {name: joint.value[name] for name in cnn} == cnn
    fewer = random_design(changed(experiment, {"train.sequence_cells": 1}), 0, 0)
    assert size(experiment, fewer) < size(experiment, joint)


def test_each_space_has_draws_of_its_own(experiment):
    joint = {"order": "first", "sequence": "rnn", "sequence_nodes": 2}
    both = changed(
        experiment,
        {"baselines.random": 2, "search.variants.joint": joint, "search.methods": ("first", "joint")},
    )
    for draw in range(2):
        cnn = random_design(both, draw, 0)
        assert cnn.key == random_design(experiment, draw, 0).key
        assert "sequence" not in cnn.value
        assert len(random_design(both, draw, 0, "random_rnn_nodes_2").value["sequence"]) == 2


def test_the_matched_size_is_the_mean_of_the_found_networks_and_stays(experiment):
    found = {"first": genotypes(experiment, 2)}
    sizes = [size(experiment, genotype_design(experiment, genotype)) for genotype in found["first"]]
    target = matched_parameters(experiment, found)
    assert target == round(np.mean(sizes))
    later = changed(experiment, {"train.channels": 8})  # as if a later run had found larger ones
    assert matched_parameters(later, found) == target
    assert matched_parameters(changed(experiment, {"baselines.parameters": 777}), found) == 777


@pytest.mark.parametrize("kind", BASELINES)
def test_a_matched_baseline_has_about_as_many_parameters_as_asked_for(experiment, kind):
    experiment = changed(experiment, {"baselines.parameters": 20_000})
    design = baseline_design(experiment, kind, "matched", {})
    assert abs(size(experiment, design) / 20_000 - 1) < 0.05
    assert design.value["name"] == kind
    assert design.notes == {"matched_parameters": 20_000}
    assert design.network.dropout == experiment.config.train.dropout
    assert design.network.dtype == jnp.float32
