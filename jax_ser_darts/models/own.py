"""A module or function of the user as an operation on an edge, see `search_space.operations.Custom`."""

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ser_darts.ops.masks import ValidPositions
from jax_ser_darts.ops.pooling import on_valid
from jax_ser_darts.search_space.operations import Custom, OperationError, specification

OWN = "own"  # the name of all that holds parameters of such modules: they have initialisers of their own

Tree = Any


def build(name: str, channels: int, stride: int) -> Any:
    """The module or function of an operation."""
    spec = specification(name)
    if not isinstance(spec, Custom):
        raise OperationError(f"operation {name!r} has no module or function of a user's")
    # Flax would make a child of what is made while a module runs; what runs is known to each thread alone.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(spec.build, channels, stride).result()


def init_params(
    name: str, key: jax.Array, *, channels: int, stride: int, size: tuple[int, int], dtype: jnp.dtype
) -> Tree:
    """The parameters of an operation, by the module's own initialisers; {} of a function.

    Args:
        name: of the operation.
        key: of the draws.
        channels, stride: what it is built with.
        size: (T, F) of its input.
        dtype: of its input.

    Raises:
        OperationError: the module has variables that are no parameters.
    """
    module = build(name, channels, stride)
    if not isinstance(module, nn.Module):
        return {}
    mask: dict[str, Any] = {"mask": jnp.ones((1, *size, 1), dtype)} if _takes_mask(module) else {}
    variables = module.init(key, jnp.zeros((1, *size, channels), dtype), **mask)
    if others := sorted(set(variables) - {"params"}):
        raise OperationError(
            f"operation {name!r}: its module has the variables {', '.join(others)}; it may have parameters alone"
        )
    return variables.get("params", {})


def apply(
    name: str, params: Tree, x: jax.Array, stride: int, before: ValidPositions, after: ValidPositions
) -> jax.Array:
    """The operation of `[C, T, F, B]` with parameters that are given: `[C, T', F', B]`, zero on padding."""
    module = build(name, x.shape[0], stride)
    function = module
    if isinstance(module, nn.Module):
        function = lambda *inputs, **mask: module.apply({"params": params}, *inputs, **mask)
    return _call(name, module, function, x, before, after)


class OwnOperation(nn.Module):
    """The operation in a discrete network, with parameters of its own."""

    operation: str

    @nn.compact
    def __call__(self, x: jax.Array, stride: int, before: ValidPositions, after: ValidPositions) -> jax.Array:
        """`[C, T, F, B]` -> `[C, T', F', B]`, zero on padding."""
        module = build(self.operation, x.shape[0], stride)
        if isinstance(module, nn.Module):
            module = module.clone(parent=self)
        return _call(self.operation, module, module, x, before, after)


def _call(
    name: str, module: Any, function: Callable, x: jax.Array, before: ValidPositions, after: ValidPositions
) -> jax.Array:
    mask = {"mask": before.mask.transpose(3, 1, 2, 0)} if _takes_mask(module) else {}
    y = function(x.transpose(3, 1, 2, 0), **mask)
    expected = (x.shape[3], *after.size, x.shape[0])
    if y.shape != expected or y.dtype != x.dtype:
        raise OperationError(
            f"operation {name!r}: its module makes {y.dtype}{list(y.shape)} of {x.dtype}"
            f"{[x.shape[3], *x.shape[1:3], x.shape[0]]}, and not {x.dtype}{list(expected)}"
        )
    return on_valid(y.transpose(3, 1, 2, 0), after.mask)


def _takes_mask(module: Any) -> bool:
    return (
        "mask" in inspect.signature(module.__call__ if isinstance(module, nn.Module) else module).parameters
    )
