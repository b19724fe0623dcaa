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

from jax_ser_darts.ops import rules

Tree = Any


def _is_none(x):
    return x is None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def remat(function: Callable, arguments: Tree, constants: Tree, turns: jax.Array) -> jax.Array:
    """`function(arguments, constants)`, of which nothing but the arguments is kept for the backward pass.

    Can be differentiated in reverse, and then forward.

    Args:
        function: of two trees, to an array.
        arguments: floating point.
        constants: not differentiated.
        turns: 1, `[]` int32, computed from data: the compiler must not know it.
    """
    return rules.evaluate(lambda arguments: function(arguments, constants), arguments)


def _forward(function, arguments, constants, turns):
    # Only the gradients that are asked for are computed: of the alphas alone, for instance.
    split = functools.partial(jax.tree.map, is_leaf=rules.is_primal)
    wanted = split(lambda p: p.value if p.perturbed else None, arguments)
    fixed = split(lambda p: None if p.perturbed else p.value, arguments)
    constants, turns = rules.values((constants, turns))
    value = rules.evaluate(lambda wanted: function(_merged(wanted, fixed), constants), wanted)
    return value, (wanted, fixed, constants, turns)


def _merged(wanted, fixed):
    return jax.tree.map(lambda w, f: f if w is None else w, wanted, fixed, is_leaf=_is_none)


def _backward(function, saved, g):
    wanted, fixed, constants, turns = saved
    g = rules.cotangent(g)

    def turn(i, _):
        # What does not depend on the turn would be moved out of the loop.
        point = jax.tree.map(
            lambda x: lax.select(jnp.broadcast_to(i == 0, x.shape), x, jnp.zeros_like(x)), wanted
        )
        _, pull = jax.vjp(lambda point: function(_merged(point, fixed), constants), point)
        return pull(g)[0]

    grads = lax.fori_loop(jnp.zeros_like(turns), turns, turn, jax.tree.map(jnp.zeros_like, wanted))
    return grads, None, None


remat.defvjp(_forward, _backward, symbolic_zeros=True)
