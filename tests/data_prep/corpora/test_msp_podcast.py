"""MSP-Podcast: its own parts, and unknown speakers who are nobody's voice twice."""

import pytest
from trees import PODCAST_HEADER, PODCAST_SPEAKERS, msp_podcast, podcast_rows, sound, write

from data_prep import corpora

GOOD = ["MSP-PODCAST_0001_0008.wav", "N", "4", "4", "4", "1", "Female", "Train"]


@pytest.mark.parametrize("table", ["Labels/labels_consensus.csv", "labels_concensus.csv"])
@pytest.mark.parametrize("audio", ["Audios", "Audio"])
def test_the_awkward_tree_is_read_whole(tmp_path, table, audio):
    """With a byte order mark, NaN, macOS's ._ files, earlier releases, Test3, either spelling and either folder."""
    reading = corpora.read("msp_podcast", msp_podcast(tmp_path, table=table, audio=audio))
    assert reading.bad_files == ()
    words = {"A": "angry", "H": "happy", "S": "sad", "N": "neutral"}
    parts = {"Train": "train", "Development": "validation", "Test1": "test1", "Test2": "test2"}
    assert {(u.path.name, u.emotion, u.part) for u in reading.utterances} == {
        (row[0], words[row[1]], parts[row[-1]]) for row in podcast_rows()
    }
    sexes = {u.speaker: u.sex for u in reading.utterances}
    assert sexes.pop("") == ""
    assert sexes == {
        str(one): "female" if one % 2 else "male" for of in PODCAST_SPEAKERS.values() for one in of
    }


@pytest.mark.parametrize("name", ["Unknown", "unknown", "", "nan"])
def test_an_unknown_speaker_is_no_speaker(tmp_path, name):
    rows = [GOOD, ["b.wav", "A", "", "", "", name, "Unknown", "Test1"]]
    speakers = [u.speaker for u in corpora.read("msp_podcast", msp_podcast(tmp_path, rows)).utterances]
    assert speakers == ["1", ""]


def test_every_label_and_part_has_its_word(tmp_path):
    parts = ["Train", "Validation", "Development", "Test1", "Test2", "Test3", "train"]
    rows = [[f"l{code}.wav", code, *GOOD[2:]] for code in "AHSNUFDCOX"]
    rows += [[f"p{i}.wav", *GOOD[1:-1], part] for i, part in enumerate(parts)]
    utterances = corpora.read("msp_podcast", msp_podcast(tmp_path, rows)).utterances
    assert {u.id[1]: u.emotion for u in utterances if u.id[0] == "l"} == {
        "A": "angry",
        "H": "happy",
        "S": "sad",
        "N": "neutral",
        "U": "surprised",
        "F": "fearful",
        "D": "disgust",
        "C": "contempt",
        "O": "other",
        "X": "no agreement",
    }
    assert [u.part for u in utterances if u.id[0] == "p"] == (
        ["train", "validation", "validation", "test1", "test2", "test3", "train"]
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (["b.wav", "N", "4", "4", "4", "1", "Female", "Trial"], "unknown part 'trial'; known: train"),
        (["b.wav", "", "4", "4", "4", "1", "Female", "Train"], "unknown label ''; known: A (angry)"),
        (["b.wav", "nan", "4", "4", "4", "1", "Female", "Train"], "unknown label 'nan'"),
        (["", "N", "4", "4", "4", "1", "Female", "Train"], "no file name"),
        (["b.wav", "N", "4"], "3 cells under 8 columns"),
        (["b.wav", "N", "4", "4", "4", "1", "Female", "Train"], "no sound file of utterance b"),
    ],
)
def test_a_row_of_no_use_is_a_bad_file_that_names_the_line(tmp_path, row, says):
    msp_podcast(tmp_path, [GOOD])
    table = tmp_path / "Labels/labels_consensus.csv"
    table.write_text(table.read_text() + ",".join(row) + "\n")
    reading = corpora.read("msp_podcast", tmp_path)
    (bad,) = reading.bad_files
    assert bad.path == f"{table}:3"
    assert says in bad.reason
    assert len(reading.utterances) == 1


def test_a_sound_of_test3_is_used_where_it_has_a_label(tmp_path):
    rows = [GOOD, ["MSP-PODCAST_test3_0002.wav", *GOOD[1:-1], "Test3"]]
    reading = corpora.read("msp_podcast", msp_podcast(tmp_path, rows))
    assert [u.part for u in reading.utterances] == ["train", "test3"]
    assert reading.bad_files == ()


def test_labels_may_be_in_lower_case(tmp_path):
    (utterance,) = corpora.read("msp_podcast", msp_podcast(tmp_path, [[GOOD[0], "h", *GOOD[2:]]])).utterances
    assert utterance.emotion == "happy"


def test_sound_without_a_row_is_a_bad_file(tmp_path):
    path = sound(msp_podcast(tmp_path, [GOOD]) / "Audios/MSP-PODCAST_9999_0001.wav")
    (bad,) = corpora.read("msp_podcast", tmp_path).bad_files
    assert (bad.path, bad.reason) == (str(path), "no label")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (PODCAST_HEADER.replace("SpkrID", "Who"), "no column SpkrID among: FileName, EmoClass"),
        ("", "no column FileName, EmoClass, SpkrID, Split_Set among: none"),
        (PODCAST_HEADER.replace(",", ";"), "separate the columns with commas"),
        (PODCAST_HEADER.replace("EmoAct", "emoclass"), "column EmoClass comes 2 times"),
        (PODCAST_HEADER, "no row below the header"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, header, says):
    write(msp_podcast(tmp_path, [GOOD]) / "Labels/labels_consensus.csv", header)
    with pytest.raises(corpora.CorpusError, match=says):
        corpora.read("msp_podcast", tmp_path)


def test_a_table_in_utf_16_is_told(tmp_path):
    table = msp_podcast(tmp_path, [GOOD]) / "Labels/labels_consensus.csv"
    table.write_text(table.read_text("utf-8-sig"), encoding="utf-16-le")
    with pytest.raises(corpora.CorpusError, match="is UTF-16; save it as UTF-8"):
        corpora.read("msp_podcast", tmp_path)


def test_columns_may_come_in_another_order_and_the_sex_be_absent(tmp_path):
    write(
        msp_podcast(tmp_path, [GOOD]) / "Labels/labels_consensus.csv",
        f"Split_Set,SpkrID,EmoClass,FileName\nTest1,7,A,{GOOD[0]}\n",
    )
    (utterance,) = corpora.read("msp_podcast", tmp_path).utterances
    assert (utterance.part, utterance.speaker, utterance.emotion, utterance.sex) == (
        "test1",
        "7",
        "angry",
        "",
    )
