"""Counts: tables of what there is, and a word where it is not what was published for the same settings."""

import pathlib

import pytest

from data_prep import counts
from data_prep.corpora import READERS
from data_prep.corpora.base import Utterance

FOUR = {"neutral": "neutral", "happy": "happy", "sad": "sad", "angry": "angry"}
MERGED = {"neutral": "n", "happy": "h", "excited": "h", "sad": "s", "angry": "a"}
IEMOCAP = {"angry": 1103, "sad": 1084, "neutral": 1708, "happy": 595, "excited": 1041}  # 1,636 together
SESSIONS = {"01": 1085, "02": 1023, "03": 1151, "04": 1031, "05": 1241}
IMPROV = {"neutral": 3477, "happy": 2644, "sad": 885, "angry": 792, "other": 640}


def utterances(of_emotions: dict, *, sessions: dict | None = None, part: str = "") -> list[Utterance]:
    emotions = [emotion for emotion, count in of_emotions.items() for _ in range(count)]
    where = [name for name, count in (sessions or {"": len(emotions)}).items() for _ in range(count)]
    return [
        Utterance(str(i), pathlib.Path("x"), "s", emotion, session=session, part=part)
        for i, (emotion, session) in enumerate(zip(emotions, where, strict=True))
    ]


def iemocap() -> list[Utterance]:
    return utterances(IEMOCAP, sessions=SESSIONS) + utterances({"frustrated": 99})


def differences(given, **settings) -> list[str]:
    defaults = {"corpus": "iemocap", "parts": (), "target": False, "emotions": MERGED}
    return counts.differences(given, **(defaults | settings))


def test_a_corpus_as_published_is_not_mentioned():
    assert differences(iemocap()) == []
    assert differences(iemocap(), parts=("scripted", "improvised")) == []


def test_a_missing_utterance_is_told_with_class_session_and_total():
    (message,) = differences(iemocap()[1:])
    assert message.splitlines()[1:] == [
        "  a: 1102 here, 1103 published",
        "  session 01: 1084 here, 1085 published",
        "  all: 5530 here, 5531 published",
    ]
    assert "IEMOCAP, 4 classes, excited as happy" in message


def test_utterances_that_are_too_many_are_told():
    given = iemocap() + utterances({"excited": 2}, sessions={"05": 2})
    (message,) = differences(given)
    assert "h: 1638 here, 1636 published" in message
    assert "session 05: 1243 here, 1241 published" in message


@pytest.mark.parametrize(
    "settings",
    [
        {"parts": ("scripted",)},
        {"emotions": FOUR},
        {"emotions": MERGED | {"frustrated": "f"}},
        {"emotions": MERGED | {"excited": "e"}},
        {"emotions": {name: MERGED[name] for name in ("angry", "sad")}},
        {"corpus": "manifest"},
        {"corpus": "msp_podcast"},
        {"target": True},
    ],
)
def test_other_settings_are_not_compared(settings):
    assert differences(iemocap()[1:], **settings) == []


@pytest.mark.parametrize(("emotions", "total"), [(FOUR, 2280), (MERGED, 2943)])
def test_improvised_speech_has_totals_of_its_own(emotions, total):
    given = utterances({"neutral": 1000, "sad": 500, "angry": 200, "happy": 580}, part="improvised")
    given += utterances({"excited": 663, "frustrated": 1}, part="improvised")
    settings = {"parts": ("improvised",), "emotions": emotions}
    assert differences(given, **settings) == []
    (message,) = differences(given[1:], **settings)
    assert message.splitlines()[1:] == [f"  all: {total - 1} here, {total} published"]


def test_msp_improv_has_counts_of_turns_and_of_classes():
    given, settings = utterances(IMPROV), {"corpus": "msp_improv", "emotions": FOUR}
    assert len(given) == 8438
    assert differences(given, **settings) == []
    turns, classes = differences(given[1:], **settings)
    assert turns.splitlines()[1:] == ["  all: 8437 here, 8438 published"]
    assert classes.splitlines()[1:] == [
        "  neutral: 3476 here, 3477 published",
        "  all: 7797 here, 7798 published",
    ]
    assert len(differences(given[:-1], **settings)) == 1, "the last is of another class"
    assert differences(given[1:], **settings, parts=("R",)) == []
    assert differences(given[1:], **settings, target=True) == []


@pytest.mark.parametrize("corpus", ["ravdess", "emodb", "crema_d", "savee", "tess"])
@pytest.mark.parametrize("emotions", [FOUR, {"angry": "angry", "sad": "other", "happy": "other"}])
def test_open_corpora_are_compared_whatever_is_chosen_of_them(corpus, emotions):
    (known,) = READERS[corpus].published
    assert READERS[corpus].published[0].emotions.keys() >= FOUR.keys()
    settings = {"corpus": corpus, "emotions": emotions}
    given = utterances(known.emotions)
    assert differences(given, **settings) == []
    calm = {"calm", "disgust"} & known.emotions.keys()  # not chosen
    less = [one for one in given if one.emotion not in calm]
    (message,) = differences(less, **settings)
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [*sorted(calm), "all"]


def test_the_published_classes_add_up():
    published = [known for reader in READERS.values() for known in reader.published]
    assert len(published) == 10
    for known in published:
        if known.classes and None not in known.classes.values():
            assert sum(known.classes.values()) == known.total
        if known.emotions:
            assert sum(known.emotions.values()) == known.total
        if known.sessions:
            assert sum(known.sessions.values()) == known.total


def test_tables_of_speakers_sessions_and_parts():
    given = [
        Utterance("1", pathlib.Path("x"), "ann", "happy", session="1", part="read"),
        Utterance("2", pathlib.Path("x"), "ann", "excited", session="1", part="read"),
        Utterance("3", pathlib.Path("x"), "bob", "sad", session="2", part="read"),
    ]
    emotions = {"happy": "h", "excited": "h", "sad": "s"}
    tables = counts.tables(given, emotions=emotions).split("\n\n")
    assert [[line.split() for line in table.splitlines()] for table in tables] == [
        [
            ["speaker", "h", "s", "all"],
            ["ann", "2", "0", "2"],
            ["bob", "0", "1", "1"],
            ["all", "2", "1", "3"],
        ],
        [["session", "h", "s", "all"], ["1", "2", "0", "2"], ["2", "0", "1", "1"], ["all", "2", "1", "3"]],
        [["part", "h", "s", "all"], ["read", "2", "1", "3"], ["all", "2", "1", "3"]],
    ]


def test_a_long_table_is_cut_and_its_totals_are_whole():
    given = [Utterance(str(i), pathlib.Path("x"), f"s{i:03d}", "sad") for i in range(100)]
    lines = counts.tables(given, emotions={"sad": "sad"}).splitlines()
    assert lines[-2:] == ["... and 60 more speakers", "    all  100  100"]
    assert len(lines) == 43
