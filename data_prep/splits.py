"""Utterances -> splits of the records: groups that share no speaker but tested ones, and that folds are made of."""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Mapping, Sequence

from data_prep.corpora.base import CorpusError, Utterance

_LONGEST_NAME = 48  # characters: with four bytes each, the name of a file of records is short enough
TEST = "test"  # test parts of a corpus begin so: test1, test2


def divide(utterances: Sequence[Utterance], *, group_by: str) -> dict[str, list[Utterance]]:
    r"""Split name (`\w+`) -> its utterances, both sorted.

    Args:
        utterances: in any order.
        group_by: "speaker", "session" or "part": what a split is; splits of "part" are a part's speakers.

    The test parts of a corpus may share speakers: none of them is in training.

    Raises:
        CorpusError: an utterance has no such group, or a speaker is in two that are not both test parts.
    """
    members = collections.defaultdict(list)
    for utterance in sorted(utterances, key=lambda utterance: utterance.id):
        members[getattr(utterance, group_by)].append(utterance)
    if "" in members:
        without = members[""]
        raise CorpusError(
            f"{len(without)} utterance(s) have no {group_by}, such as {without[0].path}: "
            f"they cannot be grouped by it (data.group_by); {_other_groups(utterances, group_by)}"
        )
    where: dict[str, dict[str, list[str]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for group, utterances_of_group in members.items():
        for utterance in utterances_of_group:
            where[utterance.speaker][group].append(str(utterance.path))
    problems = [
        f"  speaker {speaker} is in {group_by} {group}: {', '.join(sorted(set(paths)))}"
        for speaker, groups in sorted(where.items())
        if len(groups) > 1 and not (group_by == "part" and all(part.startswith(TEST) for part in groups))
        for group, paths in sorted(groups.items())
    ]
    if problems:
        raise CorpusError(
            f"a speaker may be in one {group_by} only, or the same voice is in training and test; "
            f"mend the labels, or {_other_groups(utterances, group_by)}:\n" + "\n".join(problems)
        )
    if group_by == "part":  # its speakers stay apart, so that a search can divide them
        speakers = collections.defaultdict(list)
        for part, utterances_of_part in members.items():
            for utterance in utterances_of_part:
                speakers[f"{part}/{utterance.speaker}"].append(utterance)
        members = speakers
    names = _split_names(sorted(members), prefix=group_by)
    return {names[group]: members[group] for group in sorted(members)}


def check_several(groups: Mapping[str, Sequence[Utterance]], *, group_by: str) -> None:
    """Whether there are groups to train on and others to test on.

    Args:
        groups: as of `divide`.
        group_by: as of `divide`.

    Raises:
        CorpusError: there is one alone.
    """
    if len(groups) > 1:
        return
    utterances = [utterance for members in groups.values() for utterance in members]
    who = repr(getattr(utterances[0], group_by)) if utterances else "none"
    instead = (
        _other_groups(utterances, group_by)
        if len({one.speaker for one in utterances}) > 1
        else (
            "if these are several people, write who speaks where; else take a corpus of more people. A trained bundle "
            "can be scored on one alone: --mode=evaluate --bundle=DIR"
        )
    )
    raise CorpusError(
        f"one {group_by} only ({who}, {len(utterances)} utterances): networks are trained on some and tested on "
        f"others, so two are needed at the least, and four for validation and a search; {instead}"
    )


def _other_groups(utterances: Sequence[Utterance], group_by: str) -> str:
    """What to do where a grouping cannot be had."""
    whole = [kind for kind in ("session", "part") if all(getattr(u, kind) for u in utterances)]
    if all(u.speaker not in ("", _unknown(u.part)) for u in utterances):
        whole = ["speaker", *whole]
    others = [f"--config.data.group_by={kind}" for kind in whole if kind != group_by]
    return f"take {' or '.join(others)}" if others else "choose other parts of the corpus (data.parts)"


def keep_in_part(utterance: Utterance) -> Utterance:
    """Where nobody knows who speaks, someone of this part does: another person than the unknown of the others."""
    return dataclasses.replace(utterance, speaker=utterance.speaker or _unknown(utterance.part))


def _unknown(part: str) -> str:
    return f"unknown_{part}"


def _split_names(groups: Sequence[str], *, prefix: str) -> dict[str, str]:
    """Group -> a name of letters (of any script), digits and underscores, which a file can have.

    No two are alike, not even in upper and lower case, nor in another Unicode form.
    """
    names, taken = {}, set()
    for group in groups:
        letters = re.sub(r"[^\w]", "_", unicodedata.normalize("NFC", group))
        plain = name = f"{prefix}_{letters}"[:_LONGEST_NAME]
        number = 2
        while (same := unicodedata.normalize("NFKC", name).casefold()) in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(same)
        names[group] = name
    return names
