"""Two genotypes side by side: every edge that differs, and no other."""

import numpy as np
import pytest

from jax_ser_darts.search_space.genotype import from_json, random_genotype
from jax_ser_darts.search_space.operations import OPERATIONS
from jax_ser_darts.search_space.sequence_operations import SEQUENCE_OPERATIONS
from jax_ser_darts.search_space.similarity import differences

ONE = {
    "normal": [[["skip_connect", 0], ["sep_conv_3x3", 1]], [["max_pool_3x3", 1], ["skip_connect", 2]]],
    "reduction": [[["max_pool_3x3", 0]]],
}


def draw(seed):
    space = {
        "nodes": 3,
        "operations": OPERATIONS,
        "sequence_nodes": 2,
        "sequence_operations": SEQUENCE_OPERATIONS,
    }
    return random_genotype(np.random.default_rng(seed), **space)


@pytest.mark.parametrize("seed", range(5))
def test_a_genotype_does_not_differ_from_itself_in_whatever_order_its_edges_are_named(seed):
    one = draw(seed)
    turned = from_json({name: [node[::-1] for node in cell] for name, cell in one.to_json().items()})
    assert differences(one, turned) == []


def test_each_edge_that_differs_is_named_with_both_operations():
    other = {**ONE, "normal": [ONE["normal"][0], [["avg_pool_3x3", 1], ["skip_connect", 0]]]}
    assert differences(from_json(ONE), from_json(other)) == [
        "normal cell, n1 <- c-2: no edge in the first, skip_connect in the second",
        "normal cell, n1 <- c-1: max_pool_3x3 in the first, avg_pool_3x3 in the second",
        "normal cell, n1 <- n0: skip_connect in the first, no edge in the second",
    ]


def test_a_sequence_cell_that_only_one_has_differs_edge_by_edge():
    joint = {**ONE, "sequence": [[["lstm_2", 1]]]}
    (line,) = differences(from_json(ONE), from_json(joint))
    assert line == "sequence cell, n0 <- c-1: no edge in the first, lstm_2 in the second"


@pytest.mark.parametrize("seed", range(5))
def test_the_other_way_round_the_same_edges_differ(seed):
    there, back = differences(draw(seed), draw(seed + 50)), differences(draw(seed + 50), draw(seed))
    assert there
    assert [line.split(":")[0] for line in there] == [line.split(":")[0] for line in back]
