"""Progress: a bar on a terminal, a line now and then in a log, nothing for short work."""

import io
import logging
import pathlib
import re

import pytest

import jax_ser_darts
from jax_ser_darts.rundir.progress import Progress, duration, is_project_record


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def log(caplog):
    caplog.set_level("INFO", logger="absl")
    return caplog


def run(log, *, seconds: float, steps: int, **options) -> list[str]:
    """The log lines of work whose every step takes `seconds`."""
    clock = Clock()
    with Progress(description="work", stream=io.StringIO(), clock=clock, **options) as progress:
        for step in range(steps):
            clock.now += seconds
            progress.update(loss=step / 2)
    return log.messages


def test_a_log_has_a_line_at_most_every_so_many_seconds_and_the_end(log):
    lines = run(log, seconds=1, steps=100, total=100, every=30)
    assert [int(re.search(r"(\d+)/100", line)[1]) for line in lines] == [5, 35, 65, 95, 100]


def test_a_line_tells_done_total_rate_time_left_and_the_latest_numbers(log):
    line = run(log, seconds=10, steps=6, total=12, unit="epoch", every=60)[-1]
    assert line == "work: 6/12 [01:00 gone, 01:00 left, 10.00s/epoch, loss=2.5]"


def test_a_resumed_run_starts_where_the_earlier_one_stopped_and_its_rate_is_its_own(log):
    line = run(log, seconds=10, steps=5, total=100, initial=90, every=20)[-1]
    assert line.startswith("work: 95/100 [00:50 gone, 00:50 left")


def test_work_of_a_few_seconds_leaves_no_line(log):
    assert run(log, seconds=0.04, steps=100, total=100) == []


def test_disabled_shows_nothing(log):
    assert run(log, seconds=100, steps=5, total=5, enabled=False) == []
    terminal = Terminal()
    with Progress(total=5, description="work", stream=terminal, enabled=False) as progress:
        progress.update()
    assert terminal.getvalue() == ""


def test_a_terminal_gets_a_bar_and_the_log_nothing(log):
    terminal = Terminal()
    with Progress(total=10, description="work", initial=4, stream=terminal) as progress:
        for _ in range(6):
            progress.update(loss=0.123456)
    assert "4/10" in terminal.getvalue()
    assert "10/10" in terminal.getvalue()
    assert "loss=0.1235" in terminal.getvalue()
    assert log.messages == []


def test_an_error_still_logs_how_far_it_came(log):
    clock = Clock()

    def fail_after_three_steps():
        with Progress(total=9, description="work", stream=io.StringIO(), clock=clock) as progress:
            for count in (1, 1, 1):
                clock.now += 6
                progress.update(count)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_three_steps()
    assert "3/9" in log.messages[-1]


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (200, "3 min"), (11_100, "3 h 05 min")])
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("file", "level", "is_shown"),
    [
        ("jax_ser_darts/search/search.py", logging.INFO, True),
        ("data_prep/compute.py", logging.INFO, True),
        ("orbax/checkpoint/checkpoint_manager.py", logging.INFO, False),  # of the same site-packages
        (".venv/lib/python3.11/site-packages/orbax/checkpoint_manager.py", logging.INFO, False),
        ("orbax/checkpoint/checkpoint_manager.py", logging.WARNING, True),
    ],
)
def test_the_log_is_of_this_code_and_libraries_warn_only(file, level, is_shown):
    root = pathlib.Path(jax_ser_darts.__file__).parents[1]
    record = logging.LogRecord("absl", level, str(root / file), 1, "text", (), None)
    assert is_project_record(record) is is_shown
