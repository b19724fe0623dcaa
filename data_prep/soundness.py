"""What was cut, left out or looks wrong: counted and named in one block.

`prepare` prints it, the metadata of the records keep it as JSON, reports and model cards show it.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from data_prep import leaks as leak_tests
from data_prep.compute import Computed
from data_prep.corpora.base import BadFile, Utterance
from data_prep.duplicates import Duplicates
from data_prep.facts import Facts
from data_prep.leaks import Leak, Leaks

NAMES_KEPT, NAMES_SHOWN = 50, 3
SPEECH_BEYOND = 0.1  # seconds of it behind the cut: a syllable
PADDED = 0.1  # seconds of digital silence at an end
CLIPPED = 1e-3  # share of samples in flat tops
CANCELLED = (
    0.1  # power of the mono waveform over its channels': -10 dB; of independent channels it is 1 / channels
)
NOTHING = "Nothing was cut or left out"


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """One kind of thing that a user has to know.

    Attributes:
        kind: a word for it, such as "cut".
        count: of what.
        text: one sentence, with the count.
        names: the first of what is counted.
    """

    kind: str
    count: int
    text: str
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Soundness:
    """The block."""

    notes: tuple[Note, ...]
    leaks: Leaks

    def to_json(self) -> dict[str, Any]:
        """For the metadata."""
        return {"notes": list(map(dataclasses.asdict, self.notes)), "leaks": dataclasses.asdict(self.leaks)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Soundness":
        """Of what `to_json` made."""
        notes = tuple(Note(**{**note, "names": tuple(note["names"])}) for note in saved["notes"])
        return cls(notes, leak_tests.from_json(saved["leaks"]))

    def sentences(self) -> list[str]:
        """One a note, then one of all that tells the class."""
        return [*map(_sentence, self.notes), *_of_leaks(self.leaks)]

    def text(self) -> str:
        """The block as it is printed; one line where there is nothing to say."""
        told = self.sentences()
        if not self.notes:
            return " ".join(f"{line}." for line in [NOTHING, *told])
        return "\n".join(["What was cut, left out or looks wrong:", *(f"  - {line}" for line in told)])


def sentences_of(metadata: Mapping[str, Any]) -> list[str]:
    """The block of records, by their metadata; none of records that have none."""
    saved = metadata.get("soundness")
    return Soundness.from_json(saved).sentences() if saved else []


def examine(
    *,
    chosen: Sequence[Utterance],
    computed: Sequence[Computed],
    emotions: Mapping[str, str],
    duplicates: Duplicates,
    on_duplicate: str,
    bad_files: Sequence[BadFile],
    told: Iterable[str],
    seconds: float,
    sampling_rate: int,
) -> Soundness:
    """Makes the block.

    Args:
        chosen: all utterances of the parts that are wanted, whatever their emotion.
        computed: those that become records.
        emotions: the corpus's emotion -> class.
        duplicates: of what could be computed.
        on_duplicate: as of the settings.
        bad_files: what cannot be used.
        told: sentences of the corpus's reader, and of its counts.
        seconds, sampling_rate: of the features.
    """
    classes = [emotions[one.utterance.emotion] for one in computed]
    notes = [
        *(Note("corpus", 1, sentence) for sentence in told),
        *_of_choice(chosen, emotions),
        *_of_duplicates(duplicates, on_duplicate),
        *_of_bad_files(bad_files),
        *_of_cut(computed, seconds),
        *_of_rates(computed, classes, sampling_rate),
        *_of_damage(computed),
    ]
    found = leak_tests.measure(
        [one.facts for one in computed], classes, [one.utterance.speaker for one in computed]
    )
    return Soundness(tuple(notes), found)


def _of_choice(chosen: Sequence[Utterance], emotions: Mapping[str, str]) -> list[Note]:
    others = collections.Counter(u.emotion for u in chosen if u.emotion not in emotions)
    if not others:
        return []
    listing = ", ".join(f"{emotion or 'no emotion'} ({count})" for emotion, count in sorted(others.items()))
    text = f"{others.total()} of {len(chosen)} utterances are of emotions that are not chosen: {listing}"
    return [Note("emotions", others.total(), text)]


def _of_duplicates(duplicates: Duplicates, on_duplicate: str) -> list[Note]:
    notes = []
    left_out = duplicates.left_out(on_duplicate)
    for groups, whose in (
        (duplicates.agreeing, "of one speaker and class"),
        (duplicates.conflicting, "of two speakers or classes"),
    ):
        if not groups:
            continue
        count = sum(len(group) - 1 for group in groups)
        done = "left out" if groups[0][1].id in left_out else "kept (data.on_duplicate)"
        names = [" = ".join(utterance.id for utterance in group) for group in groups]
        text = f"{count} utterance(s) are the same recording as another {whose}, and are {done}"
        notes.append(_note("duplicates", count, text, names))
    return notes


def _of_bad_files(bad_files: Sequence[BadFile]) -> list[Note]:
    if not bad_files:
        return []
    names = [f"{bad.path} ({bad.reason})" for bad in bad_files]
    return [
        _note("bad files", len(bad_files), f"{len(bad_files)} file(s) cannot be used and are left out", names)
    ]


def _of_cut(computed: Sequence[Computed], seconds: float) -> list[Note]:
    cut = [one for one in computed if one.facts.seconds > one.facts.used + 1e-3]
    if not cut:
        return []
    lost = sum(one.facts.seconds - one.facts.used for one in cut)
    spoken = [one for one in cut if one.facts.speech_beyond >= SPEECH_BEYOND]
    text = (
        f"{len(cut)} of {len(computed)} utterances are longer than features.seconds ({seconds:g} s): {lost:.1f} s are "
        f"cut off, and {len(spoken)} of them have speech there"
    )
    spoken.sort(key=lambda one: -one.facts.speech_beyond)
    names = [f"{one.utterance.id} ({one.facts.speech_beyond:.1f} s)" for one in spoken]
    return [_note("cut", len(cut), text, names)]


def _of_rates(computed: Sequence[Computed], classes: Sequence[str], sampling_rate: int) -> list[Note]:
    rates: dict[int, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for one, name in zip(computed, classes, strict=True):
        rates[one.facts.rate][name] += 1
    slow = sum(count.total() for rate, count in rates.items() if rate < sampling_rate)
    if not slow:
        return []
    listing = "; ".join(
        f"{rate} Hz: " + ", ".join(f"{name} {count}" for name, count in sorted(rates[rate].items()))
        for rate in sorted(rates)
    )
    text = (
        f"{slow} utterance(s) have a lower sampling rate than features.sampling_rate ({sampling_rate} Hz), so nothing "
        f"above half of theirs ({listing})"
    )
    if len(rates) > 1:
        text += "; a network can tell the rates apart: lower features.sampling_rate to the lowest of them"
    return [Note("sampling rates", slow, text)]


def _of_damage(computed: Sequence[Computed]) -> list[Note]:
    """What is taken, and doubtful."""
    kinds: list[tuple[str, Callable[[Facts], bool], str]] = [
        (
            "cut short",
            lambda facts: facts.missing > 0,
            "come from files that end before their header says: copy these again",
        ),
        (
            "channels cancel",
            lambda facts: facts.mixed < CANCELLED,
            "have channels that cancel out when they are averaged, and only the rest is used: keep one channel of them",
        ),
        (
            "silent channel",
            lambda facts: 0 < facts.silent_channels < facts.channels,
            "have a silent channel, which halves their level: keep the other",
        ),
        (
            "clipped",
            lambda facts: facts.clipped > CLIPPED,
            f"are clipped: more than {CLIPPED:.1%} of their samples lie in flat tops",
        ),
        ("over full scale", lambda facts: facts.peak > 1, "go beyond full scale"),
        (
            "digital silence",
            lambda facts: max(facts.leading, facts.trailing) >= PADDED,
            f"begin or end with {PADDED:g} s or more of digital silence",
        ),
    ]
    notes = []
    for kind, holds, text in kinds:
        if which := [one.utterance.id for one in computed if holds(one.facts)]:
            notes.append(_note(kind, len(which), f"{len(which)} utterance(s) {text}", which))
    return notes


def _note(kind: str, count: int, text: str, names: Sequence[str]) -> Note:
    return Note(kind, count, text, tuple(names[:NAMES_KEPT]))


def _sentence(note: Note) -> str:
    shown = "; ".join(note.names[:NAMES_SHOWN])
    return note.text + (f", such as {shown}" if note.names else "")


def _of_leaks(found: Leaks) -> list[str]:
    if not found.leaks:
        return []
    chance = f"chance {found.chance:.0%}"
    lines = []
    if warned := [leak for leak in found.leaks if leak.warned]:
        listing = "; ".join(f"{_alone(leak)}: UA {_share(leak)}" for leak in warned)
        lines.append(
            f"WARNING: the class can be told without listening. {listing}; {chance}. A network may learn this in place "
            "of emotions, and its scores mean little until the recordings are made alike"
        )
    if rest := [leak for leak in found.leaks if not leak.warned]:
        listing = ", ".join(f"{leak.fact} {leak.ua:.0%}" for leak in rest)
        lines.append(
            f"How far {'other' if warned else ''} facts of the files tell the class (UA, {chance}): {listing}"
        )
    return [line.replace("  ", " ") for line in lines]


def _alone(leak: Leak) -> str:
    return leak.fact if leak.fact == leak_tests.ALL else f"{leak.fact} alone"


def _share(leak: Leak) -> str:
    return f"{leak.ua:.0%} [{leak.low:.0%}, {leak.high:.0%}]"
