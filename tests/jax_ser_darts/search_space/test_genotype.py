"""Genotypes: read off alphas, written as JSON, refused where no network could be built."""

import json

import numpy as np
import pytest

from jax_ser_darts.search_space.genotype import (
    BETAS,
    Edge,
    Genotype,
    GenotypeError,
    derive,
    edge_index,
    from_json,
    incoming,
    load,
    num_edges,
    random_genotype,
    softmax,
)
from jax_ser_darts.search_space.operations import NONE, OPERATIONS
from jax_ser_darts.search_space.sequence_operations import SEQUENCE_OPERATIONS

SPACE = ("none", "skip_connect", "sep_conv_3x3")


def genotype(seed=0, nodes=4, operations=OPERATIONS):
    return random_genotype(np.random.default_rng(seed), nodes=nodes, operations=operations)


def alphas_of(normal, reduction=None):
    normal = np.asarray(normal, np.float32)
    return {"normal": normal, "reduction": normal if reduction is None else np.asarray(reduction, np.float32)}


# ------------------------------------------------------------------------------------------------ edges


@pytest.mark.parametrize("nodes", range(1, 7))
def test_edges_are_counted_and_numbered_without_a_gap(nodes):
    rows = [edge_index(node, source) for node in range(nodes) for source in range(2 + node)]
    assert rows == list(range(num_edges(nodes)))
    ends = [(rows.start, rows.stop) for rows in incoming(num_edges(nodes))]
    assert ends == [(edge_index(node, 0), edge_index(node, 1 + node) + 1) for node in range(nodes)]


def test_four_nodes_have_the_fourteen_edges_of_darts():
    assert num_edges(4) == 14


# ------------------------------------------------------------------------------------------------ derive


def brute_force(alphas, operations):
    """DARTS's rule for one cell, node by node: (source, operation) of the two best edges."""
    chosen, row, node = [], 0, 0
    while row < len(alphas):
        candidates = []
        for source in range(2 + node):
            weights = np.exp(alphas[row]) / np.exp(alphas[row]).sum()
            best = max((k for k, name in enumerate(operations) if name != NONE), key=lambda k: weights[k])
            candidates.append((weights[best], source, operations[best]))
            row += 1
        candidates.sort(key=lambda c: -c[0])
        chosen.append(sorted((source, operation) for _, source, operation in candidates[:2]))
        node += 1
    return chosen


@pytest.mark.parametrize("seed", range(20))
def test_each_node_keeps_its_two_strongest_edges_by_their_best_operation(seed):
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(1, 6))
    operations = tuple(rng.permutation(OPERATIONS))
    alphas = {kind: rng.normal(size=(num_edges(nodes), len(operations))) for kind in ("normal", "reduction")}
    found = derive(alphas, operations)
    for kind in ("normal", "reduction"):
        chosen = [[(e.source, e.operation) for e in node] for node in getattr(found, kind)]
        assert chosen == brute_force(alphas[kind], operations)


def test_none_is_never_chosen_but_weakens_its_edge():
    # Node 1 (rows 2, 3, 4): the edge from 0 has the largest alpha of all, and a larger `none` still.
    alphas = np.zeros((5, 3))
    alphas[2] = [9.0, 5.0, 0.0]
    alphas[3] = [0.0, 1.0, 0.0]
    alphas[4] = [0.0, 0.0, 1.0]
    found = derive(alphas_of(alphas), SPACE).normal[1]
    assert found == (Edge("skip_connect", 1), Edge("sep_conv_3x3", 2))


def test_the_weight_of_an_edge_multiplies_those_of_its_operations():
    """Node 1 by hand: the best of its three edges weigh 0.7, 0.6 and 0.5, times 0.1, 0.4 and 0.5."""
    even = [1 / 3] * 3
    weights = [even, even, [0.1, 0.2, 0.7], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]]
    shares = [0.5, 0.5, 0.1, 0.4, 0.5]
    alphas = alphas_of(np.log(weights))
    assert derive(alphas, SPACE).normal[1] == (Edge("sep_conv_3x3", 0), Edge("skip_connect", 1))
    found = derive({**alphas, BETAS: {"normal": np.log(shares)}}, SPACE)
    assert found.normal[1] == (Edge("skip_connect", 1), Edge("sep_conv_3x3", 2))
    assert found.reduction == derive(alphas, SPACE).reduction, "it has no betas"


def test_ties_go_to_the_first_edge_and_the_first_operation():
    found = derive(alphas_of(np.zeros((num_edges(4), 3))), SPACE)
    assert all(node == (Edge("skip_connect", 0), Edge("skip_connect", 1)) for node in found.normal)


def test_a_constant_added_to_an_edge_changes_nothing():
    rng = np.random.default_rng(3)
    alphas = {kind: rng.normal(size=(num_edges(4), len(OPERATIONS))) for kind in ("normal", "reduction")}
    moved = {kind: a + 50 * rng.normal(size=(len(a), 1)) for kind, a in alphas.items()}
    assert derive(alphas, OPERATIONS) == derive(moved, OPERATIONS)


def test_each_kind_of_cell_has_its_own_alphas():
    normal, reduction = np.zeros((2, 3)), np.zeros((2, 3))
    normal[:, 1], reduction[:, 2] = 1, 1
    found = derive(alphas_of(normal, reduction), SPACE)
    assert found.operations("normal") == ["skip_connect"] * 2
    assert found.operations("reduction") == ["sep_conv_3x3"] * 2


def test_weights_sum_to_one_however_large_the_alphas():
    alphas = np.array([[1e4, 0.0, -1e4], [1.0, 1.0, 1.0]])
    weights = softmax(alphas)
    assert np.allclose(weights.sum(axis=-1), 1)
    assert np.allclose(weights, [[1, 0, 0], [1 / 3] * 3])


# ------------------------------------------------------------------------------------------------ random


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_random_genotypes_are_valid_and_of_the_space(nodes):
    for seed in range(100):
        found = genotype(seed, nodes, SPACE)  # Genotype checks itself
        for kind in ("normal", "reduction"):
            cell = getattr(found, kind)
            assert len(cell) == nodes
            assert all(len(node) == 2 for node in cell)
            assert set(found.operations(kind)) <= set(SPACE) - {NONE}


def test_random_genotypes_are_drawn_evenly():
    draws = 1000
    operations, sources = {}, {}
    for seed in range(draws):
        for edge in genotype(seed, 2).normal[1]:
            operations[edge.operation] = operations.get(edge.operation, 0) + 1
            sources[edge.source] = sources.get(edge.source, 0) + 1
    # Binomial counts: within 5 standard deviations of their means.
    for counts, share in ((operations, 1 / 7), (sources, 1 / 3)):
        n = 2 * draws
        assert len(counts) == round(1 / share)
        assert all(abs(c - n * share) < 5 * (n * share * (1 - share)) ** 0.5 for c in counts.values())


def test_a_seed_gives_one_genotype():
    assert genotype(1) == genotype(1) != genotype(2)
    assert hash(genotype(1)) == hash(genotype(1))


# ------------------------------------------------------------------------------------------------ JSON


@pytest.mark.parametrize("seed", range(10))
def test_a_saved_genotype_is_read_back(tmp_path, seed):
    path = tmp_path / "deep" / "genotype.json"
    genotype(seed).save(path)
    assert load(path) == genotype(seed)
    assert [p.name for p in path.parent.iterdir()] == ["genotype.json"]  # no half-written file is left


def test_the_file_is_plain_lists():
    value = json.loads(json.dumps(genotype().to_json()))
    assert all(isinstance(o, str) and isinstance(s, int) for n in value["normal"] for o, s in n)
    assert from_json(value) == genotype()


GOOD = {"normal": [[["skip_connect", 0], ["sep_conv_3x3", 1]]], "reduction": [[["max_pool_3x3", 0]]]}
WRONG = {
    "not JSON": ("{", "not JSON (Expecting"),
    "empty file": ("", "not JSON (Expecting value: line 1 column 1 (char 0)); a genotype is an object"),
    "as pt.darts writes it": ("Genotype(normal=[])", "not JSON"),
    "nested without end": ("[" * 100_000, "not JSON"),
    "a source of 5,000 digits": (
        '{"normal": [[["skip_connect", ' + "1" * 5000 + ']]], "reduction": []}',
        "not JSON (Exceeds",
    ),
    "one key twice": ('{"normal": [], "normal": [], "reduction": []}', "the key normal comes more than once"),
    "not an object": ([1, 2], '"normal" and "reduction"'),
    "null": (None, '"normal" and "reduction"'),
    "a cell is missing": ({"normal": GOOD["normal"]}, '"normal" and "reduction"'),
    "one key too many": ({**GOOD, "extra": []}, '"normal" and "reduction"'),
    "cell without a node": ({**GOOD, "normal": []}, "normal cell has no node"),
    "cell is a number": ({**GOOD, "reduction": 3}, "reduction cell"),
    "cell is null": ({**GOOD, "reduction": None}, "reduction cell"),
    "cell is text": ({**GOOD, "reduction": "max_pool_3x3"}, "reduction cell"),
    "cell is an object": ({**GOOD, "reduction": {"0": ["max_pool_3x3", 0]}}, "reduction cell"),
    "node without an edge": ({**GOOD, "normal": [[]]}, "normal cell, node 0: no incoming edge"),
    "node is a number": ({**GOOD, "normal": [3]}, "normal cell"),
    "edge of three": ({**GOOD, "normal": [[["skip_connect", 0, 1]]]}, "normal cell"),
    "edge of one": ({**GOOD, "normal": [[["skip_connect"]]]}, "normal cell"),
    "edge is a number": ({**GOOD, "normal": [[7]]}, "normal cell"),
    "unknown operation": ({**GOOD, "reduction": [[["conv", 0]]]}, "reduction cell, node 0: operation 'conv'"),
    "operation none": ({**GOOD, "normal": [[["none", 0]]]}, "normal cell, node 0: operation 'none'"),
    "operation is a number": ({**GOOD, "normal": [[[3, 0]]]}, "normal cell"),
    "source from the future": (
        {**GOOD, "normal": [[["skip_connect", 2]]]},
        "node 0: source 2 is not in 0..1",
    ),
    "source below zero": ({**GOOD, "normal": [[["skip_connect", -1]]]}, "node 0: source -1 is not in 0..1"),
    "source is text": ({**GOOD, "normal": [[["skip_connect", "0"]]]}, "source '0' is not a whole number"),
    "source is true": ({**GOOD, "normal": [[["skip_connect", True]]]}, "source True is not a whole number"),
    "source is a fraction": ({**GOOD, "normal": [[["skip_connect", 0.5]]]}, "0.5 is not a whole number"),
    "source twice": (
        {**GOOD, "normal": [[["skip_connect", 1], ["sep_conv_3x3", 1]]]},
        "normal cell, node 0: two edges from the same source",
    ),
}


WRONG |= {
    "sequence is null": ({**GOOD, "sequence": None}, "sequence cell"),
    "sequence without a node": ({**GOOD, "sequence": []}, "sequence cell has no node"),
    "convolution in the sequence cell": (
        {**GOOD, "sequence": [[["sep_conv_3x3", 0]]]},
        "sequence cell, node 0: operation 'sep_conv_3x3' is not one of lstm_1",
    ),
    "recurrence in the CNN": (
        {**GOOD, "normal": [[["lstm_1", 0]]]},
        "normal cell, node 0: operation 'lstm_1'",
    ),
    "source from the future of a sequence cell": (
        {**GOOD, "sequence": [[["lstm_1", 3]]]},
        "sequence cell, node 0: source 3 is not in 0..1",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_refused_with_its_name_and_the_place(tmp_path, what):
    value, message = WRONG[what]
    path = tmp_path / "wrong.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(GenotypeError) as raised:
        load(path)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "from_windows.json"
    path.write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert load(path) == from_json(GOOD)


def test_a_file_that_is_not_text_is_refused_with_its_name(tmp_path):
    path = tmp_path / "sound.json"
    path.write_bytes(b"RIFF\xff\xfe\x00")
    with pytest.raises(GenotypeError, match=r"sound\.json"):
        load(path)


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(GenotypeError, match=r"nowhere\.json"):
        load(tmp_path / "nowhere.json")
    with pytest.raises(GenotypeError, match=str(tmp_path)):
        load(tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_a_sequence_cell_is_saved_and_read_back_and_its_absence_too(tmp_path, seed):
    rng = np.random.default_rng(seed)
    joint = random_genotype(
        rng, nodes=2, operations=OPERATIONS, sequence_nodes=3, sequence_operations=SEQUENCE_OPERATIONS
    )
    joint.save(tmp_path / "joint.json")
    assert load(tmp_path / "joint.json") == joint
    assert joint.cells == ("normal", "reduction", "sequence")
    assert set(joint.operations("sequence")) <= set(SEQUENCE_OPERATIONS) - {NONE}
    older = {name: cell for name, cell in joint.to_json().items() if name != "sequence"}
    assert from_json(older).sequence is None  # a file from before: the fixed LSTM follows
    assert from_json(older).to_json() == older


@pytest.mark.parametrize("seed", range(5))
def test_the_sequence_cell_is_read_off_its_own_alphas(seed):
    rng = np.random.default_rng(seed)
    alphas = alphas_of(rng.normal(size=(num_edges(2), 3)))
    alphas["sequence"] = rng.normal(size=(num_edges(3), len(SEQUENCE_OPERATIONS)))
    found = derive(alphas, SPACE, SEQUENCE_OPERATIONS)
    chosen = [[(e.source, e.operation) for e in node] for node in found.sequence]
    assert chosen == brute_force(alphas["sequence"], SEQUENCE_OPERATIONS)


# ------------------------------------------------------------------------------------------------ reports


def test_the_share_of_skips_is_counted_a_cell():
    found = from_json({**GOOD, "reduction": [[["skip_connect", 0], ["skip_connect", 1]]]})
    assert found.skip_share() == 0.5
    assert found.skip_share("reduction") == 1.0


def test_people_can_read_it():
    node = (Edge("skip_connect", 0), Edge("sep_conv_3x3", 2))
    text = str(Genotype(normal=((Edge("max_pool_3x3", 1),), node), reduction=((Edge("skip_connect", 0),),)))
    assert "n1 = skip_connect(c-2) + sep_conv_3x3(n0)" in text
    assert text.splitlines()[1] == "reduction: n0 = skip_connect(c-2)"
