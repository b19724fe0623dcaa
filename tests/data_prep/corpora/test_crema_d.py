"""CREMA-D: actor and emotion from the name, the actor's sex from the table where there is one."""

import pytest

from data_prep import corpora

TABLE = (
    "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,Caucasian,Hispanic\n"
)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "AudioWAV").mkdir()
    for name in ("1001_IEO_ANG_HI.wav", "1002_DFA_NEU_XX.wav", "1003_TIE_SAD_LO.wav"):
        (tmp_path / "AudioWAV" / name).touch()
    return tmp_path


def sexes(root):
    return {utterance.speaker: utterance.sex for utterance in corpora.read("crema_d", root).utterances}


def test_every_emotion_code_has_its_word(tmp_path):
    for code in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"):
        (tmp_path / f"1091_WSI_{code}_XX.wav").touch()
    words = [utterance.emotion for utterance in corpora.read("crema_d", tmp_path).utterances]
    assert words == ["angry", "disgust", "fearful", "happy", "neutral", "sad"]


def test_without_the_table_no_sex_is_known(root):
    assert sexes(root) == {"1001": "", "1002": "", "1003": ""}


@pytest.mark.parametrize("place", ["VideoDemographics.csv", "processed/videodemographics.csv"])
def test_the_table_tells_the_sex_of_the_actors_it_has(root, place):
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).write_text(TABLE)
    assert sexes(root) == {"1001": "male", "1002": "female", "1003": ""}


def test_the_table_may_lie_beside_the_folder_of_sounds(root):
    (root / "VideoDemographics.csv").write_text(TABLE)
    assert sexes(root / "AudioWAV")["1002"] == "female"


@pytest.mark.parametrize(
    "content", [b"Actor,Sex\n1001,Male\n", b"ActorID,Sex\n1001\n", b"ActorID,Sex\n\xff,Male\n"]
)
def test_a_table_of_no_sense_is_a_bad_file_and_the_speech_remains(root, content):
    (root / "VideoDemographics.csv").write_bytes(content)
    reading = corpora.read("crema_d", root)
    (bad,) = reading.bad_files
    assert bad.path == str(root / "VideoDemographics.csv")
    assert "ActorID and Sex" in bad.reason
    assert len(reading.utterances) == 3


def test_the_one_level_that_the_corpus_misspells_is_read(root):
    (root / "1040_ITH_SAD_X.wav").touch()
    assert "1040" in sexes(root)


@pytest.mark.parametrize(
    ("name", "says"), [("1001_IEO_JOY_HI.wav", "HAP (happy)"), ("1001_IEO_ANG.wav", "level")]
)
def test_a_name_of_no_sense_is_a_bad_file_with_the_reason(root, name, says):
    (root / name).touch()
    (bad,) = corpora.read("crema_d", root).bad_files
    assert bad.path == str(root / name)
    assert says in bad.reason
