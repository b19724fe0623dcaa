"""Without the modules that Windows lacks, all can be imported and a corpus can be prepared."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import soundfile

ROOT = pathlib.Path(__file__).parents[1]
RATE = 8_000
PROGRAM = """
import importlib, pathlib, pkgutil, sys, warnings
sys.modules |= {"fcntl": None, "resource": None}
warnings.filterwarnings("ignore", "only soft file lock")  # filelock's, of a Unix without fcntl
import data_prep, jax_ser_darts

for package in (data_prep, jax_ser_darts):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
from data_prep.prepare import prepare
from jax_ser_darts.devices import memory
from jax_ser_darts.rundir.manifest import lock_workdir
from jax_ser_darts.settings import Settings
from jax_ser_darts.settings.convert import replaced

folder = pathlib.Path(sys.argv[1])
changes = {"data.source": str(folder / "manifest.csv"), "data.workers": 2}
settings = replaced(Settings(), changes)
with lock_workdir(folder / "run"):
    records = prepare(data=settings.data, features=settings.features, records=folder / "records")
assert memory.peak_memory() == 0
print(records)
"""


def test_the_modules_are_not_needed(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{who}_{emotion}.wav,{who},{emotion}" for who in "abc" for emotion in ("angry", "sad")]
    for row in rows:
        soundfile.write(tmp_path / row.split(",")[0], 0.1 * rng.standard_normal(2 * RATE), RATE)
    (tmp_path / "manifest.csv").write_text("\n".join(["path,speaker,emotion", *rows]))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert (pathlib.Path(done.stdout.splitlines()[-1]) / "dataset_info.json").is_file()
