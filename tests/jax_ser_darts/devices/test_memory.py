"""Freed memory stays with the process: the second large array costs no page faults."""

import os
import subprocess
import sys
import types

import jax
import pytest

from jax_ser_darts.devices import memory

PROGRAM = """
import resource, sys
import numpy as np
from jax_ser_darts.devices import memory
kept = memory.keep_freed_memory() if sys.argv[1] == "keep" else True
np.ones(25_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    np.ones(25_000_000)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux keeps freed memory")
def test_large_arrays_are_made_of_memory_that_is_there():
    kept, found = faults("keep")
    if not kept:
        pytest.skip("this C library has no mallopt")
    assert found < 1000
    assert found < faults("leave")[1]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([{"peak_bytes_in_use": 3, "bytes_in_use": 9}, {"peak_bytes_in_use": 5}], 5),
        ([{"peak_bytes_in_use": 3}, {}], 3),
    ],
)
def test_the_peak_is_that_of_the_fullest_device(monkeypatch, told, expected):
    devices = [types.SimpleNamespace(memory_stats=lambda of=of: of) for of in told]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    assert memory.peak_memory() == expected


HELD = """
import jax
from jax_ser_darts.devices import memory
assert jax.devices("cpu")[0].memory_stats() is None, "it tells: compare with what it says"
before = memory.peak_memory()
held = bytearray(before + 100_000_000)
print(memory.peak_memory() - before)
"""


def test_where_devices_do_not_tell_it_is_that_of_the_process():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", HELD]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) > 100_000_000
