"""EmoDB: speaker, text, emotion and version from names such as 03a01Wa."""

import pytest

from data_prep import corpora


def test_every_emotion_code_has_its_word(tmp_path):
    for code in "WLEAFTN":
        (tmp_path / f"03a01{code}a.wav").touch()
    words = {utterance.id[5]: utterance.emotion for utterance in corpora.read("emodb", tmp_path).utterances}
    assert words == {
        "W": "angry",
        "L": "boredom",
        "E": "disgust",
        "A": "fearful",
        "F": "happy",
        "T": "sad",
        "N": "neutral",
    }


def test_the_ten_speakers_and_their_sex(tmp_path):
    speakers = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
    for speaker in speakers:
        (tmp_path / f"{speaker}b10Nb.wav").touch()
    utterances = corpora.read("emodb", tmp_path).utterances
    assert tuple(utterance.speaker for utterance in utterances) == speakers
    assert "".join(utterance.sex[0] for utterance in utterances) == "mffmmmffmf"


def test_case_of_the_name_does_not_matter(tmp_path):
    (tmp_path / "16B10TD.WAV").touch()
    (utterance,) = corpora.read("emodb", tmp_path).utterances
    assert (utterance.id, utterance.speaker, utterance.emotion) == ("16b10Td", "16", "sad")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("03a01Xa.wav", ["emotion 'X'", "W (angry)", "T (sad)"]),
        ("05a01Wa.wav", ["speaker '05'", "16 (female)"]),
        ("03a01W.wav", ["03a01Wa"]),
        ("03-01-05-01-02-01-18.wav", ["03a01Wa"]),
    ],
)
def test_a_name_of_no_sense_is_a_bad_file_with_the_reason(tmp_path, name, says):
    (tmp_path / "03a01Fa.wav").touch()
    (tmp_path / name).touch()
    (bad,) = corpora.read("emodb", tmp_path).bad_files
    assert bad.path == str(tmp_path / name)
    assert all(words in bad.reason for words in says), bad.reason
