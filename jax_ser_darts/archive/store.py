"""An archive of a grid's results, and back: collect, rebuild, restore; `__main__.py` is the command.

FOLDER/config.json                           the config, its grid that of all workdirs together; the corpus's digest
FOLDER/corpus.json                           what has to be known of the corpus: name, classes, folds
FOLDER/matched.json                          parameters that the baselines of matched size aim at
FOLDER/search/METHOD/seed_R/fold_K.json      a search: its small files, a line each, and a line an epoch
FOLDER/train/NETWORK/fold_K/seed_S.json      a training or an SVM, with the predictions for its test speakers
FOLDER/SHA256SUMS                            the checksums of all these: an archive that has changed is refused

No sound, no features and no weights are archived, nor where on a machine the corpus lies; see job_files.py. A
workdir that is still at work can be collected: a job is taken when it is done.
"""

import collections
import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from data_prep import sums
from jax_ser_darts.archive import job_files
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import sync_folder
from jax_ser_darts.report import outputs
from jax_ser_darts.report.results import Results
from jax_ser_darts.rundir.checksums import read_sealed, write_sealed
from jax_ser_darts.rundir.environment import environment, run_with
from jax_ser_darts.rundir.layout import CHECKPOINTS, CORPUS_FILE, JOB_FILE, MATCHED_FILE, NETWORK_FILE
from jax_ser_darts.rundir.manifest import (
    FILE_NAME,
    check_manifest,
    joined,
    lock_workdir,
    read_about,
    read_manifest,
    write_about,
    write_manifest,
)
from jax_ser_darts.settings.convert import replaced

UNFINISHED = ".restoring"  # of a workdir: what a restore that was killed leaves
ABOUT = ("corpus", "synthetic", "classes", "folds")  # entries of corpus.json
MACHINE_PATHS = ("data.source", "data.records")
COMMON = {
    NETWORK_FILE: "matched_parameters",
    "setup.json": "c",
}  # what jobs of one grid have in common, if any


def collect(workdir: pathlib.Path, folder: pathlib.Path, *, commit: str | None = None) -> str:
    """Archives every job that is done in a workdir, beside those that the archive has already.

    Args:
        workdir: of a run.
        folder: of the archive: new, or of the same config and corpus.
        commit: of the code that did the jobs that do not know it themselves; their machine and versions are then
            taken to be those of this process.

    Returns:
        What is archived, and its size, for people.

    Raises:
        ConfigError: no job is done, the archive is of another config or corpus, or has another result of a job or
            baselines of another matched size.
    """
    results, (config, corpus) = read_workdir(workdir), read_manifest(workdir)
    if folder.exists() and any(folder.iterdir()):
        check(folder)
    new = _done_jobs(workdir, folder, commit)
    matched = read_sealed(workdir / MATCHED_FILE) if (workdir / MATCHED_FILE).exists() else None
    old = {job_files.place(folder, path): job for path, job in job_files.archived_in(folder)}
    for path in sorted({*old} & {*new}):
        if not job_files.same_result(old[path], new[path]):
            raise _other_result(path, workdir)
        if old[path][JOB_FILE].get("run_with"):
            new[path] = old[path]
    archived_size = folder / MATCHED_FILE.name
    if matched and archived_size.exists() and read_sealed(archived_size) != matched:
        raise _other_result(archived_size, workdir)
    _check_common({**old, **new})
    if (folder / FILE_NAME).exists():
        check_manifest(config, folder, corpus)
        config = joined(config, read_manifest(folder)[0])
    config = replaced(config, dict.fromkeys(MACHINE_PATHS, ""))
    write_manifest(config, folder, corpus)
    write_about(folder / CORPUS_FILE.name, results.to_json(), folder)
    if matched:
        write_sealed(archived_size, matched)
    for path, job in new.items():
        job_files.write(job, path)
    sums.write(folder, "remove the archive and collect it anew")
    return _contents(folder)


def check(folder: pathlib.Path) -> None:
    """Whether an archive is as it was collected.

    Raises:
        ConfigError: it is not.
    """
    try:
        sums.check(folder)
    except sums.SumsError as error:
        raise ConfigError(
            f"the archive {folder} is not what was collected: {error}: restore it, or remove it and collect again"
        ) from None


def _done_jobs(workdir, folder, commit):
    """The file in the archive of each job that is done in a workdir, and what it will hold."""
    origin = {**run_with(), "commit": commit, "given": "when collected"} if commit else None
    jobs = {}
    for path in job_files.done_in(workdir):
        job = job_files.read(path)
        if origin and not job[JOB_FILE].get("run_with"):
            job[JOB_FILE]["run_with"] = origin
        jobs[job_files.place(folder, path.relative_to(workdir))] = job
    if not jobs:
        raise ConfigError(f"{workdir}: no job is done")
    return jobs


def _other_result(path, workdir):
    return ConfigError(
        f"{path} has another result than {workdir}: remove it, or collect this workdir into another folder"
    )


def rebuild(folder: pathlib.Path, output: pathlib.Path) -> str:
    """Makes the tables and the page of an archive; see rundir/layout.py for the files.

    Of a grid that is not done, the methods are reported whose jobs are all there; the others are named.

    Args:
        folder: of an archive, or a workdir.
        output: folder that the files go to.

    Returns:
        The tables as text; jobs outside the config's grid are named below them.

    Raises:
        ConfigError: of every method a job is missing, or a file is damaged.
    """
    is_archive = any((folder / name).exists() for name in (CORPUS_FILE.name, sums.FILE_NAME))
    if is_archive:
        check(folder)
    with _unpacked(folder) if is_archive else contextlib.nullcontext(folder) as workdir:
        results = read_workdir(workdir)
        done = [path.relative_to(workdir) for path in job_files.done_in(workdir)]
        text = outputs.write(output, results, environment=environment("archive"))
        return text + _outside(results, done)


def restore(folder: pathlib.Path, workdir: pathlib.Path) -> str:
    """Makes the jobs of an archive the done jobs of a workdir: --mode=compare then does the others.

    There are no checkpoints: what is restored can be reported, and found cells can be trained, but its networks cannot
    be exported.

    Args:
        folder: of an archive.
        workdir: new, or of the same config and corpus.

    Returns:
        What was restored, for people.

    Raises:
        ConfigError: the workdir is of another config or corpus, has another result of a job or has begun one that is
            archived, or another process is at work in it.
    """
    check(folder)
    config, corpus = read_manifest(folder)
    check_manifest(config, workdir, corpus)
    jobs = dict(job_files.archived_in(folder))
    with lock_workdir(workdir):
        missing = {path: job for path, job in jobs.items() if not _is_there(workdir / path, job)}
        matched = folder / MATCHED_FILE.name
        both = matched.exists() and (workdir / MATCHED_FILE).exists()
        if both and read_sealed(matched) != read_sealed(workdir / MATCHED_FILE):
            raise ConfigError(f"{workdir / MATCHED_FILE} is another size than {matched}: use another workdir")
        if (workdir / FILE_NAME).exists():
            config = joined(read_manifest(workdir)[0], config)
        write_manifest(config, workdir, corpus)
        _unpack(folder, missing, workdir)
    return f"{workdir}: {len(missing)} of {len(jobs)} archived jobs restored, the others were there"


def _is_there(place: pathlib.Path, job: Mapping[str, Any]) -> bool:
    """Whether a job's folder of a workdir has an archived result already."""
    if (place / JOB_FILE).exists():
        if not job_files.same_result(job_files.read(place), job):
            raise ConfigError(f"{place} has another result than the archive: use another workdir")
        return True
    if (place / CHECKPOINTS).exists():
        raise ConfigError(f"{place} is begun, and its result is archived: remove it, or use another workdir")
    return False


def _unpack(folder: pathlib.Path, jobs: Mapping[pathlib.Path, Any], workdir: pathlib.Path) -> None:
    """Lays jobs of an archive out as a workdir has them, and what they share.

    A job's folder is there whole or not at all: a search would take a genotype.json, a training a network.json for
    its own last file.
    """
    write_about(workdir / CORPUS_FILE, read_about(folder / CORPUS_FILE.name, folder), workdir)
    if (folder / MATCHED_FILE.name).exists():
        write_sealed(workdir / MATCHED_FILE, read_sealed(folder / MATCHED_FILE.name))
    unfinished = workdir / UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    for path, job in jobs.items():
        job_files.unpack(job, unfinished / path)
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

    Raises:
        ConfigError: nothing has been run in it.
    """
    config, _ = read_manifest(workdir)
    if not (workdir / CORPUS_FILE).exists():
        raise ConfigError(
            f"{workdir} has no {CORPUS_FILE}: no mode that searches, trains or evaluates was run in it"
        )
    saved = read_about(workdir / CORPUS_FILE, workdir, *ABOUT)
    return Results.from_json(saved, config=config, workdir=workdir)


@contextlib.contextmanager
def _unpacked(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """An archive laid out as a workdir, for a while."""
    with tempfile.TemporaryDirectory() as temporary:
        workdir = pathlib.Path(temporary)
        shutil.copyfile(folder / FILE_NAME, workdir / FILE_NAME)
        _unpack(folder, dict(job_files.archived_in(folder)), workdir)
        yield workdir


def _check_common(jobs: Mapping[pathlib.Path, Mapping[str, Any]]) -> None:
    """Whether the jobs can be compared with each other: some settings may change in a workdir."""
    first: dict[str, tuple[pathlib.Path, Any]] = {}
    for path, job in jobs.items():
        for file, entry in COMMON.items():
            if entry not in job.get(file, {}):
                continue
            other, value = first.setdefault(entry, (path, job[file][entry]))
            if value != job[file][entry]:
                raise ConfigError(
                    f"{path} would be of another {entry} ({job[file][entry]}) than {other} ({value}): collect these "
                    "workdirs into folders of their own"
                )


def _outside(results: Results, done: Iterable[pathlib.Path]) -> str:
    """Those of the jobs' folders that are of no job of the grid, for people."""
    grid = {job.folder(pathlib.Path()) for job in results.jobs}
    if not (names := sorted(str(path) for path in {*done} - grid)):
        return ""
    return f"\nNOT reported, being outside the grid of config.json: {', '.join(names)}"


def _contents(folder: pathlib.Path) -> str:
    """How much is archived, and what is not known of it."""
    jobs = dict(job_files.archived_in(folder))
    sizes: collections.Counter[str] = collections.Counter()
    counts: collections.Counter[str] = collections.Counter()
    unknown = 0
    for path, job in jobs.items():
        kind = job[JOB_FILE]["kind"]
        sizes[kind] += job_files.place(folder, path).stat().st_size
        counts[kind] += 1
        unknown += not job[JOB_FILE].get("run_with")
    parts = ", ".join(f"{counts[kind]} {kind} ({size / 1e6:.2f} MB)" for kind, size in sizes.items())
    text = f"{folder}: {counts.total()} jobs, {sizes.total() / 1e6:.2f} MB: {parts}"
    if unknown:
        text += f"\n{unknown} of them do not know what they were run with: --commit=HASH gives it"
    corpus = read_about(folder / CORPUS_FILE.name, folder, *ABOUT)
    config, _ = read_manifest(folder)
    return text + _outside(Results.from_json(corpus, config=config, workdir=folder), jobs)
