"""The arithmetic of a network: what convolutions and matrix products cost, from its trace. Nothing is compiled."""

import math
from typing import Any

import flax.linen as nn
import jax
from jax.extend import core

from jax_ser_darts.ops.backend import REFERENCE


def flops(network: nn.Module, features: Any, num_frames: Any) -> int:
    """Floating-point operations of one forward pass, two for each multiply-add of a convolution or matrix product.

    As the field counts them: normalisation, pooling and activations are left out. XLA's own count would take a loop's
    body, such as an LSTM's step, once however often it runs.

    Args:
        network: called as `models.network.Network`.
        features: `[B, T, F]`. num_frames: `[B]`; arrays or `jax.ShapeDtypeStruct`s.
    """
    # Convolutions as such, not as sums of shifted planes; a user's baseline has no backend.
    kernels = {"backend": REFERENCE} if hasattr(network, "backend") else {}
    alone = network.clone(axis_name=None, **kernels)
    inputs = (features, num_frames)
    variables = jax.eval_shape(lambda *a: alone.init(jax.random.key(0), *a, train=False), *inputs)
    return _count(jax.make_jaxpr(lambda v, *a: alone.apply(v, *a, train=False))(variables, *inputs).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: core.JaxprEqn) -> int:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        out_features = kernel[parameters["dimension_numbers"].rhs_spec[0]]
        return 2 * equation.outvars[0].aval.size * math.prod(kernel) // out_features
    inner = sum(
        _count(getattr(value, "jaxpr", value))
        for value in jax.tree.leaves(list(parameters.values()), is_leaf=_is_jaxpr)
        if _is_jaxpr(value)
    )
    return inner * (parameters["length"] if name == "scan" else 1)


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)
