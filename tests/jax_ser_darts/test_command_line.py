"""The command: what is wrong is one message, and --help has every flag."""

import pathlib
import subprocess
import sys

import pytest

from jax_ser_darts import config, main
from jax_ser_darts.search_space.genotype import GenotypeError

ROOT = pathlib.Path(__file__).parents[2]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jax_ser_darts.main", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.search.speed=9"], "speed"),
        (["--config.search.epochs=many"], "many"),
        (["--config.space.nodes=0"], "config.space.nodes = 0"),
        (["--config.data.corpus=ravdess", "--config.data.source=/nowhere"], "/nowhere"),
        (["--mode=dance"], "mode"),
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
        (["--config", "nope.py"], "there is no config file nope.py; in . are: none"),
        (["--config=configs/demo.py:quick"], "configs/demo.py has no variants"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, arguments, message):
    """One clear message, no traceback of ours, an exit status that tells."""
    done = command("--config=configs/demo.py", f"--workdir={tmp_path}", *arguments)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_missing_genotype_is_told_before_any_work(tmp_path):
    c = config.default()
    c.train.genotype = "nowhere.json"
    with pytest.raises(GenotypeError, match=r"no genotype file nowhere\.json"):
        main.run(c, tmp_path, "all")
    assert not list(tmp_path.iterdir())


def test_help_has_every_flag_of_the_command():
    told = command("--help").stdout
    flags = (
        "config",
        "workdir",
        "mode",
        "bundle",
        "memory",
        "compilation_cache",
        "beam_runner",
        "beam_options",
    )
    assert [name for name in flags if f"--{name}:" not in told] == []
