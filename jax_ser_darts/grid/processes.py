"""Several processes that do jobs side by side, each on devices or cores of its own.

A process does the jobs of one group (see `jobs.Job.group`) and is replaced by a fresh one before another group: its
peak of memory is then that group's.
"""

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from multiprocessing import connection
from typing import Any

from absl import logging

from data_prep.processes import end_with_parent, environment, usable_cores
from jax_ser_darts.commands import print_anything
from jax_ser_darts.grid.board import Board
from jax_ser_darts.rundir.progress import is_project_record


@dataclasses.dataclass(frozen=True)
class Share:
    """What one of several processes may use.

    Attributes:
        environment: variables of its environment.
        cores: that it may run on; empty is all.
    """

    environment: Mapping[str, str]
    cores: frozenset[int] = frozenset()


def shares(count: int, *, gpus: Sequence[str], cores: Collection[int]) -> list[Share]:
    """Divides GPUs, or where there are none the cores, over processes.

    Args:
        count: of processes. Where there are fewer GPUs they share, and take memory as they need it.
        gpus: names of the visible ones.
        cores: of this machine.
    """
    if gpus:
        parts = [list(gpus[i::count]) or [gpus[i % len(gpus)]] for i in range(count)]
        shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if count > len(gpus) else {}
        return [Share({"CUDA_VISIBLE_DEVICES": ",".join(part), **shared}) for part in parts]
    ordered = sorted(cores)
    if count == 1 or count > len(ordered):
        return [Share({})] * count
    return [Share({}, frozenset(ordered[i::count])) for i in range(count)]


def visible_gpus() -> list[str]:
    """Names of NVIDIA GPUs, without starting anything on them."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name not in ("", "-1")]
    if os.environ.get("JAX_PLATFORMS", "") == "cpu":
        return []
    return [str(i) for i, _ in enumerate(pathlib.Path("/dev").glob("nvidia[0-9]*"))]


def run(
    board: Board,
    *,
    make: Callable[..., Callable[[Any], None]],
    arguments: tuple,
    count: int,
    logs: pathlib.Path,
) -> None:
    """Does the jobs of a board, those first that others need, earlier ones before later ones.

    Args:
        board: of jobs that can be pickled.
        make: in each process makes the function that does a job; can be pickled, as its arguments can.
        arguments: of `make`.
        count: of processes.
        logs: folder for what the processes write.

    Raises:
        JobError: some failed, or a process was killed.
    """
    logs.mkdir(parents=True, exist_ok=True)
    parts = shares(count, gpus=visible_gpus(), cores=usable_cores())
    processes = [_Process(i, share, make, arguments, logs) for i, share in enumerate(parts)]
    logging.info("%s, by %d processes; logs in %s", board.summary, count, logs)
    try:
        while board.ready() or board.running:
            for process in processes:
                if process.job is None and (ready := board.ready()):
                    job = _choose(ready, process.group, {running.group for running in board.running})
                    board.begin(job)
                    process.start(job)
            busy: dict[object, _Process] = {
                process.connection: process for process in processes if process.job
            }
            for waiting in connection.wait([process.connection for process in busy.values()]):
                board.end(*busy[waiting].receive())
    finally:
        for process in processes:
            process.stop()
    board.check(f"logs in {logs}")


def _choose(ready: Sequence[Any], group: str | None, taken: Collection[str]) -> Any:
    """The next job: of the process's own group, or of one that no other process is at, or the first."""
    own = [job for job in ready if job.group == group]
    free = [job for job in ready if job.group not in taken]
    return next(itertools.chain(own, free, ready))


class _Process:
    """One place for a process: the job it is at, and the process itself, made when there is something to do."""

    connection: "multiprocessing.connection.Connection"  # of the process

    def __init__(
        self,
        number: int,
        share: Share,
        make: Callable[..., Callable[[Any], None]],
        arguments: tuple,
        logs: pathlib.Path,
    ) -> None:
        self._share, self._log = share, logs / f"worker_{number}.log"
        self._make, self._arguments = make, arguments
        self._process: multiprocessing.process.BaseProcess | None = None
        self.group: str | None = None
        self.job: Any = None

    def start(self, job: Any) -> None:
        if self._process is None or job.group != self.group:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self.connection, other_end = context.Pipe()
            self._process = context.Process(
                target=_serve,
                args=(other_end, self._share.cores, self._log, self._make, self._arguments),
            )
            with environment(self._share.environment):
                self._process.start()
            other_end.close()
        self.group, self.job = job.group, job
        with contextlib.suppress(OSError):  # it is dead already: `receive` will report it
            self.connection.send(job)

    def receive(self) -> tuple[Any, float, str | None]:
        """The job, its seconds, and what went wrong or None."""
        job, self.job = self.job, None
        try:
            seconds, error = self.connection.recv()
        except (EOFError, OSError):
            assert self._process is not None  # it was started, and not stopped
            self._process.join()
            code = self._process.exitcode or 0
            how = (
                f"killed by signal {-code} (9: out of memory, or by hand)"
                if code < 0
                else f"ended with {code}"
            )
            self._process = None
            return job, 0.0, f"its process was {how}"
        return job, seconds, error

    def stop(self) -> None:
        if self._process is not None:
            self.connection.close()
            if self.job is not None:
                self._process.terminate()
            self._process.join()
            self._process, self.job = None, None


def _serve(
    jobs: connection.Connection,
    cores: Collection[int],
    log: pathlib.Path,
    make: Callable[..., Callable[[Any], None]],
    arguments: tuple,
) -> None:
    """A process's life: does what it is sent, until the other end is closed."""
    end_with_parent()
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    print_anything()
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    logging.get_absl_handler().addFilter(is_project_record)
    work = None
    with contextlib.suppress(EOFError):
        while True:
            job = jobs.recv()
            started, error = time.monotonic(), None
            try:
                work = work or make(*arguments)
                work(job)
            except Exception as problem:  # whatever it is, the other jobs go on
                traceback.print_exc()
                error = f"{type(problem).__name__}: {problem}"
            sys.stdout.flush()
            jobs.send((time.monotonic() - started, error))
