"""Initial params: the tree that Flax would make, with the variance that the fan-in asks for."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jax_ser_darts.models.initialise import init_variables


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
    assert abs(params["wide"]["kernel"].std() - (2 / 200) ** 0.5) < 1e-3
    assert abs(params["depthwise_0"].std() - (2 / 9) ** 0.5) < 1e-2
    assert abs(params["conv"]["kernel"].std() - (2 / 4) ** 0.5) < 3e-2
    assert (params["wide"]["bias"] == 0).all()
    assert (params["norm"]["scale"] == 1).all()


def test_statistics_start_at_the_unit_distribution():
    assert (init_variables(Small(), 0, jnp.zeros((2, 200)))["batch_stats"]["variance"] == 1).all()


def test_a_seed_gives_the_same_params_again_and_another_others():
    x = jnp.zeros((2, 200))
    first, again, other = (init_variables(Small(), seed, x)["params"]["wide"]["kernel"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
