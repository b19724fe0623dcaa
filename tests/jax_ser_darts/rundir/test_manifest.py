"""A workdir is one config's and one corpus's: what may change in it, and what is refused."""

import pytest

from jax_ser_darts.checks import validated
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.rundir.manifest import FREE, GRID, check_manifest, joined, read_manifest, write_manifest
from jax_ser_darts.settings import default_config


def test_the_same_config_may_come_back(tmp_path):
    write_manifest(default_config(), tmp_path, "corpus")
    write_manifest(default_config(), tmp_path, "corpus")


def test_another_is_told_what_differs(tmp_path):
    write_manifest(default_config(), tmp_path, "corpus")
    other = default_config()
    other.search.epochs = 7
    other.features.hop = 80
    with pytest.raises(ConfigError) as error:
        check_manifest(other, tmp_path)
    assert "config.search.epochs: 50 there, 7 now" in str(error.value)
    assert "config.features.hop: 160 there, 80 now" in str(error.value)


def test_more_folds_seeds_orders_and_methods_may_be_added(tmp_path):
    write_manifest(default_config(), tmp_path, "corpus")
    more = default_config()
    more.folds.run = (0, 1)
    more.train.seeds = (0, 1)
    more.search.methods = ("first",)
    more.baselines.random = 3
    more.baselines.networks = ("lstm",)
    more.baselines.svm = True
    more.parallel = "shard_map"  # the same results
    write_manifest(more, tmp_path, "corpus")


def test_the_corpus_may_lie_elsewhere_and_what_lies_there_may_not_be_another(tmp_path):
    """The digest tells, which is known when the records are read."""
    write_manifest(default_config(), tmp_path, "corpus")
    moved = default_config()
    moved.data.source = "/elsewhere/corpus"
    check_manifest(moved, tmp_path)
    with pytest.raises(ConfigError, match="the corpus has other utterances"):
        write_manifest(moved, tmp_path, "another")
    write_manifest(moved, tmp_path, "corpus")


def test_a_new_variant_may_be_added_and_an_old_one_not_changed(tmp_path):
    write_manifest(default_config(), tmp_path, "corpus")
    more = default_config()
    more.search.variants.mine = {"order": "second", "hvp_epsilon": 0.5}
    write_manifest(more, tmp_path, "corpus")
    more.search.variants.mine.hvp_epsilon = 0.7
    with pytest.raises(ConfigError, match=r"search\.variants\.mine\.hvp_epsilon: 0\.5 there, 0\.7 now"):
        check_manifest(more, tmp_path)


def test_a_variant_that_a_run_did_not_know_comes_back_as_it_was(tmp_path):
    one = default_config()
    one.search.variants.mine = {"order": "second", "hvp_epsilon": 0.5}
    write_manifest(one, tmp_path, "corpus")
    write_manifest(default_config(), tmp_path, "corpus")
    check_manifest(one, tmp_path)
    one.search.variants.mine.hvp_epsilon = 0.7
    with pytest.raises(ConfigError, match=r"hvp_epsilon: 0\.5 there, 0\.7 now"):
        check_manifest(one, tmp_path)


def test_a_variant_that_was_redefined_is_read_as_it_was(tmp_path):
    """Without what a variant of this name has by default."""
    one = default_config()
    one.data.emotions = {"anger": "angry"}
    one.search.variants = {"darts_plus": {"order": "first", "stop_skips": 3}}
    write_manifest(one, tmp_path, "corpus")
    claimed, _ = read_manifest(tmp_path)
    assert claimed.search.variants.to_dict() == {"darts_plus": {"order": "first", "stop_skips": 3}}
    assert claimed.data.emotions.to_dict() == {"anger": "angry"}
    check_manifest(claimed, tmp_path)
    assert claimed.features == default_config().features


def test_a_workdir_from_before_the_methods_takes_them(tmp_path):
    old = default_config()
    del old.baselines
    write_manifest(old, tmp_path, "corpus")
    write_manifest(default_config(), tmp_path, "corpus")


def test_a_workdir_from_before_the_sequence_cells_goes_on_without_them(tmp_path):
    old = default_config()
    del old.search.sequence
    del old.search.sequence_width
    write_manifest(old, tmp_path, "corpus")
    check_manifest(default_config(), tmp_path)
    joint = default_config()
    joint.search.sequence = "all"
    with pytest.raises(ConfigError, match=r"search\.sequence: 'fixed' there, 'all' now"):
        check_manifest(joint, tmp_path)


def test_a_workdir_from_before_a_setting_goes_on_with_what_it_did(tmp_path):
    old = default_config()
    for name in (
        "remat",
        "auxiliary_skip",
        "stop_skips",
        "eigenvalue",
        "perturbation",
        "partial_channels",
        "edge_normalisation",
    ):
        del old.search[name]
    write_manifest(old, tmp_path, "corpus")
    check_manifest(default_config(), tmp_path)


def test_what_is_exported_and_how_is_free(tmp_path):
    """Also in a workdir from before there were bundles."""
    old = default_config()
    del old.bundle
    write_manifest(old, tmp_path, "corpus")
    more = default_config()
    more.bundle.method, more.bundle.silence, more.bundle.labels = "first", -40.0, (("joy", "happy"),)
    validated(more)
    write_manifest(more, tmp_path, "corpus")


def test_a_workdir_whose_searches_had_no_seeds_is_refused(tmp_path):
    write_manifest(default_config(), tmp_path, "corpus")
    (tmp_path / "search" / "first" / "fold_0").mkdir(parents=True)
    with pytest.raises(ConfigError, match="before searches had seeds"):
        check_manifest(default_config(), tmp_path)


def test_another_corpus_is_refused(tmp_path):
    write_manifest(default_config(), tmp_path, "corpus")
    with pytest.raises(ConfigError, match="the corpus has other utterances"):
        write_manifest(default_config(), tmp_path, "another")


@pytest.mark.parametrize("text", ["{", "[]", '{"corpus": "corpus"}', '{"config": [], "corpus": "corpus"}'])
def test_a_damaged_claim_is_told_with_its_name(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    for read in (lambda: check_manifest(default_config(), tmp_path), lambda: read_manifest(tmp_path)):
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
    both = joined(one, other)
    assert both.folds.run == (1, 2, 3)
    assert both.search.methods == ("second", "first")
    assert both.search.seeds == (4, 0)
    assert both.baselines.random == 3
    assert both.baselines.networks == ("lstm", "cnn")
    assert both.baselines.svm is True
    assert both.search.variants.mine.order == joined(other, one).search.variants.mine.order == "second"
    assert both.data.source == "/here"
    other.folds.run = ()
    assert joined(one, other).folds.run == joined(other, one).folds.run == (), "of all folds"
    assert set(GRID) <= FREE
