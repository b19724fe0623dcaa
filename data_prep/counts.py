"""What a corpus holds: utterances a class, speaker, session and part, and whether that is what was published."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from data_prep.corpora import iemocap, msp_improv
from data_prep.corpora.base import Utterance

_TABLE_ROWS = 40
_PARTS = {"iemocap": frozenset(iemocap.PARTS.values()), "msp_improv": frozenset(msp_improv.PARTS)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Counts that others have published, and the settings that they are for.

    Attributes:
        name: what they are of, and where they come from.
        corpus: the reader's name.
        parts: the parts of the corpus that they are for.
        classes: (the corpus's emotions in one class; its utterances, or None where only the total is known);
            empty is for every utterance, whatever its emotion.
        total: utterances.
        sessions: session -> utterances, where known.
    """

    name: str
    corpus: str
    parts: frozenset[str]
    classes: Mapping[frozenset[str], int | None] = dataclasses.field(default_factory=dict)
    total: int
    sessions: Mapping[str, int] = dataclasses.field(default_factory=dict)


def _classes(**counts: int | None) -> dict[frozenset[str], int | None]:
    return {frozenset(emotions.split("_and_")): count for emotions, count in counts.items()}


PUBLISHED = (
    Published(
        name="IEMOCAP, 4 classes, excited as happy (from published metadata)",
        corpus="iemocap",
        parts=_PARTS["iemocap"],
        classes=_classes(neutral=1708, angry=1103, sad=1084, happy_and_excited=1636),
        total=5531,
        sessions={"01": 1085, "02": 1023, "03": 1151, "04": 1031, "05": 1241},
    ),
    Published(
        name="IEMOCAP improvised, 4 classes without excited (from published metadata)",
        corpus="iemocap",
        parts=frozenset({"improvised"}),
        classes=_classes(neutral=None, angry=None, sad=None, happy=None),
        total=2280,
    ),
    Published(
        name="IEMOCAP improvised, 4 classes, excited as happy (from published metadata)",
        corpus="iemocap",
        parts=frozenset({"improvised"}),
        classes=_classes(neutral=None, angry=None, sad=None, happy_and_excited=None),
        total=2943,
    ),
    Published(
        name="MSP-IMPROV, all turns (as remembered, not verified)",
        corpus="msp_improv",
        parts=_PARTS["msp_improv"],
        total=8438,
    ),
    Published(
        name="MSP-IMPROV, 4 classes as perceived (as remembered, not verified)",
        corpus="msp_improv",
        parts=_PARTS["msp_improv"],
        classes=_classes(neutral=3477, happy=2644, sad=885, angry=792),
        total=7798,
    ),
)


def differences(
    utterances: Sequence[Utterance],
    *,
    corpus: str,
    parts: Sequence[str],
    target: bool,
    emotions: Mapping[str, str],
) -> list[str]:
    """One message for each published count of these settings that the corpus does not have.

    Args:
        utterances: of the chosen parts, whatever their emotion.
        corpus: the reader's name.
        parts: the chosen parts; empty is all.
        target: whether the emotions are those that the speakers were asked for: nothing is published of them.
        emotions: corpus's emotion -> class.
    """
    messages = []
    merged = collections.defaultdict(set)
    for emotion, name in emotions.items():
        merged[name].add(emotion)
    name_of = {frozenset(members): name for name, members in merged.items()}
    for known in PUBLISHED:
        if target or known.corpus != corpus or (frozenset(parts) or _PARTS[corpus]) != known.parts:
            continue
        if known.classes and known.classes.keys() != name_of.keys():
            continue
        counted = [one for one in utterances if not known.classes or one.emotion in emotions]
        classes = collections.Counter(emotions.get(one.emotion) for one in counted)
        sessions = collections.Counter(one.session for one in counted)
        rows = [
            (name_of[members], classes[name_of[members]], count) for members, count in known.classes.items()
        ]
        rows += [(f"session {name}", sessions[name], count) for name, count in known.sessions.items()]
        rows.append(("all", len(counted), known.total))
        if wrong := [row for row in rows if row[2] not in (None, row[1])]:
            lines = "".join(f"\n  {name}: {here} here, {there} published" for name, here, there in wrong)
            messages.append(f"the corpus does not have the counts of {known.name}:{lines}")
    return messages


def tables(utterances: Sequence[Utterance], *, emotions: Mapping[str, str]) -> str:
    """Utterances a class and speaker, session and part, where there are such, with totals."""
    kinds = [kind for kind in ("speaker", "session", "part") if any(getattr(one, kind) for one in utterances)]
    return "\n\n".join(_table(utterances, emotions=emotions, kind=kind) for kind in kinds)


def _table(utterances: Sequence[Utterance], *, emotions: Mapping[str, str], kind: str) -> str:
    classes = sorted(set(emotions.values()))
    counts = collections.defaultdict(collections.Counter)
    for utterance in utterances:
        counts[getattr(utterance, kind)][emotions[utterance.emotion]] += 1
    lines = [[name, *(of[label] for label in classes), of.total()] for name, of in sorted(counts.items())]
    total = ["all", *(sum(of[label] for of in counts.values()) for label in classes), len(utterances)]
    shown = [[kind, *classes, "all"], *lines[:_TABLE_ROWS], total]
    widths = [max(len(str(line[i])) for line in shown) for i in range(len(total))]
    text = [
        "  ".join(f"{cell!s:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in shown
    ]
    if len(lines) > _TABLE_ROWS:
        text.insert(-1, f"... and {len(lines) - _TABLE_ROWS} more {kind}s")
    return "\n".join(text)
