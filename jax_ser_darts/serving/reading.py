"""How the files of a bundle are read, whoever made it: regular files of a sensible size, and JSON of finite numbers."""

import errno
import json
import math
import os
import pathlib
import stat
from typing import Any

from jax_ser_darts.errors import UserError

_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)  # for the writer of a pipe
_FLAGS = os.O_RDONLY | _WITHOUT_WAITING | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class BundleError(UserError):
    """The folder is no bundle that can be used; the message says why, and what to do."""


def read(path: pathlib.Path, *, largest: int) -> bytes:
    """The content of a regular file; no link is followed.

    Args:
        path: of the file.
        largest: bytes that it may have; of a larger one nothing is read.

    Raises:
        BundleError: it is missing, too large, or something else than a file.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{path} is missing: a bundle is a folder that `jax-ser-darts export` wrote"
        ) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BundleError(
                f"{path} is a link, and not a regular file: copy the bundle with what its links lead to (cp -rL)"
            ) from None
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise BundleError(f"{path} is not a regular file")
        if about.st_size > largest:
            raise BundleError(f"{path} is larger than {largest} bytes: it is not of a bundle")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(about.st_size)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def json_object(content: bytes, path: pathlib.Path) -> dict[str, Any]:
    """The object of a JSON file.

    Args:
        content: of the file.
        path: of the file, for messages.

    Raises:
        BundleError: it is no JSON, or a number in it is not finite, or it is no object.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    def finite(text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text} is beyond the numbers of a computer")
        return number

    try:
        value = json.loads(content.decode(), parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BundleError(f"{path} holds no JSON object")
    return value
