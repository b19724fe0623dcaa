"""Each search space of a config has random architectures of its own, and the config's own keep their name."""

import pytest
from tiny import tiny_settings

from jax_ser_darts.checks import check
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.settings.convert import replaced
from jax_ser_darts.training.spaces import RANDOM, Space, is_random, random_method, random_spaces


@pytest.fixture
def settings():
    return tiny_settings(
        {
            "baselines.random": 2,
            "search.variants.joint": {"order": "first", "sequence": "all"},
            "search.variants.other_joint": {"order": "second", "sequence": "all"},
            "search.variants.lstm": {"order": "first", "sequence": "lstm"},
            "search.variants.small": {"order": "first", "sequence": "lstm", "sequence_nodes": 2},
        }
    )


def test_the_spaces_are_those_of_the_methods_that_run(settings):
    assert random_spaces(settings) == {RANDOM: Space("fixed", 0)}
    joint = replaced(settings, {"search.sequence": "all", "search.methods": ()})
    assert random_spaces(joint) == {RANDOM: Space("all", 4)}
    assert random_spaces(replaced(settings, {"baselines.random": 0})) == {}


def test_each_further_space_has_one_row_whatever_the_number_of_its_variants(settings):
    methods = ("first", "joint", "other_joint", "lstm", "small")
    settings = replaced(settings, {"search.methods": methods})
    assert random_spaces(settings) == {
        RANDOM: Space("fixed", 0),
        "random_all": Space("all", 4),
        "random_lstm": Space("lstm", 4),
        "random_lstm_nodes_2": Space("lstm", 2),
    }
    assert all(is_random(method) for method in random_spaces(settings))
    compared = {method: random_method(settings, method) for method in (*methods, "svm", "cnn_paper")}
    assert compared == {
        "first": RANDOM,
        "joint": "random_all",
        "other_joint": "random_all",
        "lstm": "random_lstm",
        "small": "random_lstm_nodes_2",
        "svm": RANDOM,
        "cnn_paper": RANDOM,
    }


def test_what_a_fixed_part_does_not_use_makes_no_other_space(settings):
    same = {"order": "first", "sequence_nodes": 9}
    settings = replaced(settings, {"search.variants.same": same, "search.methods": ("first", "same")})
    assert set(random_spaces(settings)) == {RANDOM}


def test_a_genotype_instead_of_searches_leaves_the_configs_own_space(settings):
    settings = replaced(settings, {"search.methods": ("joint",), "train.genotype": "genotype.json"})
    assert set(random_spaces(settings)) == {RANDOM}


def test_no_search_can_be_taken_for_random_architectures(settings):
    variant = {"search.variants.random_lstm": {"order": "first"}, "search.methods": ("random_lstm",)}
    with pytest.raises(ConfigError, match="random architectures are called so"):
        check(replaced(settings, variant))
