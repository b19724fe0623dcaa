"""Settings come whole from the config that users override, and a mistake is named as they wrote it."""

import json

import pytest

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.settings import Settings, default_config, from_json, resolve, to_config, to_json
from jax_ser_darts.settings.convert import flat, replaced, value_of


def test_the_default_config_is_the_defaults():
    assert resolve(default_config()) == Settings()


def test_settings_survive_a_config_and_json():
    changed = replaced(
        Settings(), {"search.methods": ("first",), "data.emotions": {"a": "b"}, "features.hop": 80}
    )
    assert resolve(to_config(changed)) == changed
    assert from_json(json.loads(json.dumps(to_json(changed)))) == changed


def test_what_a_config_lacks_has_its_default():
    assert resolve({"search": {"epochs": 3}}) == replaced(Settings(), {"search.epochs": 3})


def test_numbers_and_tuples_are_as_declared():
    settings = resolve({"search": {"clip": 5}, "train": {"seeds": [0, 1]}})
    assert isinstance(settings.search.clip, float)
    assert settings.train.seeds == (0, 1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("search.epochs", 0, "must be 1 or more"),
        ("search.epochs", True, "must be a whole number"),
        ("search.epochs", 2.5, "must be a whole number"),
        ("search.clip", float("nan"), "must be above 0"),
        ("search.momentum", 9.0, "must be from 0 to 1"),
        ("search.hvp", "guess", "must be one of exact, finite_differences"),
        ("search.seeds", (), r"is empty: name at least one, e\.g\. \(0,\)"),
        ("search.seeds", (1, 1), "names one twice"),
        ("search.seeds", (-1,), "must be 0 or more"),
        ("search.seeds", ("a",), "must be a whole number"),
        ("search.seeds", "01", "must be a tuple"),
        ("folds.run", (0.5,), "must be a whole number"),
        ("folds.test", ("speaker_01",), "must be a tuple"),
        ("search.alphas_betas", (0.5,), "must be 2 values"),
        ("model.stem_stride", 3, "must be one of 1, 2"),
        ("parallel", "vmap", "must be one of pmap, shard_map"),
        ("data.group_by", "sex", "must be one of speaker, session, part"),
        ("bundle.labels", ("joy",), "must be a tuple"),
        ("train.augment.time_share", 1.5, "must be from 0 to 1"),
        ("seed", -1, "must be from 0 to 2147483647"),
        ("space.nodes", 0, "must be 1 or more"),
        ("space.operations", ("skip_connect", "skip_connect"), "names one twice"),
        ("search.sequence", "gru", "must be one of fixed, all"),
        ("search.params_share", 1.5, "must be from 0.05 to 0.95"),
        ("search.auxiliary_skip", -1.0, "must be from 0 to 100"),
        ("search.neumann_rate", 0.0, "must be above 0"),
        ("train.optimiser", "adagrad", "must be one of adamw, sgd"),
        ("train.drop_path", 1.0, "must be from 0 to 0.95"),
        ("baselines.sizes", ("huge",), "must be one of paper, matched"),
        ("baselines.svm_c", (1.0, 0.0), "must be above 0"),
        ("scores.level", 95.0, "must be from 0.5 to 0.9999"),
        ("scores.cluster", "utterance", "must be one of speaker, fold"),
        ("grid.workers", 0, "must be 1 or more"),
        ("bundle.overlap", 1.0, "must be from 0 to 0.9"),
        ("bundle.silence", 3.0, "must be from -120 to 0"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_may_be(name, value, message):
    with pytest.raises(ConfigError, match=rf"^config\.{name} .*{message}"):
        replaced(Settings(), {name: value})


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"search": {"epoch": 3}}, r"config\.search\.epoch: .*did you mean config\.search\.epochs\?"),
        ({"epochs": 3}, r"config\.epochs: .*did you mean config\.search\.epochs\?"),
        ({"xyzzy": 3}, r"config\.xyzzy: .*--show lists them all"),
    ],
)
def test_an_unknown_setting_is_an_error_that_names_the_nearest(wrong, hint):
    with pytest.raises(ConfigError, match=hint):
        resolve(wrong)


def test_each_setting_has_a_flat_name():
    values = flat(Settings())
    assert values["search.epochs"] == 50
    assert values["search.variants.darts_plus.stop_skips"] == 2
    assert values["data.emotions"] == {}
    assert value_of(Settings(), "train.augment.gain") == 0.0
