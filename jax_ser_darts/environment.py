"""With what a result was made: the commit of this code, the versions of what it stands on, the machine."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn", "tensorflow")


def environment(module: str = "main") -> dict[str, Any]:
    """Where, when and by which command this process runs; `module` is the command's."""
    return {
        "command": " ".join([f"python -m jax_ser_darts.{module}", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **run_with(),
    }


def run_with() -> dict[str, Any]:
    """What is the same for all that this process does: commit (None where it is not known), machine, versions."""
    return {
        "commit": commit(pathlib.Path(__file__)),
        "machine": f"{_processor()}, {os.cpu_count()} core(s), {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def commit(file: pathlib.Path) -> str | None:
    """The commit that a file of a git working tree is of, "+" added where its folder has changed since.

    None where there is no git, or the file is not one of the repository around it, such as an installed copy.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(file.parent), *arguments], capture_output=True, text=True, check=False
            )
        except OSError:
            return None
        return None if done.returncode else done.stdout.strip()

    if git("ls-files", "--error-unmatch", file.name) is None or (head := git("rev-parse", "HEAD")) is None:
        return None
    return head + ("+" if git("status", "--porcelain", "--untracked-files=no", ".") else "")


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"
