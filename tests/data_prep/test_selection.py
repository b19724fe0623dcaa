"""What is taken of a corpus: the wanted parts and emotions, with their classes, where the config fits the corpus."""

import pathlib

import pytest
from small_corpus import configured

from data_prep import corpora
from data_prep.corpora.base import BadFile, CorpusError, Reading, Utterance
from data_prep.selection import read_corpus, select


def test_what_has_no_class_is_left_out_and_the_rest_has_one(corpus, tmp_path):
    selection = select(configured(corpus), records=tmp_path / "records")
    assert selection.source == corpus
    assert selection.chosen == read_corpus(configured(corpus), records=tmp_path / "records").utterances
    assert selection.utterances == [one for one in selection.chosen if one.emotion != "boredom"]
    classes = {"anger": "angry", "rage": "angry", "sorrow": "sad"}
    assert selection.labelled == [(one, classes[one.emotion]) for one in selection.utterances]


def test_no_emotions_named_takes_all_as_they_are(corpus, tmp_path):
    selection = select(configured(corpus, emotions={}), records=tmp_path / "records")
    assert len(selection.labelled) == len(selection.chosen) == 24
    assert all(one.emotion == name for one, name in selection.labelled)


@pytest.fixture
def acted(corpus, monkeypatch):
    """A reader that finds two parts, and emotions that were asked for besides those that are heard."""
    found = tuple(
        Utterance(f"{part}_{i}", pathlib.Path("x"), "s", heard, part=part, target=wanted)
        for part in ("read", "free")
        for i, (heard, wanted) in enumerate([("anger", "anger"), ("anger", "sorrow")])
    )
    monkeypatch.setattr(corpora, "read", lambda *_: Reading(found, (BadFile("y", "no sound"),)))
    return corpus


def test_only_the_parts_that_are_named_are_taken(acted, tmp_path):
    selection = select(configured(acted, parts=("free",), emotions={}), records=tmp_path)
    assert [one.id for one in selection.utterances] == ["free_0", "free_1"]
    assert selection.bad_files == (BadFile("y", "no sound"),), "a bad file is of no part"
    with pytest.raises(CorpusError, match="names song; the corpus has: free, read"):
        select(configured(acted, parts=("free", "song")), records=tmp_path)


def test_the_emotion_is_the_one_heard_or_the_one_asked_for(acted, tmp_path):
    for intended, emotions in ((False, ["anger"] * 4), (True, ["anger", "sorrow"] * 2)):
        selection = select(configured(acted, intended_emotion=intended, emotions={}), records=tmp_path)
        assert [one.emotion for one in selection.chosen] == emotions


def test_an_emotion_that_the_corpus_lacks_is_an_error_that_lists_what_it_has(corpus, tmp_path):
    data = configured(corpus, emotions={"anger": "angry", "fury": "angry"})
    with pytest.raises(CorpusError, match=r"names fury, .* it has: anger \(6\), boredom \(6\), rage"):
        select(data, records=tmp_path / "records")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "/no/such/folder"}, "does not exist: /no/such/folder"),
        ({"source": ""}, r"give --config.data.source=FILE\.csv"),
        ({"corpus": "nonesuch"}, "unknown corpus 'nonesuch'; known:"),
        ({"parts": ("improvised",)}, "data.parts names improvised; the corpus has: no parts"),
        (
            {"intended_emotion": True},
            r"24 utterance\(s\) have no target emotion, .* set data.intended_emotion=False",
        ),
    ],
)
def test_a_config_that_cannot_be_followed_is_refused(corpus, tmp_path, change, message):
    with pytest.raises(CorpusError, match=message):
        select(configured(corpus, **change), records=tmp_path / "records")
