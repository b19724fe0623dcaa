"""A done job as one small JSON file: a line for each of its small files, and for each epoch of its metrics.

Floats of metrics.jsonl are rounded to DIGITS, but for those of EXACT, which tables are made of. What only the weights
need is left out, and the weights too.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import write_text
from jax_ser_darts.grid.jobs import ENTRIES
from jax_ser_darts.rundir import checksums, layout, metrics

FILES = (*layout.JOB_FILES, layout.JOB_FILE)  # of a job's folder
PARTS = (layout.SEARCH, layout.TRAIN)  # of a workdir
DIGITS = 4  # significant ones: the page shows thousandths
EXACT = ("val", "agreement")  # of an epoch: what the agreement of the two orders is computed from
LEFT_OUT = ("normalisation",)  # of network.json: only the weights need it, and it is of the features

Job = Mapping[str, Any]  # name of a file -> what it holds


def done_in(workdir: pathlib.Path) -> list[pathlib.Path]:
    """The folder of each job of a workdir that is done: of a training, whose network has predicted too."""
    searched, trained = ([path.parent for path in (workdir / part).rglob(layout.JOB_FILE)] for part in PARTS)
    predicted = [folder for folder in trained if checksums.has(folder / layout.PREDICTIONS_FILE)]
    return sorted(searched + predicted)


def archived_in(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
    """Each job of an archive: where a workdir has it, and its files.

    Raises:
        ConfigError: a file is damaged, or is no archived job.
    """
    for path in sorted(path for part in PARTS for path in (folder / part).rglob("*.json")):
        job = checksums.read_object(path, layout.JOB_FILE)
        unknown, record = set(job) - set(FILES), job[layout.JOB_FILE]
        if unknown or not isinstance(record, dict) or not record.keys() >= {*ENTRIES}:
            why = f"it has {unknown}" if unknown else f"its {layout.JOB_FILE} has not all of {ENTRIES}"
            raise ConfigError(f"{path} is not a job of an archive: {why}")
        yield path.relative_to(folder).with_name(path.stem), job


def place(folder: pathlib.Path, job: pathlib.Path) -> pathlib.Path:
    """The file of a job in an archive; `job` is its folder below a workdir."""
    return (folder / job).with_name(f"{job.name}.json")


def read(folder: pathlib.Path) -> dict[str, Any]:
    """What is archived of a job that is done in a folder of a workdir.

    Raises:
        ConfigError, MetricsError: a file is damaged.
    """
    names = checksums.listed(folder) or {}
    job = {name: _read(folder / name) for name in FILES if name in names or (folder / name).exists()}
    job[layout.JOB_FILE].pop(checksums.FILES)  # the archive has checksums of its own
    if metrics.FILE_NAME in job:
        job[metrics.FILE_NAME] = [
            {key: value if key in EXACT else _rounded(value) for key, value in line.items()}
            for line in job[metrics.FILE_NAME]
        ]
    for name in LEFT_OUT:
        job.get(layout.NETWORK_FILE, {}).pop(name, None)
    return job


def write(job: Job, path: pathlib.Path) -> None:
    """Writes a job's one file."""
    parts = []
    for name, value in job.items():
        lines = [json.dumps(line) for line in value] if name == metrics.FILE_NAME else None
        text = "[\n" + ",\n".join(lines) + "\n]" if lines else json.dumps(value)
        parts.append(f"{json.dumps(name)}: {text}")
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def unpack(job: Job, folder: pathlib.Path) -> None:
    """Writes a job's files as a workdir has them, but for what has been rounded or left out."""
    for name, value in job.items():
        if name == layout.JOB_FILE:
            continue
        if name == metrics.FILE_NAME:
            text = "".join(json.dumps(line) + "\n" for line in value)
        else:
            text = json.dumps(value, indent=2) + "\n"
        write_text(folder / name, text)
    record = {**job[layout.JOB_FILE], checksums.FILES: checksums.files_of(folder)}
    checksums.write_sealed(folder / layout.JOB_FILE, record)


def same_result(job: Job, other: Job) -> bool:
    """Whether two jobs are alike but for what they were run with, which may have been given later."""
    return _without_origin(job) == _without_origin(other)


def _read(path):
    if path.name == layout.JOB_FILE:
        return checksums.read_sealed(path, *ENTRIES, checksums.FILES)
    checksums.checked(path)
    return metrics.read(path) if path.name == metrics.FILE_NAME else checksums.read_object(path)


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _without_origin(job):
    record = {key: value for key, value in job[layout.JOB_FILE].items() if key != "run_with"}
    return {**job, layout.JOB_FILE: record}
