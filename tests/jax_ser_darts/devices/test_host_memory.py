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
