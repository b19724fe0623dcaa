"""Selection by perturbation (DARTS-PT, Wang et al. 2021, algorithm 1): choose what the supernet misses most.

Alphas are a poor measure of what a candidate contributes. Here, edge by edge, each candidate's share is set to 0, and
the one without which the validation loss is largest is decided for; then, node by node, the two edges that are missed
most stay. After each decision the supernet is trained a little further. Nothing here knows the supernet: there are
op weights (here shares, since they are set to 0 and 1), and a function that evaluates them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jax_ser_darts.search_space.genotype import EDGES_PER_NODE, edge_index
from jax_ser_darts.search_space.operations import NONE

Shares = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Decision:
    """One thing to decide.

    Attributes:
        kind: of cell.
        edge: whose operation is decided; None where it is the edges of a node.
        node: whose edges are decided; None where it is an operation.
    """

    kind: str
    edge: int | None = None
    node: int | None = None


def decisions(shares: Shares, seed: int) -> list[Decision]:
    """All of them: the edges of all kinds in a random order, then the nodes in a random order."""
    edges, nodes = [], []
    for kind, rows in shares.items():
        edges += [Decision(kind, edge=edge) for edge in range(len(rows))]
        node = 0
        while edge_index(node, 0) < len(rows):
            nodes.append(Decision(kind, node=node))
            node += 1
    rng = np.random.default_rng(seed)
    return [group[i] for group in (edges, nodes) for i in rng.permutation(len(group))]


def decide(
    shares: Shares,
    decision: Decision,
    *,
    names: Mapping[str, Sequence[str]],
    evaluate: Callable[[Shares], float],
) -> Shares:
    """The shares after a decision.

    Args:
        shares: of all mixtures, `[edges, operations]` a kind.
        decision: the next one.
        names: kind -> its operations. `none` is never decided for.
        evaluate: shares -> validation loss.

    Returns:
        New shares: all of an edge's on its operation, or 0 for the edges that a node loses.
    """
    kind = decision.kind

    def with_row(row, values):
        changed = shares[kind].copy()
        changed[row] = values
        return {**shares, kind: changed}

    if decision.edge is not None:
        columns = [k for k, name in enumerate(names[kind]) if name != NONE]
        row = shares[kind][decision.edge]
        at = lambda k: np.arange(len(row)) == k
        missed = [evaluate(with_row(decision.edge, np.where(at(k), 0.0, row))) for k in columns]
        return with_row(decision.edge, at(columns[int(np.argmax(missed))]).astype(row.dtype))
    assert decision.node is not None  # it is an edge's or a node's
    rows = [edge_index(decision.node, source) for source in range(2 + decision.node)]
    if len(rows) <= EDGES_PER_NODE:
        return shares
    missed = [evaluate(with_row(row, 0.0)) for row in rows]
    lost = [rows[i] for i in np.argsort(-np.asarray(missed), kind="stable")[EDGES_PER_NODE:]]
    return with_row(lost, 0.0)
