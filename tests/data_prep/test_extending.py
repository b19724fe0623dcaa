"""docs/extending_data.md: readers and kinds of features of the user's own, registered, prepared, told apart."""

import dataclasses
import importlib
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from small_corpus import FEATURES, RATE, configured

from data_prep import corpora, features
from data_prep.compute import compute_one
from data_prep.corpora.base import CorpusError
from data_prep.features import SettingsError
from data_prep.prepare import prepare
from data_prep.provenance import VERSION
from data_prep.selection import select
from jax_ser_darts.data.records import load_records

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending_data.md").read_text()
MODULE = re.search(r"^```python\n(# my_data\.py\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]
COMMAND = re.search(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(autouse=True)
def _registered_here(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(corpora, "READERS", dict(corpora.READERS))
    monkeypatch.setattr("data_prep.counts.READERS", corpora.READERS)
    monkeypatch.setattr(features, "KINDS", dict(features.KINDS))


@pytest.fixture
def tree(tmp_path) -> pathlib.Path:
    """Five speakers of noise, two emotions, three takes each; one file of another name, which is no utterance."""
    rng = np.random.default_rng(0)
    root = tmp_path / "CORPUS"
    for speaker in "abcde":
        (root / speaker).mkdir(parents=True)
        for emotion in ("angry", "sad"):
            for take in (1, 2, 3):
                sound = 0.1 * rng.standard_normal(round(rng.uniform(0.3, 0.7) * RATE))
                soundfile.write(root / speaker / f"{emotion}_{take}.wav", sound, RATE)
    return root


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Imports a module of this source; the name is my_data."""

    def load(source=MODULE):
        (tmp_path / "my_data.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        sys.modules.pop("my_data", None)
        importlib.invalidate_caches()
        return importlib.import_module("my_data")

    yield load
    sys.modules.pop("my_data", None)


def own(source, **changes):
    data = configured(source, corpus="my_corpus", emotions={}, **changes)
    return {"data": data, "features": dataclasses.replace(FEATURES, kind="spectrum")}


def test_the_page_works_as_written(tree, tmp_path):
    (tmp_path / "my_data.py").write_text(MODULE)
    done = subprocess.run(
        ["bash", "-ec", COMMAND.replace("PYTHONPATH=.", f"PYTHONPATH=.:{ROOT}")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.glob(f"runs/own/records/my_corpus_*/{VERSION}")
    assert len(load_records(folder)) == 30


@pytest.mark.parametrize("workers", [1, 2])
def test_records_of_both_are_made_whoever_computes_them(tree, tmp_path, module, workers):
    mine = module()
    corpus = load_records(prepare(**own(tree, workers=workers), records=tmp_path / "records"))
    assert (len(corpus), corpus.coefficients, corpus.classes) == (30, 13, ("angry", "sad"))
    settings = dataclasses.replace(FEATURES, kind="spectrum")
    by_id = dict(zip(corpus.id.tolist(), corpus.features, strict=True))
    for utterance in corpora.read("my_corpus", tree).utterances[::7]:
        *_, expected = compute_one(utterance, settings)
        np.testing.assert_array_equal(by_id[utterance.id], expected)
    waveform = soundfile.read(tree / "a" / "sad_1.wav", dtype="float32")[0]
    pooled = np.maximum.reduceat(mine.spectrum(waveform, settings), [0, 2])[0]
    np.testing.assert_allclose(by_id["a_sad_1"][0], pooled, rtol=1e-6)


def test_a_file_that_is_no_utterance_is_named_with_its_reason(tree, tmp_path, module):
    module()
    (tree / "a" / "noise.wav").touch()
    (bad,) = select(own(tree)["data"], records=tmp_path).bad_files
    assert bad.path.endswith("a/noise.wav")
    assert "as in angry_1" in bad.reason
    with pytest.raises(CorpusError, match=r"expected: my corpus, SPEAKER/EMOTION_TAKE\.wav"):
        corpora.read("my_corpus", tmp_path / "absent")


def test_published_counts_are_compared_with_the_corpus(tree, tmp_path, module, caplog):
    counts = corpora.Published(name="my paper", total=31)
    module()
    corpora.register("my_other", layout="", published=[counts])(corpora.READERS["my_corpus"].read)
    prepare(**own(tree) | {"data": configured(tree, corpus="my_other", emotions={})}, records=tmp_path)
    assert "the corpus does not have the counts of my paper:\n  all: 30 here, 31 published" in caplog.text


def test_the_licence_is_known():
    corpora.register("my_corpus", layout="", licence="CC0")(corpora.READERS["manifest"].read)
    assert corpora.licence("my_corpus") == "CC0"
    assert corpora.licence("unheard_of") == ""
    assert "CC BY-NC-SA" in corpora.licence("ravdess")


def test_other_numbers_are_other_records_and_another_run(tree, tmp_path, module):
    """By the version, or without one by the source of the module."""

    def prepared(source):
        module(source)
        features.KINDS.pop("spectrum", None)
        importlib.reload(sys.modules["my_data"])
        return load_records(prepare(**own(tree), records=tmp_path / "records"))

    unversioned = MODULE.replace(', version="1"', "")
    sources = [MODULE, MODULE.replace('"1"', '"2"'), unversioned, unversioned.replace("1e-6", "1e-5")]
    found = [prepared(source) for source in sources]
    assert len({corpus.metadata["fingerprint"] for corpus in found}) == len(sources)
    assert len({corpus.fingerprint for corpus in found}) == len(sources)
    again = prepared(MODULE + "# a comment\n")
    assert again.metadata["fingerprint"] == found[0].metadata["fingerprint"]


@pytest.mark.parametrize(
    "rows", ["waveform[:0, None]", "np.zeros((7, settings.coefficients))", "np.zeros(3)"]
)
def test_another_shape_is_an_error_that_names_the_function(tree, tmp_path, module, rows):
    module(MODULE.replace("    padded =", f"    return {rows}\n    padded ="))
    with pytest.raises(SettingsError, match=r"spectrum must return \[\d+, 13\] for \d+ samples, not \["):
        prepare(**own(tree), records=tmp_path / "records")


def test_what_was_not_registered_is_an_error_that_says_where_to_look(tree, tmp_path):
    with pytest.raises(CorpusError, match=r"unknown corpus 'my_corpus'; known: .*config\.extensions"):
        prepare(**own(tree), records=tmp_path / "records")
    settings = own(tree) | {"data": configured(tree, corpus="manifest")}
    with pytest.raises(
        SettingsError, match=r"kind must be one of logmel, mfcc, .*extensions.* not 'spectrum'"
    ):
        features.kind_of(settings["features"])


def test_a_name_is_registered_once(module):
    module()
    module()  # the same functions, loaded again
    with pytest.raises(CorpusError, match=r"'ravdess' has a reader already: data_prep\.corpora\.ravdess"):
        corpora.register("ravdess", layout="")(sys.modules["my_data"].read)
    with pytest.raises(SettingsError, match=r"'logmel' are registered already, by data_prep\.features"):
        features.register("logmel", version="1")(sys.modules["my_data"].spectrum)


def test_names_and_functions_that_cannot_be_are_refused():
    for name in ("My", "my-corpus", "", "../x"):
        with pytest.raises(CorpusError, match="lower-case letters"):
            corpora.register(name, layout="")
    with pytest.raises(SettingsError, match="letters, digits and underscores"):
        features.register("a kind")
    with pytest.raises(SettingsError, match="is no function of a module"):
        features.register("mine", version="1")(lambda waveform, settings: waveform)


def test_a_bundle_does_not_compute_them():
    with pytest.raises(SettingsError, match="a bundle has features of kind logmel or mfcc, not 'spectrum'"):
        features.arrays(dataclasses.replace(FEATURES, kind="spectrum"))
