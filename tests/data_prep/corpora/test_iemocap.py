"""IEMOCAP: labels from the dialogues' files, the speaker from the turn, and every label without sound named."""

import collections

import pytest
from trees import iemocap, iemocap_line, sound, write

from data_prep import corpora
from data_prep.corpora.base import BadFile

SPEAKERS = {f"0{session}{sex}" for session in "12345" for sex in "FM"}


def labels(root, lines):
    return write(root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", "".join(lines))


def turn(root, name):
    return sound(root / "Session1/sentences/wav/Ses01F_impro01" / f"{name}.wav")


@pytest.fixture
def one(tmp_path):
    """One good turn."""
    labels(tmp_path, [iemocap_line("Ses01F_impro01_F000", "neu")])
    turn(tmp_path, "Ses01F_impro01_F000")
    return tmp_path


def test_the_awkward_tree_is_read_whole(tmp_path):
    """With comments, raters' lines and files, macOS's ._ files, NaN, Latin-1, and sound of whole dialogues."""
    reading = corpora.read("iemocap", iemocap(tmp_path))
    assert reading.bad_files == ()
    assert len(reading.utterances) == 5 * 4 * 2 * 7
    assert {utterance.speaker for utterance in reading.utterances} == SPEAKERS
    words = ["angry", "happy", "sad", "neutral", "excited", "frustrated", "no agreement"]
    for utterance in reading.utterances:
        assert utterance.id == utterance.path.stem
        assert utterance.emotion == words[int(utterance.id[-3:])]
        assert utterance.session == utterance.id[3:5]
        assert (utterance.start, utterance.end) == (0.0, None), "sentences are cut already"
    parts = collections.Counter(utterance.part for utterance in reading.utterances)
    assert parts == {"improvised": 140, "scripted": 140}


def test_the_speaker_is_who_speaks_and_not_who_wears_the_markers(tmp_path):
    reading = corpora.read("iemocap", iemocap(tmp_path))
    found = {utterance.id: (utterance.speaker, utterance.sex) for utterance in reading.utterances}
    assert found["Ses02F_impro01_M003"] == ("02M", "male")
    assert found["Ses02M_impro01_F003"] == ("02F", "female")
    assert found["Ses02M_impro01_M003"] == ("02M", "male")


@pytest.mark.parametrize("below", ["", "IEMOCAP_full_release", "IEMOCAP_full_release/Session3"])
def test_the_root_may_be_above_or_below(tmp_path, below):
    reading = corpora.read("iemocap", iemocap(tmp_path) / below)
    assert reading.bad_files == ()
    assert len(reading.utterances) == (56 if "3" in below else 280)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Ses05M_script01_1b_M012", "scripted"),
        ("Ses05F_script03_2_F000", "scripted"),
        ("Ses03M_impro05a_M004", "improvised"),
        ("Ses03M_impro05b_F004", "improvised"),
    ],
)
def test_every_form_of_dialogue_is_read(one, name, part):
    labels(one, [iemocap_line(name, "ang")])
    (one / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav").unlink()
    turn(one, name)
    sound(one / "Session1/dialog/wav" / f"{name[:-5]}.wav")
    reading = corpora.read("iemocap", one)
    assert [(utterance.id, utterance.part) for utterance in reading.utterances] == [(name, part)]
    assert reading.bad_files == ()


def test_every_label_has_its_word(one):
    codes = ("ang", "hap", "sad", "neu", "exc", "dis", "fru", "fea", "sur", "oth", "xxx")
    names = [f"Ses01F_impro01_M{i:03d}" for i in range(len(codes))]
    table = [iemocap_line("Ses01F_impro01_F000", "neu"), *map(iemocap_line, names, codes)]
    labels(one, table)
    for name in names:
        turn(one, name)
    words = [u.emotion for u in corpora.read("iemocap", one).utterances if u.speaker == "01M"]
    assert ", ".join(words) == (
        "angry, happy, sad, neutral, excited, disgust, frustrated, fearful, surprised, other, no agreement"
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (iemocap_line("Ses01F_impro01_F001", "neu"), "no sound file of utterance Ses01F_impro01_F001"),
        (iemocap_line("Ses01F_impro01_F001", "joy"), "unknown label 'joy'; known: ang (angry)"),
        (iemocap_line("Ses06F_impro01_F001", "neu"), "'Ses06F_impro01_F001' is not session"),
        ("[6.2901 - 8.2357]\tSes01F_impro01_F001\n", "the line is not [start - end], utterance"),
    ],
)
def test_a_label_of_no_use_is_a_bad_file_that_names_the_line(one, line, says):
    table = labels(one, ["% a comment\n", iemocap_line("Ses01F_impro01_F000", "neu"), line])
    reading = corpora.read("iemocap", one)
    (bad,) = reading.bad_files
    assert bad.path == f"{table}:3"
    assert says in bad.reason
    assert len(reading.utterances) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Ses01F_impro01_M007", "no label: EmoEvaluation/Ses01F_impro01.txt has no usable label of it"),
        ("Ses01M_script02_2_M007", "no label: EmoEvaluation/Ses01M_script02_2.txt is not there"),
        ("laughter", "'laughter' is not session"),
    ],
)
def test_sound_of_no_use_is_a_bad_file(one, name, says):
    path = turn(one, name)
    reading = corpora.read("iemocap", one)
    (bad,) = reading.bad_files
    assert bad.path == str(path)
    assert says in bad.reason
    assert len(reading.utterances) == 1


def test_two_labels_of_one_turn_are_bad_and_each_names_the_other(one):
    names = ["Ses01F_impro01_F000", "Ses01F_impro01_M000", "Ses01F_impro01_M000"]
    table = labels(one, map(iemocap_line, names, ("neu", "sad", "ang")))
    turn(one, names[1])
    reading = corpora.read("iemocap", one)
    assert [bad.path for bad in reading.bad_files] == [f"{table}:2", f"{table}:3"]
    assert f"{table}:3" in reading.bad_files[0].reason
    assert [utterance.id for utterance in reading.utterances] == [names[0]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"], ids=["marked", "unmarked"])
def test_labels_in_utf_16_are_told_of_every_file(tmp_path, encoding):
    tree = iemocap(tmp_path)
    tables = sorted(tree.glob("*/*/dialog/EmoEvaluation/Ses01*.txt"))
    for table in tables:
        table.write_text(table.read_text("latin-1"), encoding=encoding)
    bad_files = corpora.read("iemocap", tree).bad_files
    assert len(tables) == 4
    for table in tables:
        assert BadFile(str(table), f"{table} is UTF-16; save it as UTF-8") in bad_files


def test_a_zero_byte_in_a_comment_does_no_harm(one):
    table = labels(one, ["% odd \0 comment\n", iemocap_line("Ses01F_impro01_F000", "neu")])
    assert table.read_bytes().count(0) == 1
    assert len(corpora.read("iemocap", one).utterances) == 1


def test_a_folder_without_labels_says_what_is_expected(tmp_path):
    turn(tmp_path, "Ses01F_impro01_F000")
    with pytest.raises(corpora.CorpusError, match=r"with a label below (.|\n)*no label(.|\n)*EmoEvaluation"):
        corpora.read("iemocap", tmp_path)
