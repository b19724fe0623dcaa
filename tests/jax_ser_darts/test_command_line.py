"""The commands: what is wrong is one message, and --help is quick and explains every flag."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from jax_ser_darts import cli, main
from jax_ser_darts.search_space.genotype import GenotypeError

ROOT = pathlib.Path(__file__).parents[2]
RUN = "import runpy; runpy.run_module('jax_ser_darts.{}', run_name='__main__', alter_sys=True)"


def command(*arguments, module="main", cwd=ROOT, code=None):
    """`python -m jax_ser_darts.MODULE`; with `code`, that before it in the same process."""
    start = ["-m", f"jax_ser_darts.{module}"] if code is None else ["-c", f"{code}\n{RUN.format(module)}"]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.search.speed=9"], "speed"),
        (["--config.search.epochs=many"], "many"),
        (["--config.space.nodes=0"], "config.space.nodes = 0"),
        (["--config.data.corpus=ravdess", "--config.data.source=/nowhere"], "/nowhere"),
        (["--mode=dance"], "mode"),
        (["--config.data.emotions={a:b}"], "--config.data.emotions: {a:b} is no value; put words in quotes"),
        (["--process_id=1"], "--num_processes and --process_id are for --coordinator"),
        (["extra"], "unexpected arguments"),
        (
            ["--config=configs/savee.py:nope"],
            "this config has the variants quick, full, each also with ,joint",
        ),
        (["--config=configs/iemocap.py:joint"], "configs/iemocap.py has the sizes quick, full, paper, first"),
        (
            ["--config=configs/nope.py:quick"],
            "there is no config file configs/nope.py; in configs are: configs/c",
        ),
        (
            ["--config", "nope.py"],
            "there is no config file nope.py; in . are: none; by name there are: cnn_search",
        ),
        (["--config=nope:quick"], "there is no config 'nope'; by name there are: cnn_search, compare"),
        (["--config=demo:quick"], "configs/demo.py has no variants"),
        (["--config=configs/demo.py:quick"], "configs/demo.py has no variants"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, arguments, message):
    """One clear message, no traceback, and an exit status that is not 0."""
    done = command("--config=configs/demo.py", f"--workdir={tmp_path}", *arguments)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_settings_are_shown_with_their_source():
    done = command("--config=demo", "--config.search.epochs=7", "--show")
    assert done.returncode == 0, done.stderr
    assert "\n  search.epochs = 7  [command line]\n" in done.stdout
    assert "\n  data.corpus = 'demo'  [config]\n" in done.stdout
    assert "\n  search.momentum = 0.9  [default]\n" in done.stdout


def test_a_terminal_that_knows_ascii_alone_is_shown_every_name(tmp_path):
    code = (
        "import os, sys; sys.stdout.reconfigure(encoding='ascii'); sys.stderr.reconfigure(encoding='ascii')"
    )
    name = "\u5f20\u4e09"
    done = command("--config=demo", f"--config.data.source={name}", "--show", code=code)
    assert done.returncode == 0, done.stderr
    assert ascii(name)[1:-1] in done.stdout
    done = command(f"--{name}=1", code=code)
    assert done.returncode == 1
    assert ascii(name)[1:-1] in done.stderr


def test_a_missing_genotype_is_named_before_any_work(tmp_path):
    with pytest.raises(GenotypeError, match=r"no genotype file nowhere\.json"):
        main.run({"train": {"genotype": "nowhere.json"}}, tmp_path, "all")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("flag", "given"), [("config", "--workdir=w"), ("workdir", "--config=demo")])
def test_a_flag_that_is_missing_is_named(flag, given):
    done = command(given)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --{flag} is missing")


class TestHelp:
    """It ends with status 0 and imports no JAX, which is what makes it quick."""

    WITHOUT_JAX = "import sys; sys.modules['jax'] = None"

    def test_of_a_run_has_every_flag_and_mode(self):
        done = command("--help", code=self.WITHOUT_JAX)
        assert done.returncode == 0, done.stderr
        for name in ("config", "workdir", "mode", "bundle", "memory", "compilation_cache", "beam_runner"):
            assert f"--{name}:" in done.stdout
        for mode in main.MODES:
            assert f"\n    {mode} " in done.stdout

    @pytest.mark.parametrize("module", ["predict", "page"])
    def test_of_what_a_bundle_is_for(self, module):
        done = command("--help", module=module, code=self.WITHOUT_JAX)
        assert done.returncode == 0, done.stderr
        assert f"jax-ser-darts {module} BUNDLE" in done.stdout
        assert "--silence:" in done.stdout

    def test_of_the_console_command_has_every_command(self):
        done = command("--help", module="cli", code=self.WITHOUT_JAX)
        assert done.returncode == 0, done.stderr
        assert [name for name in cli.COMMANDS if f"\n    {name} " not in done.stdout] == []


class TestConsoleCommand:
    @pytest.mark.parametrize("name", sorted(cli.COMMANDS))
    def test_every_command_has_its_module(self, name):
        module, *_ = cli.COMMANDS[name]
        assert importlib.util.find_spec(f"jax_ser_darts.{module}") is not None

    @pytest.mark.parametrize(
        ("given", "module", "arguments"),
        [
            (["train", "--config=demo"], "main", ["--mode=train", "--config=demo"]),
            (
                ["plan", "ravdess:quick", "--workdir=w"],
                "main",
                ["--mode=plan", "--config=ravdess:quick", "--workdir=w"],
            ),
            (["list"], "main", ["--list"]),
            (["show", "demo"], "main", ["--show", "--config=demo"]),
            (["predict", "b", "speech.wav"], "predict", ["b", "speech.wav"]),
        ],
    )
    def test_a_command_is_a_module_with_its_flags(self, monkeypatch, given, module, arguments):
        started = []
        monkeypatch.setattr(cli.runpy, "run_module", lambda name, **_: started.append((name, sys.argv[1:])))
        monkeypatch.setattr(sys, "argv", ["jax-ser-darts", *given])
        cli.main()
        assert started == [(f"jax_ser_darts.{module}", arguments)]

    def test_an_unknown_command_is_named(self):
        done = command("dance", module="cli")
        assert done.returncode == 2
        assert "there is no command 'dance'; there are prepare, search" in done.stderr

    def test_other_commands_take_their_own_arguments(self, tmp_path):
        done = command("draw", "nowhere.json", str(tmp_path / "cells.svg"), module="cli")
        assert done.returncode == 2
        assert "no genotype file nowhere.json" in done.stderr


def test_what_an_extra_installs_is_named_where_it_is_missing(tmp_path):
    done = command("--config=demo", f"--workdir={tmp_path}", code="import sys; sys.modules['sklearn'] = None")
    assert done.returncode == 1
    assert done.stderr == "error: sklearn is not installed: pip install 'jax_ser_darts[train]'\n"
