"""The candidate operations of a CNN cell: those of the original paper, by their DARTS names, and a user's own.

Source: Liu, Simonyan, Yang (2019), DARTS, section 3.1; Rajapakshe et al. (2023) use the same eight. A module of the
user registers more of them, see `register` and docs/extending.md.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jax_ser_darts.errors import UserError

MAX, AVERAGE = "max", "average"
LARGEST = 11  # positions a side of a kernel or window


class OperationError(UserError):
    """An operation cannot be registered, or its module cannot be one of a search space; the message says why."""


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A (ReLU, depthwise k x k, pointwise, BN) stage, once or more often; the first one has the stride.

    Attributes:
        kernel: k, odd.
        dilation: of the depthwise kernel.
        stages: 2 for DARTS's separable convolutions, 1 for its dilated ones.
    """

    kernel: int
    dilation: int = 1
    stages: int = 2

    def __post_init__(self):
        sizes = self.kernel, self.dilation, self.stages
        if not all(type(n) is int and 1 <= n <= LARGEST for n in sizes) or self.kernel % 2 == 0:
            raise OperationError(
                f"{self}: an odd kernel is needed, a dilation and stages, all whole numbers from 1 to {LARGEST}"
            )

    @property
    def pad(self) -> int:
        """Zeros needed on each side to keep the size."""
        return self.dilation * (self.kernel // 2)


@dataclasses.dataclass(frozen=True)
class Pooling:
    """The largest or the mean of the valid positions of each window.

    Attributes:
        kind: MAX or AVERAGE.
        window: positions a side, odd.
    """

    kind: str
    window: int = 3

    def __post_init__(self):
        if self.kind not in (MAX, AVERAGE) or self.window not in range(3, LARGEST + 1, 2):
            raise OperationError(f"{self}: max or average is needed, of an odd window from 3 to {LARGEST}")


@dataclasses.dataclass(frozen=True)
class Custom:
    """A Flax module, or a function, of the user.

    Attributes:
        build: (channels, stride) -> a module or function from x `[B, T, F, channels]`, zero on padding, to
            `[B, ceil(T / stride), ceil(F / stride), channels]`. It may have parameters, and no other variables. If it
            has an argument `mask`, it gets 1 on valid positions and 0 on padding, `[B, T, F, 1]`.
    """

    build: Callable[[int, int], Any]


Operation = Convolution | Pooling | Custom
NONE, MAX_POOL, AVG_POOL, SKIP = "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"
OPERATIONS = (
    MAX_POOL,
    AVG_POOL,
    SKIP,
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    NONE,
)
_DESCRIBED = {"convolution": Convolution, "pooling": Pooling}
_registered: dict[str, Operation] = {
    MAX_POOL: Pooling(MAX),
    AVG_POOL: Pooling(AVERAGE),
    "sep_conv_3x3": Convolution(kernel=3),
    "sep_conv_5x5": Convolution(kernel=5),
    "dil_conv_3x3": Convolution(kernel=3, dilation=2, stages=1),
    "dil_conv_5x5": Convolution(kernel=5, dilation=2, stages=1),
}


def register(name: str, operation: Operation | None = None) -> Any:
    """Adds an operation that `config.space.operations` and genotypes may name from then on.

        register("sep_conv_7x7", Convolution(kernel=7))

        @register("squeeze")
        def squeeze(channels: int, stride: int) -> nn.Module: ...

    Args:
        name: letters, digits and underscores.
        operation: what it is; without it, this is a decorator of a function as `Custom.build`.

    Raises:
        OperationError: the name is no name, or is that of another operation.
    """
    if operation is None:

        def decorate(build):
            register(name, Custom(build))
            return build

        return decorate
    if not name.isidentifier():
        raise OperationError(f"operation {name!r}: a name of letters, digits and underscores is needed")
    if name in (NONE, SKIP) or _registered.get(name, operation) != operation:
        raise OperationError(f"operation {name!r} is registered already, as {specification(name)}")
    _registered[name] = operation
    return operation


def names() -> tuple[str, ...]:
    """All operations that there are, those of DARTS first."""
    return (*OPERATIONS, *(name for name in _registered if name not in OPERATIONS))


def specification(name: str) -> Operation | None:
    """What an operation is; None of SKIP and NONE, which every search space has in its own way."""
    return None if name in (NONE, SKIP) else _registered[name]


def of_kind(kind: type, operations: Sequence[str]) -> Mapping[str, Any]:
    """Name -> specification of those of the operations that are a Convolution, a Pooling or Custom, in their order."""
    specs = {name: specification(name) for name in operations}
    return {name: spec for name, spec in specs.items() if isinstance(spec, kind)}


def is_learnable(name: str) -> bool:
    """Whether an operation may have parameters whatever its stride."""
    return isinstance(_registered.get(name), Convolution | Custom)


def describe(operations: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Those of the operations that are not DARTS's, as JSON has them, for `register_described` elsewhere."""
    described = {}
    for name in sorted(set(operations) - set(OPERATIONS)):
        spec = _registered[name]
        if isinstance(spec, Custom):
            described[name] = {"type": "custom", "module": spec.build.__module__}
        else:
            described[name] = {"type": type(spec).__name__.lower(), **dataclasses.asdict(spec)}
    return described


def register_described(described: Mapping[str, Any]) -> None:
    """Registers what `describe` described.

    Raises:
        OperationError: it is not such a description, another operation has a name, or a module has to be imported.
    """
    for name, entry in described.items():
        fields = dict(entry) if isinstance(entry, Mapping) else {}
        kind = fields.pop("type", None)
        if kind == "custom":
            if not isinstance(_registered.get(name), Custom):
                raise OperationError(
                    f"operation {name!r} is registered by the module {fields.get('module')}: import it first"
                )
            continue
        if kind not in _DESCRIBED or not isinstance(name, str):
            raise OperationError(f"operation {name!r}: {entry!r} describes none")
        try:
            spec = _DESCRIBED[kind](**fields)
        except (OperationError, TypeError) as error:
            raise OperationError(f"operation {name!r}: {entry!r} describes none ({error})") from None
        register(name, spec)


def check_operations(operations: Sequence[str]) -> tuple[str, ...]:
    """The operations as a tuple.

    Raises:
        ValueError: for an unknown or repeated name, or where nothing but `none` could be chosen.
    """
    unknown = [name for name in operations if name not in names()]
    if unknown:
        raise ValueError(
            f"unknown operations {unknown}; there are {', '.join(names())}, and those that a module named in "
            "config.extensions registers"
        )
    if len(set(operations)) != len(operations):
        raise ValueError(f"an operation is named twice: {', '.join(operations)}")
    if not set(operations) - {NONE}:
        raise ValueError("a search space needs at least one operation besides 'none'")
    return tuple(operations)
