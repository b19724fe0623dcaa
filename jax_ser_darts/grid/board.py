"""Which jobs are left, running, done or failed, and how long the rest will take.

Knows no job: it takes anything hashable with `name` and `group`.
"""

import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import logging

from jax_ser_darts.errors import UserError
from jax_ser_darts.rundir.progress import duration


class JobError(UserError):
    """Jobs failed; the message names them and what went wrong.

    Attributes:
        failed: job -> what went wrong.
    """

    def __init__(self, message: str, failed: Mapping[Any, str] | None = None):
        super().__init__(message)
        self.failed = dict(failed or {})


class Board:
    """The jobs of a run. A job that fails takes nothing with it but those that need it.

    Args:
        jobs: all of them, in the order in which they are begun where nothing else decides.
        needs: job -> jobs that must be done before; none by default.
        done: job -> seconds it took, of those that are done.
        workers: how many jobs run at a time.
    """

    def __init__(
        self,
        jobs: Sequence[Any],
        *,
        needs: Mapping[Any, Collection[Any]],
        done: Mapping[Any, float],
        workers: int = 1,
    ):
        self.left = [job for job in jobs if job not in done]
        self.running: list[Any] = []
        self.failed: dict[Any, str] = {}
        self._needs, self._done, self._total, self._workers = needs, set(done), len(jobs), workers
        self._started = time.monotonic()
        self._seconds: dict[str, list[float]] = {}
        for job, seconds in done.items():
            self._seconds.setdefault(job.group, []).append(seconds)

    @property
    def summary(self) -> str:
        """How much there is to do."""
        return f"{len(self.left)} of {self._total} jobs to do"

    def ready(self) -> list[Any]:
        """The jobs that can be begun; those that need a failed one fail too."""
        for job in list(self.left):
            for need in self._needs.get(job, ()):
                if need in self.failed and job in self.left:
                    self.left.remove(job)
                    self.failed[job] = f"it needs what has failed, {need.name}"
        return [job for job in self.left if self._done.issuperset(self._needs.get(job, ()))]

    def begin(self, job: Any) -> None:
        """The job is at work."""
        self.left.remove(job)
        self.running.append(job)

    def end(self, job: Any, seconds: float, error: str | None = None) -> None:
        """The job is done, or has failed with an error; logs it with the time left."""
        self.running.remove(job)
        if error:
            self.failed[job] = error
            logging.error("%s failed: %s", job.name, error)
            return
        self._done.add(job)
        self._seconds.setdefault(job.group, []).append(seconds)
        logging.info(
            "%d/%d: %s took %s; %s gone, about %s left",
            len(self._done),
            self._total,
            job.name,
            duration(seconds),
            duration(time.monotonic() - self._started),
            duration(time_left([*self.left, *self.running], self._seconds, self._workers) or 0.0),
        )

    def check(self, where: str) -> None:
        """Raises a JobError where jobs failed; `where` says where more of it is written."""
        if self.failed:
            lines = [f"  {job.name}: {error}" for job, error in self.failed.items()]
            raise JobError(
                f"{len(self.failed)} of {self._total} jobs failed ({where}); the others are done, and the same "
                "command tries these again:\n" + "\n".join(lines),
                self.failed,
            )


def time_left(jobs: Sequence[Any], seconds: Mapping[str, Sequence[float]], workers: int) -> float | None:
    """Seconds until these jobs are done, from what was measured.

    Args:
        jobs: that are not done.
        seconds: group -> seconds of each job that was done.
        workers: how many jobs run at a time.

    Returns:
        None before anything is known. A group of which nothing is done counts as the median of all others.
    """
    known = [value for group in seconds.values() for value in group]
    if not known:
        return None
    everywhere = statistics.median(known)  # the first job of a group compiles, the others do not
    guesses = [
        statistics.median(seconds[job.group]) if seconds.get(job.group) else everywhere for job in jobs
    ]
    return max([sum(guesses) / workers, *guesses], default=0.0)
