"""The numbers of each epoch: one JSON object a line in metrics.jsonl, and scalars for TensorBoard beside it.

metrics.jsonl is the record, TensorBoard a view of it. A restarted run resumes both, and no epoch counts
twice.
"""

import contextlib
import json
import math
import os
import pathlib
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging
from tensorboard.compat.proto import event_pb2, summary_pb2

# The record format alone: TensorBoard's EventFileWriter would import TensorFlow, and starts a thread.
from tensorboard.summary.writer.record_writer import RecordWriter

from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import UserError
from jax_ser_darts.files import write_alone, writing
from jax_ser_darts.rundir import layout

FILE_NAME = layout.METRICS_FILE


class MetricsError(UserError):
    """A metrics file is damaged, or an epoch comes twice; the message names it."""


class MetricsWriter:
    """Appends the numbers of each epoch to `folder`/metrics.jsonl and to TensorBoard's files in `folder`.

    With several processes, the first one writes; all wait until what is removed is gone, so that they read the same.

    Args:
        folder: made if it does not exist.
        start: the epoch that the run begins with, or resumes with. Lines of this epoch and of
            later ones, left by the run that was cut off, are removed, and TensorBoard drops them.
    """

    def __init__(self, folder: str | os.PathLike[str], *, start: int = 0):
        self._writes, self._next, self._folder = hosts.is_primary(), start, pathlib.Path(folder)
        if self._writes:
            self._open(start)
        hosts.barrier(f"metrics of {self._folder} from epoch {start}")

    def _open(self, start: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / FILE_NAME
        earlier = [line for line in read(path) if line["epoch"] < start] if path.exists() else []
        write_alone(path, "".join(map(_line, earlier)))
        self._file = path.open("a", encoding="utf-8")
        self._event_path = _event_path(self._folder)
        self._event_file = self._event_path.open("wb")
        self._events = RecordWriter(self._event_file)
        begin = event_pb2.SessionLog(
            status=event_pb2.SessionLog.START
        )  # drops what has this step or a later one
        try:
            with writing(self._event_path):
                self._add(event_pb2.Event(file_version="brain.Event:2"))
                self._add(event_pb2.Event(step=start, session_log=begin))
                self._events.flush()
        except OSError:
            with contextlib.suppress(OSError):
                self.close()
            raise

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Writes one epoch; it is on disk when this returns.

        Args:
            epoch: above all epochs before.
            metrics: numbers (of Python, NumPy or JAX), texts, lists, and dicts of these. In metrics.jsonl a
                number that is not finite becomes null: JSON has no other value for it. TensorBoard gets the
                numbers that are not in a list, as `outer/inner`.

        Raises:
            MetricsError: the epoch, or a later one, is written already, or a metric is called "epoch".
            OSError: the disk is full; of a line that is written in part nothing is read.
        """
        if epoch < self._next or "epoch" in metrics:
            raise MetricsError(
                f"Epoch {epoch} cannot be written to {self._folder / FILE_NAME}: the next is {self._next}"
                + (", and no metric may be called 'epoch'." if "epoch" in metrics else " or later.")
            )
        if not self._writes:
            self._next = epoch + 1
            return
        plain = _plain(metrics)
        line = _line({"epoch": int(epoch), **plain})
        with writing(self._folder / FILE_NAME):
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(plain)]
        with writing(self._event_path):
            self._add(event_pb2.Event(step=int(epoch), summary=summary_pb2.Summary(value=values)))
            self._events.flush()
        self._next = epoch + 1

    def close(self) -> None:
        """Closes both files."""
        if not self._writes:
            return
        with contextlib.ExitStack() as files:
            for path, file in ((self._folder / FILE_NAME, self._file), (self._event_path, self._event_file)):
                files.enter_context(writing(path))  # closing tries again what a full disk has not taken
                files.callback(file.close)

    def _add(self, event: event_pb2.Event) -> None:
        event.wall_time = time.time()
        self._events.write(event.SerializeToString())


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, one dict an epoch, its number under "epoch".

    A last line that a kill cut short is left out with a warning.

    Raises:
        MetricsError: a line that is not the last is no JSON object.
    """
    lines = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    epochs = []
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
            values["epoch"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number < len(lines):
                raise MetricsError(
                    f"{path}, line {number}, holds no metrics: {line[:80]!r}; remove it."
                ) from error
            logging.warning("%s: the last line was cut short and is left out: %r", path, line[:80])
            continue
        epochs.append(values)
    return epochs


def _plain(value: Any) -> Any:
    """Numbers of NumPy and JAX as Python's, all else as JSON will read it back."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(_finite(values), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scalars(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)


def _event_path(folder: pathlib.Path) -> pathlib.Path:
    # TensorBoard reads the files of a run in the order of their names: first comes the time, in nanoseconds.
    seconds, rest = divmod(time.time_ns(), 10**9)
    return folder / f"events.out.tfevents.{seconds:010d}.{rest:09d}.{socket.gethostname()}.{os.getpid()}"
