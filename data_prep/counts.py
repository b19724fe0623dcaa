"""What a corpus holds: utterances a class, speaker, session and part, beside what was published."""

import collections
from collections.abc import Mapping, Sequence

from data_prep.corpora import READERS
from data_prep.corpora.base import Published, Utterance

_TABLE_ROWS = 40


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
    published = READERS[corpus].published
    all_parts = frozenset().union(*(known.parts for known in published))
    for known in published:
        if target or (frozenset(parts) or all_parts) != known.parts:
            continue
        if known.emotions:
            of_emotions = collections.Counter(utterance.emotion for utterance in utterances)
            of_each = [(name, of_emotions[name], count) for name, count in sorted(known.emotions.items())]
            messages += _message(known, [*of_each, ("all", len(utterances), known.total)])
            continue
        if known.classes and known.classes.keys() != name_of.keys():
            continue
        counted = [
            utterance for utterance in utterances if not known.classes or utterance.emotion in emotions
        ]
        classes = collections.Counter(emotions.get(utterance.emotion) for utterance in counted)
        sessions = collections.Counter(utterance.session for utterance in counted)
        rows: list[tuple[str, int, int | None]] = [
            (name_of[members], classes[name_of[members]], count) for members, count in known.classes.items()
        ]
        rows += [(f"session {name}", sessions[name], count) for name, count in known.sessions.items()]
        rows.append(("all", len(counted), known.total))
        messages += _message(known, rows)
    return messages


def _message(known: Published, rows: Sequence[tuple[str, int, int | None]]) -> list[str]:
    """None, or one of all (what, here, published) that differ."""
    wrong = [row for row in rows if row[2] not in (None, row[1])]
    lines = "".join(f"\n  {name}: {here} here, {there} published" for name, here, there in wrong)
    return [f"the corpus does not have the counts of {known.name}:{lines}"] if wrong else []


def tables(utterances: Sequence[Utterance], *, emotions: Mapping[str, str]) -> str:
    """Utterances a class and speaker, session and part, where there are such, with totals."""
    kinds = [kind for kind in ("speaker", "session", "part") if any(getattr(u, kind) for u in utterances)]
    return "\n\n".join(_table(utterances, emotions=emotions, kind=kind) for kind in kinds)


def _table(utterances: Sequence[Utterance], *, emotions: Mapping[str, str], kind: str) -> str:
    classes = sorted(set(emotions.values()))
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for utterance in utterances:
        counts[getattr(utterance, kind)][emotions[utterance.emotion]] += 1
    lines = [[name, *(row[label] for label in classes), row.total()] for name, row in sorted(counts.items())]
    total = ["all", *(sum(row[label] for row in counts.values()) for label in classes), len(utterances)]
    shown: list[list[object]] = [[kind, *classes, "all"], *lines[:_TABLE_ROWS], total]
    widths = [max(len(str(line[i])) for line in shown) for i in range(len(total))]
    text = [
        "  ".join(f"{cell!s:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in shown
    ]
    if len(lines) > _TABLE_ROWS:
        text.insert(-1, f"... and {len(lines) - _TABLE_ROWS} more {kind}s")
    return "\n".join(text)
