"""A disk that takes no more: known in whoever's words, told in the system's, and nothing else taken for it."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest

from data_prep import disk

ROOT = pathlib.Path(__file__).parents[2]
NUMBERS = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG]


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
@pytest.mark.parametrize(
    "error",
    [
        lambda number: OSError(number, os.strerror(number)),
        lambda number: RuntimeError(f"RESOURCE_EXHAUSTED: /records/a; {os.strerror(number)}"),
        lambda number: raised_from(ValueError("flush failed"), OSError(number, os.strerror(number))),
    ],
    ids=["the system's", "in words", "its cause"],
)
def test_each_is_told_by_its_own_name_with_the_place_and_what_to_do(number, error):
    with (
        pytest.raises(OSError, match="and start again: all is made anew") as caught,
        disk.explain_full("/a/b", "all is made anew"),
    ):
        raise error(number)
    assert (caught.value.errno, caught.value.filename) == (number, "/a/b")
    assert caught.match(f"{os.strerror(number)}; {disk.FULL[number].split('(')[0]}")


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "Permission denied"), ValueError("too large"), KeyError(28)]
)
def test_what_is_something_else_stays_as_it_is(error):
    with pytest.raises(type(error)) as caught, disk.explain_full("/a/b", "all is made anew"):
        raise error
    assert caught.value is error


LIMITED = """
import pathlib, resource, sys
from data_prep import disk
path = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
with disk.explain_full(path, "it is made anew"):
    path.write_bytes(bytes(4096))
"""


def test_a_limit_on_a_files_size_is_not_called_a_full_disk(tmp_path):
    """In a process of its own: the limit would hold for the log of the tests too."""
    pytest.importorskip("resource")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "file")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "File too large; have the limit" in done.stderr
