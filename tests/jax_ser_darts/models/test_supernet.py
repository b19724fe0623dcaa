"""The supernet: both kinds of kernels are one function, and padding and devices change nothing."""

import dataclasses
import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import normal, random_params
from jax import lax

from jax_ser_darts import bilevel
from jax_ser_darts.models.relaxed import EDGES, SCAN, UNROLL
from jax_ser_darts.models.supernet import (
    Supernet,
    auxiliary_skip,
    edge_weights,
    init_alphas,
)
from jax_ser_darts.ops.backend import CUSTOM, REFERENCE
from jax_ser_darts.search_space.genotype import BETAS, num_edges
from jax_ser_darts.search_space.reductions import reduction_cells

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

T, F, CLASSES, NODES = 12, 8, 3, 2
FEW = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "none")  # the others compile for long
LENGTHS = np.array([12, 5, 9, 0], np.int32)  # the last only fills the batch
COUNTED = np.array([1.0, 1.0, 1.0, 0.0])
SUPERNET = Supernet(
    classes=CLASSES,
    operations=FEW,
    cells=2,
    nodes=NODES,
    channels=4,
    stem_multiplier=2,
    reductions=frozenset({1}),
    project=8,
    hidden=6,
    attention=5,
    dtype=jnp.float64,
)


@pytest.fixture(scope="module", autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def make_alphas(operations, nodes=NODES, betas=False):
    shape = num_edges(nodes), len(operations)
    alphas = {"normal": normal(1, *shape), "reduction": normal(2, *shape)}
    of_edges = {"normal": normal(3, shape[0]), "reduction": normal(4, shape[0])}
    return {**alphas, BETAS: of_edges} if betas else alphas


def make_loss(supernet, train=False, **options):
    def loss(params, alphas, features, num_frames, counted):
        logits = supernet.apply({"params": params}, features, num_frames, alphas, train, **options)
        return jnp.sum(
            counted * (jnp.sin(logits) @ jnp.arange(1.0, 1.0 + CLASSES, dtype=logits.dtype))
        ), logits

    return loss


def make_step(supernet):
    """(params, alphas, features, lengths, counted) -> ((loss, logits), gradients of params and alphas)."""
    return jit(jax.value_and_grad(make_loss(supernet), argnums=(0, 1), has_aux=True))


@pytest.fixture(scope="module")
def step():
    return make_step(SUPERNET)


@pytest.fixture(scope="module")
def batch():
    return normal(7, len(LENGTHS), T, F), LENGTHS, COUNTED


@pytest.fixture(scope="module")
def point(batch):
    alphas = make_alphas(FEW)
    return random_params(SUPERNET, *batch[:2], alphas), alphas


@pytest.fixture(scope="module")
def outcome(step, point, batch):
    return step(*point, *batch)


def assert_close(found, expected, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max())))


# ---------------------------------------------------------------------------------------- custom and reference kernels


def make_gradients(supernet):
    """(params, alphas, batch) -> logits, gradients of both and of the alphas alone, and the second order's product."""
    loss = make_loss(supernet)
    gradients = bilevel.make_gradients(lambda params, alphas, batch: loss(params, alphas, *batch))
    return jit(
        lambda params, *rest: (
            gradients.grad_both(params, *rest),
            gradients.grad_alphas(params, *rest)[1],
            gradients.hvp_mixed(params, *rest, jax.tree.map(jnp.cos, params)),
        )
    )


@pytest.fixture(scope="module")
def every_gradient(point, batch):
    """(backend, edges, ...) -> what `make_gradients` is about."""

    @functools.cache
    def compute(backend, edges, dtype=jnp.float64, remat=False):
        cast = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)
        supernet = SUPERNET.clone(backend=backend, edges=edges, dtype=dtype, remat=remat)
        features, lengths, counted = batch
        return make_gradients(supernet)(*cast(point), (cast(features), lengths, cast(counted)))

    return compute


SCAN_AND_SLOWLY_UNROLL = pytest.mark.parametrize(
    "edges", [SCAN, pytest.param(UNROLL, marks=pytest.mark.slow)]
)


@SCAN_AND_SLOWLY_UNROLL
def test_custom_kernels_are_the_reference_in_logits_and_in_every_gradient_of_both_orders(
    every_gradient, edges
):
    assert_close(every_gradient(CUSTOM, edges), every_gradient(REFERENCE, UNROLL))


@pytest.mark.slow  # ops/test_remat.py has the rule alone
@pytest.mark.parametrize("edges", EDGES)
def test_a_remat_supernet_is_the_same_function(every_gradient, edges):
    assert_close(every_gradient(CUSTOM, edges, remat=True), every_gradient(REFERENCE, UNROLL))


@pytest.mark.slow  # ops/ has each kernel in single precision
def test_custom_kernels_are_the_reference_in_single_precision(every_gradient):
    """To 1e-3 of the largest of each array: rounding, through two cells of normalisation."""
    found, expected = every_gradient(CUSTOM, SCAN, jnp.float32), every_gradient(REFERENCE, UNROLL)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3 * max(1e-2, float(np.abs(b).max())))


def test_the_gradient_reaches_every_weight_and_every_alpha(outcome):
    _, (params, alphas) = outcome
    assert all(np.isfinite(g).all() for g in jax.tree.leaves((params, alphas)))
    for kind, g in alphas.items():
        assert (np.asarray(g) != 0).all(), kind
    for path, g in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path)
        edges = (
            g if "_depthwise_" in name or "_pointwise_" in name else g[None]
        )  # an edge's op weights are its row
        assert all(np.any(np.asarray(e) != 0) for e in edges), name


# ---------------------------------------------------------------------------------------- partial channels

PARTIAL = SUPERNET.clone(
    operations=("max_pool_3x3", "skip_connect", "dil_conv_3x3", "none"),
    partial_channels=2,
    channels=2,
)


@pytest.fixture(scope="module")
def partial_gradients(batch):
    """(backend, edges) -> what `make_gradients` is about, of another batch too: with betas, part of the channels."""
    alphas = make_alphas(PARTIAL.operations, betas=True)
    params = random_params(PARTIAL, *batch[:2], alphas)

    @functools.cache
    def compiled(backend, edges):
        return make_gradients(PARTIAL.clone(backend=backend, edges=edges))

    return lambda backend, edges, batch=batch: compiled(backend, edges)(params, alphas, batch)


@pytest.mark.slow  # test_relaxed.py has the sum
@pytest.mark.parametrize("edges", EDGES)
def test_partial_channels_and_normalised_edges_are_the_reference_too(partial_gradients, edges):
    assert_close(partial_gradients(CUSTOM, edges), partial_gradients(REFERENCE, UNROLL))


def test_every_beta_has_a_gradient_in_both_orders(partial_gradients):
    (_, (_, grad_both)), grad_alphas, product = partial_gradients(CUSTOM, SCAN)
    for gradient in (grad_both, grad_alphas, product):
        for kind, g in gradient[BETAS].items():
            assert g.shape == (num_edges(NODES),), kind
            assert (np.abs(g) > 1e-9).all(), kind


def test_what_stands_on_padding_does_not_pass_the_candidates_by(partial_gradients, batch):
    features, lengths, counted = batch
    padding = np.arange(T)[None, :] >= lengths[:, None]
    spoilt = np.where(padding[:, :, None], 1e6, features)
    ((_, logits), found), *others = partial_gradients(CUSTOM, SCAN, (spoilt, lengths, counted))
    ((_, expected_logits), expected), *expected_others = partial_gradients(CUSTOM, SCAN)
    assert_close(logits[:3], expected_logits[:3])
    assert_close((found, others), (expected, expected_others))


def test_the_candidates_have_their_share_of_the_channels(batch):
    shapes = lambda supernet: jax.eval_shape(
        lambda: supernet.init(jax.random.key(0), *batch[:2], make_alphas(supernet.operations))
    )["params"]
    partial, whole = shapes(SUPERNET.clone(partial_channels=4)), shapes(SUPERNET)
    for cell, channels in (("cell_0", 4), ("cell_1", 8)):
        assert whole[cell]["sep_conv_3x3_pointwise_0"].shape[1:] == (channels, channels)
        assert partial[cell]["sep_conv_3x3_pointwise_0"].shape[1:] == (channels // 4, channels // 4)
    assert partial["cell_1"]["preprocess_0"] == whole["cell_1"]["preprocess_0"]
    assert partial["sequence"] == whole["sequence"], "a node is as wide as it was"


def test_the_shares_of_the_edges_of_a_node_add_up_to_1():
    shares = np.asarray(edge_weights(jnp.asarray(np.log([1.0, 3.0, 1.0, 1.0, 2.0]))))
    np.testing.assert_allclose(shares, [0.25, 0.75, 0.25, 0.25, 0.5], rtol=1e-12)


# ---------------------------------------------------------------------------------------- utterances


def test_the_order_of_the_batch_does_not_matter(step, outcome, point, batch):
    (loss, logits), gradients = outcome
    order = np.array([2, 3, 0, 1])
    (permuted_loss, permuted), permuted_gradients = step(*point, *(x[order] for x in batch))
    assert_close(permuted, logits[order])
    assert_close((permuted_loss, permuted_gradients), (loss, gradients))


def test_what_stands_on_padding_does_not_matter(step, outcome, point, batch):
    features, lengths, counted = batch
    padding = np.arange(T)[None, :] >= lengths[:, None]
    assert padding[3].all()  # one utterance is padding altogether
    spoilt = np.where(padding[:, :, None], 1e6, features)
    found, expected = step(*point, spoilt, lengths, counted), outcome
    assert_close(found[0][1][:3], expected[0][1][:3])
    assert_close(found[1], expected[1])
    assert np.isfinite(found[0][1]).all()


def test_more_padding_and_no_filling_utterance_change_nothing(outcome, point, batch):
    features, lengths, _ = batch
    longer = np.pad(features[:3], ((0, 0), (0, 5), (0, 0)))
    logits = jit(lambda *inputs: SUPERNET.apply({"params": point[0]}, *inputs))(longer, lengths[:3], point[1])
    assert_close(logits, outcome[0][1][:3])


# ---------------------------------------------------------------------------------------- devices, dropout

TINY = SUPERNET.clone(
    operations=("max_pool_3x3", "skip_connect"),
    cells=1,
    nodes=1,
    channels=2,
    reductions=frozenset({0}),
    stem_stride=2,
)


@pytest.fixture(scope="module")
def tiny(batch):
    alphas = make_alphas(TINY.operations, nodes=1)
    point = random_params(TINY, *batch[:2], alphas), alphas
    return point, make_step(TINY)(*point, *batch)


@pytest.mark.parametrize("part", [1, 2])
def test_two_devices_with_different_lengths_give_what_one_gives(tiny, batch, part):
    supernet = TINY.clone(partial_channels=part)
    if part == 1:
        point, expected = tiny
    else:
        alphas = make_alphas(TINY.operations, nodes=1, betas=True)
        point = random_params(supernet, *batch[:2], alphas), alphas
        expected = make_step(supernet)(*point, *batch)
    step = jax.value_and_grad(make_loss(supernet.clone(axis_name="devices")), argnums=(0, 1), has_aux=True)

    def on_device(*inputs):
        (loss, logits), gradients = step(*inputs)
        return logits, lax.psum((loss, gradients), "devices")

    mapped = jax.pmap(on_device, axis_name="devices", in_axes=(None, None, 0, 0, 0), out_axes=(0, None))
    logits, (loss, gradients) = mapped(*point, *(x.reshape(2, 2, *x.shape[1:]) for x in batch))
    assert_close(((loss, np.concatenate(np.asarray(logits))), gradients), expected)


def test_what_is_added_moves_the_op_weights_and_nothing_else(batch):
    """To go by what is added from one mixture to another is to have the other's alphas; 0 changes no bit."""
    supernet = TINY.clone(
        sequence_operations=("rnn_1", "skip_connect"),
        sequence_cells=1,
        sequence_nodes=1,
        sequence_width=2,
    )
    here, there = (
        {**make_alphas(TINY.operations, nodes=1), "sequence": normal(seed, 2, 2)} for seed in (3, 4)
    )
    there["normal"] = normal(5, 2, 2)
    params = random_params(supernet, *batch[:2], here)
    apply = jit(lambda alphas, added: supernet.apply({"params": params}, *batch[:2], alphas, False, added))
    zero = auxiliary_skip(
        jnp.float64(0), operations=TINY.operations, sequence_operations=supernet.sequence_operations
    )
    shift = {kind: jax.nn.softmax(there[kind]) - jax.nn.softmax(here[kind]) for kind in here}
    expected = apply(there, zero)
    np.testing.assert_allclose(apply(here, shift), expected, rtol=1e-9)
    assert not np.allclose(apply(here, zero)[:3], expected[:3], rtol=1e-3)
    np.testing.assert_array_equal(apply(here, zero), apply(here, None))


def test_edges_are_scan_or_unroll(batch):
    with pytest.raises(ValueError, match="scan, unroll"):
        TINY.clone(edges="rolled").init(jax.random.key(0), *batch[:2], make_alphas(TINY.operations, nodes=1))


def test_dropout_is_random_in_training_and_absent_otherwise(tiny, batch):
    point, _ = tiny  # computed with train=False
    supernet = TINY.clone(dropout=0.5)
    with pytest.raises(flax.errors.InvalidRngError):
        jax.eval_shape(make_loss(supernet, train=True), *point, *batch)
    jax.eval_shape(make_loss(supernet, train=False), *point, *batch)  # asks for no rng

    logits = jit(lambda key: make_loss(supernet, train=True, rngs={"dropout": key})(*point, *batch)[1])
    first, again, other = (np.asarray(logits(jax.random.key(seed))) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first[:3], other[:3])


def test_single_precision_stays_single(batch):
    features, lengths, _ = batch
    supernet = dataclasses.replace(TINY, dtype=jnp.float32)
    alphas = init_alphas(jax.random.key(0), nodes=1, operations=2, scale=1e-3)
    assert {a.dtype for a in jax.tree.leaves(alphas)} == {jnp.dtype("float32")}
    inputs = features.astype(np.float32), lengths, alphas
    variables = jax.eval_shape(supernet.init, jax.random.key(0), *inputs)
    assert set(variables) == {"params"}
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert jax.eval_shape(supernet.apply, variables, *inputs).dtype == jnp.float32


# ---------------------------------------------------------------------------------------- depth, alphas


@pytest.mark.parametrize("cells", range(2, 21))
def test_two_cells_reduce(cells):
    assert len(reduction_cells(cells)) == 2
    assert max(reduction_cells(cells)) < cells


def test_the_reference_reduces_in_the_middle_two_of_four_cells():
    assert reduction_cells(4) == {1, 2}


def test_alphas_start_near_zero_and_differ():
    alphas = init_alphas(jax.random.key(0), nodes=4, operations=8, scale=1e-3)
    assert {kind: a.shape for kind, a in alphas.items()} == {"normal": (14, 8), "reduction": (14, 8)}
    values = np.concatenate([np.asarray(a).ravel() for a in alphas.values()])
    assert len(np.unique(values)) == values.size
    assert 0.5e-3 < values.std() < 2e-3


def test_betas_are_drawn_beside_the_alphas_and_change_none_of_them():
    shape = {"nodes": 4, "operations": 8, "scale": 1e-3}
    alphas = init_alphas(jax.random.key(0), **shape, edge_normalisation=True)
    betas = alphas.pop(BETAS)
    without = init_alphas(jax.random.key(0), **shape)
    assert all(np.array_equal(alphas[kind], without[kind]) for kind in without)
    assert {kind: b.shape for kind, b in betas.items()} == {"normal": (14,), "reduction": (14,)}
    values = np.concatenate([np.asarray(b) for b in betas.values()])
    assert len(np.unique(values)) == values.size
    assert 0.5e-3 < values.std() < 2e-3
