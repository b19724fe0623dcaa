"""The arithmetic of a network: what convolutions and matrix products cost, from its trace. Nothing is compiled."""

import math
from typing import Any, Protocol, runtime_checkable

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
    alone = network.clone(axis_name=None)
    if hasattr(network, "backend"):  # a user's baseline has none
        alone = alone.clone(backend=REFERENCE)  # convolutions as such, not as sums of shifted planes
    inputs = (features, num_frames)
    variables = jax.eval_shape(lambda *a: alone.init(jax.random.key(0), *a, train=False), *inputs)
    return count(jax.make_jaxpr(lambda v, *a: alone.apply(v, *a, train=False))(variables, *inputs))


@runtime_checkable
class _Jaxpr(Protocol):
    """The trace of a function, with its constants or without."""

    @property
    def eqns(self) -> list[core.JaxprEqn]:
        """Its operations."""
        ...


def count(jaxpr: _Jaxpr) -> int:
    """As `flops`, of a trace: `jax.make_jaxpr` of a function whose convolutions are convolutions."""
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def largest_array(jaxpr: _Jaxpr) -> int:
    """Numbers of the largest array that a traced function makes on its way."""
    own = (math.prod(getattr(out.aval, "shape", ())) for equation in jaxpr.eqns for out in equation.outvars)
    inner = (largest_array(trace) for equation in jaxpr.eqns for trace in _traces_in(equation))
    return max(max(own, default=0), max(inner, default=0))


def _of_equation(equation: core.JaxprEqn) -> int:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        shape = _shape(equation.invars[0])
        return 2 * math.prod(_shape(equation.outvars[0])) * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = _shape(equation.invars[1])
        out_features = kernel[parameters["dimension_numbers"].rhs_spec[0]]
        return 2 * math.prod(_shape(equation.outvars[0])) * math.prod(kernel) // out_features
    inner = sum(map(count, _traces_in(equation)))
    return inner * (parameters["length"] if name == "scan" else 1)


def _traces_in(equation: core.JaxprEqn) -> list[_Jaxpr]:
    """Those of the functions that an operation calls, such as a loop's body."""
    parameters = list(equation.params.values())
    leaves = jax.tree.leaves(parameters, is_leaf=lambda x: isinstance(x, _Jaxpr))
    return [leaf for leaf in leaves if isinstance(leaf, _Jaxpr)]


def _shape(variable: core.Var | core.Literal) -> tuple[int, ...]:
    assert isinstance(variable.aval, jax.core.ShapedArray)  # what convolutions and matrix products are of
    return variable.aval.shape
