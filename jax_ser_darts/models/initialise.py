"""Initial weights, drawn on the host.

`model.init` would compile a random generator for each of a supernet's hundreds of parameters: 90 s where this
took 3 to 5 s, both on busy cores. Here only shapes are traced, and the numbers are the same on every kind of device.
"""

import math
import zlib
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

CONSTANTS = {"bias": 0.0, "scale": 1.0, "mean": 0.0, "variance": 1.0}
GAIN = 2.0  # He et al. (2015): most kernels follow a ReLU
# Kernels that follow none: of recurrences and attention. The first keep a state of their own size over all frames.
LINEAR_GAIN = 1.0
LINEAR = frozenset(("recurrent", "attend"))


def fan_in(path: tuple[str, ...], shape: tuple[int, ...]) -> int:
    """Inputs that one output sums.

    All axes but the last of a Flax layer's "kernel" (of a convolution `[k, k, in, out]`); k * k of a depthwise
    kernel `[..., k, k]`; else the last axis but one.
    """
    if path[-1] == "kernel":
        return math.prod(shape[:-1])
    return math.prod(shape[-2:]) if "depthwise" in path[-1] else shape[-2]


def init_variables(model: nn.Module, seed: int, *inputs: Any, **options: Any) -> dict:
    """The variables of a model: normal with variance gain / fan-in (see GAIN), biases 0, normalisation's scales 1.

    Args:
        model: its parameters named "bias" and "scale", and statistics "mean" and "variance", start as CONSTANTS.
        seed: of this model's weights; a parameter's values depend on it and on the parameter's own path.
        inputs, options: what the model is called with (arrays or `jax.ShapeDtypeStruct`s).

    Returns:
        The tree of NumPy arrays that `model.init` would have.
    """
    shapes = jax.eval_shape(lambda *a: model.init(jax.random.key(0), *a, **options), *inputs)
    variables = {}
    for path, leaf in flax.traverse_util.flatten_dict(shapes).items():
        if path[-1] in CONSTANTS:
            variables[path] = np.full(leaf.shape, CONSTANTS[path[-1]], leaf.dtype)
        else:
            rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
            gain = LINEAR_GAIN if path[-1] in LINEAR else GAIN
            scale = (gain / fan_in(path, leaf.shape)) ** 0.5
            variables[path] = (scale * rng.standard_normal(leaf.shape)).astype(leaf.dtype)
    return flax.traverse_util.unflatten_dict(variables)
