"""The SHA-256 of every file of a folder, in a file beside them: `sha256sum -c SHA256SUMS` checks them, too."""

import hashlib
import pathlib

from data_prep import disk
from jax_ser_darts.errors import UserError

FILE_NAME = "SHA256SUMS"
_HEX = 64  # digits of a checksum


class SumsError(UserError):
    """A folder does not hold the files that were written; the message names the first that differ."""


def of(path: pathlib.Path) -> str:
    """The SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: pathlib.Path, then: str) -> None:
    """Writes FILE_NAME of all that is in a folder; `then` as of `disk.explain_full`."""
    lines = "".join(f"{of(folder / name)}  {name}\n" for name in _files(folder))
    with disk.replacing(folder / FILE_NAME, then) as file:
        file.write(lines.encode())


def check(folder: pathlib.Path) -> None:
    """Whether a folder holds what `write` has found in it, no more and no less.

    Raises:
        SumsError: it does not.
    """
    path = folder / FILE_NAME
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SumsError(f"{path} is missing or damaged ({type(error).__name__})") from None
    written = {line[_HEX + 2 :]: line[:_HEX] for line in lines}
    there = _files(folder)
    problems = [f"{name} is missing" for name in sorted({*written} - {*there})]
    for name in there:
        if name not in written:
            problems.append(f"{name} is not of it")
        elif of(folder / name) != written[name]:
            problems.append(f"{name} is not the file that was written (its SHA-256 is another)")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise SumsError("; ".join(problems[:3]) + more)


def _files(folder: pathlib.Path) -> list[str]:
    """Every file below a folder but FILE_NAME and hidden ones, as they are named below it."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    visible = (name for name in names if not any(part.startswith(".") for part in name.parts))
    return sorted(name.as_posix() for name in visible if name.as_posix() != FILE_NAME)
