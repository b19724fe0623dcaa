"""Settings that cannot work together are named before the data is read; a value by itself, see test_convert.py."""

import pytest

from jax_ser_darts.checks import check, validated
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.settings import Settings, default_config
from jax_ser_darts.settings.convert import replaced


def checked(changes):
    """The default settings with some changed, by name, and checked."""
    return check(replaced(Settings(), changes))


def test_the_defaults_work():
    assert validated(default_config()) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("space.operations", ("sep_conv_7x7",), "unknown operations"),
        ("space.operations", ("none",), "at least one operation besides 'none'"),
        ("search.channels", 3, "must be even"),
        ("search.reductions", (9,), "there is no cell 9 among 4"),
        ("search.methods", ("third",), "'third' is not one of first, second"),
        ("search.methods", (), "config.baselines asks for nothing"),
        ("search.warmup_epochs", 1000, "must be at most config.search.epochs = 50"),
        ("search.alphas_betas", (0.5, 1.5), "must be two numbers in"),
        ("search.stop_eigenvalue", 1.3, "needs config.search.eigenvalue=True"),
        ("search.variants.first.order", "third", "must be one of first, second, implicit"),
        ("train.final_learning_rate", 1.0, "must be at most config.train.learning_rate"),
        ("folds.run", (17,), "there is no fold 17 among 6"),
        ("folds.test", ((),), "is not a fold's groups"),
        ("baselines.networks", ("transformer",), "'transformer' is not one of cnn, lstm"),
    ],
)
def test_a_setting_that_cannot_work_is_named_and_not_a_variant_of_the_search(name, value, message):
    with pytest.raises(ConfigError, match=rf"^config\.{name}.*{message}"):
        checked({name: value})


def test_coefficients_that_the_reductions_use_up_are_named():
    with pytest.raises(ConfigError, match=r"search\.cells = 4: the reductions leave nothing of 2"):
        checked({"features.coefficients": 2})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "first", "speed": 2}, r"mine\.speed: config\.search has no such setting"),
        ({"order": "first", "epochs": 500}, r"mine\.epochs: this is the same for all"),
        ({"order": "second", "hvp": "guess"}, r"mine: config\.search\.hvp = 'guess'"),
        ({"hvp": "exact"}, r"mine\.order must be one of"),
        ({"order": "first", "channels": "x"}, r"mine: .*channels"),
        ({"order": "first", "channels": 3}, r"mine: .*must be even"),
        ({"order": "first", "partial_channels": 0}, r"mine: config\.search\.partial_channels = 0"),
        ({"order": "first", "final_learning_rate": 1.0}, r"mine: config\.search\.final_learning_rate"),
    ],
)
@pytest.mark.parametrize("methods", [("first",), ("mine",)], ids=["known", "asked for"])
def test_a_variant_that_cannot_work_is_named(methods, changes, message):
    with pytest.raises(ConfigError, match=rf"config\.search\.variants\.{message}"):
        checked({"search.variants.mine": changes, "search.methods": methods})


def test_channels_that_cannot_be_divided_are_named_where_it_is_asked_for():
    checked({"search.channels": 6})
    with pytest.raises(ConfigError, match=r"channels = 6, of pc_darts, .*partial_channels = 4"):
        checked({"search.channels": 6, "search.methods": ("pc_darts",)})
    checked({"search.channels": 8, "search.methods": ("pc_darts",)})


def test_a_selection_by_perturbation_needs_all_channels():
    changes = {"search.methods": ("darts_pt",), "search.edge_normalisation": True}
    checked(changes)
    with pytest.raises(ConfigError, match=r"perturbation, of darts_pt, needs .*partial_channels=1"):
        checked({**changes, "search.partial_channels": 2})


@pytest.mark.parametrize(
    ("method", "operations", "message"),
    [
        ("darts_minus", ("max_pool_3x3", "sep_conv_3x3"), r"auxiliary_skip, of darts_minus: .* skip_connect"),
        ("darts_plus", ("skip_connect", "sep_conv_3x3"), r"stop_stable, of darts_plus: fewer than two"),
    ],
)
def test_a_remedy_that_has_nothing_to_do_in_the_space_is_named_where_it_is_asked_for(
    method, operations, message
):
    checked({"space.operations": operations})
    with pytest.raises(ConfigError, match=message):
        checked({"space.operations": operations, "search.methods": (method,)})


def test_the_folds_that_may_run_are_those_there_are():
    tests = {"folds.test": (("a",), ("b",))}
    by_part = {"data.group_by": "part"}
    checked({**tests, "folds.run": (1,)})
    with pytest.raises(ConfigError, match=r"config\.folds\.run: there is no fold 2 among 2"):
        checked({**tests, "folds.run": (2,)})
    with pytest.raises(ConfigError, match=r"config\.folds\.test names tests, but"):
        checked({**tests, **by_part})
    with pytest.raises(ConfigError, match=r"config\.folds\.run: there is no fold 1 among 1"):
        checked({**by_part, "folds.run": (1,)})


@pytest.mark.parametrize(
    ("baselines", "message"),
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
def test_baselines_that_lack_something_are_named(baselines, message):
    changes = {f"baselines.{name}": value for name, value in baselines.items()}
    with pytest.raises(ConfigError, match=message):
        checked({"search.methods": (), "folds.validation_groups": 0, **changes})


@pytest.mark.parametrize(
    "baselines",
    [
        {"random": 1},
        {"svm": True},
        {"networks": ("cnn",), "sizes": ("paper",)},
        {"networks": ("cnn",), "parameters": 1000},
    ],
)
def test_baselines_need_no_search(baselines):
    changes = {f"baselines.{name}": value for name, value in baselines.items()}
    checked({"search.methods": (), **changes})
