"""Each search space of a config has random architectures of its own, and the config's own keep their name."""

import pytest
from tiny import tiny_config

from jax_ser_darts.checks import validated
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.training.spaces import RANDOM, Space, random_method, random_spaces


@pytest.fixture
def config():
    c = tiny_config()
    c.baselines.random = 2
    c.search.variants.joint = {"order": "first", "sequence": "all"}
    c.search.variants.other_joint = {"order": "second", "sequence": "all"}
    c.search.variants.lstm = {"order": "first", "sequence": "lstm"}
    c.search.variants.small = {"order": "first", "sequence": "lstm", "sequence_nodes": 2}
    return c


def test_one_space_has_the_name_that_it_always_had(config):
    assert random_spaces(config) == {RANDOM: Space("fixed", 0)}
    config.search.sequence, config.search.methods = "all", ()
    assert random_spaces(config) == {RANDOM: Space("all", 4)}


def test_each_further_space_has_one_row_whatever_the_number_of_its_variants(config):
    config.search.methods = ("first", "joint", "other_joint", "lstm", "small")
    assert random_spaces(config) == {
        RANDOM: Space("fixed", 0),
        "random_all": Space("all", 4),
        "random_lstm": Space("lstm", 4),
        "random_lstm_nodes_2": Space("lstm", 2),
    }
    compared = {
        method: random_method(config, method) for method in (*config.search.methods, "svm", "cnn_paper")
    }
    assert compared == {
        "first": RANDOM,
        "joint": "random_all",
        "other_joint": "random_all",
        "lstm": "random_lstm",
        "small": "random_lstm_nodes_2",
        "svm": RANDOM,
        "cnn_paper": RANDOM,
    }


def test_what_a_fixed_part_does_not_use_makes_no_other_space(config):
    config.search.variants.same = {"order": "first", "sequence_nodes": 9}
    config.search.methods = ("first", "same")
    assert set(random_spaces(config)) == {RANDOM}


def test_a_genotype_instead_of_searches_leaves_the_configs_own_space(config):
    config.search.methods, config.train.genotype = ("joint",), "genotype.json"
    assert set(random_spaces(config)) == {RANDOM}


def test_no_search_can_be_taken_for_random_architectures(config):
    config.search.variants.random_lstm = {"order": "first"}
    config.search.methods = ("random_lstm",)
    with pytest.raises(ConfigError, match="random architectures are called so"):
        validated(config)
