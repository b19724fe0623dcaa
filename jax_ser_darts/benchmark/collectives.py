"""What devices send to each other in a compiled program: how many messages, and of how many bytes.

Gradients are averaged once a program; batch-norm statistics are summed over the devices wherever an activation is
normalised, forward and back, so that they are those of the global batch.
"""

import dataclasses
import functools

from jax_ser_darts.benchmark import hlo

OPERATIONS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# An accelerator starts them, does something else meanwhile, and has the result when they are done.
_MESSAGES = {*OPERATIONS, *(f"{name}-done" for name in OPERATIONS)}


@dataclasses.dataclass(frozen=True)
class Collectives:
    """Messages of a program or a step.

    Attributes:
        count: collective operations, each a message that all wait for.
        bytes: of their results on one device.
    """

    count: int
    bytes: int

    def __add__(self, other):
        return Collectives(self.count + other.count, self.bytes + other.bytes)

    def __mul__(self, times):
        return Collectives(self.count * times, self.bytes * times)


NOTHING = Collectives(0, 0)


def collectives(text: str) -> Collectives:
    """Those of a program, the body of a loop as often as it runs.

    Args:
        text: of the compiled program (`compiled.as_text()`).
    """
    computations, entry = hlo.parse(text)

    @functools.cache
    def count(name):
        total = NOTHING
        for _, shape, operation, rest in computations[name]:
            if operation in hlo.CALLS:
                inside = sum((count(called) for called in hlo.called(rest)), NOTHING)
                total += inside * (hlo.trips(rest) if operation == "while" else 1)
            elif operation in _MESSAGES:
                total += Collectives(1, hlo.size(shape))
        return total

    return count(entry)
