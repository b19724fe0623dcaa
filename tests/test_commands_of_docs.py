"""Every command of README and docs that starts a run: its flags, config and settings exist and can work together.

The commands of the tutorial and of the extensions are run as they stand elsewhere.
"""

import ast
import pathlib
import re
import shlex

import pytest
from absl import flags

from jax_ser_darts import checks, cli, config_files, main
from jax_ser_darts.settings import convert

ROOT = pathlib.Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
STARTS = re.compile(
    r"(?:^|\s)(?:python -m jax_ser_darts\.main|jax-ser-darts (?:" + "|".join(cli.MODES) + r"))\s"
)
SMALL = "$(cat small.txt)"  # of the tutorial


def commands():
    """(page, words after the program's name) of each command."""
    for page in PAGES:
        text = page.read_text()
        small = re.search(r"<<'END'\n(.*?)\nEND", text, re.DOTALL)
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if start := STARTS.search(line):
                    rest = line[start.end() :].replace(
                        SMALL, shlex.join(small[1].split("\n")) if small else ""
                    )
                    words = shlex.split(rest, comments=True)
                    if not any(word.startswith("--config.extensions") for word in words):
                        yield pytest.param(words, id=f"{page.stem}: {' '.join(words)[:60]}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_word_is_one_of_the_program(page):
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for word in re.findall(r"(?:^|\s)jax-ser-darts\s+(\S+)", block):
            assert word in {*cli.COMMANDS, "--help", "--version"}, word


def literal(text):
    """As config_flags reads a value: Python's, or the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


@pytest.mark.parametrize("words", list(commands()))
def test_its_flags_and_settings_exist_and_can_work_together(words):
    given = dict(word.lstrip("-").split("=", 1) for word in words)
    name = given.pop("config")
    assert "workdir" in given
    changes = {key.removeprefix("config."): literal(value) for key, value in given.items() if "." in key}
    config = config_files.load(name.removeprefix("configs/").replace(".py", ""))
    checks.check(convert.replaced(convert.resolve(config), changes))
    for flag, value in given.items():
        if "." not in flag:
            assert flag in flags.FLAGS, flag
            assert flag != "mode" or value in main.MODES
