"""MSP-IMPROV: the emotion heard from the table, the target from the name, whoever rated."""

import collections

import pytest
from trees import improv_names, msp_improv, sound, write

from data_prep import audio, corpora

WORDS = {"A": "angry", "H": "happy", "S": "sad", "N": "neutral", "O": "other", "X": "no agreement"}
NAME = "IMPROV-S01A-F01-P-FM01"


@pytest.fixture
def one(tmp_path):
    """One good turn."""
    write(tmp_path / "Evalution.txt", f"UTD-{NAME}.avi; N; A:2.4; V:3.0; D:2.8 ; N:3.6;\n")
    sound(tmp_path / "session1/S01A/P" / f"MSP-{NAME}.wav")
    return tmp_path


@pytest.mark.parametrize("table", ["Evalution.txt", "Evaluation.txt", "docs/EVALUTION.TXT"])
def test_the_awkward_tree_is_read_whole(tmp_path, table):
    """With raters' lines, NaN, macOS's ._ files, and either spelling."""
    if "/" in table:
        (tmp_path / "docs").mkdir()
        msp_improv(tmp_path)
        (tmp_path / "Evalution.txt").rename(tmp_path / table)
    else:
        msp_improv(tmp_path, table=table)
    reading = corpora.read("msp_improv", tmp_path)
    assert reading.bad_files == ()
    assert {
        (u.id, u.target, u.emotion, u.session, u.part, u.speaker, u.sex, u.path.stem)
        for u in reading.utterances
    } == {
        (
            f"MSP-{name}",
            WORDS[target],
            WORDS[heard],
            f"0{session}",
            scenario,
            name[12:15],
            {"F": "female", "M": "male"}[name[12]],
            f"MSP-{name}",
        )
        for name, target, heard, session, scenario in improv_names()
    }
    speakers = collections.Counter((u.session, u.speaker) for u in reading.utterances)
    assert speakers == {(f"0{i}", f"{sex}0{i}"): 32 for i in range(1, 7) for sex in "FM"}


def test_sound_of_two_channels_at_another_rate_is_read(tmp_path):
    """A reader need not care: the audio layer mixes and resamples."""
    reading = corpora.read("msp_improv", msp_improv(tmp_path))
    for part in ("T", "P"):  # stereo, mono
        utterance = next(u for u in reading.utterances if u.part == part)
        assert audio.read(utterance, sampling_rate=16_000).shape == (3_200,)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("UTD-IMPROV-S01A-F01-P-FM02.avi; N; A:1", "no sound file of utterance MSP-IMPROV-S01A-F01-P-FM02"),
        ("UTD-IMPROV-S01A-F01-P-FM02.avi; Q; A:1", "unknown label 'Q'; known: A (angry)"),
        ("UTD-IMPROV-S01A-F01-P-FM02.avi", "the line is not video; label; ratings"),
        ("UTD-IMPROV-S01B-F01-P-FM02.avi; N;", "the line is not video; label; ratings"),
        ("UTD-IMPROV-S01A-F07-P-FM02.avi; N;", "the line is not video; label; ratings"),
    ],
)
def test_a_label_of_no_use_is_a_bad_file_that_names_the_line(one, line, says):
    table = one / "Evalution.txt"
    table.write_text(table.read_text() + "rater; Sad; Sad; A:1; V:1; D:1; N:1;\n\n" + line + "\n")
    reading = corpora.read("msp_improv", one)
    (bad,) = reading.bad_files
    assert bad.path == f"{table}:4"
    assert says in bad.reason
    assert len(reading.utterances) == 1


@pytest.mark.parametrize(
    ("name", "says"), [("MSP-IMPROV-S01A-F01-P-MF09", "no label"), ("noise", "the name is not sentence")]
)
def test_sound_of_no_use_is_a_bad_file(one, name, says):
    path = sound(one / "session1" / f"{name}.wav")
    reading = corpora.read("msp_improv", one)
    (bad,) = reading.bad_files
    assert bad.path == str(path)
    assert says in bad.reason
    assert len(reading.utterances) == 1


@pytest.mark.parametrize(
    "text", ["", "rater; Sad; Sad; A:1; V:1; D:1; N:1;\n"], ids=["empty", "raters alone"]
)
def test_a_table_without_a_label_is_told(one, text):
    (one / "Evalution.txt").write_text(text)
    with pytest.raises(corpora.CorpusError, match=r"Evalution.txt has no label, a line as: UTD-IMPROV-S01A"):
        corpora.read("msp_improv", one)


def test_upper_and_lower_case_do_not_matter(one):
    table = one / "Evalution.txt"
    before = corpora.read("msp_improv", one).utterances
    table.write_text(table.read_text().lower())
    assert corpora.read("msp_improv", one).utterances == before


def test_without_the_table_both_spellings_are_told(one):
    (one / "Evalution.txt").unlink()
    with pytest.raises(corpora.CorpusError, match=r"no file Evalution.txt or Evaluation.txt below"):
        corpora.read("msp_improv", one)


def test_two_tables_are_refused(one):
    write(one / "Evaluation.txt", "")
    with pytest.raises(corpora.CorpusError, match=r"2 files of labels(.|\n)*Evaluation.txt\n.*Evalution.txt"):
        corpora.read("msp_improv", one)
