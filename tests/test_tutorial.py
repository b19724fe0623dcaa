"""docs/tutorial.md and docs/python.md do what they say: their commands and their Python are run as they stand."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def blocks_of(page):
    """(language, text) of each block of a page that can be run."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(r"^```(bash|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(command, folder):
    """What a command prints that is run in a folder, as in an empty one beside an installed package."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / "tests" / ".jax_cache"),
        "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("--xla_force_host_platform_device_count=8", ""),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_tutorial_works_as_written(tmp_path):
    """`python` is the one that runs the tests."""
    blocks = blocks_of("tutorial.md")
    assert len(blocks) == 7
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    outputs = [
        run(["bash", "-ec", block] if language == "bash" else [sys.executable, "-c", block], tmp_path)
        for language, block in blocks
    ]
    assert "path,speaker,emotion" in outputs[0]
    assert "angry" in outputs[1]
    assert "runs/tutorial/records/manifest_" in outputs[1]
    assert "UA" in outputs[2]
    assert "emotions in speech" in outputs[3]
    assert json.loads(outputs[4].splitlines()[-1])["emotion"] in ("angry", "happy", "neutral", "sad")
    assert len((tmp_path / "happy.csv").read_text().splitlines()) == 1 + 6 * 3
    assert "a drop of" in outputs[6]


@pytest.mark.slow
def test_the_page_of_the_python_api_works_as_written(tmp_path):
    """All of its blocks are one program."""
    program = tmp_path / "program.py"
    program.write_text("\n".join(text for language, text in blocks_of("python.md") if language == "python"))
    output = run([sys.executable, str(program)], tmp_path)
    assert re.search(r"^UA 0\.\d+ \[", output, re.MULTILINE)
    assert "Prediction(" in output
