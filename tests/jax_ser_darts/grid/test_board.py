"""Which jobs can be begun, what a failure takes with it, and how long the rest will take."""

import dataclasses
import pickle

import pytest

from jax_ser_darts.grid.board import Board, JobError, time_left


@dataclasses.dataclass(frozen=True)
class Task:
    name: str
    group: str = "g"


A, B, C, D = map(Task, "abcd")


def test_a_job_is_ready_when_what_it_needs_is_done():
    board = Board([A, B, C], needs={A: [C], B: [D]}, done={D: 1.0})
    assert board.ready() == [B, C]
    board.begin(C)
    assert board.ready() == [B]
    board.end(C, 2.0)
    assert board.ready() == [A, B], "in the order in which they were given"


def test_a_failure_takes_nothing_with_it_but_what_needs_it_however_far():
    board = Board([A, B, C, D], needs={B: [A], C: [B]}, done={})
    board.begin(A)
    board.end(A, 1.0, "it is wrong")
    assert board.ready() == [D]
    assert board.failed == {
        A: "it is wrong",
        B: "it needs what has failed, a",
        C: "it needs what has failed, b",
    }
    assert board.left == [D]


def test_failures_are_one_error_that_names_them_and_can_be_sent_between_processes():
    board = Board([A, B], needs={}, done={})
    board.check("nowhere")
    board.begin(A)
    board.end(A, 1.0, "it is wrong")
    with pytest.raises(JobError, match=r"1 of 2 jobs failed \(see the log\).*\n  a: it is wrong$") as error:
        board.check("see the log")
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.failed) == (str(error.value), {A: "it is wrong"})


def test_the_time_left_is_that_of_jobs_like_those_done():
    left = [Task("a", "short"), Task("b", "short"), Task("c", "long")]
    seconds = {"short": [2.0, 4.0], "long": [100.0]}
    assert time_left(left[:2], seconds, 2) == pytest.approx(3.0)
    assert time_left(left, seconds, 2) == pytest.approx(100.0), "one job is not divided"
    assert time_left(left, seconds, 1) == pytest.approx(106.0)
    assert time_left([Task("d", "unknown")], seconds, 1) == pytest.approx(4.0)
    assert time_left(left, {}, 1) is None
    assert time_left([], seconds, 1) == 0
