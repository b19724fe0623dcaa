"""Splits: every utterance in one, no speaker in two, and names that any file system can hold."""

import pathlib
import re

import pytest

from data_prep.corpora.base import CorpusError, Utterance
from data_prep.splits import check_several, divide, keep_in_part


def spoken(*of: tuple[str, ...]) -> list[Utterance]:
    """An utterance for each (speaker, session, part), the last one first in the order of ids."""
    return [
        Utterance(str(len(of) - i), pathlib.Path(f"{i}.wav"), speaker, "anger", session=session, part=part)
        for i, (speaker, session, part) in enumerate(of)
    ]


SPOKEN = spoken(("b", "one", "train"), ("a-1", "one", "test"), ("a 1", "two", "train"), ("b", "one", "train"))


@pytest.mark.parametrize(
    ("group_by", "speakers"),
    [
        ("speaker", {"speaker_a_1": {"a 1"}, "speaker_a_1_2": {"a-1"}, "speaker_b": {"b"}}),
        ("session", {"session_one": {"a-1", "b"}, "session_two": {"a 1"}}),
        ("part", {"part_test_a_1": {"a-1"}, "part_train_a_1": {"a 1"}, "part_train_b": {"b"}}),
    ],
)
def test_every_utterance_is_in_one_split_and_every_speaker_too(group_by, speakers):
    splits = divide(SPOKEN, group_by=group_by)
    assert {name: {one.speaker for one in of} for name, of in splits.items()} == speakers
    assert list(splits) == sorted(splits)
    assert sorted(one.id for of in splits.values() for one in of) == ["1", "2", "3", "4"]
    for of in splits.values():
        assert [one.id for one in of] == sorted(one.id for one in of)


def test_no_two_names_are_alike_even_where_case_does_not_count():
    splits = divide(
        spoken(*((name, "", "") for name in ("A", "a", "ä", "é", "b a", "b-A"))), group_by="speaker"
    )
    assert len({name.casefold() for name in splits}) == 6
    assert all(re.fullmatch(r"\w+", name) for name in splits)


def test_letters_of_any_script_name_themselves_and_a_file_can_have_the_name():
    speakers = ("张三", "Zoë", "Zoe\u0308", "Ольга", "x" * 200, "x" * 201, "李" * 99)
    splits = divide(spoken(*((name, "", "") for name in speakers)), group_by="speaker")
    assert {"speaker_张三", "speaker_Zoë", "speaker_Zoë_2", "speaker_Ольга"} < splits.keys()
    assert len(splits) == len(speakers)
    assert max(len(name.encode()) for name in splits) <= 200


@pytest.mark.parametrize(
    ("group_by", "advice"), [("speaker", "write who speaks where"), ("session", "data.group_by=speaker")]
)
def test_one_group_alone_is_an_error_that_says_what_to_do(group_by, advice):
    speakers = "ab" if group_by == "session" else "aa"
    splits = divide(spoken(*((name, "one", "train") for name in speakers)), group_by=group_by)
    with pytest.raises(CorpusError, match=f"one {group_by} only .*2 utterances.*{advice}"):
        check_several(splits, group_by=group_by)
    check_several({"a": [SPOKEN[0]], "b": [SPOKEN[1]]}, group_by=group_by)


@pytest.mark.parametrize("group_by", ["session", "part"])
def test_a_speaker_in_two_groups_is_an_error_that_names_the_files(group_by):
    moved = {"session": ("b", "two", "train"), "part": ("b", "one", "test")}[group_by]
    with pytest.raises(CorpusError) as error:
        divide(spoken(("b", "one", "train"), moved, ("a", "one", "train")), group_by=group_by)
    assert f"speaker b is in {group_by} {moved[1 if group_by == 'session' else 2]}: 1.wav" in str(error.value)
    assert "speaker a" not in str(error.value).partition("\n")[2]


@pytest.mark.parametrize("group_by", ["speaker", "session", "part"])
def test_an_utterance_of_no_group_is_an_error(group_by):
    with pytest.raises(CorpusError, match=rf"1 utterance\(s\) have no {group_by}, such as 1.wav"):
        divide([SPOKEN[0], *spoken(("c", "one", "test"), ("", "", ""))[1:]], group_by=group_by)


def test_the_unknown_of_two_parts_are_two_and_the_known_keep_their_names():
    given = spoken(("", "", "train"), ("", "", "test"), ("b", "", "test"), ("", "", "train"))
    with pytest.raises(CorpusError, match="speaker  is in part"):
        divide(given, group_by="part")
    splits = divide([keep_in_part(one) for one in given], group_by="part")
    assert {name: len(of) for name, of in splits.items()} == {
        "part_test_b": 1,
        "part_test_unknown_test": 1,
        "part_train_unknown_train": 2,
    }
