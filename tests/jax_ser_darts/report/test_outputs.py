"""The folder of a report: all its files of one summary, or none and why not (see test_store.py for whole grids)."""

import csv
import json
import types

import example
import pytest

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.report import html, outputs
from jax_ser_darts.settings import Settings

ROWS = [{"method": "first", "ua": 0.5}, {"method": "svm", "ua": None}]
LEFT_OUT = {
    "method": "second",
    "done": 1,
    "jobs": 3,
    "first": "search second seed 0 fold 0",
    "error": "it is wrong",
}


@pytest.fixture
def results(monkeypatch):
    """Made-up results, and no page: test_report.py has that."""
    monkeypatch.setattr(outputs, "complete", lambda results, failed: (results.jobs, [LEFT_OUT]))
    monkeypatch.setattr(outputs, "networks", lambda *_: ROWS)
    monkeypatch.setattr(outputs, "searches", lambda *_: [])
    monkeypatch.setattr(outputs, "trainings", lambda *_: {})
    monkeypatch.setattr(outputs, "summarise", lambda *_, environment: example.summary())
    monkeypatch.setattr(html, "write", lambda *_, **__: None)
    return types.SimpleNamespace(jobs=["a job"], config=Settings())


def test_the_files_agree_and_name_what_is_left_out(results, tmp_path):
    text = outputs.write(tmp_path, results, environment={})
    assert {path.name for path in tmp_path.iterdir()} == {
        "results.csv",
        "summary.json",
        "table.txt",
        "table.tex",
    }
    assert (tmp_path / "table.txt").read_text() == text + "\n"
    assert "second: 1 of 3 jobs are done, and not search second seed 0 fold 0 (it is wrong)" in text
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == {**json.loads(json.dumps(example.summary())), "left_out": [LEFT_OUT]}
    with (tmp_path / "results.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"method": "first", "ua": "0.5"}, {"method": "svm", "ua": ""}]


def test_without_a_whole_method_nothing_is_written(results, tmp_path):
    results.jobs = []
    with pytest.raises(ConfigError, match="nothing to report yet:\nsecond: 1 of 3 jobs are done"):
        outputs.write(tmp_path, results, environment={})
    assert list(tmp_path.iterdir()) == []
