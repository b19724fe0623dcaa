"""Jobs over processes: the order they need, failures that stay alone, nothing left behind by a kill."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from jax_ser_darts.grid.board import Board, JobError
from jax_ser_darts.grid.processes import run, shares


@dataclasses.dataclass(frozen=True)
class Task:
    name: str
    group: str = "g"


def make(folder):
    """A process's work: a file with its id; some tasks misbehave by their name."""

    def work(task):
        if task.name.startswith("wrong"):
            raise ValueError(f"{task.name} is wrong")
        if task.name.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.name.startswith("slow"):
            (folder / "started").write_text(str(os.getpid()))
            time.sleep(600)
        number = len(list(folder.glob("*.done")))
        (folder / f"{task.name}.done").write_text(f"{os.getpid()} {number}")

    return work


def do(folder, tasks, *, needs=None, done=None, count=1):
    run(
        Board(tasks, needs=needs or {}, done=done or {}, workers=count),
        make=make,
        arguments=(folder,),
        count=count,
        logs=folder / "logs",
    )


def read(folder, name):
    return [int(number) for number in (folder / f"{name}.done").read_text().split()]


def test_what_is_needed_comes_first_and_a_group_has_a_process_of_its_own(tmp_path):
    a, b, c, d = Task("a"), Task("b"), Task("c", "other"), Task("d")
    e = Task("e")
    do(tmp_path, [a, b, c, d, e], needs={a: [c]}, done={d: 1.0})
    assert read(tmp_path, "a")[1] > read(tmp_path, "c")[1]
    assert read(tmp_path, "b")[0] == read(tmp_path, "e")[0] != read(tmp_path, "c")[0]
    assert not (tmp_path / "d.done").exists(), "it was done"


def test_a_failure_takes_nothing_with_it_but_what_needs_it(tmp_path):
    wrong, killed = Task("wrong"), Task("killed", "other")
    after, fine, last = Task("after"), Task("fine", "other"), Task("last", "third")
    with pytest.raises(JobError) as error:
        do(tmp_path, [wrong, killed, after, fine, last], needs={after: [wrong], last: [fine]}, count=2)
    message = str(error.value)
    assert set(error.value.failed) == {wrong, killed, after}
    assert "3 of 5 jobs failed" in message
    assert "wrong: ValueError: wrong is wrong" in message
    assert "killed: its process was killed by signal 9" in message
    assert "after: it needs what has failed, wrong" in message
    assert {path.stem for path in tmp_path.glob("*.done")} == {"fine", "last"}
    assert "Traceback" in "".join(path.read_text() for path in (tmp_path / "logs").iterdir())


def test_a_kill_leaves_no_process_behind(tmp_path):
    """The next run must not find an earlier one's process at work in its folders."""
    here = pathlib.Path(__file__)
    script = (
        f"import pathlib, sys\nsys.path.insert(0, {str(here.parent)!r})\nfrom test_processes import Task, do\n"
        f"if __name__ == '__main__':\n    do(pathlib.Path({str(tmp_path)!r}), [Task('slow')])\n"
    )
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen([sys.executable, str(tmp_path / "script.py")], cwd=here.parents[3])
    started = tmp_path / "started"
    wait_for(started.exists)
    time.sleep(0.2)
    worker = int(started.read_text())
    process.kill()
    process.wait()
    wait_for(lambda: not alive(worker))


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid):
    try:
        return "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False


def test_gpus_and_cores_are_divided():
    four = [share.environment for share in shares(2, gpus=["0", "1", "2", "3"], cores={0, 1})]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in four] == ["0,2", "1,3"]
    shared = shares(3, gpus=["7"], cores={0})
    assert {share.environment["CUDA_VISIBLE_DEVICES"] for share in shared} == {"7"}
    assert all(share.environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false" for share in shared)
    cores = [share.cores for share in shares(2, gpus=[], cores={3, 4, 5, 6})]
    assert cores == [{3, 5}, {4, 6}]
    assert all(not share.cores for share in shares(3, gpus=[], cores={0, 1})), "more processes than cores"
    assert not shares(1, gpus=[], cores={0, 1})[0].cores
