"""Functionals: openSMILE's, of each utterance's own stretch of sound, computed once."""

import csv
import importlib.util
import sys

import numpy as np
import pytest
import soundfile

from data_prep import audio, functionals
from data_prep.corpora.base import CorpusError, Utterance
from data_prep.corpus_settings import CorpusSettings
from data_prep.functionals import MissingError
from data_prep.selection import read_corpus

RATE = 16_000


@pytest.fixture
def corpus(tmp_path):
    """Two files of a voice-like sound; one utterance is a part of the second. Their settings."""
    root = tmp_path / "corpus"
    root.mkdir()
    time = np.arange(RATE) / RATE
    rng = np.random.default_rng(0)
    for name, pitch in (("low", 110.0), ("high", 220.0)):
        voice = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 12))
        sound = 0.1 * voice * (1 + 0.5 * np.sin(2 * np.pi * 3 * time)) + 0.001 * rng.standard_normal(RATE)
        soundfile.write(root / f"{name}.wav", sound, RATE)
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["path", "speaker", "emotion", "start", "end", "id"],
                ["low.wav", "a", "angry", "", "", "whole"],
                ["high.wav", "b", "sad", "", "", "other"],
                ["high.wav", "b", "sad", "0.25", "0.75", "part"],
            ]
        )
    return CorpusSettings(corpus="manifest", source=str(root / "manifest.csv"), workers=1)


def get(data, tmp_path, ids, fingerprint="x"):
    return functionals.functionals(
        data=data,
        records=tmp_path / "records",
        ids=ids,
        fingerprint=fingerprint,
        path=tmp_path / "run" / "functionals.npz",
    )


@pytest.mark.skipif(
    importlib.util.find_spec("opensmile") is None, reason="openSMILE is absent: pip install -e '.[baselines]'"
)
def test_they_are_opensmiles_in_the_order_of_the_ids(corpus, tmp_path):
    values = get(corpus, tmp_path, ["part", "whole", "other"])
    assert values.shape == (3, 88)
    assert values.dtype == np.float32
    pitch = 27.5 * 2 ** (values[:, 0] / 12)  # the first is the mean F0, in semitones from 27.5 Hz
    np.testing.assert_allclose(pitch, [220, 110, 220], rtol=0.02)
    assert (values[0] != values[2]).any(), "a part is not the whole"
    assert "opensmile" not in sys.modules, "it may not be in one process with TensorFlow"


class TestKept:
    @pytest.fixture
    def computed(self, monkeypatch):
        """What was computed, call by call; openSMILE is replaced by the length of the id."""
        calls = []

        def compute(utterances, *, workers):
            calls.append([one.id for one in utterances])
            return np.array([[len(one.id)] * 88 for one in utterances], np.float32)

        monkeypatch.setattr(functionals, "compute", compute)
        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        return calls

    def test_they_are_computed_once(self, corpus, tmp_path, computed):
        first = get(corpus, tmp_path, ["part", "whole"])
        again = get(corpus, tmp_path, ["part", "whole"])
        np.testing.assert_array_equal(first, again)
        assert computed == [["part", "whole"]]
        assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["functionals.npz"]

    def test_other_utterances_or_other_sound_are_computed_anew(self, corpus, tmp_path, computed):
        get(corpus, tmp_path, ["part", "whole"])
        get(corpus, tmp_path, ["whole", "part"])
        get(corpus, tmp_path, ["whole", "part"], fingerprint="y")
        assert len(computed) == 3

    @pytest.mark.parametrize("left", [0, 100, None])
    def test_a_damaged_file_is_computed_anew(self, corpus, tmp_path, computed, left):
        get(corpus, tmp_path, ["part"])
        path = tmp_path / "run" / "functionals.npz"
        path.write_bytes(b"nothing" if left is None else path.read_bytes()[:left])
        get(corpus, tmp_path, ["part"])
        assert len(computed) == 2

    def test_a_full_disk_is_told_and_leaves_nothing(self, corpus, tmp_path, computed, small_disk):
        path = small_disk.folder / "run" / "functionals.npz"
        arguments = {
            "data": corpus,
            "records": tmp_path,
            "ids": ["part", "whole"],
            "fingerprint": "x",
            "path": path,
        }
        small_disk.fill()
        with pytest.raises(OSError, match="No space left on device; make space and start again") as caught:
            functionals.functionals(**arguments)
        assert caught.value.filename == str(path)
        assert not list(path.parent.iterdir())
        small_disk.make_space()
        functionals.functionals(**arguments)
        assert list(path.parent.iterdir()) == [path]

    def test_an_utterance_that_is_gone_is_named(self, corpus, tmp_path, computed):
        with pytest.raises(CorpusError, match=r"1 utterance\(s\).*lost"):
            get(corpus, tmp_path, ["part", "lost"])


def test_sound_that_cannot_be_read_is_named(corpus, tmp_path):
    utterances = read_corpus(corpus, records=tmp_path).utterances
    utterances[0].path.write_bytes(b"noise")
    with pytest.raises(CorpusError, match=rf"{utterances[0].path}: (.|\n)*--config.baselines.svm=False"):
        functionals.compute(utterances[:1], workers=1)


@pytest.mark.skipif(
    importlib.util.find_spec("opensmile") is None, reason="openSMILE is absent: pip install -e '.[baselines]'"
)
@pytest.mark.parametrize("seconds", [audio.SHORTEST_SECONDS, 0.04, 0.06])
def test_the_shortest_sound_that_records_are_made_of_has_functionals(tmp_path, seconds):
    path = tmp_path / "short.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE)), RATE)
    values = functionals.compute([Utterance("short", path, "a", "sad")], workers=1)
    assert np.isfinite(values).all()


def test_without_opensmile_the_message_says_how_to_get_it(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(functionals.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install -e '\.\[baselines\]'"):
        get(corpus, tmp_path, ["part"])
