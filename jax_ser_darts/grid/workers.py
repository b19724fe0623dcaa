"""Several processes that do jobs side by side, each on devices or cores of its own.

A process does the jobs of one group (see `jobs.Job.group`) and is replaced by a fresh one before another group: its
peak of memory is then that group's. Knows no job: it takes anything hashable with `name` and `group`.
"""

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import pathlib
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from multiprocessing import connection
from typing import Any

from absl import logging

from data_prep.processes import end_with_parent, environment, usable_cores
from jax_ser_darts.errors import UserError
from jax_ser_darts.rundir.progress import duration, is_project_record


class JobError(UserError):
    """Jobs failed; the message names them and their logs.

    Attributes:
        failed: job -> what went wrong.
    """

    def __init__(self, message: str, failed: Mapping[Any, str]):
        super().__init__(message)
        self.failed = failed


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


def time_left(left: Sequence[Any], took: Mapping[str, Sequence[float]], count: int) -> float | None:
    """Seconds until all is done, from what was measured.

    Args:
        left: jobs that are not done.
        took: group -> seconds of each job that was done.
        count: of processes.

    Returns:
        None before anything is known. A group of which nothing is done counts as the median of all others.
    """
    known = [seconds for of in took.values() for seconds in of]
    if not known:
        return None
    everywhere = statistics.median(known)  # the first job of a group compiles, the others do not
    guesses = [statistics.median(took[job.group]) if took.get(job.group) else everywhere for job in left]
    return max([sum(guesses) / count, *guesses], default=0.0)


def run(
    jobs: Sequence[Any],
    *,
    needs: Mapping[Any, Collection[Any]],
    done: Mapping[Any, float],
    make: Callable[..., Callable[[Any], None]],
    arguments: tuple,
    count: int,
    logs: pathlib.Path,
) -> None:
    """Does all jobs, those first that others need, earlier ones before later ones.

    A job that fails takes nothing with it but those that need it; the others are done, then the failures are told.

    Args:
        jobs: all of them.
        needs: job -> jobs that must be done before.
        done: job -> seconds it took, of those that are.
        make: in each process makes the function that does a job; can be pickled, as its arguments can.
        arguments: of `make`.
        count: of processes.
        logs: folder for what the processes write.

    Raises:
        JobError: some failed, or a process was killed.
    """
    left, failed = [job for job in jobs if job not in done], {}
    took: dict[str, list[float]] = {}
    for job, seconds in done.items():
        took.setdefault(job.group, []).append(seconds)
    if not left:
        return
    started, total = time.monotonic(), len(jobs)
    logs.mkdir(parents=True, exist_ok=True)
    lots = shares(count, gpus=visible_gpus(), cores=usable_cores())
    processes = [_Process(i, share, make, arguments, logs) for i, share in enumerate(lots)]
    logging.info("%d of %d jobs to do, by %d process(es); logs in %s", len(left), total, count, logs)
    finished = set(done)
    try:
        while left or any(process.job for process in processes):
            lost = {job: need for job in left for need in needs.get(job, ()) if need in failed}
            for job, need in lost.items():
                failed[job] = f"it needs what has failed, {need.name}"
                left.remove(job)
            for process in processes:
                ready = [job for job in left if all(need in finished for need in needs.get(job, ()))]
                if process.job is None and ready:
                    taken = {other.group for other in processes if other.job}
                    left.remove(job := _choose(ready, process.group, taken))
                    process.start(job)
            busy = {process.connection: process for process in processes if process.job}
            for ready in connection.wait(list(busy)) if busy else ():
                process = busy[ready]
                job, seconds, error = process.receive()
                if error:
                    failed[job] = error
                    logging.error("%s failed: %s", job.name, error)
                    continue
                finished.add(job)
                took.setdefault(job.group, []).append(seconds)
                waiting = [*left, *(p.job for p in processes if p.job)]
                logging.info(
                    "%d/%d: %s took %s; %s gone, about %s left",
                    len(finished),
                    total,
                    job.name,
                    duration(seconds),
                    duration(time.monotonic() - started),
                    duration(time_left(waiting, took, count) or 0.0),
                )
    finally:
        for process in processes:
            process.stop()
    if failed:
        lines = [f"  {job.name}: {error}" for job, error in failed.items()]
        raise JobError(
            f"{len(failed)} of {total} jobs failed (logs in {logs}); the others are done, and the same command "
            "tries these again:\n" + "\n".join(lines),
            failed,
        )


def _choose(ready: Sequence[Any], group: str | None, taken: Collection[str]) -> Any:
    """The next job: of the process's own group, or of one that no other process is at, or the first."""
    ours = [job for job in ready if job.group == group]
    free = [job for job in ready if job.group not in taken]
    return next(itertools.chain(ours, free, ready))


class _Process:
    """One place for a process: the job it is at, and the process itself, made when there is something to do."""

    def __init__(self, number, share, make, arguments, logs):
        self._share, self._log = share, logs / f"worker_{number}.log"
        self._make, self._arguments = make, arguments
        self._process = None
        self.group = self.job = self.connection = None

    def start(self, job) -> None:
        if self._process is None or job.group != self.group:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve,
                args=(theirs, self._share.cores, self._log, self._make, self._arguments),
                daemon=False,  # the functionals of the SVM are computed in processes of its own
            )
            with environment(self._share.environment):
                self._process.start()
            theirs.close()
        self.group, self.job = job.group, job
        with contextlib.suppress(OSError):  # it is dead already: `receive` will say so
            self.connection.send(job)

    def receive(self):
        """The job, its seconds, and what went wrong, or None."""
        job, self.job = self.job, None
        try:
            seconds, error = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
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


def _serve(jobs, cores, log, make, arguments) -> None:
    """A process's life: does what it is sent, until the other end is closed."""
    end_with_parent()
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
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
