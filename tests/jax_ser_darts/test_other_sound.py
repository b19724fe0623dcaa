"""A workdir knows its sound: other sound under the same names is refused by every mode, before anything is computed."""

import pathlib
import shutil

import pytest

from jax_ser_darts import Run
from jax_ser_darts.data.records import load_records
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.rundir.manifest import write_manifest

CASES = pathlib.Path(__file__).parents[3] / "shared" / "cases"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*"),
    pytest.mark.skipif(not (CASES / "base").is_dir(), reason=f"the cases are absent: no folder {CASES}"),
]


def run_of(manifest: pathlib.Path, workdir: pathlib.Path) -> Run:
    return Run(
        "manifest:quick",
        workdir,
        {"data.source": str(manifest), "data.records": str(workdir / "records"), "data.workers": 1},
    )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A workdir of the corpus `base`, as any mode leaves it."""
    workdir = tmp_path_factory.mktemp("base")
    run = run_of(CASES / "base/m.csv", workdir)
    write_manifest(run.settings, workdir, load_records(run.prepare()).fingerprint)
    return workdir


@pytest.mark.parametrize("mode", ["search", "train", "evaluate", "all", "compare", "export"])
def test_every_mode_refuses_it(workdir, mode):
    other = run_of(CASES / "base_other_sound/m.csv", workdir)
    with pytest.raises(ConfigError, match="the corpus has other sound under the same names than it had"):
        other.mode(mode)


def test_a_label_that_was_changed_is_named_as_such(workdir):
    with pytest.raises(ConfigError, match="other utterances, labels or speakers"):
        run_of(CASES / "base/m_label.csv", workdir).mode("search")


def test_a_corpus_that_was_moved_and_touched_is_the_same(workdir, tmp_path):
    moved = shutil.copytree(CASES / "base", tmp_path / "moved", copy_function=shutil.copyfile)
    run = run_of(moved / "m.csv", workdir)
    write_manifest(run.settings, workdir, load_records(run.prepare()).fingerprint)
