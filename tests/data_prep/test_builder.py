"""The builder: what is given is what TFDS reads back, offline, and said of itself in the folder."""

import json
import pathlib
import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import builder
from data_prep.compute import Computed
from data_prep.corpora.base import BadFile, Utterance

ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)


def computed(name: str, *, speaker: str, first: int, frames: int, emotion: str = "joy") -> Computed:
    utterance = Utterance(id=name, path=pathlib.Path(name), speaker=speaker, emotion=emotion, sex="female")
    return Computed(utterance, seconds=0.5, first=first, frames=frames, sound="", facts=None)


def write(data_dir: pathlib.Path, **changes) -> pathlib.Path:
    arguments = {
        "name": "corpus_0123abcd",
        "version": "1.0.0",
        "splits": {
            "speaker_b": [
                computed("b2", speaker="b", first=9, frames=4),
                computed("b1", speaker="b", first=1, frames=1),
            ],
            "speaker_a": [computed("ä", speaker="å", first=13, frames=7, emotion="rage")],
        },
        "rows": ROWS,
        "emotions": {"joy": "happy", "rage": "angry"},
        "metadata": {"corpus": "corpus", "nested": {"list": [1, 2.5, None, "ö"]}},
    }
    (data_dir / "scratch").mkdir(exist_ok=True)
    made = builder.SpeechFeatures(data_dir=data_dir, **arguments | changes)
    return made.write(download_dir=data_dir / "scratch")


@pytest.fixture
def offline(monkeypatch):
    def refused(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.mark.usefixtures("offline")
def test_examples_come_back_as_given_and_in_order(tmp_path):
    folder = write(tmp_path)
    assert folder == tmp_path / "corpus_0123abcd" / "1.0.0"
    dataset = tfds.builder_from_directory(folder)
    assert set(dataset.info.splits) == {"speaker_a", "speaker_b"}
    both = list(tfds.as_numpy(dataset.as_dataset(split="speaker_b+speaker_a")))
    assert [example["id"].decode() for example in both] == ["b2", "b1", "ä"]
    assert [example["speaker"].decode() for example in both] == ["b", "b", "å"]
    assert [example["emotion"].decode() for example in both] == ["joy", "joy", "rage"]
    assert [example["session"].decode() for example in both] == ["", "", ""]
    assert [dataset.info.features["label"].int2str(one["label"]) for one in both] == [
        "happy",
        "happy",
        "angry",
    ]
    for example, (first, frames) in zip(both, [(9, 4), (1, 1), (13, 7)], strict=True):
        np.testing.assert_array_equal(example["features"], ROWS[first : first + frames])
        assert example["features"].dtype == example["seconds"].dtype == np.float32
        assert example["seconds"] == 0.5


def test_the_metadata_comes_back_as_given(tmp_path):
    metadata = {"corpus": "corpus", "nested": {"list": [1, 2.5, None, "ö"]}}
    folder = write(tmp_path, metadata=metadata)
    assert dict(tfds.builder_from_directory(folder).info.metadata) == metadata
    assert not (folder / builder.BAD_FILES).exists()


def test_what_was_left_out_is_listed(tmp_path):
    folder = write(tmp_path, bad_files=[BadFile("a.wav", "silent")])
    assert json.loads((folder / builder.BAD_FILES).read_text()) == [{"path": "a.wav", "reason": "silent"}]


def test_nothing_is_said_on_standard_output(tmp_path, capsys):
    write(tmp_path)
    assert capsys.readouterr().out == ""


def test_the_order_is_kept_in_every_split(tmp_path):
    names = [f"u{i}" for i in range(20)]
    splits = {"speaker_c": [computed(name, speaker="c", first=i, frames=1) for i, name in enumerate(names)]}
    dataset = tfds.builder_from_directory(write(tmp_path, splits=splits)).as_dataset(split="speaker_c")
    assert [example["id"].decode() for example in tfds.as_numpy(dataset)] == names
