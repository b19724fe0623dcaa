"""The comparison as a whole, its workers apart: test_run.py has it with them."""

import json
import shutil
import types

import grids
import pytest
from jax_ser_darts.grid.workers import JobError

from jax_ser_darts import compare
from jax_ser_darts.grid import jobs
from jax_ser_darts.report import html


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A grid whose workers fail, whatever is missing of it."""
    found = grids.make(tmp_path / "run", grids.grid_config())

    def fail(*_, **__):
        raise JobError("1 of them failed", {found.jobs[-1]: "ValueError: it is wrong"})

    monkeypatch.setattr(compare, "Results", types.SimpleNamespace(of=lambda _: found))
    monkeypatch.setattr(compare.workers, "run", fail)
    monkeypatch.setattr(jobs, "check_same", lambda *_: None)
    monkeypatch.setattr(html, "write", lambda *_, **__: None)  # takes seconds to draw
    return found


def compared(found):
    experiment = types.SimpleNamespace(config=found.config, workdir=found.workdir)
    return compare.compare(experiment, folder=found.workdir)


def test_methods_that_are_whole_have_a_report_though_a_job_failed(run):
    shutil.rmtree(run.jobs[-1].folder(run.workdir))
    with pytest.raises(JobError, match="1 of them failed"):
        compared(run)
    summary = json.loads((run.workdir / "compare/summary.json").read_text())
    (left_out,) = summary["left_out"]
    assert left_out["method"] == run.jobs[-1].method
    assert left_out["error"] == "ValueError: it is wrong"
    assert summary["methods"]


def test_without_a_whole_method_the_failure_is_told_alone(run):
    for job in run.jobs:
        if job.fold == 1:
            shutil.rmtree(job.folder(run.workdir))
    with pytest.raises(JobError, match="1 of them failed"):
        compared(run)
    assert not (run.workdir / "compare/summary.json").exists()
