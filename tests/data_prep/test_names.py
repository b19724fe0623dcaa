"""Names: one person has one, whatever the spelling; and what nobody has is no name."""

import ast
import pathlib
import unicodedata

import pytest
from small_corpus import configured

from data_prep.corpora.base import CorpusError, Utterance
from data_prep.names import check_labels, check_speakers, key, rename
from data_prep.selection import select


def spoken(*speakers: str, emotion: str = "anger", sex: str = "") -> list[Utterance]:
    return [
        Utterance(f"{name}_{i}", pathlib.Path("x.wav"), name, emotion, sex=sex)
        for i, name in enumerate(speakers)
    ]


NEAR = [
    ("Ann", "ann"),
    ("Ann", " ANN "),
    ("Ann Lee", "annlee"),
    ("Ann Lee", "Ann\u00a0Lee"),
    ("Zo\u00eb", "Zoe\u0308"),
    ("ann", "an\u200bn"),
    ("ann", "\ufeffann"),
    ("ann", "a\u00adnn"),
    ("\uff21\uff4e\uff4e", "ann"),
    ("Stra\u00dfe", "STRASSE"),
    ("1", "01"),
    ("1", "1.0"),
    ("1", "1,00"),
    ("s1", "S01"),
    ("speaker 1", "speaker001"),
    ("01M", "1m"),
    ("\u5f20\u4e09", "\u5f20 \u4e09"),
    ("10", "10.0"),
]
APART = [
    ("1", "11"),
    ("1", "10"),
    ("1 1", "11"),
    ("1.5", "1.05"),
    ("1.0", "10"),
    ("s1", "s11"),
    ("a-1", "a 1"),
    ("a1", "b1"),
    ("03a01", "3a1"),
    ("0", "00a"),
    ("\u5f20\u4e09", "\u5f20\u56db"),
    ("ann", "anna"),
    ("-1", "1"),
]


@pytest.mark.parametrize(("a", "b"), NEAR)
def test_spellings_of_one_name_are_an_error_that_lists_both_with_their_counts(a, b):
    assert key(a) == key(b)
    with pytest.raises(CorpusError) as error:
        check_speakers(spoken(a, a, b, "somebody"), aliases=())
    message = str(error.value)
    assert message.count("(2)") == message.count("(1)") == 1
    assert "in training and in test" in message
    assert "somebody" not in message
    assert "--config.data.aliases=" in message


@pytest.mark.parametrize(("a", "b"), APART)
def test_names_of_different_people_pass(a, b):
    check_speakers(spoken(a, b), aliases=())


@pytest.mark.parametrize(("a", "b"), NEAR)
def test_what_the_error_advises_works(a, b):
    """Both ways: they are one, or they are two."""
    with pytest.raises(CorpusError) as error:
        check_speakers(spoken(a, a, b), aliases=())
    one, two = (line.partition('aliases="')[2][:-1] for line in str(error.value).splitlines()[-2:])
    merged = rename(spoken(a, a, b), ast.literal_eval(one))
    assert {utterance.speaker for utterance in merged} == {a}
    check_speakers(merged, aliases=ast.literal_eval(one))
    apart = rename(spoken(a, a, b), ast.literal_eval(two))
    assert [utterance.speaker for utterance in apart] == [a, a, b]
    check_speakers(apart, aliases=ast.literal_eval(two))


@pytest.mark.parametrize(
    "name", ["nan", "NaN", "None", "unknown", "null", "N/A", "n.a.", "NA", "?", "???", "-", " Unknown\u200b"]
)
def test_a_speaker_whom_nobody_knows_is_an_error_and_a_name_that_is_so_can_be_one(name):
    with pytest.raises(CorpusError, match=r"nobody knows who speaks: .*\(2\)"):
        check_speakers(spoken(name, name, "ann"), aliases=())
    check_speakers(spoken(name, name, "ann"), aliases=((name, name),))
    check_speakers(spoken("", "", "Nandi", "Nona", "ann"), aliases=())


def test_a_speaker_of_two_sexes_is_an_error_that_lists_utterances_and_an_unknown_sex_is_none():
    both = [*spoken("ann", "bob", sex="female"), *spoken("bob", sex="male")]
    with pytest.raises(
        CorpusError, match=r"two sexes(.|\n)*'bob' is female in 1: bob_1\n  'bob' is male in 1: bob_0"
    ):
        check_speakers(both, aliases=())
    check_speakers([*spoken("ann", sex="female"), *spoken("ann")], aliases=())


NFC, NFD = (unicodedata.normalize(form, "w\u00fctend") for form in ("NFC", "NFD"))


def test_labels_in_two_spellings_are_an_error_unless_the_config_names_both():
    counts = {NFC: 3, NFD: 2, "sad": 4}
    for emotions in ({}, {NFC: "angry", "sad": "sad"}):
        with pytest.raises(CorpusError, match=r"two classes(.|\n)*'w\\xfctend' \(3\)"):
            check_labels(counts, emotions, aliases=())
    check_labels(counts, {NFC: "angry", NFD: "angry", "sad": "sad"}, aliases=())
    check_labels(counts, {"sad": "sad"}, aliases=())
    check_labels(counts, {}, aliases=((NFD, NFD),))


def test_a_label_that_is_none_is_an_error_unless_the_config_names_the_emotions():
    counts = {"nan": 3, "sad": 4}
    with pytest.raises(CorpusError, match=r"labels that are none: 'nan' \(3\)"):
        check_labels(counts, {}, aliases=())
    for emotions in ({"sad": "sad"}, {"sad": "sad", "nan": "unclear"}):
        check_labels(counts, emotions, aliases=())


def test_classes_in_two_spellings_are_an_error():
    with pytest.raises(CorpusError, match="a class in two ways: 'Sad', 'sad'"):
        check_labels({"a": 1, "b": 1}, {"a": "Sad", "b": "sad"}, aliases=())


@pytest.mark.parametrize(
    ("aliases", "message"),
    [((("bob", "ann"),), "names 'bob', but no speaker or label"), ((("ann", "a"), ("ann", "b")), "twice")],
)
def test_an_alias_of_nothing_is_an_error(aliases, message):
    with pytest.raises(CorpusError, match=message):
        rename(spoken("ann"), aliases)


def test_aliases_rename_speakers_and_labels_of_a_corpus(corpus, tmp_path):
    data = configured(corpus, emotions={}, aliases=(("a-1", "a 1"), ("rage", "anger")))
    selection = select(data, records=tmp_path)
    assert {one.speaker for one in selection.utterances} == {"a 1", "b"}
    assert set(selection.emotions) == {"anger", "boredom", "sorrow"}
    assert len({one.id for one in selection.utterances}) == 24


@pytest.mark.parametrize("column", ["speaker", "label"])
def test_every_reader_goes_through_it(corpus, tmp_path, column):
    table = corpus / "manifest.csv"
    old, new = (",b,", ",A-1,") if column == "speaker" else (",b,boredom,", ",b,ang\u200ber,")
    table.write_text(table.read_text().replace(old, new), encoding="utf-8")
    with pytest.raises(CorpusError, match="differ in case"):
        select(configured(corpus, emotions={}), records=tmp_path)
