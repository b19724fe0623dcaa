"""What more devices cost: counted and timed in real processes, and worked out for machines that are not here."""

import json
import os
import subprocess
import sys

import pytest

from jax_ser_darts.benchmark.collectives import Collectives
from jax_ser_darts.benchmark.scale import Machine

SMALL = (
    "--batch=4",
    "--frames=8",
    "--coefficients=8",
    "--cells=1",
    "--nodes=1",
    "--channels=2",
    "--what=first",
)


def run(*arguments):
    command = [sys.executable, "-m", "jax_ser_darts.benchmark.scale", *arguments, *SMALL]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.slow
def test_two_devices_and_two_processes_tell_each_other_the_same(tmp_path):
    path = tmp_path / "benchmark.json"
    done = run("--devices=2", "--processes=2", "--steps=2", f"--json={path}")
    assert done.returncode == 0, done.stderr[-3000:]
    devices, processes = json.loads(path.read_text())["cases"]
    assert (devices["devices"], devices["processes"]) == (2, 1)
    assert (processes["devices"], processes["processes"]) == (1, 2)
    for row in (devices, processes):
        assert len(row["seconds"]) == 2
        assert row["messages"] > 10, "batch-norm statistics wait for each other"
        assert row["needed_bytes"] < row["bytes"] < 1.5 * row["needed_bytes"]
    assert devices["messages"] == processes["messages"]
    assert devices["bytes"] == processes["bytes"]
    assert devices["gflop"] > 0
    assert "% efficient" in done.stdout


def test_a_batch_that_cannot_be_divided_is_an_error():
    done = run("--devices=3")
    assert done.returncode != 0
    assert "--devices: a batch of 4 cannot be divided over '3'" in done.stdout + done.stderr


def test_the_seconds_of_messages_are_those_of_a_ring_and_the_efficiency_is_what_is_left():
    machine = Machine("four", devices=4, bandwidth=1e9, latency=1e-3, rate=1e12)
    told = Collectives(count=10, bytes=2_000_000)
    assert machine.seconds(told) == pytest.approx(10e-3 + 1.5 * 2e-3)
    assert machine.efficiency(told, flop=13e9) == pytest.approx(0.5)
    assert machine.efficiency(told, flop=1e15) > 0.98
