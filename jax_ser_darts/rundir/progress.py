"""How far, how fast, how long still: a bar on a terminal, a line in the log now and then elsewhere."""

import logging as std_logging
import numbers
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

from absl import logging
from tqdm import tqdm

Item = TypeVar("Item")
_LINE = "{desc}: {n_fmt}/{total_fmt} [{elapsed} gone, {remaining} left, {rate_fmt}{postfix}]"
# The folders of this code: in a wheel they lie beside all other libraries.
_PACKAGES = tuple(
    str(pathlib.Path(__file__).parents[2] / name) + os.sep for name in ("jax_ser_darts", "data_prep")
)
_FIRST_LINE_AFTER = 5.0  # seconds: soon enough to see that a run goes, late enough for a rate


class Progress:
    """Counts done work, and shows it with rate, time left and the latest numbers.

    On a terminal this is tqdm's bar. Elsewhere (a job's log) it is one line of absl's log at most every
    `every` seconds, the first after five; work that ends sooner leaves no line.

    Args:
        total: how much there is to do in all.
        description: what is being done, e.g. "search, epochs".
        initial: how much an earlier run had done; it counts as done, but not for the rate.
        unit: what is counted, in the singular.
        every: seconds between two lines of the log.
        enabled: False shows nothing, e.g. in all processes but the first.
        stream: where the bar goes if it is a terminal; standard error unless given.
        clock: seconds now.
    """

    def __init__(
        self,
        *,
        total: int,
        description: str,
        initial: int = 0,
        unit: str = "step",
        every: float = 30.0,
        enabled: bool = True,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        stream = stream or sys.stderr
        self.total, self.done, self.description = total, initial, description
        self._initial, self._unit, self._every, self._clock = initial, unit, every, clock
        self._start = clock()
        self._line_due = self._start + min(every, _FIRST_LINE_AFTER)
        self._logs = enabled and not stream.isatty()
        self._logged: int | None = None
        self._numbers = ""
        self._bar = None
        if enabled and stream.isatty():
            self._bar = tqdm(
                total=total, desc=description, initial=initial, unit=unit, file=stream, dynamic_ncols=True
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, count: int = 1, **figures: Any) -> None:
        """Adds `count` to what is done; `figures`, e.g. loss=0.3, are shown beside it until others come."""
        self.done += count
        if figures:
            self._numbers = ", ".join(f"{name}={_short(value)}" for name, value in figures.items())
        if self._bar is not None:
            self._bar.set_postfix_str(self._numbers, refresh=False)
            self._bar.update(count)
        elif self._logs and self._clock() >= self._line_due:
            self._log()

    def close(self) -> None:
        """Leaves the bar as it is; in a log that has lines already, adds the last state."""
        if self._bar is not None:
            self._bar.close()
        elif self._logged not in (None, self.done):
            self._log()

    def _log(self) -> None:
        now = self._clock()
        logging.info(
            "%s",
            tqdm.format_meter(
                self.done,
                self.total,
                now - self._start,
                initial=self._initial,
                unit=self._unit,
                prefix=self.description,
                postfix=self._numbers,
                bar_format=_LINE,
            ),
        )
        self._line_due = now + self._every
        self._logged = self.done


def duration(seconds: float) -> str:
    """45 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def is_project_record(record: std_logging.LogRecord) -> bool:
    """Whether a log record is for the user: libraries have their say only from warnings on."""
    return record.levelno >= std_logging.WARNING or record.pathname.startswith(_PACKAGES)


def _short(value: Any) -> str:
    whole = isinstance(value, numbers.Integral) or not isinstance(value, numbers.Real)
    return str(value) if whole else f"{value:.4g}"
