"""TESS: two women; `ps` is a pleasant surprise."""

import pytest

from data_prep import corpora


def test_every_emotion_code_has_its_word(tmp_path):
    for code in ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad"):
        (tmp_path / f"YAF_dog_{code}.wav").touch()
    words = [utterance.emotion for utterance in corpora.read("tess", tmp_path).utterances]
    assert words == ["angry", "disgust", "fearful", "happy", "neutral", "surprised", "sad"]


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("OAF_Fear/OAF_back_fear.wav", "OAF_back_fear"),
        ("oaf_BACK_Fear.WAV", "OAF_back_fear"),
        ("OA_bite_neutral.wav", "OAF_bite_neutral"),
    ],
)
def test_one_speaker_whatever_the_spelling(tmp_path, name, id_):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    (utterance,) = corpora.read("tess", tmp_path).utterances
    assert (utterance.id, utterance.speaker, utterance.sex) == (id_, "OAF", "female")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("OAF_back_joy.wav", ["emotion 'joy'", "ps (surprised)"]),
        ("MAF_back_fear.wav", ["speaker 'MAF'", "OAF, YAF"]),
        ("OAF_back.wav", ["OAF_back_fear"]),
    ],
)
def test_a_name_of_no_sense_is_a_bad_file_with_the_reason(tmp_path, name, says):
    (tmp_path / "YAF_dog_sad.wav").touch()
    (tmp_path / name).touch()
    (bad,) = corpora.read("tess", tmp_path).bad_files
    assert bad.path == str(tmp_path / name)
    assert all(words in bad.reason for words in says), bad.reason
