"""Configs: every file loads and is valid; what cannot work is named before any work."""

import functools
import importlib
import pathlib
import subprocess
import sys

import pytest

from jax_ser_darts import config, main
from jax_ser_darts.bookkeeping.workdir import check_workdir, claim_workdir
from jax_ser_darts.config import ConfigError, search_variant
from jax_ser_darts.config_checks import validate
from jax_ser_darts.search_space.genotype import GenotypeError

CONFIGS = sorted(p.stem for p in (pathlib.Path(__file__).parents[2] / "configs").glob("[a-z]*.py"))
ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_is_valid(name):
    module = importlib.import_module(f"configs.{name}")
    validate(module.get_config())
    assert "python -m jax_ser_darts.main" in module.__doc__, "the docstring has the command"


@pytest.mark.parametrize("name", [n for n in CONFIGS if n != "demo"])
def test_every_config_has_a_quick_variant_and_names_unknown_ones(name):
    get_config = importlib.import_module(f"configs.{name}").get_config
    validate(get_config("quick"))
    with pytest.raises(ValueError, match="nonsense"):
        get_config("nonsense")


@pytest.mark.parametrize("name", [n for n in CONFIGS if n not in ("demo", "joint", "cnn_search", "compare")])
def test_every_corpus_has_the_joint_search(name):
    get_config = importlib.import_module(f"configs.{name}").get_config
    apart, together = get_config("quick"), get_config("quick,joint")
    validate(together)
    assert (apart.search.sequence, together.search.sequence) == ("fixed", "all")
    differ = {
        f"{section}.{key}"
        for section in ("data", "folds", "space", "model", "search", "train")
        for key, value in together[section].items()
        if value != apart[section][key]
    }
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
    c = importlib.import_module(f"configs.{name}").get_config(variant)
    found = {
        setting: functools.reduce(lambda at, key: at[key], setting.split("."), c) for setting in published
    }
    assert found == published
    assert set(c.space.operations) == {
        *("max_pool_3x3", "avg_pool_3x3", "skip_connect", "none"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    }
    assert c.methods.random >= 3, "what a search is worth is told from random architectures"


@pytest.mark.parametrize(("variant", "classes"), [("joint", 4), ("joint,8", 8)])
def test_the_comparison_of_both_papers_has_two_searches_of_either_kind_and_every_baseline(variant, classes):
    c = importlib.import_module("configs.compare").get_config(variant)
    validate(c)
    sequences = [search_variant(c, method)[1].sequence for method in c.search.orders]
    orders = [search_variant(c, method)[0] for method in c.search.orders]
    assert sequences == ["fixed", "fixed", "all", "all"]
    assert orders == ["first", "second"] * 2
    assert len(c.data.emotions) == classes
    assert set(c.methods.baselines) == {"cnn", "lstm", "cnn_lstm", "cnn_lstm_attention"}
    assert c.methods.svm
    assert c.methods.random


def test_eight_classes_have_twice_the_utterances_and_half_the_epochs():
    compare = importlib.import_module("configs.compare")
    four, eight = compare.get_config("joint"), compare.get_config("joint,8")
    assert (eight.search.epochs, eight.train.epochs) == (four.search.epochs // 2, four.train.epochs // 2)


def test_the_comparison_of_hypergradients_has_enough_seeds_and_folds_to_tell_their_variance():
    c = importlib.import_module("configs.compare").get_config()
    ways = [(order, s.product) for order, s in (search_variant(c, method) for method in c.search.orders)]
    assert ways[:3] == [("first", "exact"), ("second", "exact"), ("second", "finite_differences")]
    assert ways[3][0] == "implicit"
    assert (len(c.search.seeds), len(c.train.seeds), len(c.folds.run)) == (3, 2, 2)
    assert c.methods.random
    assert c.methods.baselines


@pytest.mark.parametrize(("first", "then"), [("full", "joint"), ("joint", "full")])
def test_comparisons_on_the_same_classes_take_over_each_others_jobs(tmp_path, first, then):
    get_config = importlib.import_module("configs.compare").get_config
    claim_workdir(get_config(first), tmp_path, "corpus")
    check_workdir(get_config(then), tmp_path, "corpus")
    with pytest.raises(ConfigError, match="emotions"):
        check_workdir(get_config("joint,8"), tmp_path, "corpus")


def test_the_comparison_against_a_collapse_has_every_way_and_time_to_collapse():
    c = importlib.import_module("configs.compare").get_config("collapse")
    validate(c)
    settings = [search_variant(c, method)[1] for method in c.search.orders]
    assert {search_variant(c, method)[0] for method in c.search.orders} == {"first"}
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
        assert any(s[way] != plain[way] for s in against), f"nothing tries {way}"
    assert {s.epochs for s in settings} == {50}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("space.nodes", 0),
        ("space.operations", ("sep_conv_7x7",)),
        ("space.operations", ("none",)),
        ("space.operations", ("skip_connect", "skip_connect")),
        ("search.sequence", "gru"),
        ("search.sequence_nodes", 0),
        ("search.sequence_cells", 0),
        ("train.sequence_width", 0),
        ("parallel", "vmap"),
        ("model.stem_stride", 3),
        ("search.cells", -1),
        ("search.channels", 3),
        ("search.reductions", (9,)),
        ("search.orders", ("third",)),
        ("search.orders", ()),
        ("search.product", "guess"),
        ("search.weights_share", 1.5),
        ("search.warmup_epochs", 1000),
        ("train.optimiser", "adagrad"),
        ("train.drop_path", 1.0),
        ("train.seeds", ()),
        ("train.seeds", (0, 0)),
        ("train.seeds", (-1,)),
        ("train.seeds", (0.5,)),
        ("search.seeds", ("a",)),
        ("folds.run", (0.0,)),
        ("train.reductions", (1.5,)),
        ("folds.validation_groups", -1),
        ("train.final_learning_rate", 1.0),
        ("train.momentum", 9.0),
        ("train.checkpoint_epochs", 0),
        ("search.orders", ("first", "first")),
        ("search.alphas_betas", (0.5,)),
        ("scores.level", 95.0),
        ("scores.resamples", 0),
        ("seed", -1),
        ("folds.run", (0, 0)),
        ("train.batch_size", 0),
        ("folds.run", (17,)),
        ("folds.test", ("speaker_01",)),
        ("folds.test", ((),)),
        ("data.group_by", "sex"),
        ("features.coefficients", 2),
        ("methods.random", -1),
        ("methods.baselines", ("transformer",)),
        ("methods.baselines", ("cnn", "cnn")),
        ("methods.sizes", ("huge",)),
        ("methods.parameters", -1),
        ("methods.svm_c", ()),
        ("methods.svm_c", (1.0, 0.0)),
        ("search.seeds", ()),
        ("search.seeds", (1, 1)),
        ("search.seeds", (-1,)),
        ("search.variants.first.order", "third"),
        ("search.auxiliary_skip", -1.0),
        ("search.stop_skips", -1),
        ("search.stop_eigenvalue", 1.3),  # and no eigenvalue
        ("search.stop_eigenvalue_window", 0),
        ("search.eigenvalue_products", 0),
        ("search.eigenvalue_tolerance", 2.0),
        ("search.perturbation_batches", 0),
        ("search.perturbation_steps", -1),
        ("search.partial_channels", 0),
        ("search.neumann_terms", -1),
        ("search.neumann_rate", 0.0),
        ("compare.workers", 0),
        ("compare.cluster", "utterance"),
    ],
)
def test_an_impossible_setting_is_named(name, value):
    c = config.default()
    *sections, key = name.split(".")
    functools.reduce(lambda part, section: part[section], sections, c)[key] = value
    with pytest.raises(
        ConfigError, match=rf"^config\.({name}|search\.cells)"
    ):  # and no variant of the search
        validate(c)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "first", "speed": 2}, r"mine\.speed: config\.search has no such setting"),
        ({"order": "first", "epochs": 500}, r"mine\.epochs: this is the same for all"),
        ({"order": "second", "product": "guess"}, r"mine: config\.search\.product = 'guess'"),
        ({"product": "exact"}, r"mine\.order must be one of"),
        ({"order": "first", "channels": "x"}, r"mine: .*channels"),
        ({"order": "first", "partial_channels": 0}, r"mine: config\.search\.partial_channels = 0"),
    ],
)
@pytest.mark.parametrize("orders", [("first",), ("mine",)], ids=["known", "asked for"])
def test_a_variant_that_cannot_work_is_named(orders, changes, message):
    c = config.default()
    c.search.variants.mine = changes
    c.search.orders = orders
    with pytest.raises(ConfigError, match=rf"config\.search\.variants\.{message}"):
        validate(c)


def test_channels_that_cannot_be_divided_are_named_where_it_is_asked_for():
    c = config.default()
    c.search.channels = 6
    validate(c)
    c.search.orders = ("pc_darts",)
    with pytest.raises(ConfigError, match=r"channels = 6, of pc_darts, .*partial_channels = 4"):
        validate(c)
    c.search.channels = 8
    validate(c)


def test_a_selection_by_perturbation_needs_all_channels():
    c = config.default()
    c.search.orders = ("darts_pt",)
    c.search.edge_normalisation = True
    validate(c)
    c.search.partial_channels = 2
    with pytest.raises(ConfigError, match=r"perturbation, of darts_pt, needs .*partial_channels=1"):
        validate(c)


@pytest.mark.parametrize(
    ("method", "operations", "message"),
    [
        ("darts_minus", ("max_pool_3x3", "sep_conv_3x3"), r"auxiliary_skip, of darts_minus: .* skip_connect"),
        ("darts_plus", ("skip_connect", "sep_conv_3x3"), r"stop_stable, of darts_plus: fewer than two"),
    ],
)
def test_a_remedy_that_the_space_leaves_nothing_to_do_is_named_where_it_is_asked_for(
    method, operations, message
):
    c = config.default()
    c.space.operations = operations
    validate(c)
    c.search.orders = (method,)
    with pytest.raises(ConfigError, match=message):
        validate(c)


def test_a_variant_changes_its_settings_and_no_others():
    c = config.default()
    c.search.variants.mine = {"order": "second", "difference_size": 0.5}
    c.search.orders = ("mine", "first")
    validate(c)
    order, settings = search_variant(c, "mine")
    assert (order, settings.difference_size) == ("second", 0.5)
    order, settings = search_variant(c, "first")
    assert (order, settings.difference_size) == ("first", c.search.difference_size)
    assert search_variant(c, "second_differences")[1].product == "finite_differences"


def test_the_folds_that_may_run_are_those_there_are():
    c = config.default()
    c.folds.test = (("a",), ("b",))
    c.folds.run = (1,)
    validate(c)
    c.folds.run = (2,)
    with pytest.raises(ConfigError, match=r"config\.folds\.run: there is no fold 2 among 2"):
        validate(c)
    c.data.group_by = "part"
    with pytest.raises(ConfigError, match=r"config\.folds\.test"):
        validate(c)
    c.folds.test, c.folds.run = (), (1,)
    with pytest.raises(ConfigError, match=r"config\.folds\.run: there is no fold 1 among 1"):
        validate(c)


@pytest.mark.parametrize("variant", ["full,sideways", "full,improvised,scripted", "paper,emodarts,speakers"])
def test_choices_that_do_not_go_together_are_named(variant):
    with pytest.raises(ValueError, match=r"configs/iemocap.py.*(sideways|exclude)"):
        importlib.import_module("configs.iemocap").get_config(variant)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baselines": ("cnn",), "sizes": ()}, r"methods\.sizes is empty"),
        ({"baselines": ("cnn",), "sizes": ("paper", "matched")}, r"methods\.parameters = 0 is the size of"),
        (
            {"svm": True, "svm_c": (0.1, 1.0)},
            r"methods\.svm_c: several need config\.folds\.validation_groups",
        ),
        ({}, "config.methods asks for nothing"),
    ],
)
def test_methods_that_lack_something_are_named(settings, message):
    c = config.default()
    c.search.orders = ()
    c.folds.validation_groups = 0
    c.methods.update(settings)
    with pytest.raises(ConfigError, match=message):
        validate(c)


@pytest.mark.parametrize(
    "settings",
    [
        {"random": 1},
        {"svm": True},
        {"baselines": ("cnn",), "sizes": ("paper",)},
        {"baselines": ("cnn",), "parameters": 1000},
    ],
)
def test_methods_need_no_search(settings):
    c = config.default()
    c.search.orders = ()
    c.methods.update(settings)
    validate(c)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("overlap", 1.0, "from 0.0 to 0.9"),
        ("silence", 3.0, "from -120.0 to 0.0"),
        ("labels", ("joy",), "not a pair"),
    ],
)
def test_settings_of_a_bundle_out_of_range(name, value, message):
    c = config.default()
    c.bundle[name] = value
    with pytest.raises(ConfigError, match=message):
        validate(c)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jax_ser_darts.main", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.search.speed=9"], "speed"),
        (["--config.search.epochs=many"], "many"),
        (["--config.space.nodes=0"], "config.space.nodes = 0"),
        (["--config.data.corpus=ravdess", "--config.data.source=/nowhere"], "/nowhere"),
        (["--mode=dance"], "mode"),
        (["--process_id=1"], "--num_processes and --process_id are for --coordinator"),
        (["extra"], "unexpected arguments"),
        (
            ["--config=configs/savee.py:nope"],
            "this config has the variants quick, full, each also with ,joint",
        ),
        (["--config=configs/iemocap.py:joint"], "configs/iemocap.py has the sizes quick, full, paper, first"),
        (
            ["--config=configs/nope.py:quick"],
            "there is no config file configs/nope.py; in configs are: configs/c",
        ),
        (["--config", "nope.py"], "there is no config file nope.py; in . are: none"),
        (["--config=configs/demo.py:quick"], "configs/demo.py has no variants"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, arguments, message):
    """One clear message, no traceback of ours, an exit status that tells."""
    done = command("--config=configs/demo.py", f"--workdir={tmp_path}", *arguments)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_missing_genotype_is_told_before_any_work(tmp_path):
    c = config.default()
    c.train.genotype = "nowhere.json"
    with pytest.raises(GenotypeError, match=r"no genotype file nowhere\.json"):
        main.run(c, tmp_path, "all")
    assert not list(tmp_path.iterdir())


def test_help_has_every_flag_of_the_command():
    told = command("--help").stdout
    flags = (
        "config",
        "workdir",
        "mode",
        "bundle",
        "memory",
        "compilation_cache",
        "beam_runner",
        "beam_options",
    )
    assert [name for name in flags if f"--{name}:" not in told] == []
