"""Computing a function again in the backward pass, instead of keeping what is inside it.

`jax.checkpoint` does not do it on a CPU: its optimisation barrier is gone before the compiler looks for equal
expressions, and finds that the second computation is the first (measured: the same temporary memory with it and
without). A loop that nobody knows to be of one turn keeps them apart, if what is in it depends on the turn.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Tree = Any


def _is_primal(x):
    return isinstance(x, jax.custom_derivatives.CustomVJPPrimal)


def _is_none(x):
    return x is None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def rematerialised(function: Callable, arguments: Tree, constants: Tree, one: jax.Array) -> jax.Array:
    """`function(arguments, constants)`, of which nothing but the arguments is kept for the backward pass.

    Can be differentiated in reverse, and then forward.

    Args:
        function: of two trees, to an array.
        arguments: floating point.
        constants: not differentiated.
        one: 1, `[]` int32, computed from data: the compiler must not know it.
    """
    return _evaluate(lambda arguments: function(arguments, constants), arguments)


def _evaluate(function, arguments):
    """The value of a function with custom reverse rules, in a form that can be differentiated forward."""
    return jax.vjp(function, arguments)[0]


def _forward(function, arguments, constants, one):
    # Only the gradients that are asked for are computed: of the alphas alone, for instance.
    values = functools.partial(jax.tree.map, is_leaf=_is_primal)
    wanted = values(lambda p: p.value if p.perturbed else None, arguments)
    fixed = values(lambda p: None if p.perturbed else p.value, arguments)
    constants, one = values(lambda p: p.value, (constants, one))
    value = _evaluate(lambda wanted: function(_merged(wanted, fixed), constants), wanted)
    return value, (wanted, fixed, constants, one)


def _merged(wanted, fixed):
    return jax.tree.map(lambda w, f: f if w is None else w, wanted, fixed, is_leaf=_is_none)


def _backward(function, saved, g):
    wanted, fixed, constants, one = saved
    if isinstance(g, jax.custom_derivatives.SymbolicZero):
        g = jnp.zeros(g.shape, g.dtype)

    def turn(i, _):
        # What does not depend on the turn would be moved out of the loop.
        at = jax.tree.map(
            lambda x: lax.select(jnp.broadcast_to(i == 0, x.shape), x, jnp.zeros_like(x)), wanted
        )
        _, pull = jax.vjp(lambda at: function(_merged(at, fixed), constants), at)
        return pull(g)[0]

    grads = lax.fori_loop(jnp.zeros_like(one), one, turn, jax.tree.map(jnp.zeros_like, wanted))
    return grads, None, None


rematerialised.defvjp(_forward, _backward, symbolic_zeros=True)
