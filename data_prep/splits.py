"""Utterances -> splits of the records: groups that share no speaker but tested ones, and that folds are made of."""

import collections
import dataclasses
import re
from collections.abc import Sequence

from data_prep.corpora.base import CorpusError, Utterance

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
    where = collections.defaultdict(lambda: collections.defaultdict(list))
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
    """Group -> a name of letters, digits and underscores; no two alike, not even in upper and lower case."""
    names, taken = {}, set()
    for group in groups:
        plain = name = f"{prefix}_{re.sub(r'[^0-9A-Za-z]', '_', group)}"
        number = 2
        while name.casefold() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.casefold())
        names[group] = name
    return names
