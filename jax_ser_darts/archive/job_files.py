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
from jax_ser_darts.grid import jobs
from jax_ser_darts.rundir import metrics
from jax_ser_darts.rundir.manifest import read_object

# What is kept of a job's folder.
FILES = (
    "search.json",
    "genotype.json",
    "baseline.json",
    "setup.json",
    "svm.json",
    "network.json",
    metrics.FILE_NAME,
    "predictions.json",
    jobs.FILE_NAME,
)
PARTS = ("search", "train")  # of a workdir
DIGITS = 4  # significant ones: the page shows thousandths
EXACT = ("val", "agreement")  # of an epoch: what the agreement of the two orders is computed from
LEFT_OUT = ("normalisation",)  # of network.json: only the weights need it, and it is of the features

Job = Mapping[str, Any]  # name of a file -> what it holds


def done_in(workdir: pathlib.Path) -> list[pathlib.Path]:
    """The folder of each job of a workdir that is done."""
    return sorted(path.parent for part in PARTS for path in (workdir / part).rglob(jobs.FILE_NAME))


def kept_in(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
    """Each job that is kept in a folder: where a workdir has it, and its files.

    Raises:
        ConfigError: a file is damaged, or is no kept job.
    """
    for path in sorted(path for part in PARTS for path in (folder / part).rglob("*.json")):
        job = read_object(path, jobs.FILE_NAME)
        strange, about = set(job) - set(FILES), job[jobs.FILE_NAME]
        if strange or not isinstance(about, dict) or not about.keys() >= {*jobs.ENTRIES}:
            why = f"it has {strange}" if strange else f"its job.json has not all of {jobs.ENTRIES}"
            raise ConfigError(f"{path} is not a job that was kept: {why}")
        yield path.relative_to(folder).with_name(path.stem), job


def place(folder: pathlib.Path, job: pathlib.Path) -> pathlib.Path:
    """The file of a job in a folder of kept results; `job` is its folder below a workdir."""
    return (folder / job).with_name(f"{job.name}.json")


def read(folder: pathlib.Path) -> dict[str, Any]:
    """What is kept of a job that is done in a folder of a workdir.

    Raises:
        ConfigError, MetricsError: a file is damaged.
    """
    job = {name: _read(folder / name) for name in FILES if (folder / name).exists()}
    if metrics.FILE_NAME in job:
        job[metrics.FILE_NAME] = [
            {key: value if key in EXACT else _rounded(value) for key, value in line.items()}
            for line in job[metrics.FILE_NAME]
        ]
    for name in LEFT_OUT:
        job.get("network.json", {}).pop(name, None)
    return job


def keep(job: Job, path: pathlib.Path) -> None:
    """Writes a job's one file."""
    parts = []
    for name, value in job.items():
        lines = [json.dumps(line) for line in value] if name == metrics.FILE_NAME else None
        shown = "[\n" + ",\n".join(lines) + "\n]" if lines else json.dumps(value)
        parts.append(f"{json.dumps(name)}: {shown}")
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def lay_out(job: Job, folder: pathlib.Path) -> None:
    """Writes a job's files as a workdir has them, but for what has been rounded or left out."""
    for name, value in job.items():
        if name == metrics.FILE_NAME:
            text = "".join(json.dumps(line) + "\n" for line in value)
        else:
            text = json.dumps(value, indent=2) + "\n"
        write_text(folder / name, text)


def same_result(one: Job, other: Job) -> bool:
    """Whether two jobs are alike but for what they were run with, which may have been told later."""
    return _without_origin(one) == _without_origin(other)


def _read(path):
    if path.name == metrics.FILE_NAME:
        return metrics.read(path)
    return read_object(path, *(jobs.ENTRIES if path.name == jobs.FILE_NAME else ()))


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _without_origin(job):
    about = {key: value for key, value in job[jobs.FILE_NAME].items() if key != "run_with"}
    return {**job, jobs.FILE_NAME: about}
