"""Processes that work on utterances: lean, and gone when their parent is."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from data_prep import processes

ROOT = pathlib.Path(__file__).parents[2]


def test_an_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("THERE", "1")
    monkeypatch.delenv("ABSENT", raising=False)
    before = dict(os.environ)
    with processes.environment({"THERE": "2", "ABSENT": "3"}):
        assert (os.environ["THERE"], os.environ["ABSENT"]) == ("2", "3")
    assert dict(os.environ) == before


def test_starting_processes_leaves_this_one_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    before, main = dict(os.environ), sys.modules["__main__"]
    with processes._lean_children():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["NUMBA_NUM_THREADS"] == "1"
    assert dict(os.environ) == before
    assert sys.modules["__main__"] is main


PROGRAM = """
import pathlib, sys, time
print("main imported", flush=True)
from data_prep import audio, compute
from data_prep.corpora.base import Utterance
from data_prep.features import PUBLISHED

def report():
    time.sleep({seconds})
    print("meanwhile", flush=True)
    time.sleep({seconds})

utterances = [Utterance(id=str(i), path=pathlib.Path("none"), speaker="s", emotion="e") for i in range(40)]
scratch = pathlib.Path({scratch!r})
compute.compute(utterances, settings=PUBLISHED, workers=2, scratch=scratch, meanwhile=report)
"""


def program(tmp_path: pathlib.Path, *, seconds: float) -> subprocess.Popen:
    """Starts a program without a `__main__` guard: each import of it would compute everything again."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(seconds=seconds, scratch=str(tmp_path / "scratch")))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, path], env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_do_not_import_the_program_again(tmp_path):
    output, _ = program(tmp_path, seconds=0).communicate(timeout=60)
    assert output.splitlines() == ["main imported", "meanwhile"]


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
def test_processes_end_when_the_program_is_killed(tmp_path):
    with program(tmp_path, seconds=3) as running:
        assert "meanwhile\n" in iter(running.stdout.readline, "")
        family = descendants(running.pid)
        assert len(family) >= 3  # the server and two workers
        running.kill()
    deadline = time.monotonic() + 20
    while alive := [pid for pid in family if command_line(pid)]:
        assert time.monotonic() < deadline, [command_line(pid) for pid in alive]
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def command_line(pid: int) -> str:
    """Empty for a process that has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
