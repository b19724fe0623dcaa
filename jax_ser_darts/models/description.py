"""A network as plain JSON, and back: what is needed to use it, not what only its training needs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jax_ser_darts.errors import UserError
from jax_ser_darts.models.baselines import BASELINES, WIDTH, Baseline, registered
from jax_ser_darts.models.network import Network
from jax_ser_darts.models.stem import STEMS
from jax_ser_darts.ops.backend import REFERENCE
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space import operations
from jax_ser_darts.search_space.operations import OperationError

MODEL = "model"  # the entry that names which of these it is, or REGISTERED
OPERATIONS = "operations"  # the entry of operations that an extension has registered, if the genotype has any
MODELS = {"genotype": Network, "baseline": Baseline}
_NAMES = {"kind": BASELINES, "stem": STEMS}  # entries that are no sizes
REGISTERED = "registered"  # a baseline of the user: its name and module are entries beside its sizes
_OF_TRAINING = ("dropout", "auxiliary", "momentum")
_OF_THE_PROGRAM = ("parent", "name", "backend", "axis_name", "dtype")
# A description asks for no network that fills the machine, or takes it for hours, while it is built.
_LARGEST = 4096  # of any size
# Of all cells together: twenty cells of four nodes have 160 edges, and 8,000 taps if all are sep_conv_5x5.
_MOST_EDGES, _MOST_TAPS = 1024, 2**15


class DescriptionError(UserError):
    """No network can be built from this; the message says why."""


def describe(network: nn.Module) -> dict[str, Any]:
    """Which model it is and its sizes, as JSON has them."""
    for name, module in registered().items():
        if type(network) is module:
            sizes = {key: getattr(network, key) for key in ("classes", WIDTH) if hasattr(network, key)}
            return {MODEL: REGISTERED, "name": name, "module": module.__module__, **sizes}
    (model,) = (name for name, made in MODELS.items() if type(network) is made)
    values = {name: _plain(getattr(network, name)) for name in _fields(type(network))}
    own = operations.describe(network.genotype.cnn_operations()) if isinstance(network, Network) else {}
    return {MODEL: model, **values, **({OPERATIONS: own} if own else {})}


def build(description: Mapping[str, Any]) -> nn.Module:
    """The network that `describe` described, without what only training needs.

    Raises:
        DescriptionError: unknown model, unknown or missing entries, a size that is none, or an operation that cannot be
            registered here.
        GenotypeError: of the genotype.
    """
    model = description.get(MODEL) if isinstance(description, Mapping) else None
    if model == REGISTERED:
        return _build_registered(description)
    if not isinstance(model, str) or model not in MODELS:
        raise DescriptionError(f'the network\'s "{MODEL}" is not one of {", ".join(MODELS)}')
    kind = MODELS[model]
    entries = {name: value for name, value in description.items() if name not in (MODEL, OPERATIONS)}
    own = description.get(OPERATIONS, {})
    if not isinstance(own, Mapping):
        raise DescriptionError(f"the network's {OPERATIONS} are {own!r}, and not an object")
    try:
        operations.register_described(own)
    except OperationError as error:
        raise DescriptionError(str(error)) from error
    if unknown := sorted(set(entries) - set(_fields(kind))):
        raise DescriptionError(
            f"the network has unknown entries {', '.join(unknown)}: a newer version made it"
        )
    needed = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
    if missing := sorted(needed & set(_fields(kind)) - set(entries)):
        raise DescriptionError(f"the network lacks the entries {', '.join(missing)}")
    for name, value in entries.items():
        if name == "genotype":
            entries[name] = genotypes.from_json(value)
        elif name == "reductions":
            entries[name] = None if value is None else frozenset(map(_size, _list(name, value)))
        elif name in _NAMES:
            if value not in _NAMES[name]:
                raise DescriptionError(
                    f"the network's {name} {value!r} is not one of {', '.join(_NAMES[name])}"
                )
        else:
            entries[name] = _size(value)
    network = kind(**entries)
    if isinstance(network, Network):
        _check_cells(network)
    return network


def with_reference_kernels(network: nn.Module) -> nn.Module:
    """The network with plain XLA operations; a baseline of the user has no others."""
    return network.clone(backend=REFERENCE) if hasattr(network, "backend") else network


def _build_registered(description: Mapping[str, Any]) -> nn.Module:
    name, module = description.get("name"), description.get("module")
    if not isinstance(name, str) or name not in registered():
        raise DescriptionError(f"the network {name!r} is registered by the module {module}: import it first")
    sizes = {key: _size(value) for key, value in description.items() if key in ("classes", WIDTH)}
    if set(description) - set(sizes) != {MODEL, "name", "module"} or "classes" not in sizes:
        raise DescriptionError(f"the network {name!r} has other entries than its name, module and sizes")
    return registered()[name](**sizes)


def _check_cells(network: Network) -> None:
    """Whether all cells together are few enough: each edge, and each tap of a kernel, is a part of the program."""
    genotype = network.genotype
    cells = dict.fromkeys(genotypes.CNN_CELLS, network.cells)
    cells |= {genotypes.SEQUENCE: network.sequence_cells} if genotype.sequence else {}
    edges = sum(number * len(genotype.operations(name)) for name, number in cells.items())
    taps = network.cells * sum(
        spec.stages * spec.kernel**2
        for name in genotypes.CNN_CELLS
        for spec in map(operations.specification, genotype.operations(name))
        if isinstance(spec, operations.Convolution)
    )
    if edges > _MOST_EDGES or taps > _MOST_TAPS:
        raise DescriptionError(
            f"the network's cells have {edges} edges, and kernels of {taps} taps; at most {_MOST_EDGES} and "
            f"{_MOST_TAPS} are taken"
        )


def _fields(kind: type) -> list[str]:
    skipped = {*_OF_TRAINING, *_OF_THE_PROGRAM}
    return [field.name for field in dataclasses.fields(kind) if field.name not in skipped]


def _plain(value: Any) -> Any:
    if isinstance(value, genotypes.Genotype):
        return value.to_json()
    return sorted(value) if isinstance(value, frozenset) else value


def _list(name: str, value: Any) -> list:
    if not isinstance(value, list):
        raise DescriptionError(f"the network's {name} are {value!r}, and not a list")
    return value


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise DescriptionError(f"{value!r} is no size of a network: whole numbers from 0 to {_LARGEST} are")
    return value
