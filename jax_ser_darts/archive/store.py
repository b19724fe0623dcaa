"""The results of a comparison that are kept: small enough for a repository, enough for tables and page and to go on.

    python -m jax_ser_darts.archive collect WORKDIR FOLDER     what is done in a workdir, into a folder
    python -m jax_ser_darts.archive rebuild FOLDER OUTPUT      tables and page, from that folder (or a workdir) alone
    python -m jax_ser_darts.archive restore FOLDER WORKDIR     as done jobs of a workdir: --mode=compare does the others

FOLDER/config.json                           the config, its grid that of all workdirs; its corpus's fingerprint
FOLDER/corpus.json                           what has to be known of the corpus: name, classes, folds
FOLDER/matched.json                          parameters that the baselines of matched size aim at
FOLDER/search/METHOD/seed_R/fold_K.json      a search: its small files, a line each, and a line an epoch
FOLDER/train/METHOD/fold_K/seed_S.json       a training or an SVM, with the answers to its test speakers

No sound, no features and no weights are kept, nor where on a machine the corpus lies; see comparison/job_files.py. A
workdir that is still at work can be collected: a job is taken when it is done.
"""

import argparse
import collections
import contextlib
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jax_ser_darts.archive import job_files
from jax_ser_darts.data.folds import FoldError
from jax_ser_darts.data.records import RecordsError, load_records
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import records_root, set_up
from jax_ser_darts.files import sync_folder, write_json, write_text
from jax_ser_darts.grid import jobs
from jax_ser_darts.report import outputs
from jax_ser_darts.report.results import CORPUS_FILE, Results
from jax_ser_darts.rundir.environment import environment, run_with
from jax_ser_darts.rundir.manifest import (
    FILE_NAME,
    check_manifest,
    joined,
    lock_workdir,
    read_manifest,
    read_object,
    write_manifest,
)
from jax_ser_darts.rundir.metrics import MetricsError
from jax_ser_darts.scoring.scores import ScoreError
from jax_ser_darts.training.designs import MATCHED_FILE

CHECKPOINTS = "checkpoints"  # of a job that is begun
UNFINISHED = ".restoring"  # of a workdir: what a restore that was killed leaves
PLACES = ("source", "records")  # of config.data: paths of one machine
ALIKE = {
    "network.json": "matched_parameters",
    "setup.json": "c",
}  # what jobs of one grid have in common, if any
USER_ERRORS = (ConfigError, FoldError, MetricsError, OSError, RecordsError, ScoreError)


def collect(workdir: pathlib.Path, folder: pathlib.Path, *, commit: str | None = None) -> str:
    """Keeps every job that is done in a workdir, beside those that the folder has already.

    Args:
        workdir: of --mode=compare.
        folder: new, or of the same config and corpus.
        commit: of the code that did the jobs that do not say it themselves; their machine and versions are then
            taken to be those of this process.

    Returns:
        What was kept, and its size, for people.

    Raises:
        ConfigError: no job is done, the folder is of another config or corpus, or has another result of a job or
            baselines of another matched size.
    """
    found, (config, corpus) = read_workdir(workdir), read_manifest(workdir)
    told = {**run_with(), "commit": commit, "told": "when collected"} if commit else None
    new = {}
    for path in job_files.done_in(workdir):
        job = job_files.read(path)
        if told and not job[jobs.FILE_NAME].get("run_with"):
            job[jobs.FILE_NAME]["run_with"] = told
        new[job_files.place(folder, path.relative_to(workdir))] = job
    if not new:
        raise ConfigError(f"{workdir}: no job of --mode=compare is done")
    matched = read_object(workdir / MATCHED_FILE) if (workdir / MATCHED_FILE).exists() else None
    old = {job_files.place(folder, path): job for path, job in job_files.kept_in(folder)}
    for path in sorted({*old} & {*new}):
        if not job_files.same_result(old[path], new[path]):
            raise _other_result(path, workdir)
        if old[path][jobs.FILE_NAME].get("run_with"):
            new[path] = old[path]
    if (
        matched
        and (folder / MATCHED_FILE.name).exists()
        and read_object(folder / MATCHED_FILE.name) != matched
    ):
        raise _other_result(folder / MATCHED_FILE.name, workdir)
    _check_alike({**old, **new})
    if (folder / FILE_NAME).exists():
        check_manifest(config, folder, corpus)
        config = joined(config, read_manifest(folder)[0])
    config.data.update(dict.fromkeys(PLACES, ""))
    write_manifest(config, folder, corpus)
    write_json(folder / CORPUS_FILE.name, found.to_json())
    if matched:
        write_json(folder / MATCHED_FILE.name, matched)
    for path, job in new.items():
        job_files.keep(job, path)
    return _told(folder)


def _other_result(path, workdir):
    return ConfigError(
        f"{path} has another result than {workdir}: remove it, or keep this workdir in another folder"
    )


def rebuild(folder: pathlib.Path, output: pathlib.Path) -> str:
    """Makes the tables and the page of what is kept; see comparison/compare.py for the files.

    Of a grid that is not done, the methods are compared whose jobs are all there; the others are named.

    Args:
        folder: of kept results, or a workdir.
        output: where the files go.

    Returns:
        The table as text; jobs outside the config's grid are named below it.

    Raises:
        ConfigError: of every method a job is missing, or a file is damaged.
    """
    is_kept = (folder / CORPUS_FILE.name).exists()
    with _unpacked(folder) if is_kept else contextlib.nullcontext(folder) as workdir:
        found = read_workdir(workdir)
        done = [path.relative_to(workdir) for path in job_files.done_in(workdir)]
        return outputs.write(output, found, environment=environment("kept")) + _outside(found, done)


def restore(folder: pathlib.Path, workdir: pathlib.Path) -> str:
    """Makes what is kept the done jobs of a workdir: --mode=compare then does the others.

    There are no checkpoints: what is restored can be compared, and found cells can be trained, but its networks cannot
    be exported.

    Args:
        folder: of kept results.
        workdir: new, or of the same config and corpus.

    Returns:
        What was restored, for people.

    Raises:
        ConfigError: the workdir is of another config or corpus, has another result of a job or has begun one that is
            kept, or another process is at work in it.
    """
    config, corpus = read_manifest(folder)
    check_manifest(config, workdir, corpus)
    kept = dict(job_files.kept_in(folder))
    with lock_workdir(workdir):
        missing = {path: job for path, job in kept.items() if not _is_there(workdir / path, job)}
        matched = folder / MATCHED_FILE.name
        both = matched.exists() and (workdir / MATCHED_FILE).exists()
        if both and read_object(matched) != read_object(workdir / MATCHED_FILE):
            raise ConfigError(f"{workdir / MATCHED_FILE} is another size than {matched}: use another workdir")
        if (workdir / FILE_NAME).exists():
            config = joined(read_manifest(workdir)[0], config)
        write_manifest(config, workdir, corpus)
        _write_back(folder, missing, workdir)
    return f"{workdir}: {len(missing)} of {len(kept)} kept jobs restored, the others were there"


def _is_there(place: pathlib.Path, job: Mapping[str, Any]) -> bool:
    """Whether a job's folder of a workdir has a kept result already."""
    if (place / jobs.FILE_NAME).exists():
        if not job_files.same_result(job_files.read(place), job):
            raise ConfigError(f"{place} has another result than what is kept: use another workdir")
        return True
    if (place / CHECKPOINTS).exists():
        raise ConfigError(f"{place} is begun, and its result is kept: remove it, or use another workdir")
    return False


def _write_back(folder: pathlib.Path, kept: Mapping[pathlib.Path, Any], workdir: pathlib.Path) -> None:
    """Lays kept jobs out as a workdir has them, and what they share.

    A job's folder is there whole or not at all: a search would take a genotype.json, a training a network.json for
    its own last file.
    """
    shared = {CORPUS_FILE.name: CORPUS_FILE, MATCHED_FILE.name: MATCHED_FILE}
    for source, target in shared.items():
        if (folder / source).exists():
            write_text(workdir / target, (folder / source).read_text())
    unfinished = workdir / UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    for path, job in kept.items():
        job_files.lay_out(job, unfinished / path)
        _put(unfinished / path, workdir / path, aside=unfinished / "replaced" / path)
    shutil.rmtree(unfinished, ignore_errors=True)


def _put(folder: pathlib.Path, place: pathlib.Path, *, aside: pathlib.Path) -> None:
    """Moves a folder to its place; what is there, of a job that is not done, goes aside."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        aside.parent.mkdir(parents=True)
        place.rename(aside)
    folder.rename(place)
    sync_folder(place.parent)


def read_workdir(workdir: pathlib.Path) -> Results:
    """The results of a workdir, whose corpus need not be at hand.

    A workdir from before there was a compare/corpus.json is read with its records.

    Raises:
        ConfigError: nothing has been run in it, or nothing is known of its corpus.
    """
    config, corpus = read_manifest(workdir)
    if (workdir / CORPUS_FILE).exists():
        saved = read_object(workdir / CORPUS_FILE, "corpus", "synthetic", "classes", "folds")
        return Results.from_json(saved, config=config, workdir=workdir)
    records = records_root(config, workdir)
    for path in sorted(records.glob("*/*/dataset_info.json")):
        with contextlib.suppress(RecordsError):  # of another corpus, or damaged
            if (read := load_records(path.parent)).fingerprint == corpus:
                return Results.of(set_up(config, workdir, read))
    raise ConfigError(
        f"{workdir} has no {CORPUS_FILE}, and {records} no records of its corpus: go on with --mode=compare first"
    )


@contextlib.contextmanager
def _unpacked(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Kept results laid out as a workdir, for a while."""
    with tempfile.TemporaryDirectory() as temporary:
        workdir = pathlib.Path(temporary)
        shutil.copyfile(folder / FILE_NAME, workdir / FILE_NAME)
        _write_back(folder, dict(job_files.kept_in(folder)), workdir)
        yield workdir


def _check_alike(kept: Mapping[pathlib.Path, Mapping[str, Any]]) -> None:
    """Whether the jobs can be compared with each other: some settings may change in a workdir."""
    first = {}
    for path, job in kept.items():
        for file, entry in ALIKE.items():
            if entry in (about := job.get(file, {})):
                other, value = first.setdefault(entry, (path, about[entry]))
                if value != about[entry]:
                    raise ConfigError(
                        f"{path} would be of another {entry} ({about[entry]}) than {other} ({value}): keep these "
                        "workdirs in folders of their own"
                    )


def _outside(found: Results, done: Iterable[pathlib.Path]) -> str:
    """Those of the jobs' folders that are of no job of the grid, for people."""
    grid = {job.folder(pathlib.Path()) for job in found.jobs}
    if not (names := sorted(str(path) for path in {*done} - grid)):
        return ""
    return f"\nNOT compared, being outside the grid of config.json: {', '.join(names)}"


def _told(folder: pathlib.Path) -> str:
    """How much is kept, and what is not known of it."""
    kept = dict(job_files.kept_in(folder))
    sizes, counts, unknown = collections.Counter(), collections.Counter(), 0
    for path, job in kept.items():
        kind = job[jobs.FILE_NAME]["kind"]
        sizes[kind] += job_files.place(folder, path).stat().st_size
        counts[kind] += 1
        unknown += not job[jobs.FILE_NAME].get("run_with")
    parts = ", ".join(f"{counts[kind]} {kind} ({size / 1e6:.2f} MB)" for kind, size in sizes.items())
    said = f"{folder}: {counts.total()} jobs, {sizes.total() / 1e6:.2f} MB: {parts}"
    if unknown:
        said += f"\n{unknown} of them do not say what they were run with: --commit=HASH says it"
    corpus, (config, _) = read_object(folder / CORPUS_FILE.name), read_manifest(folder)
    found = Results.from_json(corpus, config=config, workdir=folder)
    return said + _outside(found, kept)


def main(arguments: list[str] | None = None) -> int:
    """The command; a user's mistake is one message and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m jax_ser_darts.archive", description=__doc__.split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("collect", help="keep what is done in a workdir")
    command.add_argument("workdir", type=pathlib.Path)
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument(
        "--commit",
        help="of the code that did, on this machine and with these versions, the jobs that do not say it",
    )
    command = commands.add_parser("rebuild", help="tables and page of kept results, or of a workdir")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("output", type=pathlib.Path)
    command = commands.add_parser("restore", help="kept results back into a workdir, to go on from them")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("workdir", type=pathlib.Path)
    options = vars(parser.parse_args(arguments))
    try:
        print({"collect": collect, "rebuild": rebuild, "restore": restore}[options.pop("command")](**options))
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
