"""Prepares items ahead, in a thread, while the consumer computes."""

import atexit
import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")
Placed = TypeVar("Placed")
DEPTH = 2  # items made ahead


class _End(NamedTuple):
    """What comes after the last item."""

    error: BaseException | None


def prefetch(
    iterator: Iterable[Item], put: Callable[[Item], Placed], *, depth: int = DEPTH
) -> Generator[Placed, None, None]:
    """Yields put(item) for each item, in order, with at most `depth` of them made ahead.

    The thread starts with the first item asked for and has ended when this iterator has: at the last item,
    at an error, or where the consumer stops (`close`, leaving `contextlib.closing`, or no reference left).

    Args:
        iterator: what to prepare; it runs in the thread, and is closed if it can be.
        put: e.g. the placement on devices; runs in the thread.
        depth: items that wait, or are in the making: what they take of memory.

    Raises:
        Whatever `iterator` or `put` raises, after the items before it.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; it must be 1 or more")
    return _prefetch(iterator, put, depth)


def _prefetch(
    iterator: Iterable[Item], put: Callable[[Item], Placed], depth: int
) -> Generator[Placed, None, None]:
    room = threading.Semaphore(depth)
    stop = threading.Event()
    ready: queue.SimpleQueue[Placed | _End] = queue.SimpleQueue()

    def work() -> None:
        error: BaseException | None = None
        try:
            items = iter(iterator)
            with contextlib.ExitStack() as stack:
                if hasattr(items, "close"):
                    stack.callback(items.close)
                while True:
                    room.acquire()
                    if stop.is_set():
                        break
                    try:
                        item = next(items)
                    except StopIteration:
                        break
                    ready.put(put(item))
        except BaseException as raised:  # the consumer raises it
            error = raised
        ready.put(_End(error))

    thread = threading.Thread(target=work, name="prefetch", daemon=True)

    def end() -> None:
        stop.set()
        room.release()
        if thread.is_alive():
            thread.join()

    thread.start()
    # A global, or the traceback of a failed program, may hold this iterator while the interpreter takes
    # itself apart. Then no thread can be joined, and modules are empty: end before, and hold what is needed.
    atexit.register(end)
    unregister = atexit.unregister
    try:
        while True:
            placed = ready.get()
            if isinstance(placed, _End):
                if placed.error is not None:
                    raise placed.error
                return
            room.release()
            yield placed
    finally:
        end()
        unregister(end)
