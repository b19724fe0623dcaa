"""With what a result was made: the commit of this code, if it is known, and not that of a repository around it."""

import importlib
import subprocess

import pytest

from jax_ser_darts.rundir.environment import code, commit, run_with


@pytest.fixture
def repository(tmp_path):
    """A file of a repository that holds this code's folders, and the commit."""

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    for name in ("jax_ser_darts/code.py", "data_prep/corpora/reader.py", "configs/demo.py", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / ".gitignore").write_text("ignored.py")
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    return tmp_path / "jax_ser_darts" / "code.py", git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("changed", "sign"),
    [
        ("jax_ser_darts/code.py", "+"),
        ("data_prep/corpora/reader.py", "+"),
        ("configs/demo.py", "+"),
        ("configs/new.py", "+"),
        ("jax_ser_darts/deeper/new.py", "+"),
        ("jax_ser_darts/notes.txt", ""),  # nothing imports it
        ("jax_ser_darts/ignored.py", ""),
        ("README.md", ""),
        ("tests/new.py", ""),
    ],
)
def test_the_commit_is_that_of_the_file_and_says_when_code_has_changed(repository, changed, sign):
    file, head = repository
    assert commit(file) == head
    path = file.parents[1] / changed
    path.parent.mkdir(exist_ok=True)
    path.write_text("2")
    assert commit(file) == head + sign


def test_an_installed_copy_inside_a_repository_is_of_no_commit(repository):
    file, _ = repository
    installed = file.with_name("installed.py")
    installed.write_text("1")
    assert commit(installed) is None


def test_machine_and_versions_are_known_in_any_case():
    about = run_with()
    assert about["machine"]
    assert about["versions"]["jax"]


def test_two_processes_run_the_same_code_where_every_file_is_the_same(tmp_path, monkeypatch):
    """Of the package, and of the modules that a config names."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "extension_of_mine.py").write_text("A = 1")
    importlib.import_module("extension_of_mine")
    before = code(["extension_of_mine"])
    assert before == code(["extension_of_mine"]) != code()
    (tmp_path / "extension_of_mine.py").write_text("A = 2")
    assert code(["extension_of_mine"])["code"] != before["code"]
    assert code(["extension_of_mine"])["versions"] == before["versions"]
