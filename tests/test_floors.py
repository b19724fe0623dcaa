"""Imports only go down: a room knows nothing of what is above it. The table of docs/code.md is the order."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "jax_ser_darts"
ELSEWHERE = {
    "data_prep": ROOT / "data_prep",
    "configs": ROOT / "configs",
}  # rooms that lie beside the package
ROOMS = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", (ROOT / "docs" / "code.md").read_text(), re.MULTILINE)


def imported(file):
    """The rooms that a file imports from, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for package, _, path in (name.partition(".") for name in names):
            if package in ELSEWHERE:
                yield package
            elif package == PACKAGE.name:
                room = path.partition(".")[0]
                yield room if room in ROOMS else "__init__"


def files(room):
    folder = ELSEWHERE.get(room, PACKAGE / room)
    return sorted(folder.rglob("*.py")) or [PACKAGE / f"{room}.py"]


def test_every_room_is_in_the_table_once():
    rooms = [
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    assert sorted(ROOMS) == sorted([*rooms, "data_prep"])


@pytest.mark.parametrize("room", ROOMS)
def test_imports_only_go_down(room):
    lower = ROOMS[: ROOMS.index(room) + 1]
    assert [
        f"{file.relative_to(ROOT)} imports {other}"
        for file in files(room)
        for other in imported(file)
        if other not in lower
    ] == []
