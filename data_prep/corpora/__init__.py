"""Corpora: a root folder -> utterances, one reader a corpus."""

import os
import pathlib
from collections.abc import Callable

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
from data_prep.corpora.base import BadFile, BadFilesError, CorpusError, Reading, Utterance
from data_prep.corpora.files import split_repeated

# The modules are named for the API reference, which leaves out what is not.
__all__ = ["READERS", "BadFile", "BadFilesError", "CorpusError", "Reading", "Utterance", "read"]
__all__ += ["base", "crema_d", "emodb", "files", "iemocap", "labels", "manifest"]
__all__ += ["msp_improv", "msp_podcast", "ravdess", "savee", "tess"]

_MODULES = {
    "ravdess": ravdess,
    "emodb": emodb,
    "crema_d": crema_d,
    "savee": savee,
    "tess": tess,
    "iemocap": iemocap,
    "msp_improv": msp_improv,
    "msp_podcast": msp_podcast,
    "manifest": manifest,
}
READERS: dict[str, Callable[[pathlib.Path], Reading]] = {
    name: module.read for name, module in _MODULES.items()
}


def read(corpus: str, root: str | os.PathLike) -> Reading:
    """Reads the corpus below `root`; files that share an utterance id come back as bad files.

    Raises:
        CorpusError: no such corpus, no such folder, or nothing of that corpus in it.
    """
    if corpus not in READERS:
        raise CorpusError(f"unknown corpus {corpus!r}; known: {', '.join(READERS)}")
    root = pathlib.Path(root).expanduser()
    if not root.exists():
        raise CorpusError(f"no folder {root}\nexpected: {_MODULES[corpus].LAYOUT}")
    reading = READERS[corpus](root)
    unique = split_repeated((str(utterance.path), utterance) for utterance in reading.utterances)
    return Reading(unique.utterances, (*reading.bad_files, *unique.bad_files))
