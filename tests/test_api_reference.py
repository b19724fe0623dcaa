"""The API reference: the command of docs/code.md makes a page of every module, and a warning would have ended it."""

import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_the_command_of_the_docs_makes_a_page_of_every_module(tmp_path):
    if importlib.util.find_spec("pdoc") is None:
        pytest.skip("pdoc is not installed: pip install -e '.[docs]'")
    command = re.search(
        r"^python (-W error -m pdoc .*)$", (ROOT / "docs" / "code.md").read_text(), re.MULTILINE
    )[1]
    done = subprocess.run(
        [sys.executable, *shlex.split(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    modules = {
        path.relative_to(ROOT).with_suffix("")
        for package in ("jax_ser_darts", "data_prep", "configs")
        for path in (ROOT / package).rglob("*.py")
        if not path.stem.startswith("__")
    }
    pages = {
        path.relative_to(tmp_path / "api").with_suffix("") for path in (tmp_path / "api").rglob("*.html")
    }
    assert modules - pages == set()
    predictor = (tmp_path / "api" / "jax_ser_darts" / "serving" / "predictor.html").read_text()
    assert "ready to predict" in predictor  # its docstring
    assert "<h6" in predictor  # its arguments, as a section and not as running text
