"""A grid's results, as its jobs have left them: rows of networks, searches with what ended them."""

import json
import types

import grids
import pytest

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import write_json
from jax_ser_darts.grid.jobs import SEARCH, TRAIN, Job
from jax_ser_darts.report import results
from jax_ser_darts.settings import Settings

STOP = {"rule": "eigenvalue", "epoch": 2, "genotype_epoch": 0, "reason": "it grew"}


@pytest.mark.parametrize(
    ("method", "ending", "taken"),
    [
        ("robust_darts", {"stopped": STOP}, 0),
        ("robust_darts", {"stopped": None}, 2),
        ("first", {}, 2),  # an archive from before there were rules
        ("darts_pt", {"stopped": STOP}, 2),  # a selection goes on from the last epoch
    ],
)
def test_a_search_comes_with_what_stopped_it_and_the_epoch_that_was_taken(tmp_path, method, ending, taken):
    job = Job(SEARCH, method, 1, 0)
    folder = job.folder(tmp_path)
    folder.mkdir(parents=True)
    write_json(folder / "search.json", ending)
    write_json(folder / "genotype.json", {"normal": [], "reduction": []})
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"epoch": epoch}) + "\n" for epoch in range(3)))
    grid = types.SimpleNamespace(workdir=tmp_path, config=Settings())
    (search,) = results.searches(grid, [job, Job(TRAIN, method, 1, 0, 0)])
    assert (search["method"], search["seed"], search["fold"]) == (method, 1, 0)
    assert search["stopped"] == ending.get("stopped")
    assert search["genotype_epoch"] == taken
    assert search["by_perturbation"] == (method == "darts_pt")


def test_a_network_is_a_row_with_its_own_search_and_fold(tmp_path):
    grid = grids.make(tmp_path, grids.grid_config())
    networks = [job for job in grid.jobs if job.kind != SEARCH]
    rows = results.networks(grid, grid.jobs)
    keys = ("method", "search_seed", "fold", "train_seed")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        (job.method, job.search_seed, job.fold, job.seed) for job in networks
    ]
    for job, row in zip(networks, rows, strict=True):
        key = Job(SEARCH, job.method, job.search_seed, job.fold)
        search = (key.done(tmp_path) if key in grid.jobs else None) or {}
        assert row["search_seconds"] == search.get("seconds")
        assert row["train_seconds"] == job.done(tmp_path)["seconds"]
    assert {row["method"] for row in rows if row["search_seconds"]} == {"first", "second"}


def test_a_method_is_complete_when_all_its_jobs_are(tmp_path):
    grid = grids.make(tmp_path, grids.grid_config())
    assert results.complete(grid) == (grid.jobs, [])
    (grid.jobs[0].folder(tmp_path) / "job.json").unlink()
    jobs, (left_out,) = results.complete(grid)
    method = grid.jobs[0].method
    assert jobs == [job for job in grid.jobs if job.method != method]
    count = len(grid.jobs) - len(jobs)
    assert left_out == {
        "method": method,
        "done": count - 1,
        "jobs": count,
        "first": grid.jobs[0].name,
        "error": None,
    }


def test_of_a_method_that_is_left_out_the_job_that_failed_is_named_first(tmp_path):
    grid = grids.make(tmp_path, grids.grid_config())
    never, wrong = [job for job in grid.jobs if job.method == "first"][:2]
    for job in (never, wrong):
        (job.folder(tmp_path) / "job.json").unlink()
    _, (left_out,) = results.complete(grid, failed={wrong: "ValueError: it is wrong"})
    assert (left_out["first"], left_out["error"]) == (wrong.name, "ValueError: it is wrong")


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN"])
def test_a_job_whose_numbers_are_not_finite_is_named(tmp_path, monkeypatch, text):
    """JSON's 1e999 is read as infinity, which would be in all tables."""
    grid = grids.make(tmp_path, grids.grid_config())
    monkeypatch.setattr(Job, "done", lambda *_: {"seconds": json.loads(text)})
    with pytest.raises(ConfigError, match=r"job.json: 'seconds' is .*, and no number that can be reported"):
        results.networks(grid, grid.jobs)
