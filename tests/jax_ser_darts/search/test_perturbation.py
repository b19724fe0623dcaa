"""Selection by perturbation: on losses that say what each candidate is worth, whatever the alphas say."""

import numpy as np
import pytest

from jax_ser_darts.search.perturbation import Decision, decide, decisions
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import edge_index

NAMES = {
    "normal": ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "none"),
    "reduction": ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "none"),
    "sequence": ("lstm_1", "skip_connect", "none"),
}
NODES = 3


@pytest.fixture
def problem():
    """Shares that favour skip connections, the worth of each candidate, and the loss of what is there."""
    rng = np.random.default_rng(0)
    edges = edge_index(NODES, 0)
    worth = {kind: rng.uniform(0.1, 1, size=(edges, len(names))) for kind, names in NAMES.items()}
    for values in worth.values():
        values[:, -1] = 100.0  # `none`
    shares = {
        kind: np.tile(np.where(np.arange(len(names)) == 1, 0.9, 0.1 / (len(names) - 1)), (edges, 1))
        for kind, names in NAMES.items()
    }
    evaluate = lambda shares: 9.0 - sum(((shares[kind] > 0) * worth[kind]).sum() for kind in shares)
    return shares, worth, evaluate


def test_each_edge_gets_its_most_missed_candidate_and_each_node_its_two_most_missed_edges(problem):
    shares, worth, evaluate = problem
    for decision in decisions(shares, seed=1):
        shares = decide(shares, decision, names=NAMES, evaluate=evaluate)
    genotype = genotypes.derive(shares, NAMES["normal"], NAMES["sequence"])
    for kind, values in worth.items():
        best, strength = values[:, :-1].argmax(axis=1), values[:, :-1].max(axis=1)
        for node, edges in enumerate(getattr(genotype, kind)):
            rows = [edge_index(node, source) for source in range(2 + node)]
            sources = sorted(np.argsort(-strength[rows])[:2])
            expected = [(NAMES[kind][best[rows[source]]], source) for source in sources]
            assert [(edge.operation, edge.source) for edge in edges] == expected


def test_every_edge_comes_once_before_every_node_in_an_order_of_the_seed(problem):
    shares, *_ = problem
    plan = decisions(shares, seed=1)
    edges = 3 * edge_index(NODES, 0)
    assert all(d.edge is not None for d in plan[:edges])
    assert {(d.kind, d.node) for d in plan[edges:]} == {(kind, n) for kind in NAMES for n in range(NODES)}
    assert len(set(plan)) == len(plan)
    assert plan == decisions(shares, seed=1) != decisions(shares, seed=2)


def test_what_is_asked_for_is_left_alone_and_the_rest_too(problem):
    shares, _, evaluate = problem
    before = {kind: rows.copy() for kind, rows in shares.items()}
    after = decide(shares, Decision("normal", edge=2), names=NAMES, evaluate=evaluate)
    for kind, rows in before.items():
        np.testing.assert_array_equal(shares[kind], rows)
        changed = np.any(after[kind] != rows, axis=1).nonzero()[0].tolist()
        assert changed == ([2] if kind == "normal" else [])
