"""What all readers share: the walk, the order, duplicates, and errors that say what to do."""

import os
import random

import pytest

from data_prep import corpora

# One good file of every corpus that is read from file names.
GOOD = {
    "ravdess": "03-01-05-01-02-01-18",
    "emodb": "03a01Wa",
    "crema_d": "1001_IEO_ANG_HI",
    "savee": "DC_a01",
    "tess": "OAF_back_angry",
}
LABELLED = {"iemocap": "Session1", "msp_improv": "session1", "msp_podcast": "Audios"}  # and their folders
by_name = pytest.mark.parametrize("corpus", GOOD)


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_all_readers_are_listed():
    assert set(corpora.READERS) == {*GOOD, *LABELLED, "manifest", "demo"}


@by_name
@pytest.mark.parametrize("place", ["{}.wav", "a/b c/{}.WAV", "{}.flac", "deep/er/{}.FlaC"])
def test_label_is_read_wherever_the_file_lies(tmp_path, corpus, place):
    name = place.format(GOOD[corpus])
    reading = corpora.read(corpus, str(make(tmp_path, name)))
    (utterance,) = reading.utterances
    assert (utterance.id, utterance.emotion, utterance.path) == (GOOD[corpus], "angry", tmp_path / name)
    assert reading.bad_files == ()


@by_name
def test_hidden_files_and_other_files_are_ignored(tmp_path, corpus):
    name = GOOD[corpus]
    others = (f"._{name}.wav", f".Trash/{name}.wav", f"a/.cache/b/{name}.flac", f"{name}.txt", f"{name}.mp3")
    reading = corpora.read(corpus, make(tmp_path, f"{name}.wav", *others))
    assert len(reading.utterances) == 1
    assert reading.bad_files == ()


@by_name
def test_a_hidden_root_is_read(tmp_path, corpus):
    assert corpora.read(corpus, make(tmp_path / ".corpora", f"{GOOD[corpus]}.wav")).utterances


@by_name
@pytest.mark.parametrize("other", ["b/{}.wav", "{}.flac"])
def test_two_files_of_one_utterance_are_bad_and_each_names_the_other(tmp_path, corpus, other):
    first, second = f"{GOOD[corpus]}.wav", other.format(GOOD[corpus])
    make(tmp_path, first, second)
    (tmp_path / second).write_text("another sound")
    reading = corpora.read(corpus, tmp_path)
    first, second = str(tmp_path / first), str(tmp_path / second)
    assert reading.utterances == ()
    assert {bad.path for bad in reading.bad_files} == {first, second}
    for bad in reading.bad_files:
        assert {first, second} - {bad.path} <= set(bad.reason.replace(";", " ").replace("'", " ").split())
        assert "keep one" in bad.reason


def test_duplicates_do_not_take_the_others_along(tmp_path):
    make(tmp_path, "03a01Wa.wav", "copy/03A01WA.WAV", "third/03a01wa.flac", "03a01Fa.wav")
    reading = corpora.read("emodb", tmp_path)
    assert [utterance.id for utterance in reading.utterances] == ["03a01Fa"]
    assert len(reading.bad_files) == 3


def test_order_is_by_id_whatever_the_folders(tmp_path):
    names = [f"03-01-0{e}-01-01-01-{a:02d}" for e in range(1, 9) for a in range(1, 25)]
    random.Random(0).shuffle(names)
    make(tmp_path, *(f"{i % 7}/{name}.wav" for i, name in enumerate(names)))
    assert [utterance.id for utterance in corpora.read("ravdess", tmp_path).utterances] == sorted(names)


def test_linked_folders_are_read_once(tmp_path):
    make(tmp_path / "elsewhere", "03a01Wa.wav")
    make(tmp_path / "root", "03a01Fa.wav")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "link2").symlink_to(tmp_path / "elsewhere")
    reading = corpora.read("emodb", tmp_path / "root")
    assert [utterance.id for utterance in reading.utterances] == ["03a01Fa", "03a01Wa"]
    assert reading.bad_files == ()


def test_a_circle_of_links_ends(tmp_path):
    make(tmp_path, "a/03a01Wa.wav")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    reading = corpora.read("emodb", tmp_path)
    assert len(reading.utterances) == 1
    assert reading.bad_files == ()


def test_a_folder_that_cannot_be_opened_is_reported(tmp_path, monkeypatch):
    make(tmp_path, "03a01Wa.wav", "closed/03a01Fa.wav")
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    reading = corpora.read("emodb", tmp_path)
    (bad,) = reading.bad_files
    assert bad.path == str(tmp_path / "closed")
    assert "Permission denied" in bad.reason


def test_unknown_corpus_lists_the_known(tmp_path):
    with pytest.raises(corpora.CorpusError, match="'imaginary'; known: ravdess, emodb, crema_d, savee, tess"):
        corpora.read("imaginary", tmp_path)


@pytest.mark.parametrize("corpus", corpora.READERS)
def test_a_missing_root_says_what_to_give(tmp_path, corpus):
    with pytest.raises(corpora.CorpusError, match=r"no folder .*nowhere\nexpected: .*") as error:
        corpora.read(corpus, tmp_path / "nowhere")
    assert (GOOD | LABELLED).get(corpus, "manifest.csv")[:5] in str(error.value)


@by_name
def test_a_root_without_speech_says_what_names_look_like(tmp_path, corpus):
    make(tmp_path, "notes.txt")
    with pytest.raises(corpora.CorpusError, match="no sound file of the corpus") as error:
        corpora.read(corpus, tmp_path)
    assert str(tmp_path) in str(error.value)
    assert f"{GOOD[corpus][:5]}" in str(error.value)


@by_name
def test_another_corpus_says_so_with_its_files(tmp_path, corpus):
    names = [f"{name}.wav" for other, name in GOOD.items() if other != corpus]
    with pytest.raises(corpora.CorpusError) as error:
        corpora.read(corpus, make(tmp_path, *names))
    assert all(name in str(error.value) for name in names)


@by_name
def test_a_large_folder_of_another_corpus_does_not_hide_what_is_expected(tmp_path, corpus):
    with pytest.raises(corpora.CorpusError) as error:
        corpora.read(corpus, make(tmp_path, *(f"strange {i:03d}.wav" for i in range(500))))
    *files, more, expected = str(error.value).splitlines()[1:]
    assert [f"strange {i:03d}.wav" in line for i, line in enumerate(files)] == [True] * 10
    assert more == "  and 490 more"
    assert expected.startswith("expected: ")
    assert GOOD[corpus][:5] in expected
