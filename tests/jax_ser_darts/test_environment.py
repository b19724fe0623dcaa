"""With what a result was made: the commit of this code, if it is known, and not that of a repository around it."""

import subprocess

import pytest

from jax_ser_darts.environment import commit, run_with


@pytest.fixture
def repository(tmp_path):
    """A repository with one file in it, and the commit."""

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    (tmp_path / "code.py").write_text("1")
    git("init")
    git("add", "code.py")
    git("commit", "-m", "one")
    return tmp_path, git("rev-parse", "HEAD")


def test_the_commit_is_that_of_the_file_and_says_when_something_has_changed(repository):
    folder, head = repository
    assert commit(folder / "code.py") == head
    (folder / "code.py").write_text("2")
    assert commit(folder / "code.py") == f"{head}+"


def test_an_installed_copy_inside_a_repository_is_of_no_commit(repository):
    folder, _ = repository
    (folder / "installed.py").write_text("1")
    assert commit(folder / "installed.py") is None


def test_machine_and_versions_are_known_in_any_case():
    about = run_with()
    assert about["machine"]
    assert about["versions"]["jax"]
