"""Freed memory stays with the process: the second large array costs no page faults."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from jax_ser_darts.devices import host_memory
kept = host_memory.keep_freed_memory() if sys.argv[1] == "keep" else True
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


RESIDENT = """
import pathlib
import numpy as np
from jax_ser_darts.devices import host_memory
print(int(host_memory.keep_freed_memory()))
pages = lambda: int(pathlib.Path("/proc/self/statm").read_text().split()[1])
np.ones(25_000_000)
print(pages())
host_memory.give_back_memory()
print(pages())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux keeps freed memory")
def test_kept_memory_can_be_given_back():
    done = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True)
    kept, before, after = (int(word) for word in done.stdout.split())
    if not kept:
        pytest.skip("this C library has no mallopt")
    assert before - after > 40_000  # pages of 4 kB, of 200 MB
