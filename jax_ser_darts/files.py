"""Files that are there whole, or not at all."""

import contextlib
import json
import os
import pathlib
import time
from typing import Any

from data_prep import disk
from jax_ser_darts.devices import hosts

RESUMES = "the run resumes from what is done"
SEEN_WITHIN = 120.0  # seconds; NFS may show for 60 no file where there was none before


def writing(path: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """`disk.explain_full`, for a file of a run."""
    return disk.explain_full(path, RESUMES)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file, and its folder where it is missing; on disk when this returns.

    Of several processes, all call this, and the first one writes. None goes on before all of them are here: so what
    one finds in the folder beforehand, and afterwards, the others find too.
    """
    hosts.barrier(f"before {path}")
    if hosts.is_primary():
        write_alone(path, text)
    hosts.barrier(f"after {path}")
    if not hosts.is_primary():
        see(path)


def see(path: pathlib.Path) -> None:
    """Waits until a file or folder that another process has written is seen here too."""
    ends = time.monotonic() + SEEN_WITHIN
    while not path.exists():
        if time.monotonic() > ends:
            raise FileNotFoundError(
                f"process 0 has written {path}, and process {hosts.index()} does not see it after {SEEN_WITHIN:g} s: "
                "the workdir must be on a file system that all processes see"
            )
        with contextlib.suppress(OSError):  # the folder may not be seen either
            os.listdir(path.parent)  # asks the server again
        time.sleep(0.2)


def write_alone(path: pathlib.Path, text: str) -> None:
    """As `write_text`, by this process alone: what no other one looks at."""
    with disk.replacing(path, RESUMES) as file:
        file.write(text.encode())
    sync_folder(path.parent)


def sync_folder(folder: pathlib.Path) -> None:
    """Brings a folder's list of names to the disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: pathlib.Path, value: Any) -> None:
    """As `write_text`, indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")
