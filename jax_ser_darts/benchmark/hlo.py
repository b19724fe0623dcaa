"""Reading the text of a compiled program (`compiled.as_text()`)."""

import collections
import math
import re

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_ARRAY = re.compile(r"\b([a-z]+)(\d*)\[([\d,]*)\]")
_CALLED = re.compile(r"(?:to_apply|body|condition)=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
CALLS = frozenset(("call", "while", "conditional"))


def parse(text: str) -> tuple[dict[str, list[tuple[str, str, str, str]]], str]:
    """{computation: [(name, shape, operation, the rest of its line)]}, and the name of the first to run."""
    computations: dict[str, list[tuple[str, str, str, str]]] = collections.defaultdict(list)
    current = entry = ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = header[1]
            entry = current if line.startswith("ENTRY") else entry
        elif instruction := _INSTRUCTION.match(line):
            name, shape, operation, rest = instruction.groups()
            computations[current].append((name, shape, operation, rest))
    return computations, entry


def size(shape: str) -> int:
    """Bytes of an array or a tuple of them, such as f32[8,128] or (s8[4], pred[])."""
    return sum(
        math.prod(int(n) for n in sides.split(",") if n) * int(bits or 8) // 8
        for _, bits, sides in _ARRAY.findall(shape)
    )


def called(rest: str) -> list[str]:
    """The computations that an instruction of CALLS runs, from the rest of its line."""
    return _CALLED.findall(rest)


def trips(rest: str) -> int:
    """How often a loop runs its body, from the rest of its line; 1 where the compiler does not say."""
    trips = _TRIPS.search(rest)
    return int(trips[1]) if trips else 1
