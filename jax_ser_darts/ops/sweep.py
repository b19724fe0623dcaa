"""The edges of a cell as loops (`edges=scan`): the program holds one edge, however many the cell has.

Unrolled, the 56 edges of four cells took 70 to 90 s to compile, a gradient; as loops a tenth of that. The backward
pass computes each edge again from the state where it starts, so the memory is that of one edge too.

    for each source s, in order:             for each source s, backwards:
        prepare s                                prepare s again
        for each later node i:                   for each later node i:
            node i += mix(s, w_si, a_si)             ds, dw_si, da_si = pull mix(s, w_si, a_si) back from dnode_i
                                                 dsource += pull prepare(s) back from the sum of ds

A node is complete before it is a source: its own sources come first. Both loops can be differentiated forward.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.ops import rules

Tree = Any


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Which edges a loop goes over.

    Attributes:
        prepare: (x, constants) -> what the edges that leave x share.
        mix: (prepared, {name: row of an edge}, constants) -> contribution to the node.
        first, last: sources first..last - 1 (0 and 1 are the inputs of the cell, 2 + i is node i).
        nodes: of the cell.
        node_row: row of node 0 in the array that is written.
        edge_row: (name, source, node) -> the edge's row in the stack of that name.
    """

    prepare: Callable
    mix: Callable
    first: int
    last: int
    nodes: int
    node_row: int
    edge_row: Callable


def _targets(sweep, source):
    """The nodes that a source has edges to: from this one to the last."""
    return jnp.maximum(source - 1, 0), sweep.nodes


def _row(stack, k):
    return lax.dynamic_index_in_dim(stack, k, keepdims=False)


def _add_to_row(stack, k, x):
    return lax.dynamic_update_index_in_dim(stack, _row(stack, k) + x, k, 0)


def zeros(shape: tuple[int, ...], like: jax.Array) -> jax.Array:
    """Zeros that move where `like` does, as far as tracing knows.

    A loop whose carry starts as a known constant is traced twice to be differentiated forward, once to find that it
    does not stay one; a loop in a loop four times.
    """
    zero = jnp.zeros((), like.dtype)
    never = jnp.zeros((), bool)
    return jnp.broadcast_to(lax.select(never, like[(0,) * like.ndim], zero), shape)


def _edge_rows(sweep, tree, source, node):
    return {name: _row(stack, sweep.edge_row(name, source, node)) for name, stack in tree.items()}


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def run(sweep: Sweep, stacks: tuple[jax.Array, ...], per_edge: Tree, constants: Tree) -> jax.Array:
    """Adds the contributions of all edges to the nodes.

    Args:
        sweep: which edges.
        stacks: one array `[states, C, T, F, B]` that is read and written, or two: sources, and nodes. Source s is
            row s - sweep.first of the first, node i row i + sweep.node_row of the last.
        per_edge: {name: stack `[edges, ...]`} of params, op weights and whatever else an edge has.
        constants: for prepare and mix, not differentiated.

    Returns:
        The last of the stacks, with the nodes.
    """
    *read_only, written = stacks

    def source_body(source, written):
        x = _row(read_only[0] if read_only else written, source - sweep.first)
        prepared = rules.evaluate(lambda x: sweep.prepare(x, constants), x)

        def edge_body(node, written):
            rows = _edge_rows(sweep, per_edge, source, node)
            y = rules.evaluate(lambda p, r: sweep.mix(p, r, constants), prepared, rows)
            return _add_to_row(written, node + sweep.node_row, y)

        start, stop = _targets(sweep, source)
        return lax.fori_loop(start, stop, edge_body, written)

    return lax.fori_loop(sweep.first, sweep.last, source_body, written)


def _forward(sweep, stacks, per_edge, constants):
    # The gradient of the alphas does without those of the params: only what is asked for is computed.
    moved = {name for name, stack in per_edge.items() if stack.perturbed}
    stacks, per_edge, constants = rules.values((stacks, per_edge, constants))
    written = run.fun(sweep, stacks, per_edge, constants)
    wanted = {name: stack for name, stack in per_edge.items() if name in moved}
    fixed = {name: stack for name, stack in per_edge.items() if name not in moved}
    return written, ((*stacks[:-1], written), wanted, fixed, constants)


def _backward(sweep, saved, g):
    stacks, wanted, fixed, constants = saved
    g = rules.cotangent(g)
    sources = stacks[0]
    nothing = lambda tree: jax.tree.map(lambda x: zeros(x.shape, g), tree)
    grads = (*nothing(stacks[:-1]), g)

    def source_body(k, carry):
        source = sweep.last - 1 - k
        grads, dstacks = carry
        x = _row(sources, source - sweep.first)
        prepared, pull_prepare = jax.vjp(lambda x: sweep.prepare(x, constants), x)

        def edge_body(node, carry):
            dprepared, dstacks = carry
            here, rest = (_edge_rows(sweep, tree, source, node) for tree in (wanted, fixed))
            _, pull_mix = jax.vjp(lambda p, r: sweep.mix(p, {**r, **rest}, constants), prepared, here)
            dp, drow = pull_mix(_row(grads[-1], node + sweep.node_row))
            dstacks = {
                name: lax.dynamic_update_index_in_dim(
                    stack, drow[name], sweep.edge_row(name, source, node), 0
                )
                for name, stack in dstacks.items()
            }
            return jax.tree.map(jnp.add, dprepared, dp), dstacks

        start, stop = _targets(sweep, source)
        dprepared, dstacks = lax.fori_loop(start, stop, edge_body, (nothing(prepared), dstacks))
        (dx,) = pull_prepare(dprepared)
        return (_add_to_row(grads[0], source - sweep.first, dx), *grads[1:]), dstacks

    start = grads, nothing(wanted)
    grads, dstacks = lax.fori_loop(0, sweep.last - sweep.first, source_body, start)
    return grads, {**dstacks, **dict.fromkeys(fixed)}, None


run.defvjp(_forward, _backward, symbolic_zeros=True)
