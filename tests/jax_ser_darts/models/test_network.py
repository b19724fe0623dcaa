"""The discrete network: a prediction depends on its utterance alone; exact statistics; drop-path."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts.devices.compilation import FAST_MATH
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.network import Cell, Network, Norm, Operation, count_parameters, drop_path
from jax_ser_darts.models.relaxed import RelaxedCell
from jax_ser_darts.ops.backend import CUSTOM
from jax_ser_darts.ops.masks import halved, valid_positions
from jax_ser_darts.ops.primitives import BN_EPSILON
from jax_ser_darts.search_space.genotype import Edge, Genotype, edge_index, num_edges, random_genotype
from jax_ser_darts.search_space.operations import OPERATIONS, Convolution, specification

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

T, F, CLASSES, MOMENTUM = 12, 8, 3, 0.9
LENGTHS = np.array([12, 5, 9, 0], np.int32)  # the last only fills the batch
COUNTED = np.array([1.0, 1.0, 1.0, 0.0])
GENOTYPE = Genotype(
    normal=(
        (Edge("avg_pool_3x3", 0), Edge("max_pool_3x3", 1)),
        (Edge("skip_connect", 0), Edge("sep_conv_3x3", 2)),  # after a pool, whose padding it would see
    ),
    reduction=(
        (Edge("dil_conv_3x3", 0), Edge("skip_connect", 1)),
        (Edge("max_pool_3x3", 0), Edge("skip_connect", 2)),
    ),
)
NETWORK = Network(
    classes=CLASSES,
    genotype=GENOTYPE,
    cells=2,
    channels=3,
    stem_multiplier=2,
    reductions=frozenset({1}),
    auxiliary=True,
    momentum=MOMENTUM,
    project=8,
    hidden=6,
    attention=5,
    dtype=jnp.float64,
)
NORM = {"momentum": MOMENTUM, "backend": CUSTOM, "axis_name": None, "dtype": jnp.float64}


@pytest.fixture(scope="module", autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def random_variables(module, *arguments, **options):
    """Weights, biases and running averages drawn by NumPy; variances above zero."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *arguments, **options))
    leaves, structure = jax.tree.flatten(shapes)
    values = [0.4 * normal(1000 + i, *leaf.shape) for i, leaf in enumerate(leaves)]
    variables = jax.tree.unflatten(structure, values)
    return jax.tree_util.tree_map_with_path(
        lambda path, x: np.exp(x) if path[-1].key == "variance" else x, variables
    )


def score(logits):
    return jnp.sum(COUNTED * (jnp.sin(logits) @ jnp.arange(1.0, 1.0 + CLASSES)))


@jit
def train_step(variables, features, num_frames, aux_share, rate, key):
    """((loss, (logits, auxiliary, running averages)), gradient); aux_share of the loss is the auxiliary's."""

    def loss(params):
        (logits, auxiliary), changed = NETWORK.apply(
            {**variables, "params": params},
            features,
            num_frames,
            train=True,
            drop_path_rate=rate,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        total = (1 - aux_share) * score(logits) + aux_share * score(auxiliary)
        return total, (logits, auxiliary, changed["batch_stats"])

    return jax.value_and_grad(loss, has_aux=True)(variables["params"])


def train(variables, features, lengths=LENGTHS, *, aux_share=0.4, rate=0.0, seed=0):
    return train_step(
        variables, features, lengths, jnp.float64(aux_share), jnp.float64(rate), jax.random.key(seed)
    )


@jit
def predict(variables, features, num_frames):
    logits, auxiliary = NETWORK.apply(variables, features, num_frames, train=False)
    assert auxiliary is None
    return logits


@pytest.fixture(scope="module")
def features():
    return normal(7, len(LENGTHS), T, F)


@pytest.fixture(scope="module")
def variables(features):
    return random_variables(NETWORK, features, LENGTHS, train=False)


@pytest.fixture(scope="module")
def outcome(variables, features):
    return train(variables, features)


def assert_close(found, expected, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max())))


# ---------------------------------------------------------------------------------------- evaluation


def test_a_prediction_depends_on_nothing_but_its_utterance(variables, features):
    together = predict(variables, features, LENGTHS)
    assert np.isfinite(together).all()
    for i in range(3):
        padding = ((0, 0), (0, 5), (0, 0))
        alone = predict(
            variables, np.pad(features[i : i + 1], padding, constant_values=1e6), LENGTHS[i : i + 1]
        )
        assert_close(alone[0], together[i])
    assert not np.allclose(together[0], together[1])


def test_evaluation_with_the_batchs_own_statistics_is_training(variables, features, outcome):
    _, (logits, _, averages) = outcome[0]
    before = variables["batch_stats"]
    batch = jax.tree.map(lambda new, old: (new - MOMENTUM * old) / (1 - MOMENTUM), averages, before)
    found = predict({**variables, "batch_stats": batch}, features, LENGTHS)
    assert_close(found[:3], logits[:3], 1e-8)
    assert not np.allclose(predict(variables, features, LENGTHS)[:3], logits[:3])


# ---------------------------------------------------------------------------------------- training


def test_the_gradient_reaches_every_weight(outcome):
    for path, g in jax.tree_util.tree_leaves_with_path(outcome[1]):
        assert np.isfinite(g).all()
        assert np.any(np.asarray(g) != 0), jax.tree_util.keystr(path)


def test_what_stands_on_padding_does_not_matter_in_training(variables, features, outcome):
    padding = np.arange(T)[None, :] >= LENGTHS[:, None]
    (loss, (logits, auxiliary, averages)), gradient = train(
        variables, np.where(padding[:, :, None], 1e6, features)
    )
    (expected_loss, (expected, expected_auxiliary, expected_averages)), expected_gradient = outcome
    assert_close((logits[:3], auxiliary[:3]), (expected[:3], expected_auxiliary[:3]))
    assert_close((loss, averages, gradient), (expected_loss, expected_averages, expected_gradient))


def test_running_averages_have_to_be_mutable_in_training(variables, features):
    with pytest.raises(flax.errors.ModifyScopeVariableError):
        jax.eval_shape(lambda: NETWORK.apply(variables, features, LENGTHS, train=True))


def test_dropout_is_random_in_training_and_absent_in_evaluation(features):
    network = NETWORK.clone(cells=1, genotype=SKIPS, reductions=frozenset(), dropout=0.5, auxiliary=False)
    variables = random_variables(network, features, LENGTHS, train=False)

    @jit
    def logits(key):
        rngs = {"dropout": key}
        return network.apply(variables, features, LENGTHS, train=True, mutable=["batch_stats"], rngs=rngs)[0][
            0
        ]

    first, again, other = (np.asarray(logits(jax.random.key(seed))) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first[:3], other[:3])
    jax.eval_shape(lambda: network.apply(variables, features, LENGTHS, train=False))  # asks for no rng


# ---------------------------------------------------------------------------------------- auxiliary


def test_the_auxiliary_is_there_in_training_only(variables, features, outcome):
    _, (_, auxiliary, _) = outcome[0]
    assert auxiliary.shape == (len(LENGTHS), CLASSES)
    assert "auxiliary" in variables["params"]  # though initialised with train=False
    shapes = jax.eval_shape(lambda: NETWORK.init(jax.random.key(0), features, LENGTHS, train=True))
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)
    without = NETWORK.clone(auxiliary=False)
    shapes = jax.eval_shape(lambda: without.init(jax.random.key(0), features, LENGTHS, train=True))
    assert "auxiliary" not in shapes["params"]


def test_the_auxiliary_teaches_the_cells_before_it_and_not_the_sequence_part(variables, features):
    gradient = train(variables, features, aux_share=1.0)[1]
    reached = {name: any(np.any(g) for g in jax.tree.leaves(part)) for name, part in gradient.items()}
    assert reached == {"stem": True, "cell_0": True, "cell_1": True, "auxiliary": True, "sequence": False}


# ---------------------------------------------------------------------------------------- drop-path


def test_a_rate_of_zero_drops_nothing(variables, features, outcome):
    assert_close(train(variables, features, seed=1), outcome)
    dropped = train(variables, features, rate=0.5, seed=1)
    assert not np.allclose(dropped[0][1][0], outcome[0][1][0])


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.7])
def test_drop_path_keeps_the_mean_an_utterance_at_a_time(rate):
    x, draws = 1 + np.abs(normal(0, 2, 3, 4, 5)), 4000
    keys = jax.random.split(jax.random.key(0), draws)
    found = np.asarray(jax.vmap(lambda key: drop_path(key, jnp.asarray(x), jnp.float32(rate)))(keys))
    kept = found / x  # 0, or 1 / (1 - rate), for a whole utterance at once
    assert np.ptp(kept, axis=(1, 2, 3)).max() < 1e-6
    factor = kept[:, 0, 0, 0]
    assert np.all(np.isclose(factor, 0) | np.isclose(factor, 1 / (1 - rate)))
    error = (rate / (1 - rate) / draws) ** 0.5  # standard error of the mean factor
    assert np.all(np.abs(factor.mean(axis=0) - 1) <= 5 * error + 1e-6)
    if rate:  # each utterance has its own fate
        assert np.abs(np.corrcoef(factor.T) - np.eye(5)).max() < 0.1


SKIPS = Genotype(normal=((Edge("skip_connect", 0),),), reduction=((Edge("skip_connect", 0),),))


@pytest.mark.parametrize("reduction", [False, True], ids=["normal", "reduction"])
def test_all_edges_are_dropped_but_the_identities(reduction):
    grid = valid_positions(jnp.array([6] * 16, jnp.int32), (6, 4), jnp.float64, None)
    after = halved(grid, None) if reduction else grid
    s0, s1 = normal(0, 2, 6, 4, 16), normal(1, 2, 6, 4, 16)
    skip, pool = Edge("skip_connect", 0), Edge("max_pool_3x3", 1)
    rest = 1, grid, after
    variables = random_variables(
        Cell(((skip, pool),), 2, reduction, NORM), s0, s1, *rest, train=False, drop_path_rate=0.0
    )

    @functools.partial(jit, static_argnums=(0, 1))
    def output(edges, rate):
        cell = Cell((edges,), 2, reduction, NORM)
        options = {"train": True, "drop_path_rate": rate, "mutable": ["batch_stats"]}
        return cell.apply(variables, s0, s1, *rest, **options, rngs={"dropout": jax.random.key(0)})[0]

    skipped, pooled = (np.asarray(output((edge,), 0.0)) for edge in (skip, pool))
    both = np.asarray(output((skip, pool), 0.5))
    skip_factors = [1.0] if not reduction else [0.0, 2.0]  # with a stride a skip is no identity
    for b in range(both.shape[-1]):
        fates = [s * skipped[..., b] + p * pooled[..., b] for s in skip_factors for p in (0.0, 2.0)]
        assert sum(np.allclose(both[..., b], fate) for fate in fates) == 1
    found = np.asarray(output((skip,), 0.5))
    assert np.allclose(found, skipped) == (not reduction)


# ---------------------------------------------------------------------------------------- normalisation


def test_devices_with_different_lengths_keep_the_averages_of_one_device():
    lengths, size = jnp.array([6, 1, 0, 3], jnp.int32), (6, 4)
    y = jnp.asarray(5 + normal(0, 2, *size, 4))
    variables = random_variables(
        Norm(**NORM), y, valid_positions(lengths, size, jnp.float64, None), train=False
    )

    def run(y, lengths, axis_name):
        norm = Norm(**{**NORM, "axis_name": axis_name})
        grid = valid_positions(lengths, size, jnp.float64, axis_name)
        out, changed = norm.apply(variables, y, grid, True, mutable=["batch_stats"])
        return out, changed["batch_stats"]

    expected, averages = run(y, lengths, None)
    mapped = jax.pmap(functools.partial(run, axis_name="devices"), axis_name="devices")
    found, on_devices = mapped(jnp.stack(jnp.split(y, 2, axis=-1)), lengths.reshape(2, 2))
    assert_close(np.concatenate(np.asarray(found), axis=-1), expected)
    for device in range(2):
        assert_close(jax.tree.map(lambda a: a[device], on_devices), averages)  # noqa: B023
    valid = np.concatenate([np.asarray(y)[:, : lengths[b], :, b].reshape(2, -1) for b in range(4)], axis=-1)
    old = variables["batch_stats"]
    assert_close(averages["mean"], MOMENTUM * old["mean"] + (1 - MOMENTUM) * valid.mean(axis=-1))
    assert_close(averages["variance"], MOMENTUM * old["variance"] + (1 - MOMENTUM) * valid.var(axis=-1))


def test_an_untrained_norm_is_the_identity_in_evaluation():
    grid = valid_positions(jnp.array([3, 2], jnp.int32), (3, 2), jnp.float64, None)
    y = normal(0, 4, 3, 2, 2) * np.asarray(grid.mask)
    norm = Norm(**NORM)
    variables = init_variables(norm, 0, y, grid, train=True)  # initialising counts as no batch
    assert_close(norm.apply(variables, y, grid, False), y / np.sqrt(1 + BN_EPSILON))


# ---------------------------------------------------------------------------------------- cells, operations


@pytest.mark.parametrize("reduction", [False, True], ids=["normal", "reduction"])
def test_a_cell_is_the_relaxed_cell_that_has_decided(reduction):
    """With the same params, one-hot alphas and idle affine parts; pools are left out, they differ."""
    nodes = (
        (Edge("sep_conv_3x3", 0), Edge("dil_conv_3x3", 1)),
        (Edge("skip_connect", 1), Edge("sep_conv_3x3", 2)),
    )
    size, channels = (7, 5), 3
    grid = valid_positions(jnp.array([7, 4, 0], jnp.int32), size, jnp.float64, None)
    after = halved(grid, None) if reduction else grid
    s0, s1 = (normal(i, 4, *size, 3) * np.asarray(grid.mask) for i in range(2))
    operations = ("none", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
    one_hot = np.zeros((num_edges(2), len(operations)))
    one_hot[:, 0] = 1
    for node, edges in enumerate(nodes):
        for edge in edges:
            row = edge_index(node, edge.source)
            one_hot[row] = [name == edge.operation for name in operations]
    common = {"channels": channels, "reduction": reduction}
    place = {"backend": CUSTOM, "axis_name": None, "dtype": jnp.float64}
    relaxed = RelaxedCell(operations=operations, nodes=2, **common, **place)
    params = random_variables(relaxed, s0, s1, one_hot, 1, grid, after)["params"]
    expected = jit(lambda w, *inputs: relaxed.apply({"params": w}, *inputs, 1, grid, after))(
        params, s0, s1, one_hot
    )

    cell = Cell(nodes, norm=NORM, **common)
    rest = {"train": True, "drop_path_rate": 0.0}
    variables = jax.eval_shape(lambda: cell.init(jax.random.key(0), s0, s1, 1, grid, after, **rest))

    def matching(path, leaf):
        """The relaxed cell's weight for this place of the discrete cell's."""
        names = [key.key for key in path]
        if names[-1] in ("mean", "variance", "bias", "scale"):
            return np.full(leaf.shape, float(names[-1] in ("variance", "scale")))
        if names[1].startswith("preprocess"):
            return params[names[1]]["conv"][names[-1]]
        node, source = (int(part) for part in names[1].removeprefix("node_").split("_from_"))
        (operation,) = (edge.operation for edge in nodes[node] if edge.source == source)
        row = 2 * node + source if operation == "skip_connect" else edge_index(node, source)
        return params[f"{operation}_{names[-1]}"][row]

    variables = jax.tree_util.tree_map_with_path(matching, variables)
    found, _ = jit(
        lambda v, *inputs: cell.apply(v, *inputs, 1, grid, after, **rest, mutable=["batch_stats"])
    )(variables, s0, s1)
    assert found.shape == (2 * channels, *after.size, 3)
    assert_close(found, expected)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "none"])
@pytest.mark.parametrize("stride", [1, 2])
def test_an_operation_has_the_params_of_dartss(operation, stride):
    c = 6
    grid = valid_positions(jnp.array([5, 0], jnp.int32), (5, 4), jnp.float64, None)
    after = grid if stride == 1 else halved(grid, None)
    x = normal(0, c, 5, 4, 2)
    module = Operation(operation, NORM)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x, grid, after, stride, False))
    spec = specification(operation)
    if isinstance(spec, Convolution):
        expected = spec.stages * (c * spec.kernel**2 + c * c + 2 * c)
    elif operation == "skip_connect" and stride == 2:
        expected = c * c + 2 * c
    else:
        expected = 0  # pools have no normalisation of their own here
    assert sum(leaf.size for leaf in jax.tree.leaves(variables.get("params", {}))) == expected
    assert jax.eval_shape(lambda: module.apply(zeros(variables), x, grid, after, stride, False)).shape == (
        c,
        *after.size,
        2,
    )


def zeros(shapes):
    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)


def test_parameters_are_counted_without_running_averages():
    variables = {
        "params": {"a": np.zeros((2, 3)), "b": {"c": np.zeros(4)}},
        "batch_stats": {"mean": np.zeros(9)},
    }
    assert count_parameters(variables) == 10


@pytest.mark.parametrize("seed", range(4))
def test_any_genotype_becomes_a_network(seed):
    genotype = random_genotype(np.random.default_rng(seed), nodes=1 + seed, operations=OPERATIONS)
    assert hash(Network(classes=4, genotype=genotype, cells=4, channels=4)) is not None
    network = Network(classes=4, genotype=genotype, cells=4, channels=4, stem_stride=1 + seed % 2)
    features = jnp.zeros((2, 13, 9), jnp.float32)
    shapes = jax.eval_shape(
        lambda: network.init_with_output(
            jax.random.key(0), features, jnp.array([13, 2], jnp.int32), train=False
        )
    )
    (logits, auxiliary), variables = shapes
    assert logits.shape == (2, 4)
    assert auxiliary is None
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("train", [False, True])
def test_two_max_pools_of_padding_stay_finite_under_fast_math(train):
    """It may factor the mask out of their sum, and two of the lowest numbers add up to minus infinity."""
    pools = ((Edge("max_pool_3x3", 0), Edge("max_pool_3x3", 1)),)
    cell = Cell(pools, 2, False, NORM)
    x = normal(0, 2, T, F, len(LENGTHS))
    grid = valid_positions(LENGTHS, (T, F), jnp.float64, None)

    def apply(x):
        variables = cell.init(jax.random.key(0), x, x, 1, grid, grid, False, 0.0)
        return cell.apply(variables, x, x, 1, grid, grid, train, 0.0, mutable=["batch_stats"])[0]

    assert np.isfinite(jax.jit(apply, compiler_options=FAST_MATH)(x)).all()
