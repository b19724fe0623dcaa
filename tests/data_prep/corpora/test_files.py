"""Files of a folder: copies of one corpus are one, those of other kinds are counted, Unicode forms are found."""

import pathlib
import unicodedata

import numpy as np
import pytest
import soundfile

from data_prep import corpora
from data_prep.corpora.files import find_sounds, other_form

NAMES = [f"Actor_0{actor}/03-01-0{emotion}-01-01-01-0{actor}" for actor in (1, 2) for emotion in (3, 4)]


def write(path: pathlib.Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = (1000 * np.random.default_rng(seed).standard_normal(800)).astype(np.int16)
    soundfile.write(path, noise, 8_000, subtype="PCM_16")


@pytest.fixture
def root(tmp_path):
    for i, name in enumerate(NAMES):
        write(tmp_path / f"{name}.wav", i)
    return tmp_path


@pytest.mark.parametrize("inner", ["copy", "a/b c"])
def test_a_corpus_that_lies_in_itself_is_read_once_and_that_is_told_once(root, caplog, inner):
    for i, name in enumerate(NAMES):
        write(root / inner / f"{name}.wav", i)
    reading = corpora.read("ravdess", root)
    assert [one.path for one in reading.utterances] == sorted(
        (root / f"{name}.wav" for name in NAMES), key=lambda path: path.name
    )
    assert reading.bad_files == ()
    (record,) = caplog.records
    assert (
        record.message == f"{root / inner} is a copy of all that lies beside it: its 4 files are passed over"
    )


@pytest.mark.parametrize("change", ["other sound", "one missing", "one more"])
def test_what_is_not_the_same_corpus_is_no_copy(root, change):
    for i, name in enumerate(NAMES[1:] if change == "one missing" else NAMES):
        write(root / "copy" / f"{name}.wav", i + (1 if change == "one missing" else 0))
    if change == "other sound":
        write(root / "copy" / f"{NAMES[2]}.wav", 99)
    if change == "one more":
        write(root / "copy" / "Actor_03/03-01-03-01-01-01-03.wav", 99)
    reading = corpora.read("ravdess", root)
    assert reading.bad_files
    for bad in reading.bad_files:
        assert "remove it" in bad.reason or "keep one of them" in bad.reason
    wanted = {"other sound": 3, "one missing": 4, "one more": 5}[change]
    assert len(reading.utterances) == wanted


@pytest.mark.parametrize("other", ["backup/{}.wav", "{}.flac"])
def test_of_copies_of_one_utterance_one_stays_and_the_others_are_bad(root, other):
    second = root / other.format(NAMES[0])
    write(second, 0)
    reading = corpora.read("ravdess", root)
    assert len(reading.utterances) == 4
    (bad,) = reading.bad_files
    copies = {str(root / f"{NAMES[0]}.wav"), str(second)}
    assert bad.path in copies
    (kept,) = copies - {bad.path}
    assert repr(kept) in bad.reason
    assert kept in {str(one.path) for one in reading.utterances}


def test_sound_of_other_kinds_is_counted_in_one_warning_and_not_read(root, caplog):
    for name in ("a.mp3", "b.MP3", "deep/c.m4a", "notes.txt", ".hidden.mp3"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    assert len(list(find_sounds(root, []))) == 4
    (record,) = caplog.records
    assert record.message.startswith(f"2 .mp3, 1 .m4a below {root} passed over, such as ")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_other_form_of_a_path_is_found_in_every_folder_of_it(tmp_path, form):
    path = pathlib.Path(*(unicodedata.normalize(form, part) for part in ("ä", "ö", "ü.wav")))
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    for asked in ("NFC", "NFD"):
        found = other_form(tmp_path / unicodedata.normalize(asked, str(path)))
        assert found is not None
        assert found.samefile(tmp_path / path)
    assert other_form(tmp_path / "ä" / "x.wav") is None
    assert other_form(tmp_path / "plain.wav") is None
