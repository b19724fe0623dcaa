"""Computing features: in order, lean, and gone when their parent is."""

import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from data_prep import compute
from data_prep.corpora.base import Utterance
from data_prep.features import FeatureSettings

ROOT = pathlib.Path(__file__).parents[2]
RATE = 8_000
SETTINGS = FeatureSettings(
    kind="mfcc", sampling_rate=RATE, n_fft=256, hop=80, coefficients=13, n_mels=26, pool=1
)


@pytest.fixture
def utterances(tmp_path) -> list[Utterance]:
    """Forty, of growing length; every seventh is no sound."""
    made = []
    for i in range(40):
        path = tmp_path / f"{i:02d}.wav"
        if i % 7 == 3:
            path.write_text("no sound")
        else:
            soundfile.write(path, 0.1 * np.random.default_rng(i).standard_normal(400 + 80 * i), RATE)
        made.append(Utterance(id=f"u{i:02d}", path=path, speaker="s", emotion="angry"))
    return made


@pytest.mark.parametrize("workers", [1, 3])
def test_results_are_in_order_and_whole(utterances, tmp_path, workers):
    scratch = tmp_path / "scratch"
    called = []
    done, bad_files = compute.compute(
        utterances, settings=SETTINGS, workers=workers, scratch=scratch, meanwhile=lambda: called.append(1)
    )
    assert called == [1]
    assert [one.utterance.id for one in done] == [one.id for i, one in enumerate(utterances) if i % 7 != 3]
    assert [bad.path for bad in bad_files] == [str(one.path) for one in utterances[3::7]]
    rows = compute.rows(scratch, settings=SETTINGS)
    assert len(rows) == sum(one.frames for one in done)
    for one in done:
        seconds, features = compute.compute_one(one.utterance, SETTINGS)
        assert one.seconds == seconds
        np.testing.assert_array_equal(rows[one.first : one.first + one.frames], features)


def test_starting_processes_leaves_this_one_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    before, main = dict(os.environ), sys.modules["__main__"]
    with compute._lean_children():
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
