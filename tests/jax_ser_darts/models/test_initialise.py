"""Initial params: the tree that Flax would make, with the variance that the fan-in asks for."""

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_ser_darts.models.initialise import CONSTANTS, RELU, gain_of, init_variables
from jax_ser_darts.models.network import Network
from jax_ser_darts.models.supernet import Supernet
from jax_ser_darts.search_space.genotype import Edge, Genotype


class Small(nn.Module):
    """A model with every kind of leaf."""

    @nn.compact
    def __call__(self, x):
        self.param("depthwise_0", nn.initializers.zeros, (64, 32, 3, 3))
        nn.Conv(500, (2, 2), name="conv")(x[:, None, :, None])
        x = nn.Dense(300, name="wide")(x)
        self.variable("batch_stats", "variance", jnp.zeros, (7,))
        return nn.LayerNorm(name="norm")(x)


def test_the_tree_is_the_one_of_init():
    x = jnp.zeros((2, 200))
    ours = init_variables(Small(), 0, x)
    flax = Small().init(jax.random.key(0), x)
    assert jax.tree.structure(ours) == jax.tree.structure(flax)
    assert jax.tree.map(np.shape, ours) == jax.tree.map(np.shape, flax)


def test_variances_follow_the_fan_in():
    params = init_variables(Small(), 0, jnp.zeros((2, 200)))["params"]
    assert abs(params["wide"]["kernel"].std() - (1 / 200) ** 0.5) < 1e-3
    assert abs(params["depthwise_0"].std() - (2 / 9) ** 0.5) < 1e-2
    assert abs(params["conv"]["kernel"].std() - (1 / 4) ** 0.5) < 3e-2
    assert (params["wide"]["bias"] == 0).all()
    assert (params["norm"]["scale"] == 1).all()


def test_statistics_start_at_the_unit_distribution():
    assert (init_variables(Small(), 0, jnp.zeros((2, 200)))["batch_stats"]["variance"] == 1).all()


def test_a_seed_gives_the_same_params_again_and_another_others():
    x = jnp.zeros((2, 200))
    first, again, other = (init_variables(Small(), seed, x)["params"]["wide"]["kernel"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


SIZES = {
    "classes": 3,
    "cells": 1,
    "channels": 4,
    "stem_multiplier": 2,
    "reductions": frozenset({0}),
    "project": 8,
    "hidden": 6,
    "attention": 5,
    "dtype": jnp.float32,
}
EDGES = ((Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)),)
FEATURES, FRAMES = jax.ShapeDtypeStruct((2, 8, 8), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.int32)


def after_a_relu(model, *inputs, **options):
    """{module/name} of the params that are drawn with the gain of a ReLU, without the modules above."""
    shapes = jax.eval_shape(lambda *inputs: model.init(jax.random.key(0), *inputs, **options), *inputs)
    paths = flax.traverse_util.flatten_dict(shapes["params"])
    return {
        "/".join(path[-3:]) for path in paths if path[-1] not in CONSTANTS and gain_of(path, paths) == RELU
    }


def test_kernels_of_a_network_that_follow_a_relu_have_its_gain():
    network = Network(genotype=Genotype(EDGES, EDGES), auxiliary=True, momentum=0.9, **SIZES)
    assert after_a_relu(network, FEATURES, FRAMES, train=False) == {
        "preprocess_0/conv/pointwise_0",
        "preprocess_1/conv/pointwise_0",
        "node_0_from_0/conv/depthwise_0",
        "node_0_from_0/conv/depthwise_1",
        "reduce/conv/pointwise_0",
        "reduce/conv/pointwise_1",
    }


def test_kernels_of_a_supernet_that_follow_a_relu_have_its_gain():
    operations = ("skip_connect", "sep_conv_3x3", "none")
    supernet = Supernet(operations=operations, nodes=1, **SIZES)
    alphas = {kind: jnp.zeros((2, 3)) for kind in ("normal", "reduction")}
    names = {path.split("/")[-1] for path in after_a_relu(supernet, FEATURES, FRAMES, alphas, train=False)}
    assert names == {
        "pointwise_0",  # of the cells' inputs
        "sep_conv_3x3_depthwise_0",
        "sep_conv_3x3_depthwise_1",
        "skip_connect_pointwise_0",
        "skip_connect_pointwise_1",
    }
