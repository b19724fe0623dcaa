"""Numbers drawn by NumPy, for the tests of models: no initialisation is compiled."""

import jax
import numpy as np


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def random_params(module, *arguments):
    """Weights of a module, biases too."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *arguments))["params"]
    leaves, structure = jax.tree.flatten(shapes)
    values = [0.4 * normal(1000 + i, *leaf.shape) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, values)
