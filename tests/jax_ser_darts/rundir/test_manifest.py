"""A workdir is one config's and one corpus's: what may change in it, and what is refused."""

import pytest

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.rundir.manifest import (
    GRID,
    RESUMABLE,
    check_manifest,
    joined,
    read_manifest,
    write_manifest,
)
from jax_ser_darts.settings import Settings, default_config, resolve


def test_the_same_config_may_come_back(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    write_manifest(Settings(), tmp_path, "corpus")


def test_another_run_is_refused_with_the_differences(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    other = default_config()
    other.search.epochs = 7
    other.features.hop = 80
    with pytest.raises(ConfigError) as error:
        check_manifest(resolve(other), tmp_path)
    assert "config.search.epochs: 50 there, 7 now" in str(error.value)
    assert "config.features.hop: 160 there, 80 now" in str(error.value)


def test_more_folds_seeds_orders_and_methods_may_be_added(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    more = default_config()
    more.folds.run = (0, 1)
    more.train.seeds = (0, 1)
    more.search.methods = ("first",)
    more.baselines.random = 3
    more.baselines.networks = ("lstm",)
    more.baselines.svm = True
    more.parallel = "shard_map"  # the same results
    write_manifest(resolve(more), tmp_path, "corpus")


def test_the_corpus_may_lie_elsewhere_and_what_lies_there_may_not_be_another(tmp_path):
    """The digest tells, which is known when the records are read."""
    write_manifest(Settings(), tmp_path, "corpus")
    moved = default_config()
    moved.data.source = "/elsewhere/corpus"
    check_manifest(resolve(moved), tmp_path)
    with pytest.raises(ConfigError, match="the corpus has other utterances"):
        write_manifest(resolve(moved), tmp_path, "another")
    write_manifest(resolve(moved), tmp_path, "corpus")


def test_a_new_variant_may_be_added_and_an_old_one_not_changed(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    more = default_config()
    more.search.variants.mine = {"order": "second", "hvp_epsilon": 0.5}
    write_manifest(resolve(more), tmp_path, "corpus")
    more.search.variants.mine.hvp_epsilon = 0.7
    with pytest.raises(ConfigError, match=r"search\.variants\.mine\.hvp_epsilon: 0\.5 there, 0\.7 now"):
        check_manifest(resolve(more), tmp_path)


def test_a_variant_that_a_run_did_not_know_comes_back_as_it_was(tmp_path):
    one = default_config()
    one.search.variants.mine = {"order": "second", "hvp_epsilon": 0.5}
    write_manifest(resolve(one), tmp_path, "corpus")
    write_manifest(Settings(), tmp_path, "corpus")
    check_manifest(resolve(one), tmp_path)
    one.search.variants.mine.hvp_epsilon = 0.7
    with pytest.raises(ConfigError, match=r"hvp_epsilon: 0\.5 there, 0\.7 now"):
        check_manifest(resolve(one), tmp_path)


def test_a_variant_that_was_redefined_is_read_as_it_was(tmp_path):
    """Without what a variant of this name has by default."""
    one = default_config()
    one.data.emotions = {"anger": "angry"}
    one.search.variants = {"darts_plus": {"order": "first", "stop_skips": 3}}
    write_manifest(resolve(one), tmp_path, "corpus")
    saved, _ = read_manifest(tmp_path)
    assert saved.search.variants == {"darts_plus": {"order": "first", "stop_skips": 3}}
    assert saved.data.emotions == {"anger": "angry"}
    check_manifest(saved, tmp_path)
    assert saved.features == Settings().features


def test_what_is_exported_and_how_is_free(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    more = default_config()
    more.bundle.method, more.bundle.silence, more.bundle.labels = "first", -40.0, (("joy", "happy"),)
    write_manifest(resolve(more), tmp_path, "corpus")


def test_another_corpus_is_refused(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    with pytest.raises(ConfigError, match="the corpus has other utterances"):
        write_manifest(Settings(), tmp_path, "another")


@pytest.mark.parametrize("text", ["{", "[]", '{"corpus": "corpus"}', '{"config": [], "corpus": "corpus"}'])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    for read in (lambda: check_manifest(Settings(), tmp_path), lambda: read_manifest(tmp_path)):
        with pytest.raises(ConfigError, match=r"config\.json is damaged"):
            read()


def test_two_grids_joined_hold_both():
    one, other = default_config(), default_config()
    one.folds.run, other.folds.run = (3, 1), (2, 3)
    one.search.methods, other.search.methods = ("second", "first"), ("first",)
    other.search.seeds = (4, 0)
    one.baselines.random, other.baselines.random = 2, 3
    one.baselines.networks, other.baselines.networks = ("lstm",), ("cnn",)
    other.baselines.svm = True
    one.search.variants.mine = {"order": "second"}
    one.data.source = "/here"
    both = joined(resolve(one), resolve(other))
    assert both.folds.run == (1, 2, 3)
    assert both.search.methods == ("second", "first")
    assert both.search.seeds == (4, 0)
    assert both.baselines.random == 3
    assert both.baselines.networks == ("lstm", "cnn")
    assert both.baselines.svm is True
    assert (
        both.search.variants["mine"]["order"]
        == joined(resolve(other), resolve(one)).search.variants["mine"]["order"]
        == "second"
    )
    assert both.data.source == "/here"
    other.folds.run = ()
    assert (
        joined(resolve(one), resolve(other)).folds.run == joined(resolve(other), resolve(one)).folds.run == ()
    ), "of all folds"
    assert set(GRID) <= RESUMABLE
