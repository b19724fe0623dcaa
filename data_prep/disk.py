"""Files that are there whole or not at all, and errors of a full disk.

A full disk has many names (the system's, TensorFlow's, a Beam worker's), most of them without a place.
"""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

# Error number -> what to do about it.
FULL = {
    errno.ENOSPC: "make space",
    errno.EDQUOT: "make space or have the quota raised",
    errno.EFBIG: "have the limit on a file's size raised (ulimit -f)",
}


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it came from, as a traceback shows them."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def full(error: BaseException) -> int | None:
    """Which number of FULL an error is about, by its own number or in the system's words; None of another error."""
    for cause in chain(error):
        if isinstance(cause, OSError) and cause.errno in FULL:
            return cause.errno
        for number in FULL:
            if os.strerror(number) in str(cause):
                return number
    return None


@contextlib.contextmanager
def explain_full(path: str | os.PathLike[str], then: str) -> Iterator[None]:
    """Turns the error of a full disk into an OSError with the place and what to do.

    Args:
        path: the file or folder that is written.
        then: what starting again does: "the records are made anew".

    Raises:
        OSError: with the error's own number and the system's words for it. All other errors pass as they are.
    """
    try:
        yield
    except Exception as error:
        number = full(error)
        if number is None:
            raise
        text = f"{os.strerror(number)}; {FULL[number]} and start again: {then}"
        raise OSError(number, text, str(pathlib.Path(path))) from error


@contextlib.contextmanager
def replacing(path: pathlib.Path, then: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of another when it is whole and on disk; of one that fails nothing stays.

    Args:
        path: the file; its folder is made where it is missing.
        then: see `explain_full`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # two processes may write the same file
    try:
        with explain_full(path, then), temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
