"""Does the jobs of a mode: in this process where `grid.workers` is 1, else by several processes side by side."""

import pathlib
import time
import traceback
from collections.abc import Callable

import jax
from absl import logging

from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import UserError
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.grid import processes
from jax_ser_darts.grid.board import Board
from jax_ser_darts.grid.jobs import SVM, Job, check_same, mode_jobs, needed_by
from jax_ser_darts.grid.worker import Worker, make_worker
from jax_ser_darts.rundir import layout
from jax_ser_darts.settings import to_json
from jax_ser_darts.training import svm


def run(experiment: Experiment, mode: str, *, folder: pathlib.Path) -> list[Job]:
    """Does what is left of a mode's jobs.

    With several processes this one touches no device: they are its workers'.

    Args:
        experiment: whose jobs they are.
        mode: one of `jobs.MODES`.
        folder: of the records.

    Returns:
        All jobs of the mode, those too that were done before.

    Raises:
        ConfigError: the mode needs what an earlier one has not done, or what is done is of a setting that has changed
            since.
        MissingError, CorpusError: the SVM's functionals cannot be computed; raised before any job is begun.
        JobError: jobs failed; those that did not, and that need none of these, are done.
    """
    config, workdir, predict = experiment.config, experiment.workdir, mode != "train"
    jobs = mode_jobs(mode, config, [fold.index for fold in experiment.folds], workdir)
    trained = {job: record for job in jobs if (record := job.record(workdir))}
    for job in trained:
        check_same(job, config, workdir)
    done = {job: record["wall"] for job, record in trained.items() if not predict or job.done(workdir)}
    needs = {job: needed_by(job, jobs, config) for job in jobs}
    board = Board(jobs, needs=needs, done=done, workers=config.grid.workers)
    if not board.left:
        return jobs
    if any(job.kind == SVM for job in board.left):
        # What is wrong with the sound is an error now, not after hours of searching.
        svm.functionals_of(experiment)
    if config.grid.workers == 1:
        in_turn(board, Worker(experiment, predict=predict))
        return jobs
    cache = getattr(jax.config, "jax_compilation_cache_dir", None) or ""
    processes.run(
        board,
        make=make_worker,
        arguments=(to_json(config), workdir, folder, cache, predict),
        count=config.grid.workers,
        logs=workdir / layout.LOGS,
    )
    return jobs


def in_turn(board: Board, work: Callable[[Job], None]) -> None:
    """Does the jobs of a board in this process, one after the other.

    Where it is one of several processes of a run, the first failure ends it: the others wait for it.

    Raises:
        JobError: some failed.
    """
    logging.info("%s", board.summary)
    while ready := board.ready():
        job, started, message = ready[0], time.monotonic(), None
        board.begin(job)
        try:
            work(job)
        except Exception as error:
            if hosts.count() > 1:
                raise
            if not isinstance(error, UserError | OSError):
                traceback.print_exc()
            message = f"{type(error).__name__}: {error}"
        board.end(job, time.monotonic() - started, message)
    board.check("see above")
