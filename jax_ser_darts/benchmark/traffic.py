"""How many bytes a compiled program moves, at least: what its kernels read and write, each array once a kernel.

XLA's own count ("bytes accessed") takes an array that a kernel reads at 25 shifted places 25 times, although all but
the first come from a cache. This one reads the program's text.
"""

import collections
import functools
import math
import re

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_ARRAY = re.compile(r"\b([a-z]+)(\d*)\[([\d,]*)\]")
_CALLED = re.compile(r"(?:to_apply|body|condition)=%?([\w.\-]+)")
_CALLS = frozenset(("call", "while", "conditional"))
_FREE = frozenset(("parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all"))


def traffic(text: str) -> float:
    """Bytes of operands and results of all kernels that a program runs; the bodies of loops count once.

    Args:
        text: of the compiled program (`compiled.as_text()`).
    """
    computations, entry = _parse(text)

    @functools.cache
    def of(name):
        sizes = {instruction: _bytes(shape) for instruction, shape, _, _ in computations[name]}
        total = 0
        for instruction, _, operation, rest in computations[name]:
            if operation in _CALLS:
                total += sum(of(called) for called in _CALLED.findall(rest))
            elif operation not in _FREE:
                operands = set(re.findall(r"%([\w.\-]+)", rest.split("), ")[0]))
                total += sizes[instruction] + sum(sizes.get(operand, 0) for operand in operands)
        return total

    return of(entry)


def _parse(text):
    """{computation: [(name, shape, operation, the rest of its line)]}, and the name of the first to run."""
    computations, current, entry = collections.defaultdict(list), None, None
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = header[1]
            entry = current if line.startswith("ENTRY") else entry
        elif instruction := _INSTRUCTION.match(line):
            computations[current].append(instruction.groups())
    return computations, entry


def _bytes(shape: str) -> int:
    """Of an array or a tuple of them, such as f32[8,128] or (s8[4], pred[])."""
    return sum(
        math.prod(int(n) for n in sides.split(",") if n) * int(bits or 8) // 8
        for _, bits, sides in _ARRAY.findall(shape)
    )
