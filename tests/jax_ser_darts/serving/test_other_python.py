"""A bundle predicts the same by another Python and another JAX.

    SER_OTHER_PYTHON=VENV/bin/python python -m pytest -s tests/jax_ser_darts/serving/test_other_python.py

The interpreter needs what `pip install jax_ser_darts` installs. $SER_BUNDLE and $SER_SOUNDS, a bundle and a folder of
recordings, are compared too. Without an interpreter the tests skip.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest
import soundfile
from small_bundles import BASELINE, SETTINGS, make_bundle, speech

from jax_ser_darts.serving.bundle import write_bundle

ROOT = pathlib.Path(__file__).parents[3]
OTHER, BUNDLE, SOUNDS = (os.environ.get(f"SER_{name}", "") for name in ("OTHER_PYTHON", "BUNDLE", "SOUNDS"))
TOLERANCE = 1e-5  # of a probability
BUNDLES = {
    "genotype": {},
    "baseline": {"network": BASELINE},
    "mfcc": {"settings": dataclasses.replace(SETTINGS, kind="mfcc", pool_kind="max")},
}
pytestmark = pytest.mark.skipif(not OTHER, reason="no other Python: set SER_OTHER_PYTHON")


def probabilities(python: str, *arguments: str | pathlib.Path) -> dict[tuple[str, float], dict[str, float]]:
    """(file, start of a window) -> probabilities, by the command of an interpreter."""
    command = [python, "-m", "jax_ser_darts.predict", *map(str, arguments), "--format=jsonl", "--cache="]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**environment, "PYTHONPATH": str(ROOT)}
    )
    return {
        (line["file"], span["start"]): span["probabilities"]
        for line in map(json.loads, done.stdout.splitlines())
        for span in line["timeline"]
    }


def check(*arguments: str | pathlib.Path) -> None:
    here, there = (probabilities(python, *arguments) for python in (sys.executable, OTHER))
    assert here
    assert here.keys() == there.keys()
    largest = max(abs(p - there[window][name]) for window, row in here.items() for name, p in row.items())
    print(f"\nlargest difference of a probability over {len(here)} windows: {largest:.2g}")
    assert largest < TOLERANCE


@pytest.mark.parametrize("kind", BUNDLES)
def test_a_small_bundle(tmp_path, kind):
    write_bundle(tmp_path / "b", make_bundle(**BUNDLES[kind]), card="# A card", versions={})
    for seed, (seconds, rate) in enumerate(((0.3, 16_000), (1.0, 16_000), (3.3, 44_100), (2.1, 8_000))):
        soundfile.write(tmp_path / f"{seed}.wav", speech(seconds, rate=rate, seed=seed), rate)
    check(tmp_path / "b", *sorted(tmp_path.glob("*.wav")))


@pytest.mark.skipif(not (BUNDLE and SOUNDS), reason="no bundle and recordings: set SER_BUNDLE and SER_SOUNDS")
def test_a_bundle_of_a_run():
    check(BUNDLE, SOUNDS)
