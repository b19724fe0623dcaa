"""Corpora: a root folder -> utterances, one reader a corpus; `register` adds one of the user's own."""

import os
import pathlib
import re
from collections.abc import Callable, Sequence

from data_prep.corpora import (
    crema_d,
    emodb,
    iemocap,
    manifest,
    msp_improv,
    msp_podcast,
    ravdess,
    savee,
    tess,
)
from data_prep.corpora.base import (
    BadFile,
    BadFilesError,
    CorpusError,
    Published,
    Reader,
    Reading,
    Utterance,
)
from data_prep.corpora.files import UnreadableName, pass_over_copies, read_names, split_repeated

# The modules are named for the API reference, which leaves out what is not.
__all__ = [
    "READERS",
    "BadFile",
    "BadFilesError",
    "CorpusError",
    "Published",
    "Reader",
    "Reading",
    "Utterance",
]
__all__ += ["UnreadableName", "licence", "read", "read_names", "register"]
__all__ += ["base", "crema_d", "emodb", "files", "iemocap", "labels", "manifest"]
__all__ += ["msp_improv", "msp_podcast", "ravdess", "savee", "tess"]

_MODULES = (ravdess, emodb, crema_d, savee, tess, iemocap, msp_improv, msp_podcast, manifest)
READERS: dict[str, Reader] = {
    module.__name__.rpartition(".")[2]: Reader(
        read=module.read,
        layout=module.LAYOUT,
        licence=getattr(module, "LICENCE", ""),
        published=getattr(module, "PUBLISHED", ()),
    )
    for module in _MODULES
}
READERS["demo"] = Reader(
    read=manifest.read,
    layout=manifest.LAYOUT,
    licence="none needed: synthesised on the spot by eSpeak NG",
)


def register(
    name: str, *, layout: str, licence: str = "", published: Sequence[Published] = ()
) -> Callable[[Callable[[pathlib.Path], Reading]], Callable[[pathlib.Path], Reading]]:
    """Makes a function the reader of a corpus that `config.data.corpus` may name from then on.

        @register("my_corpus", layout="my corpus, SPEAKER/EMOTION_TAKE.wav")
        def read(root: pathlib.Path) -> Reading: ...

    Args:
        name: a lower-case letter, then such letters, digits and underscores; it names the records.
        layout: what the corpus looks like on disk, for errors.
        licence: of the corpus, for model cards.
        published: counts that the corpus is compared with when it is prepared.

    Raises:
        CorpusError: the name is no such name, or that of another reader.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CorpusError(f"corpus {name!r}: a name of lower-case letters, digits and underscores is needed")

    def decorate(read: Callable[[pathlib.Path], Reading]) -> Callable[[pathlib.Path], Reading]:
        if name in READERS and not same_function(READERS[name].read, read):
            raise CorpusError(f"corpus {name!r} has a reader already: {READERS[name].read.__module__}")
        READERS[name] = Reader(read=read, layout=layout, licence=licence, published=tuple(published))
        return read

    return decorate


def same_function(a: Callable[..., object], b: Callable[..., object]) -> bool:
    """Whether both are one function of one module, which may have been loaded twice."""
    return (a.__module__, a.__qualname__) == (b.__module__, b.__qualname__)


def licence(corpus: str) -> str:
    """Of a corpus, as its reader knows it; "" where nothing is known."""
    return READERS[corpus].licence if corpus in READERS else ""


def read(corpus: str, root: str | os.PathLike) -> Reading:
    """Reads the corpus below `root`; files that share an utterance id come back as bad files.

    Raises:
        CorpusError: no such corpus, no such folder, or nothing of that corpus in it.
    """
    if corpus not in READERS:
        raise CorpusError(
            f"unknown corpus {corpus!r}; known: {', '.join(READERS)}, and those that a module of config.extensions "
            "registers"
        )
    root = pathlib.Path(root).expanduser()
    if not root.exists():
        raise CorpusError(f"no folder {root}\nexpected: {READERS[corpus].layout}")
    reading = READERS[corpus].read(root)
    notes = list(reading.notes)
    utterances = pass_over_copies(root, reading.utterances, notes) if root.is_dir() else reading.utterances
    unique = split_repeated((str(utterance.path), utterance) for utterance in utterances)
    return Reading(unique.utterances, (*reading.bad_files, *unique.bad_files), tuple(notes))
