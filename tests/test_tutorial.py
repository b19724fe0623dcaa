"""docs/tutorial.md does what it says: its commands and its Python are run as they stand."""

import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def test_the_tutorial_works_as_written(tmp_path):
    """In an empty folder with the configs, as in a fresh clone; `python` is the one that runs the tests."""
    text = (ROOT / "docs" / "tutorial.md").read_text()
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / "tests" / ".jax_cache"),
        "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("--xla_force_host_platform_device_count=8", ""),
    }
    outputs = []
    for language, block in blocks:
        command = ["bash", "-ec", block] if language == "bash" else [sys.executable, "-c", block]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)
    assert "path,speaker,emotion" in outputs[0]
    assert "angry" in outputs[1]
    assert "runs/tutorial/records/manifest_" in outputs[1]
    assert "UA" in outputs[2]
    assert "emotions in speech" in outputs[3]
    assert json.loads(outputs[4].splitlines()[-1])["emotion"] in ("angry", "happy", "neutral", "sad")
    assert len((tmp_path / "happy.csv").read_text().splitlines()) == 1 + 6 * 3
    assert "a drop of" in outputs[6]
