"""A job as one file: what tables are made of to the last digit, the rest in short, nothing that weights need."""

import json
import os

import grids
import numpy as np
import pytest

from jax_ser_darts.archive import job_files
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.rundir import layout, metrics


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # of hundreds of small files
    return grids.make(tmp_path / "run", grids.grid_config())


def test_every_job_that_is_done_is_found_and_archived_in_a_file_of_its_own(run, tmp_path):
    folders = job_files.done_in(run.workdir)
    assert folders == sorted(job.folder(run.workdir) for job in run.jobs)
    for folder in folders:
        job_files.write(
            job_files.read(folder), job_files.place(tmp_path / "archive", folder.relative_to(run.workdir))
        )
    archived = dict(job_files.archived_in(tmp_path / "archive"))
    assert sorted(run.workdir / path for path in archived) == folders
    for path, job in archived.items():
        assert job == job_files.read(run.workdir / path)


def test_a_job_that_is_unpacked_is_the_same_job(run, tmp_path):
    for folder in job_files.done_in(run.workdir):
        job, again = job_files.read(folder), tmp_path / "again" / folder.relative_to(run.workdir)
        job_files.unpack(job, again)
        assert job_files.read(again) == job


def test_what_tables_are_made_of_is_exact_and_the_rest_of_an_epoch_is_short(run, tmp_path):
    folder = run.workdir / "search/second/seed_0/fold_0"
    job_files.write(job_files.read(folder), tmp_path / "job.json")
    text = (tmp_path / "job.json").read_text()
    archived, exact = json.loads(text)[metrics.FILE_NAME], metrics.read(folder / metrics.FILE_NAME)
    assert sum(line.startswith('{"epoch": ') for line in text.splitlines()) == len(exact) == 2, (
        "a line an epoch"
    )
    for rounded, line in zip(archived, exact, strict=True):
        assert (rounded["val"], rounded["agreement"]) == (line["val"], line["agreement"])
        for kind in rounded["alphas"]:
            np.testing.assert_allclose(rounded["alphas"][kind], line["alphas"][kind], rtol=1e-3)
        assert len(json.dumps(rounded["alphas"])) < len(json.dumps(line["alphas"])) / 2


def test_statistics_of_the_features_are_left_out(run):
    folder = run.workdir / "train/first/search_0/fold_0/seed_0"
    assert "normalisation" in (folder / "network.json").read_text()
    assert "normalisation" not in json.dumps(job_files.read(folder))


def test_two_results_are_the_same_whatever_they_were_run_with(run):
    job = job_files.read(run.workdir / "train/svm/fold_0/seed_0")
    given = {**job, layout.JOB_FILE: {**job[layout.JOB_FILE], "run_with": {"commit": "f00"}}}
    slower = {**job, layout.JOB_FILE: {**job[layout.JOB_FILE], "seconds": 1e9}}
    assert job_files.same_result(job, given)
    assert not job_files.same_result(job, slower)


def test_a_training_that_has_not_predicted_is_not_done(run):
    folder = run.workdir / "train/first/search_0/fold_0/seed_0"
    (folder / "predictions.json").unlink()
    assert folder not in job_files.done_in(run.workdir)
    assert len(job_files.done_in(run.workdir)) == len(run.jobs) - 1


@pytest.mark.parametrize("text", ["{", "[]", '{"job.json": {"wall": 1}}', '{"job.json": []}'])
def test_what_is_no_job_is_named(tmp_path, text):
    path = tmp_path / "train/svm/fold_0/seed_0.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        list(job_files.archived_in(tmp_path))
