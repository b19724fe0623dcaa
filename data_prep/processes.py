"""Other processes of this program: the cores they may use, their environment, their work, and their end.

The processes of `in_processes` know neither TensorFlow nor JAX: they start fast and stay small.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import multiprocessing.connection
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 32  # items sent to a process at once, at most
_PRELOAD = ["librosa.core.audio", "librosa.core.spectrum", "librosa.filters", "data_prep.compute"]
_THREADS = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")]
_AHEAD = 4  # chunks a process in flight: enough to keep it busy, few enough to bound memory


def usable_cores() -> set[int]:
    """The cores that this process may use. A Slurm job has fewer than its machine; only Linux knows."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of the environment for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_with_parent() -> None:
    """Ends this process when its parent ends, however that ends: none works on beside the next run."""
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # called in processes that multiprocessing started
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    meanwhile: Callable[[], None] = lambda: None,
) -> Generator[Result, None, None]:
    """Yields the work's result of every item, in order; close it to stop early.

    Args:
        work: a function of a module, or a `functools.partial` of one.
        items: what to work on.
        workers: processes, which know neither TensorFlow nor JAX.
        meanwhile: called in this process once, as soon as the other processes are at work.
    """
    size = min(_CHUNK, len(items) // (8 * workers) or 1)
    chunks = (items[i : i + size] for i in range(0, len(items), size))
    context = _context()
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


def _context() -> multiprocessing.context.BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)  # librosa takes 2 s to import: once, not once a process
    return context


def _work_on_chunk(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return list(map(work, items))


@contextlib.contextmanager
def _lean_children() -> Iterator[None]:
    """Processes started inside use one thread each, and do not import the program's main module.

    Left alone, a new process imports `__main__` again: for a training program, all of JAX.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        with environment(dict.fromkeys(_THREADS, "1")):
            yield
    finally:
        sys.modules["__main__"] = main


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle; and when the parent is killed, its processes follow."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
