"""How many bytes a compiled program moves, at least: what its kernels read and write, each array once a kernel.

XLA's own count ("bytes accessed") takes an array that a kernel reads at 25 shifted places 25 times, although all but
the first come from a cache. This one reads the program's text.
"""

import functools
import re

from jax_ser_darts.benchmark import hlo

_FREE = frozenset(("parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all"))


def traffic(text: str) -> float:
    """Bytes of operands and results of all kernels that a program runs; the bodies of loops count once.

    Args:
        text: of the compiled program (`compiled.as_text()`).
    """
    computations, entry = hlo.parse(text)

    @functools.cache
    def of(name):
        sizes = {instruction: hlo.size(shape) for instruction, shape, _, _ in computations[name]}
        total = 0
        for instruction, _, operation, rest in computations[name]:
            if operation in hlo.CALLS:
                total += sum(of(called) for called in hlo.called(rest))
            elif operation not in _FREE:
                operands = set(re.findall(r"%([\w.\-]+)", rest.split("), ")[0]))
                total += sizes[instruction] + sum(sizes.get(operand, 0) for operand in operands)
        return total

    return of(entry)
