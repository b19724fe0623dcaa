"""Configs: every file loads and is valid, and has what its docstring says."""

import importlib
import pathlib

import pytest

from jax_ser_darts.checks import validated
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.rundir.manifest import check_manifest, write_manifest
from jax_ser_darts.settings.convert import flat, value_of

CONFIGS = sorted(p.stem for p in (pathlib.Path(__file__).parents[2] / "configs").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_is_valid(name):
    module = importlib.import_module(f"jax_ser_darts.configs.{name}")
    validated(module.get_config())
    assert "python -m jax_ser_darts.main" in module.__doc__, "the docstring has the command"


@pytest.mark.parametrize("name", [n for n in CONFIGS if n != "demo"])
def test_every_config_has_a_quick_variant_and_names_unknown_ones(name):
    get_config = importlib.import_module(f"jax_ser_darts.configs.{name}").get_config
    validated(get_config("quick"))
    with pytest.raises(ValueError, match="nonsense"):
        get_config("nonsense")


@pytest.mark.parametrize("name", [n for n in CONFIGS if n not in ("demo", "joint", "cnn_search", "compare")])
def test_every_corpus_has_the_joint_search(name):
    get_config = importlib.import_module(f"jax_ser_darts.configs.{name}").get_config
    apart, together = validated(get_config("quick")), validated(get_config("quick,joint"))
    assert (apart.search.sequence, together.search.sequence) == ("fixed", "all")
    differ = {name for name, value in flat(together).items() if value != flat(apart)[name]}
    assert {name for name in differ if "sequence" not in name} == set()
    with pytest.raises(ValueError, match="nonsense"):
        get_config("nonsense,joint")


# Of the papers and the authors' code: features, space, search.
PUBLISHED = {
    "features.kind": "mfcc",
    "features.sampling_rate": 32_750,
    "features.seconds": 8.0,
    "features.coefficients": 128,
    "features.hop": 512,
    "features.pool": 4,
    "features.pool_kind": "max",
    "space.nodes": 4,
    "model.stem_multiplier": 3,
    "search.cells": 4,
    "search.reductions": (),  # at 1/3 and 2/3: cells 1 and 2
    "search.channels": 8,
    "search.dropout": 0.3,
    "search.epochs": 50,
    "search.batch_size": 64,
    "search.learning_rate": 0.025,
    "search.final_learning_rate": 0.001,
    "search.momentum": 0.9,
    "search.weight_decay": 3e-4,
    "search.clip": 5.0,
    "search.alphas_learning_rate": 3e-4,
    "search.alphas_betas": (0.5, 0.999),
    "search.alphas_weight_decay": 1e-3,
    "search.alphas_scale": 1e-3,
}
JOINT = {"search.sequence": "all", "search.sequence_nodes": 4, "search.sequence_cells": 4}


@pytest.mark.parametrize(
    ("name", "variant", "published"),
    [
        ("cnn_search", "paper", {**PUBLISHED, "search.sequence": "fixed"}),
        ("joint", "paper", PUBLISHED | JOINT),
        ("iemocap", "paper", PUBLISHED),
        ("iemocap", "paper,emodarts,joint", PUBLISHED | JOINT),
        ("msp_improv", "paper", PUBLISHED),
        ("msp_improv", "emodarts,joint", PUBLISHED | JOINT),
    ],
)
def test_the_papers_hyperparameters_are_those_that_were_published(name, variant, published):
    c = validated(importlib.import_module(f"jax_ser_darts.configs.{name}").get_config(variant))
    assert {setting: value_of(c, setting) for setting in published} == published
    assert set(c.space.operations) == {
        *("max_pool_3x3", "avg_pool_3x3", "skip_connect", "none"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    }
    assert c.baselines.random >= 3, "random architectures show what a search is worth"


@pytest.mark.parametrize(("variant", "classes"), [("joint", 4), ("joint,8", 8)])
def test_the_comparison_of_both_papers_has_two_searches_of_either_kind_and_every_baseline(variant, classes):
    c = validated(importlib.import_module("jax_ser_darts.configs.compare").get_config(variant))
    sequences = [c.method(method)[1].sequence for method in c.search.methods]
    orders = [c.method(method)[0] for method in c.search.methods]
    assert sequences == ["fixed", "fixed", "all", "all"]
    assert orders == ["first", "second"] * 2
    assert len(c.data.emotions) == classes
    assert set(c.baselines.networks) == {"cnn", "lstm", "cnn_lstm", "cnn_lstm_attention"}
    assert c.baselines.svm
    assert c.baselines.random


def test_eight_classes_have_twice_the_utterances_and_half_the_epochs():
    compare = importlib.import_module("jax_ser_darts.configs.compare")
    four, eight = compare.get_config("joint"), compare.get_config("joint,8")
    assert (eight.search.epochs, eight.train.epochs) == (four.search.epochs // 2, four.train.epochs // 2)


def test_the_comparison_of_hypergradients_has_enough_seeds_and_folds_to_tell_their_variance():
    c = validated(importlib.import_module("jax_ser_darts.configs.compare").get_config())
    ways = [(order, s.hvp) for order, s in (c.method(method) for method in c.search.methods)]
    assert ways[:3] == [("first", "exact"), ("second", "exact"), ("second", "finite_differences")]
    assert ways[3][0] == "implicit"
    assert (len(c.search.seeds), len(c.train.seeds), len(c.folds.run)) == (3, 2, 2)
    assert c.baselines.random
    assert c.baselines.networks


@pytest.mark.parametrize(("first", "then"), [("full", "joint"), ("joint", "full")])
def test_comparisons_on_the_same_classes_take_over_each_others_jobs(tmp_path, first, then):
    get_config = importlib.import_module("jax_ser_darts.configs.compare").get_config
    write_manifest(validated(get_config(first)), tmp_path, "corpus")
    check_manifest(validated(get_config(then)), tmp_path, "corpus")
    with pytest.raises(ConfigError, match="emotions"):
        check_manifest(validated(get_config("joint,8")), tmp_path, "corpus")


def test_the_comparison_against_a_collapse_has_every_way_and_time_to_collapse():
    c = validated(importlib.import_module("jax_ser_darts.configs.compare").get_config("collapse"))
    settings = [c.method(method)[1] for method in c.search.methods]
    assert {c.method(method)[0] for method in c.search.methods} == {"first"}
    plain, *against = settings
    ways = (
        "auxiliary_skip",
        "stop_skips",
        "stop_stable",
        "stop_eigenvalue",
        "perturbation",
        "partial_channels",
    )
    for way in ways:
        assert any(getattr(s, way) != getattr(plain, way) for s in against), f"nothing tries {way}"
    assert {s.epochs for s in settings} == {50}


@pytest.mark.parametrize("variant", ["full,sideways", "full,improvised,scripted", "paper,emodarts,speakers"])
def test_choices_that_do_not_go_together_are_named(variant):
    with pytest.raises(ValueError, match=r"configs/iemocap.py.*(sideways|exclude)"):
        importlib.import_module("jax_ser_darts.configs.iemocap").get_config(variant)
