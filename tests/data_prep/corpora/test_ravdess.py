"""RAVDESS: labels, speakers and sexes from the numbers of the name; songs and videos are passed over."""

import collections

import pytest

from data_prep import corpora


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_every_emotion_code_has_its_word(tmp_path):
    make(tmp_path, *(f"Actor_18/03-01-{code:02d}-01-02-01-18.wav" for code in range(1, 9)))
    words = [utterance.emotion for utterance in corpora.read("ravdess", tmp_path).utterances]
    assert words == ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


@pytest.mark.parametrize(
    ("actor", "sex"), [("01", "male"), ("02", "female"), ("23", "male"), ("24", "female")]
)
def test_speaker_is_the_actor_and_odd_actors_are_men(tmp_path, actor, sex):
    make(tmp_path, f"03-01-05-02-01-02-{actor}.wav")
    (utterance,) = corpora.read("ravdess", tmp_path).utterances
    assert (utterance.speaker, utterance.sex, utterance.session) == (actor, sex, "")
    assert utterance.id == f"03-01-05-02-01-02-{actor}"
    assert (utterance.start, utterance.end) == (0.0, None)


def test_songs_and_videos_are_passed_over_without_a_word(tmp_path):
    speech = "speech/Actor_01/03-01-01-01-01-01-01.wav"
    make(tmp_path, speech, "song/Actor_01/03-02-01-01-01-01-01.wav", "video/01-01-01-01-01-01-01.wav")
    reading = corpora.read("ravdess", tmp_path)
    assert [utterance.path for utterance in reading.utterances] == [tmp_path / speech]
    assert reading.bad_files == ()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("03-01-09-01-01-01-01.wav", ["emotion '09'", "08 (surprised)"]),
        ("03-01-01-01-01-01-25.wav", ["actor '25'", "24 (female)"]),
        ("04-01-01-01-01-01-01.wav", ["modality '04'", "03 (audio only)"]),
        ("03-03-01-01-01-01-01.wav", ["channel '03'", "02 (song)"]),
        ("03-01-01-01-01-01-01 (1).wav", ["seven numbers"]),
        ("03-01-01-01-01-01.wav", ["seven numbers"]),
    ],
)
def test_a_name_of_no_sense_is_a_bad_file_with_the_reason(tmp_path, name, says):
    make(tmp_path, "03-01-01-01-01-01-02.wav", name)
    reading = corpora.read("ravdess", tmp_path)
    (bad,) = reading.bad_files
    assert bad.path == str(tmp_path / name)
    assert all(words in bad.reason for words in says), bad.reason
    assert len(reading.utterances) == 1


def test_only_songs_is_no_corpus(tmp_path):
    make(tmp_path, "03-02-01-01-01-01-01.wav")
    with pytest.raises(corpora.CorpusError, match="01 speech"):
        corpora.read("ravdess", tmp_path)


def test_the_real_tree(ravdess):
    reading = corpora.read("ravdess", ravdess)
    assert reading.bad_files == ()
    actors = len(list(ravdess.glob("Actor_*")))
    emotions = collections.Counter(utterance.emotion for utterance in reading.utterances)
    others = ("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    assert emotions == {"neutral": 4 * actors} | dict.fromkeys(others, 8 * actors)
    speakers = collections.Counter((utterance.speaker, utterance.sex) for utterance in reading.utterances)
    assert speakers == {(f"{i:02d}", "male" if i % 2 else "female"): 60 for i in range(1, actors + 1)}
    assert all(utterance.path.is_file() for utterance in reading.utterances)
