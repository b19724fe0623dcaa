"""A workdir is one config's and one corpus's: what may change in it, and what is refused."""

import os
import pathlib
import subprocess
import sys

import pytest

from jax_ser_darts import config
from jax_ser_darts.config_checks import validate
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.rundir.manifest import (
    GRID,
    RESUMABLE,
    check_manifest,
    joined,
    lock_workdir,
    read_manifest,
    write_manifest,
)

ROOT = pathlib.Path(__file__).parents[3]


def test_the_same_config_may_come_back(tmp_path):
    write_manifest(config.default(), tmp_path, "corpus")
    write_manifest(config.default(), tmp_path, "corpus")


def test_another_config_is_refused_with_what_differs(tmp_path):
    write_manifest(config.default(), tmp_path, "corpus")
    other = config.default()
    other.search.epochs = 7
    other.features.hop = 80
    with pytest.raises(ConfigError) as error:
        check_manifest(other, tmp_path)
    assert "config.search.epochs: 50 there, 7 now" in str(error.value)
    assert "config.features.hop: 160 there, 80 now" in str(error.value)


def test_folds_seeds_and_methods_may_be_added(tmp_path):
    write_manifest(config.default(), tmp_path, "corpus")
    more = config.default()
    more.folds.run = (0, 1)
    more.train.seeds = (0, 1)
    more.search.methods = ("first",)
    more.baselines.random = 3
    more.baselines.networks = ("lstm",)
    more.baselines.svm = True
    more.parallel = "shard_map"  # the same results
    write_manifest(more, tmp_path, "corpus")


def test_the_corpus_may_lie_elsewhere_and_what_lies_there_may_not_be_another(tmp_path):
    """The fingerprint knows, once the records are read."""
    write_manifest(config.default(), tmp_path, "corpus")
    moved = config.default()
    moved.data.source = "/elsewhere/corpus"
    check_manifest(moved, tmp_path)
    with pytest.raises(ConfigError, match="the corpus has other utterances"):
        write_manifest(moved, tmp_path, "another")
    write_manifest(moved, tmp_path, "corpus")


def test_a_new_variant_may_be_added_and_an_old_one_not_changed(tmp_path):
    write_manifest(config.default(), tmp_path, "corpus")
    more = config.default()
    more.search.variants.mine = {"order": "second", "hvp_epsilon": 0.5}
    write_manifest(more, tmp_path, "corpus")
    more.search.variants.mine.hvp_epsilon = 0.7
    with pytest.raises(ConfigError, match=r"search\.variants\.mine\.hvp_epsilon: 0\.5 there, 0\.7 now"):
        check_manifest(more, tmp_path)


def test_a_variant_that_a_run_between_lacked_comes_back_as_it_was(tmp_path):
    first = config.default()
    first.search.variants.mine = {"order": "second", "hvp_epsilon": 0.5}
    write_manifest(first, tmp_path, "corpus")
    write_manifest(config.default(), tmp_path, "corpus")
    check_manifest(first, tmp_path)
    first.search.variants.mine.hvp_epsilon = 0.7
    with pytest.raises(ConfigError, match=r"hvp_epsilon: 0\.5 there, 0\.7 now"):
        check_manifest(first, tmp_path)


def test_a_variant_that_was_redefined_is_read_as_it_was(tmp_path):
    """Without what a variant of this name has by default."""
    written = config.default()
    written.data.emotions = {"anger": "angry"}
    written.search.variants = {"darts_plus": {"order": "first", "stop_skips": 3}}
    write_manifest(written, tmp_path, "corpus")
    stored, corpus = read_manifest(tmp_path)
    assert corpus == "corpus"
    assert stored.to_dict() == written.to_dict(), "tuples too"
    check_manifest(stored, tmp_path)


def test_a_setting_that_the_manifest_lacks_is_a_difference(tmp_path):
    less = config.default()
    del less.search.remat
    write_manifest(less, tmp_path, "corpus")
    with pytest.raises(ConfigError, match=r"config\.search\.remat: 'absent' there, False now"):
        check_manifest(config.default(), tmp_path)


def test_what_is_exported_and_how_may_change(tmp_path):
    write_manifest(config.default(), tmp_path, "corpus")
    more = config.default()
    more.bundle.method, more.bundle.silence, more.bundle.labels = "first", -40.0, (("joy", "happy"),)
    validate(more)
    write_manifest(more, tmp_path, "corpus")


def test_another_corpus_is_refused(tmp_path):
    write_manifest(config.default(), tmp_path, "corpus")
    with pytest.raises(ConfigError, match="the corpus has other utterances"):
        write_manifest(config.default(), tmp_path, "another")


@pytest.mark.parametrize("text", ["{", "[]", '{"corpus": "corpus"}', '{"config": [], "corpus": "corpus"}'])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    for read in (lambda: check_manifest(config.default(), tmp_path), lambda: read_manifest(tmp_path)):
        with pytest.raises(ConfigError, match=r"config\.json is damaged"):
            read()


def test_two_grids_joined_hold_both():
    one, other = config.default(), config.default()
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
    assert set(GRID) <= RESUMABLE


HOLDER = """
import pathlib, sys, time
from jax_ser_darts.rundir.manifest import lock_workdir
with lock_workdir(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_workdir_is_one_process_s_until_that_ends(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(ConfigError, match="another process is at work in"), lock_workdir(tmp_path):
                pass
        finally:
            holder.kill()
    with lock_workdir(tmp_path), pytest.raises(ConfigError, match="another process"), lock_workdir(tmp_path):
        pass
    with lock_workdir(tmp_path):
        pass
