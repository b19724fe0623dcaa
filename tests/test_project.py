"""The files round the code are well-formed, and agree with setup.cfg and with each other."""

import configparser
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
PRE_COMMIT = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


def test_the_citation_names_this_version_and_both_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "license", "version"} <= citation.keys()
    for key in ("version", "license"):
        assert citation[key] == SETUP["metadata"][key]
    papers = {reference["identifiers"][0]["value"] for reference in citation["references"]}
    assert papers == {"arXiv:2305.14402", "arXiv:2403.14083"}


def test_every_python_that_is_supported_is_tested_by_the_one_script():
    job = WORKFLOW["jobs"]["tests"]
    rows = job["strategy"]["matrix"]["include"]
    versions = [row["python"] for row in rows]
    assert versions[0] == SETUP["options"]["python_requires"].strip(">= ")
    assert all(isinstance(version, str) for version in versions), "3.10 as a number is 3.1"
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == [".ci/run ${{ matrix.slow }} ${{ matrix.python }}"]
    assert [row.get("slow") for row in rows] == ["--slow", None, None], "once is enough"


def test_the_script_of_ci_takes_the_readme_s_command():
    script = ROOT / ".ci/run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    beside = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([shutil.which("shellcheck", path=beside), str(script)], check=True)
    blocks = (ROOT / "README.md").read_text().split("```bash\n")
    assert "python3 -m venv .venv" in blocks[2]
    assert "pytest" in blocks[2].split("```")[0]


def test_pre_commit_runs_a_ruff_that_setup_cfg_allows():
    (repository,) = (entry for entry in PRE_COMMIT["repos"] if "rev" in entry)
    assert {hook["id"] for hook in repository["hooks"]} == {"ruff-check", "ruff-format"}
    (ruff,) = (line for line in SETUP["options.extras_require"]["test"].split() if line.startswith("ruff"))
    numbers = lambda text: tuple(map(int, text.split(".")))
    pinned, minimum = (numbers(text) for text in (repository["rev"].lstrip("v"), ruff.strip("ruf>=")))
    assert minimum <= pinned <= numbers(importlib.metadata.version("ruff"))


def test_pre_commit_runs_mypy_as_pyproject_toml_says():
    (hook,) = (hook for entry in PRE_COMMIT["repos"] if entry["repo"] == "local" for hook in entry["hooks"])
    assert hook["entry"] == "python -m mypy"
    assert hook["pass_filenames"] is False, "files on the command line take the place of the configuration's"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_of_an_issue_is_whole(form):
    content = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= content.keys()
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names)
    assert all(field["type"] in ("input", "textarea") for field in fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
