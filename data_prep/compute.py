"""Utterances -> features, once, by several processes, into one scratch file.

The processes that compute know neither TensorFlow nor JAX: they start fast and stay small. Results come back
in the order of the utterances whatever the number of processes, and wait on disk, not in memory.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import multiprocessing.connection
import os
import pathlib
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import logging

from data_prep import audio
from data_prep.corpora.base import BadFile, Utterance
from data_prep.features import FeatureSettings, extract

_CHUNK = 32  # utterances sent to a process at once, at most
_PRELOAD = ["librosa.core.audio", "librosa.core.spectrum", "librosa.filters", "data_prep.compute"]
_THREADS = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")]
_AHEAD = 4  # chunks a process in flight: enough to keep it busy, few enough to bound memory


@dataclasses.dataclass(frozen=True, slots=True)
class Computed:
    """One utterance's features: rows [first, first + frames) of the scratch file.

    Attributes:
        utterance: whose.
        seconds: length of the sound that they were computed from, after the cut.
        first: the first row.
        frames: how many rows.
    """

    utterance: Utterance
    seconds: float
    first: int
    frames: int


def compute(
    utterances: Sequence[Utterance],
    *,
    settings: FeatureSettings,
    workers: int,
    scratch: pathlib.Path,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[list[Computed], list[BadFile]]:
    """Computes the features of every utterance and writes them to `scratch`, which `rows` reads.

    Args:
        utterances: what to read, in the order of the results.
        settings: what to compute.
        workers: processes; 0 is one for each core that this process may use, 1 computes in this process.
        scratch: the file to write.
        meanwhile: called in this process once, as soon as the other processes are at work.

    Returns:
        Where the features of each usable utterance are, and every file that cannot be used.
    """
    workers = workers or cores()
    done, bad_files, first = [], [], 0
    logging.info("Computing features of %d utterances with %d process(es)", len(utterances), workers)
    work = functools.partial(compute_one, settings=settings)
    stream = _here if workers == 1 else in_processes
    results = stream(work, utterances, workers=workers, meanwhile=meanwhile)
    bar = tqdm.tqdm(results, total=len(utterances), desc="features", unit="utt", disable=None)
    with scratch.open("wb") as file, contextlib.closing(results):
        for utterance, result in zip(utterances, bar, strict=True):
            if isinstance(result, BadFile):
                bad_files.append(result)
                continue
            seconds, features = result
            file.write(np.ascontiguousarray(features, np.float32).data)  # tofile would not say why it fails
            done.append(Computed(utterance, seconds, first, len(features)))
            first += len(features)
    logging.info("Computed features of %d utterances; %d cannot be used", len(done), len(bad_files))
    return done, bad_files


def rows(scratch: pathlib.Path, *, settings: FeatureSettings) -> np.ndarray:
    """The scratch file as float32 [frames of all utterances, coefficients], left on disk."""
    return np.memmap(scratch, np.float32, mode="r").reshape(-1, settings.coefficients)


def compute_one(utterance: Utterance, settings: FeatureSettings) -> tuple[float, np.ndarray] | BadFile:
    """The seconds of sound used and the features [T, F] of one utterance, or why there are none."""
    try:
        waveform = audio.read(utterance, sampling_rate=settings.sampling_rate, seconds=settings.seconds)
    except audio.AudioError as error:
        return BadFile(str(utterance.path), str(error))
    features = extract(waveform, settings=settings)
    if not np.isfinite(features).all():
        return BadFile(str(utterance.path), "features are not finite: the samples are far beyond full scale")
    return min(len(waveform), settings.max_samples) / settings.sampling_rate, features


def _here(
    work: Callable[[Utterance], Any],
    utterances: Sequence[Utterance],
    *,
    workers: int,
    meanwhile: Callable[[], None],
) -> Iterator[Any]:
    """As `in_processes`, in this one."""
    del workers
    meanwhile()
    yield from map(work, utterances)


def _work_on_chunk(work: Callable[[Utterance], Any], utterances: Sequence[Utterance]) -> list:
    return list(map(work, utterances))


def in_processes(
    work: Callable[[Utterance], Any],
    utterances: Sequence[Utterance],
    *,
    workers: int,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Any]:
    """Yields the work's result of every utterance, in order; close it to stop early.

    Args:
        work: a function of a module, or a `functools.partial` of one.
        utterances: what to work on.
        workers: processes, which know neither TensorFlow nor JAX.
        meanwhile: called in this process once, as soon as the other processes are at work.
    """
    size = min(_CHUNK, len(utterances) // (8 * workers) or 1)
    chunks = (utterances[i : i + size] for i in range(0, len(utterances), size))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)  # librosa takes 2 s to import: once, not once a process
    executor = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        with _lean_children():
            pending = collections.deque(
                executor.submit(_work_on_chunk, work, chunk)
                for chunk in itertools.islice(chunks, _AHEAD * workers)
            )
        meanwhile()
        while pending:
            yield from pending.popleft().result()
            pending.extend(
                executor.submit(_work_on_chunk, work, chunk) for chunk in itertools.islice(chunks, 1)
            )
    finally:
        executor.shutdown(cancel_futures=True)


def cores() -> int:
    """Cores that this process may use: a Slurm job has fewer than its machine (only Linux knows)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _lean_children() -> Iterator[None]:
    """Processes started inside use one thread each, and do not import the program's main module.

    Left alone, a new process imports `__main__` again: for a training program, all of JAX.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    main = sys.modules["__main__"]
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle; and when the parent is killed, its processes follow."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
