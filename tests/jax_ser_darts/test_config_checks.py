"""What cannot work is named before the data is read, by the setting that it is."""

import functools

import pytest

from jax_ser_darts.checks import validated
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.settings import default_config


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
        ("search.methods", ("third",)),
        ("search.methods", ()),
        ("search.hvp", "guess"),
        ("search.params_share", 1.5),
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
        ("search.methods", ("first", "first")),
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
        ("baselines.random", -1),
        ("baselines.networks", ("transformer",)),
        ("baselines.networks", ("cnn", "cnn")),
        ("baselines.sizes", ("huge",)),
        ("baselines.parameters", -1),
        ("baselines.svm_c", ()),
        ("baselines.svm_c", (1.0, 0.0)),
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
        ("grid.workers", 0),
        ("scores.cluster", "utterance"),
    ],
)
def test_an_impossible_setting_is_named(name, value):
    c = default_config()
    *sections, key = name.split(".")
    functools.reduce(lambda part, section: part[section], sections, c)[key] = value
    with pytest.raises(
        ConfigError, match=rf"^config\.({name}|search\.cells)"
    ):  # and no variant of the search
        validated(c)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "first", "speed": 2}, r"mine\.speed: config\.search has no such setting"),
        ({"order": "first", "epochs": 500}, r"mine\.epochs: this is the same for all"),
        ({"order": "second", "hvp": "guess"}, r"mine: config\.search\.hvp = 'guess'"),
        ({"hvp": "exact"}, r"mine\.order must be one of"),
        ({"order": "first", "channels": "x"}, r"mine: .*channels"),
        ({"order": "first", "partial_channels": 0}, r"mine: config\.search\.partial_channels = 0"),
    ],
)
@pytest.mark.parametrize("orders", [("first",), ("mine",)], ids=["known", "asked for"])
def test_a_variant_that_cannot_work_is_named(orders, changes, message):
    c = default_config()
    c.search.variants.mine = changes
    c.search.methods = orders
    with pytest.raises(ConfigError, match=rf"config\.search\.variants\.{message}"):
        validated(c)


def test_channels_that_cannot_be_divided_are_named_where_it_is_asked_for():
    c = default_config()
    c.search.channels = 6
    validated(c)
    c.search.methods = ("pc_darts",)
    with pytest.raises(ConfigError, match=r"channels = 6, of pc_darts, .*partial_channels = 4"):
        validated(c)
    c.search.channels = 8
    validated(c)


def test_a_selection_by_perturbation_needs_all_channels():
    c = default_config()
    c.search.methods = ("darts_pt",)
    c.search.edge_normalisation = True
    validated(c)
    c.search.partial_channels = 2
    with pytest.raises(ConfigError, match=r"perturbation, of darts_pt, needs .*partial_channels=1"):
        validated(c)


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
    c = default_config()
    c.space.operations = operations
    validated(c)
    c.search.methods = (method,)
    with pytest.raises(ConfigError, match=message):
        validated(c)


def test_a_variant_changes_its_settings_and_no_others():
    c = default_config()
    c.search.variants.mine = {"order": "second", "hvp_epsilon": 0.5}
    c.search.methods = ("mine", "first")
    settings = validated(c)
    order, search = settings.method("mine")
    assert (order, search.hvp_epsilon) == ("second", 0.5)
    order, search = settings.method("first")
    assert (order, search.hvp_epsilon) == ("first", c.search.hvp_epsilon)
    assert settings.method("second_differences")[1].hvp == "finite_differences"


def test_the_folds_that_may_run_are_those_there_are():
    c = default_config()
    c.folds.test = (("a",), ("b",))
    c.folds.run = (1,)
    validated(c)
    c.folds.run = (2,)
    with pytest.raises(ConfigError, match=r"config\.folds\.run: there is no fold 2 among 2"):
        validated(c)
    c.data.group_by = "part"
    with pytest.raises(ConfigError, match=r"config\.folds\.test"):
        validated(c)
    c.folds.test, c.folds.run = (), (1,)
    with pytest.raises(ConfigError, match=r"config\.folds\.run: there is no fold 1 among 1"):
        validated(c)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"networks": ("cnn",), "sizes": ()}, r"baselines\.sizes is empty"),
        ({"networks": ("cnn",), "sizes": ("paper", "matched")}, r"baselines\.parameters = 0 is the size of"),
        (
            {"svm": True, "svm_c": (0.1, 1.0)},
            r"baselines\.svm_c: several need config\.folds\.validation_groups",
        ),
        ({}, "config.baselines asks for nothing"),
    ],
)
def test_methods_that_lack_something_are_named(settings, message):
    c = default_config()
    c.search.methods = ()
    c.folds.validation_groups = 0
    c.baselines.update(settings)
    with pytest.raises(ConfigError, match=message):
        validated(c)


@pytest.mark.parametrize(
    "settings",
    [
        {"random": 1},
        {"svm": True},
        {"networks": ("cnn",), "sizes": ("paper",)},
        {"networks": ("cnn",), "parameters": 1000},
    ],
)
def test_methods_need_no_search(settings):
    c = default_config()
    c.search.methods = ()
    c.baselines.update(settings)
    validated(c)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("overlap", 1.0, "from 0.0 to 0.9"),
        ("silence", 3.0, "from -120.0 to 0.0"),
        ("labels", ("joy",), "not a pair"),
    ],
)
def test_settings_of_a_bundle_out_of_range(name, value, message):
    c = default_config()
    c.bundle[name] = value
    with pytest.raises(ConfigError, match=message):
        validated(c)
