"""What functions with reverse rules of their own (`jax.custom_vjp`) have in common.

Such a function cannot be differentiated forward. The second order needs just that, of a gradient: so inside a rule
nothing may be left that has a rule itself.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Tree = Any


def evaluate(function: Callable, *arguments: Tree) -> Tree:
    """`function(*arguments)`, in a form that can be differentiated forward whatever rules are inside it."""
    return jax.vjp(function, *arguments)[0]


def is_primal(x: Any) -> bool:
    """Whether this is what a forward rule with `symbolic_zeros` gets: a value, and whether it is perturbed."""
    return isinstance(x, jax.custom_derivatives.CustomVJPPrimal)


def values(tree: Tree) -> Tree:
    """The values of such arguments."""
    return jax.tree.map(lambda primal: primal.value, tree, is_leaf=is_primal)


def cotangent(g: Any) -> jax.Array:
    """The cotangent that a backward rule with `symbolic_zeros` gets, as an array."""
    return jnp.zeros(g.shape, g.dtype) if isinstance(g, jax.custom_derivatives.SymbolicZero) else g
