"""What every corpus reader returns: utterances, and the list of the files that it could not use."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from jax_ser_darts.errors import UserError


@dataclasses.dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech with one emotion.

    Attributes:
        id: unique in the corpus; names the utterance in scores and errors.
        path: the sound file.
        speaker: the one who speaks; never on both sides of a split. "" where unknown.
        emotion: the corpus's own label as a full English word, e.g. "angry".
        session: the recording session, "" where the corpus has none.
        sex: "female", "male", or "" where unknown.
        start: seconds into the file where the utterance begins.
        end: seconds into the file where it ends; None is the end of the file.
        part: of the corpus as its makers divide it, e.g. "improvised" or "train"; "" where they do not.
        target: the emotion that the speaker was asked for, where the corpus has it besides the one perceived.
    """

    id: str
    path: pathlib.Path
    speaker: str
    emotion: str
    session: str = ""
    sex: str = ""
    start: float = 0.0
    end: float | None = None
    part: str = ""
    target: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class BadFile:
    """A file that cannot be used, and why."""

    path: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a reader returns: utterances sorted by id, every file it could not place, and what it passed over.

    The notes are sentences with counts and names, for the block that `prepare` prints.
    """

    utterances: tuple[Utterance, ...]
    bad_files: tuple[BadFile, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Counts that others have published of a corpus, and the settings that they are for.

    Attributes:
        name: what they are of, and where they come from.
        parts: the parts of the corpus that they are for; none of a corpus that is not divided.
        classes: (the corpus's emotions in one class; its utterances, or None where only the total is known);
            empty is for every utterance, whatever its emotion.
        emotions: the corpus's emotion -> its utterances, compared whatever is chosen of them; in place of classes.
        total: utterances.
        sessions: session -> utterances, where known.
    """

    name: str
    parts: frozenset[str] = frozenset()
    classes: Mapping[frozenset[str], int | None] = dataclasses.field(default_factory=dict)
    emotions: Mapping[str, int] = dataclasses.field(default_factory=dict)
    total: int
    sessions: Mapping[str, int] = dataclasses.field(default_factory=dict)


def class_counts(**counts: int | None) -> dict[frozenset[str], int | None]:
    """Counts of classes; `happy_and_excited` is one of both emotions."""
    return {frozenset(emotions.split("_and_")): count for emotions, count in counts.items()}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How a corpus is read, and what is known of it.

    Attributes:
        read: root folder, or file -> utterances and bad files; raises CorpusError.
        layout: what the corpus looks like on disk, for errors.
        licence: as its owners state it, for model cards; "" where unknown.
        published: counts that the corpus is compared with.
    """

    read: Callable[[pathlib.Path], Reading]
    layout: str
    licence: str = ""
    published: tuple[Published, ...] = ()


AGREEMENT = "by signed agreement with its owners: what may be done with networks trained on it stands there"


class CorpusError(UserError):
    """The corpus cannot be used as it is; the message names every file and says what to do."""


EXAMPLES = 5  # files of one kind that a message names
_DETAILS = re.compile(r"'[^']*'|\"[^\"]*\"|\d+([.,:]\d+)*")

SHOWN = 10  # files of another corpus: enough to see which it is


class NoSpeechError(CorpusError):
    """Nothing below a folder belongs to the corpus: what is there instead, and what it should look like."""

    def __init__(self, what: str, root: pathlib.Path, bad_files: Sequence[BadFile], *, layout: str):
        lines = [f"no {what} below {root}", *(f"  {bad.path}: {bad.reason}" for bad in bad_files[:SHOWN])]
        if len(bad_files) > SHOWN:
            lines.append(f"  and {len(bad_files) - SHOWN} more")
        super().__init__("\n".join([*lines, f"expected: {layout}"]))


class BadFilesError(CorpusError):
    """Some files cannot be used. `bad_files` has them all; the message has them by their kinds.

    Args:
        bad_files: all of them.
        listed: the file that lists them all, where there is one.
        any_good: whether there are others, to go on with.
    """

    def __init__(
        self, bad_files: Iterable[BadFile], *, listed: pathlib.Path | None = None, any_good: bool = True
    ):
        self.bad_files = tuple(bad_files)
        others = "" if any_good else ", and there is no other"
        skip = ", or go on without them: --config.data.on_bad_file=skip" if any_good else ""
        super().__init__(
            f"{len(self.bad_files)} file(s) cannot be used{others}:\n{grouped(self.bad_files)}"
            + (f"\nAll of them: {listed}" if listed else "")
            + f"\nMend or remove them{skip}"
        )


def grouped(bad_files: Sequence[BadFile]) -> str:
    """Files that cannot be used, those of one kind together; EXAMPLES of each kind at most, and its count."""
    lines = []
    for members in sorted(_kinds(bad_files), key=len, reverse=True):
        if len(members) > 1:
            lines.append(f"{len(members)} of one kind:")
        lines += [f"  {bad.path}: {bad.reason}" for bad in members[:EXAMPLES]]
        if len(members) > EXAMPLES:
            lines.append(f"  and {len(members) - EXAMPLES} more")
    return "\n".join(lines)


def is_cut(bad_files: Sequence[BadFile]) -> bool:
    """Whether `grouped` leaves some of the files out."""
    return any(len(members) > EXAMPLES for members in _kinds(bad_files))


def _kinds(bad_files: Sequence[BadFile]) -> list[list[BadFile]]:
    """Files whose reasons are alike but for numbers and what they quote."""
    kinds: dict[str, list[BadFile]] = {}
    for bad in bad_files:
        kinds.setdefault(_DETAILS.sub("...", bad.reason), []).append(bad)
    return list(kinds.values())
