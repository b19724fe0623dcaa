"""The features of good files, kept while the bad ones are mended, so that the next `prepare` computes the others alone.

They lie below the records, in a folder of this corpus and these feature settings: rows as `compute` writes them, and an
index that is written last. A file that has changed since, or a row that is damaged, is computed anew.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import typing
import uuid
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from absl import logging

from data_prep import disk
from data_prep.compute import Computed
from data_prep.corpora.base import Utterance
from data_prep.features import FeatureSettings, kind_of
from data_prep.provenance import VERSION

FOLDER = ".features"  # below the records
_INDEX = "index.json"
_LIBRARIES = ("librosa", "numpy", "scipy", "soundfile", "soxr")


def folder_of(records: pathlib.Path, *, source: pathlib.Path, settings: FeatureSettings) -> pathlib.Path:
    """Where the features of this corpus by these settings are kept; other settings or libraries have another folder."""
    versions = [
        VERSION,
        str(typing.get_type_hints(Computed)),
        kind_of(settings).version_for(settings),
        *map(importlib.metadata.version, _LIBRARIES),
    ]
    text = json.dumps([str(source), dataclasses.asdict(settings), versions], sort_keys=True)
    return records / FOLDER / hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def take(
    folder: pathlib.Path, utterances: Sequence[Utterance], *, scratch: pathlib.Path, settings: FeatureSettings
) -> list[Computed]:
    """Writes the features that are kept of these utterances to `scratch`, and returns where each is.

    Args:
        folder: of `folder_of`.
        utterances: whose features are wanted.
        scratch: a file that `compute` goes on with.
        settings: of the features.
    """
    scratch.touch()
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        with (folder / index["file"]).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != index["sha256"]:
                raise ValueError("the checksum is another")
            rows = np.memmap(file, np.float32, mode="r").reshape(-1, settings.coefficients)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        logging.warning("Features in %s are damaged, and computed anew: %s", folder, error)
        return []
    done: list[Computed] = []
    first = 0
    with scratch.open("wb") as file:
        for one in utterances:
            entry = index["rows"].get(_stamp(one))
            if entry is None:
                continue
            there = _from_json(Computed, {"utterance": one, **entry})
            file.write(np.ascontiguousarray(rows[there.first : there.first + there.frames]).data)
            done.append(dataclasses.replace(there, first=first))
            first += there.frames
    logging.info("Took the features of %d utterances from %s", len(done), folder)
    return done


def keep(folder: pathlib.Path, computed: Sequence[Computed], *, scratch: pathlib.Path) -> None:
    """Moves `scratch`, which has the features of `computed`, into the folder, in the place of what is there."""
    if not computed:
        return
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{uuid.uuid4().hex}.float32"
    with scratch.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    scratch.rename(folder / name)
    rows = {}
    for one in computed:
        rows[_stamp(one.utterance)] = entry = dataclasses.asdict(one)
        del entry["utterance"]
    with disk.replacing(folder / _INDEX, "they are computed anew") as file:
        file.write(json.dumps({"file": name, "sha256": digest, "rows": rows}).encode())
    for other in folder.glob("*.float32"):
        if other.name != name:
            other.unlink(missing_ok=True)
    logging.info("Kept the features of %d utterances for the next start: %s", len(computed), folder)


def forget(folder: pathlib.Path) -> None:
    """Removes what is kept: it is in the records now."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # another corpus has some there, too
        folder.parent.rmdir()


def _from_json(kind: Any, value: Any) -> Any:
    """A dataclass of what JSON has of it, and the dataclasses and tuples in it."""
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        return cast(Any, kind)(**{name: _from_json(hints.get(name), inner) for name, inner in value.items()})
    return tuple(value) if isinstance(value, list) else value


def _stamp(utterance: Utterance) -> str:
    """What an utterance's features are of: its file by path, size and time of change, and the stretch."""
    try:
        stat = utterance.path.stat()
    except OSError:
        return ""
    return json.dumps([str(utterance.path), stat.st_size, stat.st_mtime_ns, utterance.start, utterance.end])
