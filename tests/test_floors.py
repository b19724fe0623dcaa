"""Imports only go down: what lies lower knows nothing of what is above it. README's last table is the order."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "jax_ser_darts"
TABLE = (ROOT / "README.md").read_text().split("## The code")[1]
FLOORS = [
    re.findall(r"`(\w+)(?:/|\.py)`", cell) for cell in re.findall(r"^\| (`[^|]+) \|", TABLE, re.MULTILINE)
]
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}


def imported(file):
    """The rooms of the package that a file imports from, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        package, *path = node.module.split(".")
        if package == PACKAGE.name:
            yield from path[:1] or [name.name for name in node.names]


def rooms():
    return sorted(
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    )


def test_every_room_has_a_floor():
    assert sorted(HEIGHT) == [room for room in rooms() if room != "__init__"]


@pytest.mark.parametrize("room", sorted(HEIGHT))
def test_imports_only_go_down(room):
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    up = [
        f"{file.relative_to(ROOT)} imports {other}"
        for file in files
        for other in imported(file)
        if other != room and HEIGHT[other] > HEIGHT[room]
    ]
    assert up == []
