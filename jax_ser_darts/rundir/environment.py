"""With what a result was made: the commit of this code, the versions of what it stands on, the machine."""

import datetime
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

PACKAGE = pathlib.Path(__file__).parents[1]
CODE = (
    "jax_ser_darts",
    "data_prep",
    "configs",
)  # what a result hangs on, beside each other in the repository
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
        "commit": commit(PACKAGE / "__init__.py"),
        "machine": f"{_processor()}, {os.cpu_count()} core(s), {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def code(modules: Sequence[str] = ()) -> dict[str, Any]:
    """What makes two processes run the same program: commit, versions, and the SHA-256 of all Python files.

    Args:
        modules: of the user, imported: their files too.
    """
    files = [path for folder in CODE for path in (PACKAGE.parent / folder).rglob("*.py")]
    files += [
        pathlib.Path(file) for name in modules if (file := getattr(sys.modules.get(name), "__file__", None))
    ]
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: (path.name, str(path))):
        digest.update(path.name.encode() + path.read_bytes())
    known = run_with()
    return {**{name: known[name] for name in ("commit", "python", "versions")}, "code": digest.hexdigest()}


def commit(file: pathlib.Path) -> str | None:
    """The commit that a file of this code is of, "+" added where the code is not as it was committed.

    That is where something of CODE has changed since, or has a new Python file that git does not ignore.

    Args:
        file: in one of the folders CODE of a git working tree.

    Returns:
        None where there is no git, or the file is not one of the repository around it, such as an installed copy.
    """
    root = file.parents[1]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
            )
        except OSError:
            return None
        return None if done.returncode else done.stdout.strip()

    known = git("ls-files", "--error-unmatch", "--", str(file.relative_to(root)))
    if known is None or (head := git("rev-parse", "HEAD")) is None:
        return None
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
    new = git("ls-files", "--others", "--exclude-standard", "--", *(f"{folder}/*.py" for folder in CODE))
    return head + ("+" if changed or new else "")


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"
