"""The first cases of fuzz.py and fuzz_bundles.py; SER_FUZZ=10000 for a long run, SER_FUZZ_SEED for others."""

import os
import pathlib
import subprocess
import sys

FUZZ = pathlib.Path(__file__).with_name("fuzz.py")


def test_damaged_files_are_answered_or_refused_and_nothing_else(tmp_path):
    """In a process of its own: a decoder that crashes would take the tests along."""
    command = [sys.executable, str(FUZZ), f"--folder={tmp_path}"]
    command += [f"--count={os.environ.get('SER_FUZZ', 500)}", f"--seed={os.environ.get('SER_FUZZ_SEED', 0)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for outcome in ("answered", "refused", "table read", "table refused"):
        assert outcome in done.stdout, "the damage is neither too small nor too large"


def test_damaged_and_hostile_bundles_are_refused_or_predict_as_they_did():
    command = [sys.executable, str(FUZZ.with_name("fuzz_bundles.py"))]
    command += [f"--count={os.environ.get('SER_FUZZ', 30)}", f"--seed={os.environ.get('SER_FUZZ_SEED', 0)}"]
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(FUZZ.with_name(".jax_cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **cache})
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for outcome in (
        "sealed JSON: refused",
        "the same",
        "of the same probe",
    ):
        assert outcome in done.stdout, "the changes are neither too small nor too large"
