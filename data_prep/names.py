"""Names of speakers and labels: which of them are likely one, spelled twice, and which name nobody.

Two spellings of one speaker would be two people, in training and in test. So names that differ in case, spaces, Unicode
form, invisible characters or leading zeros alone are an error, until `data.aliases` says what they are.
"""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from data_prep.corpora.base import CorpusError, Utterance

# What tables have where nobody knows; as `key` has them.
UNKNOWN = re.compile(r"nan|none|null|nil|unk|unknown|unbekannt|undefined|missing|#?n/?a|n\.a\.|\?+|-+|<na>")
_LISTED = 20  # names of one error
_EXAMPLES = 3
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")
_NUMBERED = re.compile(r"(\D*)0*(\d+)(\D*)")  # one number, with what is around it
_WHOLE = re.compile(r"(\d+)[.,]0+")


def key(name: str) -> str:
    """What near-equal names have in common: "Ann", "ann " and "ANN"; "1", "01" and "1.0"; but not "1 1" and "11"."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    text = re.sub(r"(?<=\d)\s+(?=\d)", "_", text.strip())
    text = "".join(character for character in text if not _is_invisible(character))
    if match := _WHOLE.fullmatch(text):
        text = match[1]
    match = _NUMBERED.fullmatch(text)
    return f"{match[1]}{match[2]}{match[3]}" if match else text


def _is_invisible(character: str) -> bool:
    variation = "\ufe00" <= character <= "\ufe0f" or character == "\u034f"
    return variation or unicodedata.category(character) in _INVISIBLE


def rename(utterances: Sequence[Utterance], aliases: Sequence[tuple[str, str]]) -> list[Utterance]:
    """The utterances, with speakers and labels as `data.aliases` names them.

    Raises:
        CorpusError: an alias is of a spelling that no speaker and no label has, or is given twice.
    """
    names = dict(aliases)
    if len(names) < len(aliases):
        raise CorpusError(
            f"data.aliases has a spelling twice: {', '.join(spelling for spelling, _ in aliases)}"
        )
    there = {name for one in utterances for name in (one.speaker, one.emotion, one.target)}
    if missing := sorted(set(names) - there):
        raise CorpusError(
            f"data.aliases names {', '.join(map(repr, missing))}, but no speaker or label is spelled so"
        )
    if all(spelling == name for spelling, name in names.items()):
        return list(utterances)
    return [
        dataclasses.replace(
            one,
            speaker=names.get(one.speaker, one.speaker),
            emotion=names.get(one.emotion, one.emotion),
            target=names.get(one.target, one.target),
        )
        for one in utterances
    ]


def check_speakers(utterances: Sequence[Utterance], *, aliases: Sequence[tuple[str, str]]) -> None:
    """Whether each speaker has one name and one sex; "" is of nobody who is known, and passes.

    Args:
        utterances: those that are used.
        aliases: a name that is its own alias is neither near another nor unknown.

    Raises:
        CorpusError: near-equal names, a name such as "nan", or one speaker of two sexes; it lists them all.
    """
    counts = collections.Counter(one.speaker for one in utterances if one.speaker)
    apart = {spelling for spelling, name in aliases if spelling == name}
    if unknown := {
        name: n for name, n in counts.items() if name not in apart and UNKNOWN.fullmatch(key(name))
    }:
        name = min(unknown)
        raise CorpusError(
            f"nobody knows who speaks: {_listing(unknown)}. Utterances of several people under one name would be in "
            "training and test. Write who speaks, or leave these utterances out; if it is a name, say so: "
            f'--config.data.aliases="(({name!r},{name!r}),)"'
        )
    if near := _near(counts, apart):
        raise CorpusError(_two_spellings("speakers", "in training and in test", near))
    _check_sexes(utterances)


def check_labels(
    counts: Mapping[str, int], emotions: Mapping[str, str], *, aliases: Sequence[tuple[str, str]]
) -> None:
    """Whether each label that is used has one name.

    Args:
        counts: label -> utterances, of the whole corpus.
        emotions: as of `data.emotions`: what it names, it names on purpose.
        aliases: as of `check_speakers`.

    Raises:
        CorpusError: near-equal labels, of which not all are in `emotions`; one such as "nan", that is not; or
            near-equal classes.
    """
    apart = {spelling for spelling, name in aliases if spelling == name}
    if not emotions and (
        unknown := {
            name: n for name, n in counts.items() if name not in apart and UNKNOWN.fullmatch(key(name))
        }
    ):
        raise CorpusError(
            f"labels that are none: {_listing(unknown)}. Name the emotions that are wanted "
            "(--config.data.emotions=\"{'EMOTION':'CLASS',...}\"); this one too, if it is wanted"
        )
    near = [
        names
        for names in _near(counts, apart)
        if not emotions or (set(names) & set(emotions) and not set(names) <= set(emotions))
    ]
    if near:
        raise CorpusError(_two_spellings("labels", "two classes", near))
    if near := _near(collections.Counter(set(emotions.values())), set()):
        raise CorpusError(f"data.emotions spells a class in two ways: {', '.join(map(repr, near[0]))}")


def _near(counts: Mapping[str, int], apart: Iterable[str]) -> list[dict[str, int]]:
    """Groups of near-equal names, each with its counts."""
    groups: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for name in sorted(set(counts) - set(apart)):
        groups[key(name)][name] = counts[name]
    return [names for names in groups.values() if len(names) > 1]


def _two_spellings(what: str, where: str, near: Sequence[Mapping[str, int]]) -> str:
    lines = [f"  {_listing(names)}" for names in near[:_LISTED]]
    if len(near) > _LISTED:
        lines.append(f"  and {len(near) - _LISTED} more")
    pairs = ",".join(
        f"({name!a},{most!a})"
        for names in near[:_LISTED]
        for most in [max(names, key=lambda name: names[name])]
        for name in names
        if name != most
    )
    first = ascii(next(iter(near[0])))
    return "\n".join(
        [
            f"{what} whose names differ in case, spaces, Unicode form, invisible characters or leading zeros alone "
            f"(they would be {where}):",
            *lines,
            f'If those of a line are one, mend the labels, or: --config.data.aliases="({pairs},)"',
            f'If they are different, give one as its own alias: --config.data.aliases="(({first},{first}),)"',
        ]
    )


def _listing(counts: Mapping[str, int]) -> str:
    """'Ann' (12 utterances), 'ann' (6); what a terminal shows alike is written out."""
    alike = len({unicodedata.normalize("NFC", name).strip() for name in counts}) < len(counts)
    shown = [
        f"{ascii(name) if alike or not name.isprintable() else repr(name)} ({count})"
        for name, count in list(counts.items())[:_LISTED]
    ]
    more = f" and {len(counts) - _LISTED} more" if len(counts) > _LISTED else ""
    return ", ".join(shown) + more


def _check_sexes(utterances: Sequence[Utterance]) -> None:
    of_speaker: dict[str, dict[str, list[str]]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    for one in utterances:
        if one.speaker and one.sex:
            of_speaker[one.speaker][one.sex].append(one.id)
    lines = [
        f"  {speaker!r} is {sex} in {len(ids)}: {', '.join(ids[:_EXAMPLES])}"
        + (", ..." if ids[_EXAMPLES:] else "")
        for speaker, sexes in sorted(of_speaker.items())
        if len(sexes) > 1
        for sex, ids in sorted(sexes.items())
    ]
    if lines:
        lines = lines[: 2 * _LISTED] + ["  ..."] * (len(lines) > 2 * _LISTED)
        raise CorpusError(
            "a speaker of two sexes is two people, or one of the labels is wrong; mend them, or leave the sex empty:\n"
            + "\n".join(lines)
        )
