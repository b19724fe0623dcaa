"""What a run reads is what it has written: checksums of a job's files, and of the files that say what a run is.

The job.json of a job lists the SHA-256 of the files that its results are read from, `layout.JOB_FILES`. No other file
lists job.json itself, config.json, corpus.json and matched.json: each of these has a checksum of its own entries.
They show damage and careless edits, not forgery: whoever can write a file can write its checksum.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from data_prep import sums
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import write_json
from jax_ser_darts.rundir.layout import JOB_FILE, JOB_FILES

SEAL = "sha256"  # the entry of a file that has a checksum of its own entries
FILES = "files"  # the entry of job.json: name of a file -> its SHA-256


def read_object(path: pathlib.Path, *entries: str) -> dict[str, Any]:
    """A file of a workdir that holds a JSON object.

    Raises:
        ConfigError: it holds something else, or an object without one of the entries.
    """
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from None
    if not isinstance(content, dict):
        raise damaged(path, "it is no JSON object")
    if missing := [entry for entry in entries if entry not in content]:
        raise damaged(path, f"it has no {', '.join(map(repr, missing))}")
    return content


def write_sealed(path: pathlib.Path, value: Mapping[str, Any]) -> None:
    """As `files.write_json`, with the checksum that `read_sealed` checks."""
    write_json(path, {**value, SEAL: _seal_of(value)})


def read_sealed(path: pathlib.Path, *entries: str) -> dict[str, Any]:
    """What `write_sealed` wrote.

    Raises:
        ConfigError: it holds something else, or has been changed since.
    """
    content = read_object(path, *entries)
    seal = content.pop(SEAL, None)
    if seal != _seal_of(content):
        raise damaged(path, "it is not what was written: the checksum in it is of other entries")
    return content


def files_of(folder: pathlib.Path) -> dict[str, str]:
    """What a job's job.json lists, of the files that are there."""
    return {name: sums.of(folder / name) for name in JOB_FILES if (folder / name).exists()}


def listed(folder: pathlib.Path) -> dict[str, str] | None:
    """The files that the job.json of a folder lists; None where there is none.

    Raises:
        ConfigError: the job.json is damaged.
    """
    path = folder / JOB_FILE
    return read_sealed(path, FILES)[FILES] if path.exists() else None


def has(path: pathlib.Path) -> bool:
    """Whether a job has this file: not one that a kill has left beside the job.json, which does not list it."""
    names = listed(path.parent)
    return path.exists() and (names is None or path.name in names)


def enlist(path: pathlib.Path) -> None:
    """Adds a new file to the job.json beside it, if there is one."""
    job_file = path.with_name(JOB_FILE)
    if job_file.exists():
        record = read_sealed(job_file, FILES)
        write_sealed(job_file, {**record, FILES: {**record[FILES], path.name: sums.of(path)}})


def checked(path: pathlib.Path) -> pathlib.Path:
    """The path of a job's file, which is what the job has written; while a job is not done, any is.

    Raises:
        ConfigError: it is another, or gone.
    """
    names = listed(path.parent)
    if names is None:
        return path
    if not path.exists():
        why = "is gone"
    elif path.name not in names:
        why = f"is not of the job beside it ({JOB_FILE} does not list it)"
    elif sums.of(path) != names[path.name]:
        why = "is not the file that the job has written (its SHA-256 is another)"
    else:
        return path
    raise ConfigError(f"{path} {why}: restore it, or remove {path.parent} and do the job again")


def damaged(path: pathlib.Path, why: str) -> ConfigError:
    """The error of a file that cannot be used."""
    return ConfigError(f"{path} is damaged ({why}): restore it, or remove it and run again")


def _seal_of(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
