"""Prefetch: the same items in the same order, prepared meanwhile; and no thread is left behind."""

import contextlib
import itertools
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from jax_ser_darts.data.prefetch import prefetch

PATIENCE = 5.0  # seconds; only a failing test waits so long


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    assert not threads()
    yield
    assert not threads()


def until(condition) -> bool:
    """Whether it comes true, given time."""
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    return condition()


@pytest.mark.parametrize("depth", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_every_item_comes_once_and_in_order(depth, count):
    assert list(prefetch(range(count), lambda item: 2 * item, depth=depth)) == [2 * i for i in range(count)]


@pytest.mark.parametrize("depth", [1, 3])
def test_as_many_as_asked_are_made_ahead_and_no_more(depth):
    made = []
    with contextlib.closing(prefetch(itertools.count(), made.append, depth=depth)) as items:
        for taken in range(1, 5):
            next(items)
            assert until(lambda: len(made) == taken + depth)  # noqa: B023
            time.sleep(0.01)
            assert len(made) == taken + depth


def test_both_the_iterator_and_put_run_in_the_thread():
    here = threading.get_ident()
    where = (threading.get_ident() for _ in range(1))
    made, put = next(prefetch(where, lambda made: (made, threading.get_ident())))
    assert made == put != here


def test_the_items_before_an_error_come_and_then_the_error():
    def source():
        yield 1
        yield 2
        raise KeyError("the third is bad")

    items = prefetch(source(), lambda item: item)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="the third is bad") as caught:
        next(items)
    assert any(entry.name == "source" for entry in caught.traceback), "it shows where it happened"
    assert not threads()
    assert list(items) == []


def test_an_error_of_put_comes_through():
    items = prefetch(range(3), lambda item: 1 // (1 - item))
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)


@pytest.mark.parametrize("taken", [1, 2, 5])
def test_a_consumer_that_stops_ends_the_thread_and_closes_the_iterator(taken):
    closed = threading.Event()

    def source():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    held = source()
    items = prefetch(held, lambda item: item, depth=2)
    for _ in range(taken):
        next(items)
    items.close()
    assert closed.is_set()
    assert not threads()


def test_an_iterator_that_nobody_holds_ends_its_thread():
    assert next(prefetch(itertools.count(), lambda item: item)) == 0
    assert not threads()


def test_an_error_of_the_consumer_ends_the_thread():
    with pytest.raises(RuntimeError), contextlib.closing(prefetch(itertools.count(), str)) as items:  # noqa: PT012
        next(items)
        raise RuntimeError("the step failed")
    assert not threads()


def test_nothing_starts_before_the_first_item_is_asked_for():
    made = []
    items = prefetch(range(3), made.append)
    assert not threads()
    items.close()
    assert not made


@pytest.mark.parametrize("last", ["", "raise RuntimeError('the step failed')"])
def test_a_program_that_ends_meanwhile_ends_in_peace(last):
    program = f"""
import itertools
import jax  # changes the order in which the interpreter takes itself apart
from jax_ser_darts.data.prefetch import prefetch
everywhere = prefetch(itertools.count(), str)
def loop():
    here = prefetch(itertools.count(), str)
    print(next(everywhere), next(here))
    {last}
loop()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.stdout == "0 0\n"
    assert "ignored" not in ended.stderr
    assert ended.stderr.endswith("RuntimeError: the step failed\n" if last else "")
    assert ended.returncode == bool(last)


def test_a_depth_of_nothing_is_refused():
    with pytest.raises(ValueError, match="depth is 0"):
        prefetch([], str, depth=0)


def test_it_places_batches_on_devices():
    batches = [{"features": np.full((4, 3), i, np.float32)} for i in range(4)]
    for i, batch in enumerate(prefetch(batches, jax.device_put)):
        assert isinstance(batch["features"], jax.Array)
        np.testing.assert_array_equal(batch["features"], batches[i]["features"])
