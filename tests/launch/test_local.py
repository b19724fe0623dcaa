"""launch/local.sh: says what it would run, and that is a command the program takes."""

import pathlib
import shlex
import subprocess

SCRIPT = pathlib.Path(__file__).parents[2] / "launch" / "local.sh"


def run(*arguments):
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=60)


def test_help_teaches():
    done = run("--help")
    assert done.returncode == 0
    assert "--dry-run" in done.stdout
    assert "example:" in done.stdout


def test_a_dry_run_prints_the_command_and_runs_nothing(tmp_path):
    workdir = tmp_path / "a b"
    for given in ([f"--workdir={workdir}"], ["--workdir", str(workdir)]):
        done = run("--dry-run", "--config=configs/demo.py", *given)
        command, _, log = done.stdout.partition(">>")
        expected = ["python", "-m", "jax_ser_darts.main", "--config=configs/demo.py", f"--workdir={workdir}"]
        assert shlex.split(command) == expected
        assert shlex.split(log) == [f"{workdir}/log.txt"]
    assert not workdir.exists()


def test_without_a_workdir_it_says_so():
    done = run("--config=configs/demo.py")
    assert done.returncode == 2
    assert "--workdir=DIR is missing" in done.stderr


def test_a_workdir_without_its_value_is_told():
    done = run("--config=configs/demo.py", "--workdir")
    assert done.returncode == 2
    assert "--workdir needs a value" in done.stderr


def test_its_command_is_one_that_the_program_takes(tmp_path):
    """Run for real with a config that fails its check: the program's own message is in the log."""
    done = run("--config=configs/demo.py", "--config.space.nodes=0", f"--workdir={tmp_path}")
    assert done.returncode == 0
    process = int(done.stdout.split("process ")[1].split(";")[0])
    subprocess.run(["tail", f"--pid={process}", "-f", "/dev/null"], timeout=300, check=True)
    assert "config.space.nodes = 0" in (tmp_path / "log.txt").read_text()
