"""Training steps: the same on one device and on eight, with every option that is not random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts import optimisers
from jax_ser_darts.devices import parallel
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.network import Network
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.training.train_step import TrainState, make_train_steps

CELL = ((Edge("dil_conv_3x3", 0), Edge("max_pool_3x3", 1)),)


def trained(count, dtype, steps=3, mapping=parallel.PMAP):
    """Variables and probabilities after some steps on `count` devices."""
    devices = jax.devices()[:count]
    network = Network(
        classes=3,
        genotype=Genotype(normal=CELL, reduction=CELL),
        cells=2,
        channels=2,
        reductions=frozenset({1}),
        auxiliary=True,
        project=4,
        hidden=3,
        attention=3,
        axis_name=parallel.AXIS,
        dtype=dtype,
    )
    rng = np.random.default_rng(0)
    batch = {
        "features": rng.normal(size=(8, 10, 6)).astype(dtype),
        "num_frames": rng.integers(3, 11, size=8).astype(np.int32),
        "label": rng.integers(0, 3, size=8).astype(np.int32),
        "weight": np.array([1, 2, 0.5, 1, 0, 1, 1, 3], np.float32),  # one place is empty
    }
    batch["num_frames"][4] = 0
    shapes = (jax.ShapeDtypeStruct((1, 10, 6), dtype), jax.ShapeDtypeStruct((1,), jnp.int32))
    variables = init_variables(network.clone(axis_name=None), 0, *shapes, train=False)
    tx = optimisers.adamw(
        schedule=optimisers.cosine(start=0.01, end=0.001, steps=10), weight_decay=0.1, clip=1.0
    )
    state = TrainState(variables, tx.init(variables["params"]), jnp.zeros((), jnp.int32), jax.random.key(0))
    state = parallel.replicate(state, devices)
    functions = make_train_steps(
        network=network,
        tx=tx,
        devices=devices,
        auxiliary_weight=0.4,
        label_smoothing=0.1,
        drop_path=False,
        mapping=mapping,
    )
    metrics = []
    for _ in range(steps):
        state, step_metrics = functions.train(state, parallel.shard(batch, devices), np.float32(0))
        metrics.append(step_metrics)
    probabilities = functions.predict(state.variables, parallel.shard(batch, devices))
    return jax.device_get((state.variables, metrics)), np.asarray(probabilities).reshape(8, 3)


@pytest.fixture(scope="module")
def both():
    with jax.enable_x64(True):
        return trained(1, jnp.float64), trained(8, jnp.float64)


def test_one_device_and_eight_agree(both):
    """Weights, running statistics, loss and predictions, with lengths and weights that differ by device."""
    differences = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), *both)
    assert max(jax.tree.leaves(differences)) < 1e-8


def test_pmap_and_shard_map_agree_bit_by_bit(both):
    with jax.enable_x64(True):
        other = trained(8, jnp.float64, mapping=parallel.SHARD_MAP)
    jax.tree.map(np.testing.assert_array_equal, both[1], other)


def test_probabilities_sum_to_one(both):
    np.testing.assert_allclose(both[0][1].sum(axis=-1), 1)


def test_the_loss_falls(both):
    losses = [metrics["loss"] for metrics in both[0][0][1]]
    assert losses[-1] < losses[0]
