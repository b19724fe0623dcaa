"""What the readers of open corpora share: walk a folder, and read each label from the file's own name."""

import collections
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from data_prep.corpora.base import BadFile, NoSpeechError, Reading, Utterance

SOUND_SUFFIXES = (".wav", ".flac")


class UnreadableName(ValueError):
    """The file's name does not say what it holds; the message says what is wrong with it."""


def find(
    root: pathlib.Path,
    wanted: Callable[[str], bool],
    bad_files: list[BadFile],
    *,
    passed_over: Collection[str] = (),
) -> Iterator[pathlib.Path]:
    """Yields the files below `root` whose name is `wanted`, in a fixed order.

    Hidden files and folders (macOS leaves `._name.wav` beside every `name.wav`) are passed over, and so are the
    folders that are named in `passed_over`, in lower case. Symbolic links are followed, each folder once. A folder
    that cannot be opened goes to `bad_files`.
    """

    def unreadable(error: OSError) -> None:
        bad_files.append(BadFile(str(error.filename), f"the folder cannot be read: {error.strerror}"))

    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        real = os.path.realpath(folder)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name.lower() not in passed_over
        )
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(names):
            if not name.startswith(".") and wanted(name):
                yield pathlib.Path(folder, name)


def is_sound(name: str) -> bool:
    """Whether the name is a sound file's: .wav or .flac, in any case."""
    return name.lower().endswith(SOUND_SUFFIXES)


def look_up(what: str, code: str, known: Mapping[str, str]) -> str:
    """`known[code]`, or UnreadableName with the code and all the known ones."""
    if code not in known:
        listing = ", ".join(key if key == value else f"{key} ({value})" for key, value in known.items())
        raise UnreadableName(f"unknown {what} {code!r}; known: {listing}")
    return known[code]


def read_names(
    root: pathlib.Path, parse: Callable[[pathlib.Path], Utterance | None], *, layout: str
) -> Reading:
    """Reads a corpus whose file names are its labels.

    Args:
        root: the folder; sound files may lie at any depth.
        parse: sound file -> its utterance, or None for a file of another part of the corpus; raises
            UnreadableName.
        layout: the corpus, and what its names look like, for errors.

    Raises:
        NoSpeechError: not one sound file below `root` belongs to the corpus.
    """
    utterances: list[Utterance] = []
    bad_files: list[BadFile] = []
    for path in find(root, is_sound, bad_files):
        try:
            utterance = parse(path)
        except UnreadableName as error:
            bad_files.append(BadFile(str(path), str(error)))
        else:
            if utterance is not None:
                utterances.append(utterance)
    if not utterances:
        raise NoSpeechError("sound file of the corpus", root, bad_files, layout=layout)
    return Reading(tuple(sorted(utterances, key=lambda utterance: utterance.id)), tuple(bad_files))


def split_repeated(sources: Iterable[tuple[str, Utterance]]) -> Reading:
    """Takes out every utterance whose id comes more than once: which of them is right cannot be known here.

    Args:
        sources: (where it comes from: a file, or a line of a manifest; the utterance).
    """
    by_id = collections.defaultdict(list)
    for source, utterance in sources:
        by_id[utterance.id].append((source, utterance))
    unique, repeated = [], []
    for id_, same in sorted(by_id.items()):
        if len(same) == 1:
            unique.append(same[0][1])
            continue
        for i, (source, _) in enumerate(same):
            others = ", ".join(other for other, _ in same[:i] + same[i + 1 :])
            repeated.append(BadFile(source, f"the same utterance {id_!r} as {others}; keep one of them"))
    return Reading(tuple(unique), tuple(repeated))
