"""The block of what was cut, left out or looks wrong: each kind is counted and named, and health is one line."""

import dataclasses
import json
import pathlib
import re

import pytest
from small_corpus import FEATURES, configured, edit_manifest, published, read
from sounds import computed, facts, noise, written

from data_prep import corpora, soundness
from data_prep.corpora.base import BadFile, BadFilesError
from data_prep.duplicates import Duplicates, DuplicatesError
from data_prep.features import FeatureSettings
from data_prep.leaks import Leak, Leaks
from data_prep.prepare import prepare
from data_prep.soundness import Soundness

ROOT = pathlib.Path(__file__).parents[2]
BESIDE = (folder / "shared" / "cases" for folder in ROOT.parents)  # of a worktree, it is one folder farther
CASES = next((folder for folder in BESIDE if folder.is_dir()), ROOT.parent / "shared" / "cases")
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"the small inputs are absent: {CASES}")
NONE = Duplicates((), ())


def examine(members, **changes) -> Soundness:
    arguments = {
        "chosen": [one.utterance for one in members],
        "computed": members,
        "emotions": {"angry": "angry", "sad": "sad"},
        "duplicates": NONE,
        "on_duplicate": "error",
        "bad_files": [],
        "told": [],
        "seconds": 2.0,
        "sampling_rate": 16_000,
    }
    return soundness.examine(**(arguments | changes))


def test_nothing_to_say_is_one_line():
    found = examine([computed("a"), computed("b", emotion="sad", speaker="bob")])
    assert found.notes == ()
    assert found.text() == "Nothing was cut or left out."
    lengths = [
        computed(f"{i}", speaker=f"{i % 4}", emotion=("sad", "angry")[i % 2], seconds=i % 7)
        for i in range(40)
    ]
    text = examine(
        [dataclasses.replace(one, facts=dataclasses.replace(one.facts, used=9)) for one in lengths]
    ).text()
    assert text.startswith(
        "Nothing was cut or left out. How far facts of the files tell the class (UA, chance 50%): "
    )
    assert "\n" not in text


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (
            "cut",
            {"seconds": 5.0, "speech_beyond": 1.0},
            "1 of 3 .* 3.0 s are cut off, and 1 of .*such as x .1.0 s",
        ),
        ("cut", {"seconds": 2.5}, "0.5 s are cut off, and 0 of them have speech there$"),
        (
            "sampling rates",
            {"rate": 8_000},
            r"1 .*8000 Hz: angry 1; 16000 Hz: angry 1, sad 1.*lower features",
        ),
        ("cut short", {"missing": 0.5}, "1 .*end before their header says: copy these again, such as x"),
        (
            "channels cancel",
            {"channels": 2, "mixed": 0.01},
            "1 .*cancel out.*keep one channel of them, such as x",
        ),
        (
            "silent channel",
            {"channels": 2, "silent_channels": 1, "mixed": 0.5},
            "1 .*a silent channel.*such as x",
        ),
        ("clipped", {"clipped": 0.01}, "1 .*are clipped.*such as x"),
        ("over full scale", {"peak": 1.5}, "1 .*beyond full scale, such as x"),
        (
            "digital silence",
            {"leading": 0.2},
            "1 .*begin or end with 0.1 s or more of digital silence, such as x",
        ),
        ("digital silence", {"trailing": 0.2}, "1 .*digital silence, such as x"),
    ],
)
def test_each_doubt_is_counted_and_named(kind, changes, words):
    found = examine([computed("a"), computed("b", emotion="sad", speaker="bob"), computed("x", **changes)])
    (note,) = found.notes
    assert (note.kind, note.count) == (kind, 1)
    (sentence,) = found.sentences()[:1]
    assert re.search(words, sentence), sentence
    assert f"  - {sentence}" in found.text()


def test_what_is_left_out_is_counted_and_named():
    a, b, c = computed("a"), computed("b"), computed("c", emotion="sad", speaker="bob")
    calm = [dataclasses.replace(a.utterance, id=f"{i}", emotion="calm") for i in range(3)]
    found = examine(
        [a, c],
        chosen=[a.utterance, b.utterance, c.utterance, *calm],
        duplicates=Duplicates(((a.utterance, b.utterance),), ()),
        bad_files=[BadFile("x.wav", "empty file")],
        told=["2 column(s) are not read"],
    )
    assert {note.kind: note.count for note in found.notes} == {
        "corpus": 1,
        "emotions": 3,
        "duplicates": 1,
        "bad files": 1,
    }
    text = found.text()
    assert "3 of 6 utterances are of emotions that are not chosen: calm (3)" in text
    assert (
        "1 utterance(s) are the same recording as another of one speaker and class, and are left out" in text
    )
    assert "a = b" in text
    assert "x.wav (empty file)" in text
    assert "2 column(s) are not read" in text


def test_copies_that_are_kept_are_told():
    a, b = computed("a"), computed("b", speaker="bob")
    text = examine(
        [a, b], duplicates=Duplicates((), ((a.utterance, b.utterance),)), on_duplicate="keep"
    ).text()
    assert "of two speakers or classes, and are kept (data.on_duplicate), such as a = b" in text


def test_a_leak_is_a_warning_with_chance():
    found = Soundness((), Leaks(0.21, 99, (Leak("clip length", 0.75, 0.7, 0.8, warned=True),)))
    assert "WARNING" in found.text()
    assert "clip length alone: UA 75% [70%, 80%]; chance 21%" in found.text()


def test_json_gives_the_same_block_and_not_too_many_names():
    members = [computed(f"{i:03d}", clipped=0.5, seconds=i, speaker=f"{i % 3}") for i in range(99)]
    found = examine([*members, computed("z", emotion="sad")])
    again = Soundness.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert again.text() == found.text()
    (clipped,) = (note for note in found.notes if note.kind == "clipped")
    assert (clipped.count, len(clipped.names)) == (99, soundness.NAMES_KEPT)


def test_records_keep_the_block_and_it_is_printed_whoever_made_them(corpus, tmp_path, capsys):
    written(corpus / "b_anger_2.wav", noise(0.5, rate=8_000), rate=8_000)
    written(corpus / "b_rage_2.wav", noise(0.5, rate=8_000), rate=8_000)  # the same class
    arguments = {"data": configured(corpus), "features": FEATURES, "records": tmp_path / "records"}
    folder = prepare(**arguments)
    printed = capsys.readouterr().out
    assert "such as b_anger_2.wav = b_rage_2.wav" in printed
    metadata = json.loads((folder / "metadata.json").read_text())
    assert soundness.sentences_of(metadata)
    assert all(f"  - {sentence}" in printed for sentence in soundness.sentences_of(metadata))
    assert metadata["counts"]["speaker_b"] == {"angry": 3, "sad": 2}
    ids = {example["id"].decode() for examples in read(folder).values() for example in examples}
    assert "b_anger_2.wav" in ids
    assert "b_rage_2.wav" not in ids
    kept = prepare(**arguments | {"data": configured(corpus, on_duplicate="keep")})
    assert kept != folder
    assert sum(map(len, read(kept).values())) == 18


def test_one_recording_of_two_classes_leaves_no_records(corpus, tmp_path):
    for name in ("b_anger_2.wav", "b_sorrow_2.wav"):
        written(corpus / name, noise(0.5, rate=8_000), rate=8_000)
    arguments = {"features": FEATURES, "records": tmp_path / "records"}
    with pytest.raises(DuplicatesError, match=r"b_anger_2.wav \(b, angry\) = .*b_sorrow_2.wav \(b, sad\)"):
        prepare(data=configured(corpus), **arguments)
    assert not published(tmp_path / "records")
    folder = prepare(data=configured(corpus, on_duplicate="keep_one"), **arguments)
    assert sum(map(len, read(folder).values())) == 17


def test_columns_that_are_not_read_are_named_with_what_they_may_mean(corpus):
    edit_manifest(corpus, "path,speaker,emotion,session,sex", "path,speaker,emotion,begin,Gender")
    (note,) = corpora.read("manifest", corpus).notes
    assert note.startswith("2 column(s) of the manifest are not read: begin, gender")
    assert "begin: is it start?" in note
    assert "gender: is it sex?" in note


@needs_cases
def test_sound_of_kinds_that_are_not_read_is_told(tmp_path):
    (note,) = corpora.read("crema_d", CASES / "cremad_mixed_mp3").notes
    assert "mp3 below" in note
    assert "passed over" in note


@needs_cases
def test_a_corpus_that_lies_in_itself_is_told():
    (note,) = corpora.read("ravdess", CASES / "ravdess_kaggle").notes
    assert (
        "audio_speech_actors_01-24 is a copy of all that lies beside it: its 32 files are passed over" in note
    )


def prepared(case: str, tmp_path, **changes) -> str:
    """The block of a case."""
    data = configured(CASES / case, emotions={}, **changes)
    folder = prepare(data=data, features=FeatureSettings(), records=tmp_path / "records", show_counts=False)
    return "\n".join(soundness.sentences_of(json.loads((folder / "metadata.json").read_text())))


@needs_cases
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("csv/col_begin", ("2 column(s) of the manifest are not read: begin, stop (begin: is it start?",)),
        ("csv/col_split", ("not read: split (split: folds divide speakers by themselves",)),
        ("rate_by_class", ("8000 Hz: ", "WARNING", "sampling rate alone: UA 50% [50%, 50%]")),
        ("truncated_copies", ("24 utterance(s) come from files that end before their header says",)),
    ],
)
def test_cases_that_are_prepared_are_told(case, words, tmp_path):
    text = prepared(f"{case}/m.csv", tmp_path)
    assert all(word in text for word in words), text


@needs_cases
def test_of_the_healthy_corpus_nothing_is_cut_or_left_out(tmp_path):
    """Its tones are as loud as their class, which is told; a person's corpus has no such level."""
    assert "longer than" not in (text := prepared("base/m.csv", tmp_path))
    assert text.startswith("WARNING: the class can be told without listening. level (RMS) alone: UA 100%")


@needs_cases
def test_channels_that_cancel_are_told(tmp_path):
    assert "cancel out when they are averaged" in prepared("antiphase/m.csv", tmp_path)


@needs_cases
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("int_scaled_floats", r"times full scale: floats must have full scale at 1"),
        (
            "digital_silence_then_speech",
            r"silent in its first 4 s.*sound begins at \d.\d\d s: cut the silence away",
        ),
    ],
)
def test_cases_that_cannot_be_used_say_why(case, reason, tmp_path):
    with pytest.raises(BadFilesError, match=reason):
        prepared(f"{case}/m.csv", tmp_path)


@needs_cases
def test_a_copy_of_another_speaker_or_label_is_refused(tmp_path):
    with pytest.raises(DuplicatesError, match="come under two speakers or two classes"):
        prepared("csv/dup_copy/m.csv", tmp_path)


def test_facts_of_tests_are_healthy():
    assert examine([dataclasses.replace(computed("a"), facts=facts())]).notes == ()
