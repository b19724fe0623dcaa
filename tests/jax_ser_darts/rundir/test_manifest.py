"""A workdir is one config's and one corpus's: what may change in it, and what is refused."""

import os
import pathlib
import subprocess
import sys

import pytest

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.fields import all_fields, checked
from jax_ser_darts.rundir.manifest import (
    GRID,
    RESUMABLE,
    check_manifest,
    joined,
    lock_workdir,
    read_about,
    read_manifest,
    write_about,
    write_manifest,
)
from jax_ser_darts.settings import Settings
from jax_ser_darts.settings.convert import replaced

ROOT = pathlib.Path(__file__).parents[3]
FIELDS = [field for field in all_fields(Settings) if field.name != "search.variants"]
MINE = {"search.variants.mine": {"order": "second", "hvp_epsilon": 0.5}}
OTHER = {"search.variants.mine": {"order": "second", "hvp_epsilon": 0.7}}
KINDS = {"features.kind": "mfcc", "features.pool_kind": "max"}


def settings(changes):
    return replaced(Settings(), changes)


def another(field):
    """A value that a setting may have, besides its default."""
    number = field.default if isinstance(field.default, int | float) else 1
    numbers = (number + 1, number - 1, number + 0.1, number * 0.9)
    tuples = (("other",), (("other",),), (("other", "others"),), ("paper",), (3,), (0.25, 0.5))
    others = (KINDS.get(field.name, "other"), {"other": "others"}, not field.default)
    for value in (*field.choices, *others, *numbers, *tuples):
        try:
            if checked(field, value) != field.default:
                return value
        except ConfigError:
            continue
    raise AssertionError(f"no other value for {field.name}")


def test_the_same_settings_resume(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    write_manifest(Settings(), tmp_path, "corpus")
    assert read_manifest(tmp_path) == (Settings(), "corpus")


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_setting_may_change_where_it_adds_results_or_changes_none(tmp_path, field):
    write_manifest(Settings(), tmp_path, "corpus")
    changed = settings({field.name: another(field)})
    if field.spec.resumable:
        write_manifest(changed, tmp_path, "corpus")
        assert read_manifest(tmp_path)[0] == changed
    else:
        with pytest.raises(ConfigError, match=rf"holds another run:\n  config\.{field.name}.* there, .* now"):
            write_manifest(changed, tmp_path, "corpus")
        assert read_manifest(tmp_path)[0] == Settings()


def test_what_may_change_is_what_adds_results_or_changes_none():
    assert set(GRID) <= RESUMABLE
    assert {"folds.run", "search.methods", "search.seeds", "train.seeds", "baselines.random"} <= set(GRID)
    assert {"devices", "parallel", "data.source", "grid.workers", "bundle.method"} <= RESUMABLE
    assert not {"search.epochs", "train.epochs", "features.hop", "folds.count", "seed"} & RESUMABLE


def test_all_differences_are_named(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    with pytest.raises(ConfigError) as error:
        check_manifest(settings({"search.epochs": 7, "features.hop": 80}), tmp_path)
    assert "config.search.epochs: 50 there, 7 now" in str(error.value)
    assert "config.features.hop: 160 there, 80 now" in str(error.value)


def test_another_corpus_is_refused_wherever_it_lies(tmp_path):
    """Its fingerprint is known when the records are read."""
    write_manifest(Settings(), tmp_path, "corpus")
    moved = settings({"data.source": "/elsewhere/corpus"})
    check_manifest(moved, tmp_path)
    for same_or_moved in (Settings(), moved):
        with pytest.raises(ConfigError, match="the corpus has other utterances"):
            write_manifest(same_or_moved, tmp_path, "another")
    write_manifest(moved, tmp_path, "corpus")


def test_a_new_variant_may_be_added_and_an_old_one_not_changed(tmp_path):
    write_manifest(Settings(), tmp_path, "corpus")
    write_manifest(settings(MINE), tmp_path, "corpus")
    with pytest.raises(ConfigError, match=r"search\.variants\.mine\.hvp_epsilon: 0\.5 there, 0\.7 now"):
        check_manifest(settings(OTHER), tmp_path)


def test_a_variant_that_a_run_between_lacked_comes_back_as_it_was(tmp_path):
    write_manifest(settings(MINE), tmp_path, "corpus")
    write_manifest(Settings(), tmp_path, "corpus")
    check_manifest(settings(MINE), tmp_path)
    with pytest.raises(ConfigError, match=r"hvp_epsilon: 0\.5 there, 0\.7 now"):
        check_manifest(settings(OTHER), tmp_path)


def test_a_variant_that_was_redefined_is_read_as_it_was(tmp_path):
    """Without what a variant of this name has by default."""
    redefined = settings({"search.variants": {"darts_plus": {"order": "first", "stop_skips": 3}}})
    write_manifest(redefined, tmp_path, "corpus")
    assert read_manifest(tmp_path)[0] == redefined
    check_manifest(redefined, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"corpus": "corpus"}',
        '{"config": [], "corpus": "corpus"}',
        '{"config": {"search": {"epochs": "many"}}, "corpus": "corpus"}',
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    for read in (lambda: check_manifest(Settings(), tmp_path), lambda: read_manifest(tmp_path)):
        with pytest.raises(ConfigError, match=r"config\.json is damaged"):
            read()


def test_other_sound_under_the_same_names_is_named(tmp_path):
    write_manifest(Settings(), tmp_path, "names-content")
    check_manifest(Settings(), tmp_path, "names-content")
    with pytest.raises(ConfigError, match="the corpus has other sound under the same names than it had"):
        check_manifest(Settings(), tmp_path, "names-other")
    with pytest.raises(ConfigError, match="other utterances, labels or speakers"):
        check_manifest(Settings(), tmp_path, "others-content")


def test_results_whose_config_is_gone_are_nobodys(tmp_path):
    job = tmp_path / "search/first/seed_0/fold_0/job.json"
    job.parent.mkdir(parents=True)
    check_manifest(Settings(), tmp_path)
    job.write_text("{}")
    with pytest.raises(ConfigError, match=r"config\.json is gone.*restore it, or use another --workdir"):
        check_manifest(Settings(), tmp_path)


def test_what_is_known_of_the_corpus_goes_with_one_config(tmp_path):
    write_manifest(Settings(), tmp_path, "names-content")
    about = {"corpus": "mine", "synthetic": False}
    write_about(tmp_path / "corpus.json", about, tmp_path)
    assert read_about(tmp_path / "corpus.json", tmp_path, "corpus") == about
    write_manifest(settings({"scores.level": 0.9}), tmp_path, "names-content")
    with pytest.raises(ConfigError, match=r"is of another config\.json"):
        read_about(tmp_path / "corpus.json", tmp_path)


def test_two_grids_joined_hold_both():
    first = settings(
        {
            **MINE,
            "folds.run": (3, 1),
            "search.methods": ("second", "first"),
            "baselines.random": 2,
            "baselines.networks": ("lstm",),
            "data.source": "/here",
        }
    )
    second = settings(
        {
            "folds.run": (2, 3),
            "search.methods": ("first",),
            "search.seeds": (4, 0),
            "baselines.random": 3,
            "baselines.networks": ("cnn",),
            "baselines.svm": True,
        }
    )
    assert joined(first, second) == replaced(
        first,
        {
            "folds.run": (1, 2, 3),
            "search.seeds": (4, 0),
            "baselines.random": 3,
            "baselines.networks": ("lstm", "cnn"),
            "baselines.svm": True,
        },
    )
    assert joined(second, first).search.variants["mine"] == MINE["search.variants.mine"]


def test_a_grid_of_all_folds_joined_is_one_of_all_folds():
    some, every = settings({"folds.run": (1,)}), Settings()
    assert joined(some, every).folds.run == joined(every, some).folds.run == ()


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
