"""SAVEE: the speaker is in the name or in the folder; `sa` and `su` are not `s`-something."""

import pytest

from data_prep import corpora

CODES = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}


@pytest.mark.parametrize("form", ["DC_{}01.wav", "DC/{}01.wav", "AudioData/dc/{}01.WAV", "DC/DC_{}01.wav"])
def test_both_layouts_give_the_same_utterances(tmp_path, form):
    for code in CODES:
        path = tmp_path / form.format(code)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    reading = corpora.read("savee", tmp_path)
    assert {utterance.id: utterance.emotion for utterance in reading.utterances} == {
        f"DC_{code}01": word for code, word in CODES.items()
    }
    assert {(utterance.speaker, utterance.sex) for utterance in reading.utterances} == {("DC", "male")}
    assert reading.bad_files == ()


def test_a_speakers_folder_may_be_the_root(tmp_path, monkeypatch):
    (tmp_path / "JK").mkdir()
    (tmp_path / "JK" / "su15.wav").touch()
    monkeypatch.chdir(tmp_path / "JK")
    (utterance,) = corpora.read("savee", ".").utterances
    assert (utterance.speaker, utterance.emotion) == ("JK", "surprised")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("DC_s01.wav", ["emotion 's'", "sa (sad), su (surprised)"]),
        ("XX_a01.wav", ["speaker 'XX'", "KL (male)"]),
        ("Other/a01.wav", ["speaker 'OTHER'"]),
        ("DC_a1.wav", ["DC_a01"]),
    ],
)
def test_a_name_of_no_sense_is_a_bad_file_with_the_reason(tmp_path, name, says):
    (tmp_path / "Other").mkdir()
    (tmp_path / "KL_n30.wav").touch()
    (tmp_path / name).touch()
    (bad,) = corpora.read("savee", tmp_path).bad_files
    assert bad.path == str(tmp_path / name)
    assert all(words in bad.reason for words in says), bad.reason
