"""Initial params, drawn on the host: this module alone says what they are.

`model.init` would compile a random generator for each of a supernet's hundreds of params: 90 s where this took 3 to
5 s, both on busy cores. Here only shapes are traced, and the numbers are the same on every kind of device. Modules
declare their params with `drawn`; what Flax's own layers declare is not used either. Only modules that a user has
registered as operations are initialised by themselves.
"""

import math
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from jax_ser_darts.models.own import OWN

CONSTANTS = {"bias": 0.0, "scale": 1.0, "mean": 0.0, "variance": 1.0}
LINEAR = 1.0  # the variance of what comes in stays
RELU = 2.0  # He et al. (2015): a ReLU has halved it

Path = tuple[str, ...]


def drawn(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """What a module declares a param with whose values `init_variables` draws; by itself it is 0."""
    del key
    return jnp.zeros(shape, dtype)


def fan_in(path: Path, shape: tuple[int, ...]) -> int:
    """Inputs that one output sums.

    All axes but the last of a Flax layer's "kernel" (of a convolution `[k, k, in, out]`); k * k of a depthwise
    kernel `[..., k, k]`; else the last axis but one.
    """
    if path[-1] == "kernel":
        return math.prod(shape[:-1])
    return math.prod(shape[-2:]) if "depthwise" in path[-1] else shape[-2]


def gain_of(path: Path, paths: Collection[Path]) -> float:
    """RELU for a kernel that follows one, LINEAR for all others, of a model with these paths.

    Candidate operations begin with a ReLU; a pointwise kernel follows it unless it has a depthwise one before it.
    docs/searches.md has the measurement.
    """
    module, name = path[:-1], path[-1]
    if "depthwise_" in name:
        return RELU
    if "pointwise_" in name and (*module, name.replace("pointwise_", "depthwise_")) not in paths:
        return RELU
    return LINEAR


def draw(path: Path, shape: tuple[int, ...], dtype: np.dtype, seed: int, gain: float) -> np.ndarray:
    """The values of one variable; they depend on the seed and on its path."""
    if path[-1] in CONSTANTS:
        return np.full(shape, CONSTANTS[path[-1]], dtype)
    rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
    return ((gain / fan_in(path, shape)) ** 0.5 * rng.standard_normal(shape)).astype(dtype)


def init_variables(model: nn.Module, seed: int, *inputs: Any, **options: Any) -> dict:
    """The variables of a model, see `draw`.

    Args:
        model: its parameters named "bias" and "scale", and statistics "mean" and "variance", start as CONSTANTS.
        seed: of this model's params.
        inputs, options: what the model is called with (arrays or `jax.ShapeDtypeStruct`s).

    Returns:
        The tree of NumPy arrays that `model.init` would have.
    """

    def init(seed, *inputs):
        return flax.traverse_util.flatten_dict(model.init(jax.random.key(seed), *inputs, **options))

    shapes = jax.eval_shape(init, seed, *inputs)
    variables = {
        path: draw(path, leaf.shape, leaf.dtype, seed, gain_of(path, shapes))
        for path, leaf in shapes.items()
        if OWN not in path
    }
    if own := [path for path in shapes if OWN in path]:
        variables |= _initialised(init, own, seed, inputs)
    return flax.traverse_util.unflatten_dict({path: variables[path] for path in shapes})


def _initialised(
    init: Callable, paths: Sequence[Path], seed: int, inputs: tuple
) -> Mapping[Path, np.ndarray]:
    """The variables of the user's modules; of all others nothing is compiled, since nothing of them is asked for."""
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), inputs)
    chosen = jax.jit(lambda seed, *inputs: {path: init(seed, *inputs)[path] for path in paths})
    return jax.device_get(chosen(seed, *zeros))
