"""The driver: what is done stays, a failed job takes nothing with it, and errors come before hours of work."""

import types

import grids
import pytest
from tiny import tiny_config

from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.grid import driver
from jax_ser_darts.grid.board import JobError
from jax_ser_darts.grid.jobs import SEARCH, SVM, TRAIN
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.checksums import write_sealed
from jax_ser_darts.settings.convert import replaced
from jax_ser_darts.training import svm


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A grid all of whose jobs are done, as an experiment; jobs that are done again are only written down."""
    results = grids.make(tmp_path, grids.grid_config())
    experiment = types.SimpleNamespace(config=results.config, workdir=tmp_path, folds=results.folds)
    order = []

    class Worker:
        def __init__(self, experiment, *, predict):
            self.predict = predict

        def __call__(self, job):
            order.append((job, self.predict))

    monkeypatch.setattr(driver, "Worker", Worker)
    monkeypatch.setattr(svm, "functionals_of", lambda _: None)
    return types.SimpleNamespace(results=results, experiment=experiment, order=order, workdir=tmp_path)


def undo(job, workdir, name=layout.JOB_FILE):
    (job.folder(workdir) / name).unlink()


def test_what_is_done_is_not_done_again(run):
    assert driver.run(run.experiment, "all", folder=run.workdir) == run.results.jobs
    assert run.order == []


def test_what_is_left_is_done_after_what_it_needs(run):
    for job in run.results.jobs:
        undo(job, run.workdir)
    driver.run(run.experiment, "compare", folder=run.workdir)
    done = [job for job, _ in run.order]
    assert set(done) == set(run.results.jobs)
    assert done == run.results.jobs, "in the order of the grid, searches first"


def test_training_and_predicting_are_told_apart_by_the_mode(run):
    trained, predicted = [job for job in run.results.jobs if job.kind == TRAIN][:2]
    undo(trained, run.workdir)
    undo(predicted, run.workdir, layout.PREDICTIONS_FILE)
    driver.run(run.experiment, "train", folder=run.workdir)
    assert run.order == [(trained, False)]
    write_sealed(trained.folder(run.workdir) / layout.JOB_FILE, predicted.record(run.workdir))
    run.order.clear()
    driver.run(run.experiment, "evaluate", folder=run.workdir)
    assert run.order == [(predicted, True)]


def test_what_is_done_by_another_setting_is_refused_before_any_work(run):
    undo(run.results.jobs[0], run.workdir)
    run.experiment.config = replaced(run.experiment.config, {"baselines.svm_c": (3.0,)})
    with pytest.raises(ConfigError, match="another c"):
        driver.run(run.experiment, "all", folder=run.workdir)
    assert run.order == []


def test_the_functionals_of_the_svm_are_computed_before_any_job_and_only_for_one(run, monkeypatch):
    def fail(_):
        raise ConfigError("sound that cannot be used")

    monkeypatch.setattr(svm, "functionals_of", fail)
    search = run.results.jobs[0]
    undo(search, run.workdir)
    driver.run(run.experiment, "all", folder=run.workdir)
    assert [job for job, _ in run.order] == [search], "no SVM is left to do"
    undo(next(job for job in run.results.jobs if job.kind == SVM), run.workdir)
    run.order.clear()
    with pytest.raises(ConfigError, match="cannot be used"):
        driver.run(run.experiment, "all", folder=run.workdir)
    assert run.order == []


class TestAFailure:
    def failing(self, run, monkeypatch, error):
        """A grid of which every job is left, and the first search fails."""
        for job in run.results.jobs:
            undo(job, run.workdir)

        def work(self, job):
            if job == run.results.jobs[0]:
                raise error
            run.order.append(job)

        monkeypatch.setattr(driver.Worker, "__call__", work)

    def test_takes_nothing_with_it_but_what_needs_it(self, run, monkeypatch):
        self.failing(run, monkeypatch, ConfigError("it is wrong"))
        with pytest.raises(JobError, match="ConfigError: it is wrong") as caught:
            driver.run(run.experiment, "all", folder=run.workdir)
        first = run.results.jobs[0]
        lost = {
            job
            for job in run.results.jobs
            if job.kind == TRAIN
            and ((job.method, job.fold) == (first.method, first.fold) or job.method == "cnn_matched")
        }
        assert set(caught.value.failed) == {first} | lost
        assert set(run.order) == set(run.results.jobs) - {first} - lost

    def test_of_our_own_making_leaves_a_traceback(self, run, monkeypatch, capsys):
        self.failing(run, monkeypatch, ZeroDivisionError("a bug"))
        with pytest.raises(JobError):
            driver.run(run.experiment, "all", folder=run.workdir)
        assert "Traceback" in capsys.readouterr().err

    def test_ends_the_run_where_other_hosts_wait_for_this_one(self, run, monkeypatch):
        self.failing(run, monkeypatch, ConfigError("it is wrong"))
        monkeypatch.setattr(hosts, "count", lambda: 2)
        with pytest.raises(ConfigError, match="it is wrong"):
            driver.run(run.experiment, "all", folder=run.workdir)
        assert run.order == []


@pytest.mark.parametrize("mode", ["search", "train", "evaluate", "all", "compare"])
def test_several_processes_do_the_jobs_of_every_mode(run, monkeypatch, mode):
    run.experiment.config = replaced(run.experiment.config, {"grid.workers": 3})
    left = {job for job in run.results.jobs if job.kind in (SEARCH, TRAIN)}
    kinds = {"search": {SEARCH}, "train": {TRAIN}, "evaluate": {TRAIN}}.get(mode, {SEARCH, TRAIN})
    for job in left:
        name = layout.PREDICTIONS_FILE if mode == "evaluate" and job.kind == TRAIN else layout.JOB_FILE
        if job.kind in kinds:
            undo(job, run.workdir, name)
    calls = []
    monkeypatch.setattr(driver.processes, "run", lambda board, **options: calls.append((board, options)))
    driver.run(run.experiment, mode, folder=run.workdir)
    ((board, options),) = calls
    assert set(board.left) == {job for job in left if job.kind in kinds}
    assert options["count"] == 3
    assert options["logs"] == run.workdir / "logs"
    assert options["arguments"][-1] is (mode != "train")
    assert run.order == []


def test_the_default_is_this_process():
    assert tiny_config().grid.workers == 1
