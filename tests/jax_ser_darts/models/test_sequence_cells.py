"""Sequence cells: utterances alone, padding of no weight, the found cell is the relaxed one that has decided."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ser_darts import bilevel
from jax_ser_darts.models import sequence_cells
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.network import Network
from jax_ser_darts.models.sequence_cells import MixedEdge, SequenceCell, SequenceCells, chosen_nodes
from jax_ser_darts.models.supernet import Supernet, init_alphas
from jax_ser_darts.ops.backend import REFERENCE
from jax_ser_darts.search_space.genotype import SEQUENCE, Edge, Genotype, derive, edge_index, num_edges
from jax_ser_darts.search_space.sequence_operations import (
    FAMILIES,
    GROUPS,
    RECURRENCES,
    SEQUENCE_OPERATIONS,
)

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

C, T, F, B, CLASSES, NODES, WIDTH = 2, 6, 2, 4, 3, 2, 3
LENGTHS = np.array([6, 2, 4, 0], np.int32)  # the last only fills the batch
COMMON = {
    "classes": CLASSES,
    "cells": 2,
    "width": WIDTH,
    "attention": 4,
    "dropout": 0.0,
    "dtype": jnp.float64,
}
PART = SequenceCells(operations=SEQUENCE_OPERATIONS, nodes=NODES, **COMMON)


@pytest.fixture(scope="module", autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def random_params(module, *arguments, **options):
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *arguments, **options))["params"]
    leaves, structure = jax.tree.flatten(shapes)
    values = [0.5 * normal(1000 + i, *leaf.shape) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, values)


def assert_close(found, expected, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max())))


@pytest.fixture(scope="module")
def x():
    return normal(0, C, T, F, B)


@pytest.fixture(scope="module")
def shares():
    return np.random.default_rng(1).dirichlet(np.ones(len(SEQUENCE_OPERATIONS)), num_edges(NODES))


@pytest.fixture(scope="module")
def params(x, shares):
    return random_params(PART, x, LENGTHS, False, op_weights=shares)


@pytest.fixture(scope="module")
def step():
    """(params, op_weights, x, lengths) -> ((loss of the real utterances, logits), gradients of the first three)."""

    def loss(params, op_weights, x, lengths):
        logits = PART.apply({"params": params}, x, lengths, False, op_weights=op_weights)
        real = (lengths > 0).astype(logits.dtype)
        return jnp.sum(real * (jnp.sin(logits) @ jnp.arange(1.0, 1.0 + CLASSES))), logits

    return jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))


@pytest.fixture(scope="module")
def predict(params):
    """(x, lengths, weights of the candidates) -> logits."""
    return jit(lambda x, lengths, w: PART.apply({"params": params}, x, lengths, False, op_weights=w))


@pytest.fixture(scope="module")
def outcome(step, params, shares, x):
    return step(params, shares, x, LENGTHS)


# ---------------------------------------------------------------------------------------- utterances


def test_what_stands_on_padding_changes_no_logit_and_no_gradient(step, params, shares, x, outcome):
    padding = (np.arange(T)[:, None] >= LENGTHS[None, :])[None, :, None, :]
    (_, logits), gradients = step(params, shares, np.where(padding, 1e3, x), LENGTHS)
    (_, expected), expected_gradients = outcome
    assert np.isfinite(logits).all()
    assert_close(logits[:3], expected[:3])
    assert_close(gradients, expected_gradients)
    assert (np.asarray(expected_gradients[2])[np.broadcast_to(padding, x.shape)] == 0).all()


def test_a_prediction_does_not_depend_on_the_other_utterances_nor_on_the_length_of_the_batch(
    predict, shares, x, outcome
):
    logits = np.asarray(outcome[0][1])
    longer = np.pad(x, ((0, 0), (0, 5), (0, 0), (0, 0)), constant_values=7.0)
    for b in range(3):
        assert_close(predict(longer[..., b : b + 1], LENGTHS[b : b + 1], shares)[0], logits[b])
    assert not np.allclose(logits[0], logits[1])
    order = np.array([2, 3, 0, 1])
    assert_close(np.asarray(predict(x[..., order], LENGTHS[order], shares))[order.argsort()], logits)


# ---------------------------------------------------------------------------------------- candidates


def test_the_gradient_reaches_every_candidate_of_every_edge(outcome):
    _, (params, op_weights, _) = outcome
    assert (np.asarray(op_weights)[:, :-1] != 0).all()
    assert (np.asarray(op_weights)[:, -1] == 0).all()  # of `none`: it adds nothing, wherever it stands
    for path, g in jax.tree_util.tree_leaves_with_path(params["cells"]["nodes"]):
        # `[cells, nodes, recurrences, ...]`; node 0 reads zeros where node 0 itself would be a source.
        assert np.isfinite(g).all()
        assert all((np.asarray(g)[:, NODES - 1, n] != 0).any() for n in range(g.shape[2])), path


@pytest.mark.parametrize("group", [name for name in GROUPS if name != "all"])
def test_a_group_has_the_params_of_its_family_and_no_others(group, x):
    operations = GROUPS[group]
    part = PART.clone(operations=operations)
    op_weights = np.ones((num_edges(NODES), len(operations)))
    node = random_params(part, x, LENGTHS, False, op_weights=op_weights)["cells"]["nodes"]["node"]
    assert {name.rsplit("_", 2)[0] for name in node if "layer" in name} == {group}
    assert FAMILIES[group].attention == (f"{group}_attention" in node)
    logits = jax.eval_shape(
        lambda: part.init_with_output(jax.random.key(0), x, LENGTHS, False, op_weights=op_weights)
    )
    assert logits[0].shape == (B, CLASSES)


def found_params(relaxed, cell, nodes):
    """The params of a cell that has decided, picked from those of all candidates on all edges."""
    picked = {"inputs": relaxed["inputs"]}
    operations = SEQUENCE_OPERATIONS

    def rows(family, edges):
        """Row of each recurrence of a family in its deepest layers' order: (edge, operation, layers)."""
        some = [
            (i, name, RECURRENCES[name].layers)
            for i, names in enumerate(edges)
            for name in names
            if name in RECURRENCES and RECURRENCES[name].family == family
        ]
        return sorted(some, key=lambda s: -s[2])

    for i, edges in enumerate(nodes):
        mine = {}
        for family in FAMILIES:
            chosen = rows(family, [e.operations for e in edges])
            everything = rows(family, [operations] * (NODES + 1))
            for name, tree in relaxed["nodes"]["node"].items():
                if name.startswith(f"{family}_layer_") or name == f"{family}_attention":
                    depth = int(name[-1]) if "layer" in name else 1
                    take = [
                        everything.index((edges[e].source, operation, layers))
                        for e, operation, layers in chosen
                        if layers >= depth
                    ]
                    if take:
                        mine[name] = jax.tree.map(lambda leaf: leaf[:, i, take], tree)  # noqa: B023
        if mine:
            picked[f"node_{i}"] = mine
    return picked


@pytest.mark.parametrize(
    "cell",
    [
        ((("lstm_2", 0), ("rnn_att_2", 1)), (("lstm_att_1", 2), ("skip_connect", 0))),
        ((("rnn_3", 1), ("rnn_1", 0)), (("lstm_att_2", 1), ("lstm_4", 2))),
    ],
)
def test_the_found_cell_is_the_relaxed_cell_that_has_decided(cell, x, params, predict):
    edges = tuple(tuple(Edge(*edge) for edge in node) for node in cell)
    one_hot = np.zeros((num_edges(NODES), len(SEQUENCE_OPERATIONS)))
    one_hot[:, -1] = 1
    for node, some in enumerate(edges):
        for edge in some:
            row = edge_index(node, edge.source)
            one_hot[row] = [name == edge.operation for name in SEQUENCE_OPERATIONS]
    found = SequenceCells(chosen=chosen_nodes(edges), **COMMON)
    decided = {**params, "cells": found_params(params["cells"], cell, chosen_nodes(edges))}
    logits = jit(lambda decided: found.apply({"params": decided}, x, LENGTHS, False))(decided)
    assert_close(logits, predict(x, LENGTHS, one_hot))
    shapes = jax.eval_shape(lambda: found.init(jax.random.key(0), x, LENGTHS, False))["params"]
    assert jax.tree.structure(shapes) == jax.tree.structure(decided)  # no param is superfluous


def test_all_edges_are_dropped_but_the_identities():
    before = tuple(normal(i, T, 16, WIDTH) for i in range(2))
    valid = np.ones((T, 16), bool)
    nodes = ((MixedEdge(0, ("skip_connect",)), MixedEdge(1, ("rnn_1",))),)
    cell = SequenceCell(nodes=nodes, width=WIDTH, dropout=0.0, train=True, dtype=jnp.float64)
    params = random_params(cell, before, valid, None)
    rngs = {"dropout": jax.random.key(0)}
    whole = jit(lambda params: cell.apply({"params": params}, before, valid, None)[0][1])
    some = jit(lambda rate: cell.apply({"params": params}, before, valid, rate, rngs=rngs)[0][1])
    kept, dropped = np.asarray(whole(params)), np.asarray(some(jnp.float64(0.5)))
    silent = jax.tree.map(jnp.zeros_like, params["node_0"])  # an RNN of zero weights is zero
    skip = np.asarray(whole({**params, "node_0": silent}))
    fates = [
        [np.allclose(dropped[:, b], (skip + f * (kept - skip))[:, b]) for f in (0, 2)] for b in range(16)
    ]
    assert all(sum(fate) == 1 for fate in fates)
    assert len({tuple(fate) for fate in fates}) == 2


# ---------------------------------------------------------------------------------------- the whole search


SMALL = ("lstm_1", "rnn_att_1", "skip_connect", "none")
SUPERNET = Supernet(
    classes=CLASSES,
    operations=("skip_connect", "avg_pool_3x3"),
    cells=2,
    nodes=1,
    channels=2,
    stem_multiplier=1,
    reductions=frozenset({1}),
    attention=3,
    sequence_operations=SMALL,
    sequence_cells=2,
    sequence_nodes=2,
    sequence_width=3,
    dtype=jnp.float64,
)


def test_alphas_of_three_kinds_give_a_genotype_whose_network_is_trained():
    alphas = init_alphas(
        jax.random.key(0), nodes=1, operations=2, scale=1.0, sequence_nodes=2, sequence_operations=len(SMALL)
    )
    assert {name: a.shape for name, a in alphas.items()} == {
        "normal": (2, 2),
        "reduction": (2, 2),
        SEQUENCE: (5, len(SMALL)),
    }
    without = init_alphas(jax.random.key(0), nodes=1, operations=2, scale=1.0)
    assert all(np.array_equal(without[name], alphas[name]) for name in without)
    genotype = derive(jax.device_get(alphas), SUPERNET.operations, SMALL)
    assert isinstance(genotype, Genotype)
    assert genotype.sequence
    network = Network(
        classes=CLASSES,
        genotype=genotype,
        cells=1,
        channels=2,
        sequence_cells=2,
        sequence_width=3,
        dtype=jnp.float64,
    )
    features = normal(0, B, 8, 6)
    variables = init_variables(network, 0, features, LENGTHS, train=False)
    run = lambda train, rate: jax.eval_shape(
        lambda: network.apply(
            variables,
            features,
            LENGTHS,
            train=train,
            drop_path_rate=rate,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
    )
    for train, rate in ((False, 0.0), (True, 0.0), (True, jnp.float64(0.2))):
        assert run(train, rate)[0][0].shape == (B, CLASSES)


def test_no_two_kinds_of_cells_start_from_the_same_numbers():
    alphas = init_alphas(
        jax.random.key(0),
        nodes=2,
        operations=3,
        scale=1.0,
        sequence_nodes=2,
        sequence_operations=3,
        edge_normalisation=True,
    )
    drawn = [np.ravel(leaf) for leaf in jax.tree.leaves(alphas)]
    assert len(drawn) == 5
    assert len(np.unique(np.concatenate(drawn))) == sum(map(len, drawn))


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)])
def problem(request):
    """With so many sequence cells of so many nodes."""
    with jax.enable_x64(True):
        size = request.param
        model = SUPERNET.clone(edges="unroll", backend=REFERENCE, sequence_cells=size, sequence_nodes=size)
        alphas = init_alphas(
            jax.random.key(0),
            nodes=1,
            operations=2,
            scale=0.5,
            sequence_nodes=size,
            sequence_operations=len(SMALL),
            dtype=jnp.float64,
        )
        batches = [(normal(i, B, 8, 6), LENGTHS, np.array([0, 1, 2, 0])) for i in (1, 2)]
        params = init_variables(model, 0, *batches[0][:2], alphas, train=False)["params"]

        def loss(params, alphas, batch):
            features, lengths, labels = batch
            logits = model.apply({"params": params}, features, lengths, alphas, train=False)
            nll = -jnp.take_along_axis(nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]
            return jnp.mean(jnp.where(lengths > 0, nll, 0.0)), {}

        return loss, params, alphas, *batches


def test_both_orders_are_autodiff_through_the_step_of_the_params(problem):
    """All three kinds of alphas; plain gradient descent, so that the oracle is short."""
    loss, params, alphas, train_batch, val_batch = problem
    tx = optax.sgd(0.5)
    opt_state = tx.init(params)

    @jit
    def found(params, alphas):
        gradients = bilevel.make_gradients(loss)
        first = bilevel.first_order(gradients=gradients, params=params, alphas=alphas, val_batch=val_batch)
        second = bilevel.second_order(
            gradients=gradients,
            inner=bilevel.make_inner_step(tx),
            params=params,
            alphas=alphas,
            opt_state=opt_state,
            train_batch=train_batch,
            val_batch=val_batch,
        )
        return first[1], second[1], second[2]

    @jit
    def oracle(params, alphas):
        def through_the_step(inner, outer):
            g = jax.grad(lambda w: loss(w, inner, train_batch)[0])(params)
            stepped = jax.tree.map(lambda w, d: w - 0.5 * d, params, g)
            return loss(stepped, outer, val_batch)[0]

        first = jax.grad(lambda a: loss(params, a, val_batch)[0])(alphas)
        correction, direct = jax.grad(through_the_step, argnums=(0, 1))(alphas, alphas)
        return first, direct, correction

    for a, b in zip(found(params, alphas), oracle(params, alphas), strict=True):
        assert set(a) == {"normal", "reduction", SEQUENCE}
        for name in a:
            scale = np.abs(b[name]).max()
            assert scale > 1e-7
            np.testing.assert_allclose(a[name], b[name], rtol=0, atol=1e-9 * scale)


def test_neither_padding_nor_the_length_of_the_batch_changes_a_gradient_of_the_joint_search(problem):
    """Through CNN and sequence cells; one utterance of the batch is empty."""
    loss, params, alphas, (features, lengths, labels), _ = problem
    gradient = jit(
        lambda features: jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(
            params, alphas, (features, lengths, labels)
        )
    )
    expected = gradient(features)
    assert np.abs(expected[1][1][SEQUENCE]).max() > 1e-7
    longer = np.pad(features, ((0, 0), (0, 4), (0, 0)))
    padding = np.arange(longer.shape[1])[None, :] >= lengths[:, None]
    assert_close(gradient(np.where(padding[:, :, None], 1e3, longer)), expected)


def test_a_prediction_of_the_joint_network_depends_on_nothing_but_its_utterance():
    genotype = Genotype(
        normal=((Edge("sep_conv_3x3", 0), Edge("avg_pool_3x3", 1)),),
        reduction=((Edge("dil_conv_3x3", 0), Edge("max_pool_3x3", 1)),),
        sequence=((Edge("lstm_att_1", 0), Edge("rnn_2", 1)), (Edge("lstm_2", 2), Edge("rnn_att_1", 1))),
    )
    network = Network(
        classes=CLASSES,
        genotype=genotype,
        cells=2,
        channels=2,
        reductions=frozenset({1}),
        sequence_cells=2,
        sequence_width=WIDTH,
        dtype=jnp.float64,
    )
    lengths = np.array([8, 3, 6, 0], np.int32)
    features = normal(5, B, 8, 6)
    variables = init_variables(network, 0, features, lengths, train=False)
    predict = jit(lambda features, lengths: network.apply(variables, features, lengths, train=False)[0])
    together = predict(features, lengths)
    for b in range(3):
        longer = np.pad(features[b : b + 1], ((0, 0), (0, 4), (0, 0)), constant_values=1e6)
        assert_close(predict(longer, lengths[b : b + 1])[0], together[b])
    assert not np.allclose(together[0], together[1])


def test_what_the_nodes_need_on_the_way_back_is_computed_again_and_not_kept(monkeypatch):
    def memory():
        part = SequenceCells(operations=("lstm_2", "none"), nodes=4, **{**COMMON, "cells": 4, "width": 8})
        x, frames = jnp.ones((C, 32, F, 8)), jnp.full(8, 32)
        op_weights = jnp.full((num_edges(4), 2), 0.5)
        shapes = jax.eval_shape(lambda: part.init(jax.random.key(0), x, frames, False, op_weights=op_weights))
        loss = lambda variables: jnp.sum(part.apply(variables, x, frames, False, op_weights=op_weights))
        return jit(jax.grad(loss)).lower(shapes).compile().memory_analysis().temp_size_in_bytes

    now = memory()
    monkeypatch.setattr(sequence_cells.nn, "remat", lambda module, **_: module)
    assert now < memory() / 3
