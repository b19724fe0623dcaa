"""What the readers of open corpora share: walk a folder, and read each label from the file's own name."""

import collections
import contextlib
import dataclasses
import filecmp
import functools
import os
import pathlib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import soundfile
from absl import logging

from data_prep.corpora.base import BadFile, NoSpeechError, Reading, Utterance

SOUND_SUFFIXES = (".wav", ".flac")
# Sound and films with sound, which readers of a folder pass over.
_OTHER_SOUND = re.compile(
    r".*\.(aac|aif[cf]?|amr|au|caf|m4[abv]|mk[av]|mov|mp[234]|og[ga]|opus|sph|w64|webm|wma)", re.IGNORECASE
)


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


def find_sounds(
    root: pathlib.Path,
    bad_files: list[BadFile],
    *,
    passed_over: Collection[str] = (),
    notes: list[str] | None = None,
) -> Iterator[pathlib.Path]:
    """The files below `root` that are .wav or .flac, as of `find`; those of other kinds are counted in one warning.

    `notes` gets it too, see `Reading`.
    """
    others: list[str] = []

    def wanted(name: str) -> bool:
        if _OTHER_SOUND.fullmatch(name):
            others.append(name)
        return is_sound(name)

    yield from find(root, wanted, bad_files, passed_over=passed_over)
    if others:
        counts = collections.Counter(pathlib.PurePath(name).suffix.lower() for name in others)
        listing = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
        text = (
            f"{listing} below {root} passed over, such as {others[0]}: of a folder, only .wav and .flac are read; "
            "convert them where they are wanted"
        )
        logging.warning("%s", text)
        if notes is not None:
            notes.append(text)


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
    notes: list[str] = []
    for path in find_sounds(root, bad_files, notes=notes):
        try:
            utterance = parse(path)
        except UnreadableName as error:
            bad_files.append(BadFile(str(path), str(error)))
        else:
            if utterance is not None:
                utterances.append(utterance)
    if not utterances:
        raise NoSpeechError("sound file of the corpus", root, bad_files, layout=layout)
    return Reading(
        tuple(sorted(utterances, key=lambda utterance: utterance.id)), tuple(bad_files), tuple(notes)
    )


def other_form(path: pathlib.Path) -> pathlib.Path | None:
    """The one file whose path is this one in another Unicode form (NFC, NFD, or mixed); None where there is none.

    macOS has written names as NFD for long, so that "ü" is two characters of the path and one of the table.
    """
    if str(path).isascii() or path == path.parent:
        return None
    parent = path.parent if path.parent.is_dir() else other_form(path.parent)
    if parent is None:
        return None
    same = _names(parent, parent.stat().st_mtime_ns).get(unicodedata.normalize("NFC", path.name), ())
    return parent / same[0] if len(same) == 1 else None


@functools.lru_cache(maxsize=64)
def _names(folder: pathlib.Path, changed: int) -> dict[str, list[str]]:
    """NFC of a name -> the names in the folder that have it, as of its time of change."""
    names = collections.defaultdict(list)
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            names[unicodedata.normalize("NFC", name)].append(name)
    return dict(names)


def pass_over_copies(
    root: pathlib.Path, utterances: Sequence[Utterance], notes: list[str]
) -> list[Utterance]:
    """The utterances of a corpus that lies in itself a second time, as Kaggle's archive of RAVDESS does, once.

    A folder is such a copy if all that is outside it is in it, too, under the same paths, and byte by byte the same.
    `notes` gets a sentence of it.
    """
    by_id = collections.defaultdict(list)
    for utterance in utterances:
        by_id[utterance.id].append(utterance)
    first = next((same for same in by_id.values() if len(same) == 2), None)
    inside_root = all(utterance.path.is_relative_to(root) for utterance in utterances)
    if first is None or 2 * len(by_id) != len(utterances) or not inside_root:
        return list(utterances)
    outer, inner = sorted((one.path.relative_to(root) for one in first), key=lambda path: len(path.parts))
    copy = root.joinpath(*inner.parts[: len(inner.parts) - len(outer.parts)])
    inside = {one.path.relative_to(copy): one for one in utterances if one.path.is_relative_to(copy)}
    outside = {one.path.relative_to(root): one for one in utterances if not one.path.is_relative_to(copy)}
    if inside.keys() != outside.keys() or not all(
        same_sound(inside[path].path, outside[path].path) for path in inside
    ):
        return list(utterances)
    notes.append(f"{copy} is a copy of all that lies beside it: its {len(inside)} files are passed over")
    logging.warning("%s", notes[-1])
    return list(outside.values())


def same_sound(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Whether two files are the same byte by byte, or one recording as .wav and .flac."""
    try:
        if a.suffix.lower() == b.suffix.lower():
            return filecmp.cmp(a, b, shallow=False)
        (first, rate), (second, other_rate) = (soundfile.read(path, dtype="int32") for path in (a, b))
        return rate == other_rate and np.array_equal(first, second)
    except (OSError, soundfile.SoundFileError, ValueError):
        return False


def split_repeated(sources: Iterable[tuple[str, Utterance]]) -> Reading:
    """Takes out every utterance whose id comes more than once: which of them is right cannot be known here.

    Where all with this id are of the same sound and say the same of it, the first stays.

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
        same = sorted(same, key=lambda one: (len(one[1].path.parts), one[0]))
        kept, first = same[0]
        if all(_is_copy(first, other) for _, other in same[1:]):
            unique.append(first)
            repeated += [
                BadFile(
                    source, f"a copy of {kept!r}, the same utterance {id_!r}: remove it; skip keeps the other"
                )
                for source, _ in same[1:]
            ]
            continue
        for i, (source, _) in enumerate(same):
            others = ", ".join(repr(other) for other, _ in same[:i] + same[i + 1 :])
            repeated.append(BadFile(source, f"the same utterance {id_!r} as {others}; keep one of them"))
    return Reading(tuple(unique), tuple(repeated))


def _is_copy(a: Utterance, b: Utterance) -> bool:
    """Whether two utterances of one id differ in their paths alone, and these are the same sound."""
    return dataclasses.replace(a, path=b.path) == b and a.path.is_file() and same_sound(a.path, b.path)
