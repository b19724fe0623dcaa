"""The benchmark's command: measurements that can be true, as a table and as JSON."""

import json
import subprocess
import sys

import pytest

from jax_ser_darts.search_space.genotype import Edge, Genotype

SMALL = (
    "--batch=2",
    "--frames=8",
    "--coefficients=8",
    "--cells=1",
    "--nodes=1",
    "--channels=2",
    "--steps=2",
    "--devices=1",
)


def run(*arguments):
    command = [sys.executable, "-m", "jax_ser_darts.benchmark", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_measurements_in_the_table_and_as_json(tmp_path):
    cell = ((Edge("skip_connect", 0), Edge("avg_pool_3x3", 1)),)
    Genotype(normal=cell, reduction=cell).save(tmp_path / "genotype.json")
    path = tmp_path / "benchmark.json"
    files = (f"--json={path}", f"--genotype={tmp_path / 'genotype.json'}", f"--cache={tmp_path / 'cache'}")
    done = run("--what=evaluate,train", *files, *SMALL)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert [row["what"] for row in found["measurements"]] == ["evaluate", "train"]
    for row in found["measurements"]:
        assert len(row["seconds"]) == 2
        assert min(row["seconds"]) <= row["step"] <= max(row["seconds"])
        assert row["utterances_per_second"] == pytest.approx(2 / row["step"])
        assert row["gflop_per_second"] == pytest.approx(row["gflop"] / row["step"])
        assert 0 < row["gflop_per_second"] < row["gemm_gflop_per_second"]
        assert row["cold"] > 0
        assert isinstance(row["cached"], float)
        assert row["temporary_gb"] < row["peak_gb"] < 4
        assert row["what"] in done.stdout
    evaluate, train = found["measurements"]
    assert evaluate["gflop"] < train["gflop"]
    assert (found["batch"], found["cells"]) == (2, 1)
    assert found["cache"] == str(tmp_path / "cache"), "nobody could tell that cold is not"
    assert any((tmp_path / "cache").iterdir()), "a later run finds nothing compiled"


def test_an_unknown_step_is_an_error_that_names_the_known_ones():
    done = run("--what=third", *SMALL)
    assert done.returncode != 0
    assert "third" in done.stderr + done.stdout
    assert "second_differences" in done.stderr + done.stdout


def test_a_batch_that_cannot_be_divided_is_an_error():
    done = run("--what=evaluate", "--devices=8", *SMALL[:-1])
    assert done.returncode == 1
    assert "error: a batch of 2 cannot be divided over 8 devices" in done.stderr


@pytest.fixture
def peer(tmp_path):
    """A folder like that of the authors' code, and flags for an interpreter that answers `body` instead of it."""
    (tmp_path / "architect.py").touch()

    def flags(body):
        python = tmp_path / "python"
        python.write_text(f"#!{sys.executable}\nimport json, sys\n{body}\n")
        python.chmod(0o755)
        return f"--peer={tmp_path}", f"--peer_python={python}"

    return flags


def test_the_peer_is_timed_in_turns(tmp_path, peer):
    body = """
print(json.dumps({"torch": "9.9"}), flush=True)
sizes = json.loads(sys.argv[4])
for k, _ in enumerate(sys.stdin, start=1):
    print(json.dumps({"seconds": k * 1000.0 * sizes["batch"], "peak_gb": 1.0 + k}), flush=True)
"""
    path = tmp_path / "benchmark.json"
    done = run("--what=evaluate", f"--json={path}", *SMALL, *peer(body))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    (row,) = found["measurements"]
    assert row["peer_seconds"] == [2000.0, 4000.0]
    assert row["peer_step"] == 3000.0
    ours = row["seconds"]
    assert row["peer_ratio"] == pytest.approx((ours[0] / 2000 + ours[1] / 4000) / 2)
    assert row["peer_peak_gb"] == 3.0
    assert found["torch"] == "9.9"
    assert "ratio" in done.stdout


@pytest.mark.slow
def test_apart_each_step_of_either_has_a_fresh_process(tmp_path, peer):
    body = f"""
with open({str(tmp_path / "started")!r}, "a") as started:
    started.write("x")
print(json.dumps({{"torch": "9.9"}}), flush=True)
for k, _ in enumerate(sys.stdin, start=1):
    print(json.dumps({{"seconds": k * 1000.0, "peak_gb": 1.0 + k}}), flush=True)
"""
    path = tmp_path / "benchmark.json"
    done = run("--what=evaluate", "--apart", f"--json={path}", *SMALL, *peer(body))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    (row,) = found["measurements"]
    assert (tmp_path / "started").read_text() == "xx"
    assert row["peer_seconds"] == [1000.0, 1000.0], "a process of theirs was asked twice"
    assert len(set(row["seconds"])) == 2, "one turn of ours was counted twice"
    assert row["peer_ratio"] == pytest.approx(sum(row["seconds"]) / 2 / 1000)
    assert row["step"] == pytest.approx(sum(row["seconds"]) / 2)
    assert row["gflop_per_second"] == pytest.approx(row["gflop"] / row["step"])
    assert (found["apart"], found["steps"], found["torch"]) == (True, 2, "9.9")
    assert "turn 2 of 2" in done.stderr


def test_apart_from_nobody_is_an_error():
    done = run("--what=evaluate", "--apart", *SMALL)
    assert done.returncode == 1
    assert "error: --apart is for steps beside --peer" in done.stderr


def test_a_peer_that_stops_is_an_error_that_says_what_it_said(peer):
    done = run("--what=evaluate", *SMALL, *peer("sys.exit('no module named torch')"))
    assert done.returncode == 1
    assert "error: the authors' code stopped: no module named torch" in done.stderr


def test_a_folder_without_the_authors_code_is_an_error(tmp_path):
    done = run("--what=evaluate", *SMALL, f"--peer={tmp_path}", "--peer_python=python")
    assert done.returncode == 1
    assert f"error: --peer={tmp_path}: no architect.py there" in done.stderr
