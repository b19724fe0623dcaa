"""Adds model.onnx to a bundle: waveform -> probabilities for ONNX Runtime, one sound at a time.

    pip install 'jax_ser_darts[onnx]'
    jax-ser-darts onnx BUNDLE

    session = onnxruntime.InferenceSession("BUNDLE/model.onnx")
    session.run(None, {"waveform": waveform, "num_samples": num_samples})    # float32 [1, window_samples], int32 [1]

jax2onnx converts (https://github.com/enpasos/jax2onnx). What version 0.17.1 cannot do is rewritten before:

- it traces functions with a jax.numpy of its own, under which Flax's RNN fails: it gets operations that JAX has traced;
- it refuses convolutions of activations `[C, T, F, B]`: they become those of `[B, C, T, F]`;
- it multiplies by A where a matrix product contracts the first axis of A, without a message: A is transposed before;
- it pools over all axes of a window, which ONNX Runtime refuses beyond 3: the maximum is taken of slices;
- it fails on the remainder and the padding of a batch of unknown size: the batch is 1.

Nothing is written unless ONNX Runtime gives the network's probabilities.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Sequence

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax import lax
from jax.interpreters import partial_eval

from jax_ser_darts import commands, extras
from jax_ser_darts.models.description import with_reference_kernels
from jax_ser_darts.serving import model_card
from jax_ser_darts.serving.bundle import (
    Bundle,
    probabilities,
    probe_waveform,
    read_bundle,
    write_bundle,
)
from jax_ser_darts.serving.reading import BundleError

OPSET = 23
_TOLERANCE = 1e-4  # of a probability; seen are some 1e-6


def make(bundle: Bundle) -> bytes:
    """The ONNX model of a bundle, which has been compared with its network in ONNX Runtime.

    Raises:
        MissingExtraError: jax2onnx or ONNX Runtime is not installed.
        BundleError: jax2onnx cannot convert this network, or converts it to something else.
    """
    with extras.explained():
        import jax2onnx
        import onnxruntime
    function = functools.partial(
        probabilities,
        bundle.weights(),
        network=with_reference_kernels(bundle.network),
        settings=bundle.settings,
        frames=bundle.frames,
    )
    inputs = (
        jax.ShapeDtypeStruct((1, bundle.window_samples), jnp.float32),
        jax.ShapeDtypeStruct((1,), jnp.int32),
    )
    try:
        model = jax2onnx.to_onnx(
            usual_forms(function, inputs),
            inputs,
            model_name="waveform_to_probabilities",
            opset=OPSET,
            input_names=["waveform", "num_samples"],
            output_names=["probabilities"],
        ).SerializeToString()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        names = [array.name for array in session.get_inputs()]
        converted = lambda *sound: session.run(None, dict(zip(names, sound, strict=True)))[0]
        difference = _largest_difference(bundle, jax.jit(function), converted)
    except Exception as error:  # whatever two libraries raise
        raise BundleError(f"jax2onnx cannot convert this network: {type(error).__name__}: {error}") from error
    if not difference < _TOLERANCE:  # NaN is no agreement
        raise BundleError(f"ONNX Runtime gives other probabilities than the network, by {difference:.2g}")
    logging.info("ONNX Runtime gives the network's probabilities, to %.1g", difference)
    return model


def _largest_difference(bundle: Bundle, network: Callable, converted: Callable) -> float:
    """Between the probabilities that two functions give to whole and short sounds."""
    size = bundle.window_samples
    probe = probe_waveform(size, bundle.settings.sampling_rate)[None]
    noise = (0.1 * np.random.default_rng(0).standard_normal((1, size))).astype(np.float32)
    lengths = [np.array([max(size // part, 1)], np.int32) for part in (1, 3, 50)]
    sounds = itertools.product((probe, noise), lengths)
    return float(np.max([np.abs(np.asarray(network(*sound)) - converted(*sound)) for sound in sounds]))


def usual_forms(function: Callable, inputs: Sequence[jax.ShapeDtypeStruct]) -> Callable:
    """The same function of traced operations, with convolutions NCHW, matrix products A B or A B^T, no pooling."""
    traced = jax.make_jaxpr(function)(*inputs)
    # Without what nothing reads: the keys of Flax's RNN, which ONNX has no operation for.
    needed, _ = partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars), instantiate=True)
    usual = jax.make_jaxpr(lambda *arrays: _evaluate(needed, traced.consts, arrays))(*inputs)
    call = jax.extend.core.jaxpr_as_fun(usual)
    return lambda *arrays: call(*arrays)[0]


def _evaluate(jaxpr, consts, arrays):
    """Runs a jaxpr."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arrays], strict=True))
    read = lambda atom: atom.val if isinstance(atom, jax.extend.core.Literal) else values[atom]
    for equation in jaxpr.eqns:
        operands, name = list(map(read, equation.invars)), equation.primitive.name
        if name == "jit":
            results = _named(equation.params["name"], equation.params["jaxpr"])(*operands)
        elif name == "custom_jvp_call":
            inner = equation.params["call_jaxpr"]
            results = _evaluate(inner.jaxpr, inner.consts, operands)
        else:
            results = _REWRITES.get(name, _as_it_is)(equation.primitive, operands, equation.params)
            results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return list(map(read, jaxpr.outvars))


def _named(name, inner):
    """A function that stays a function: inlined, (n + 1) // 2 would become ONNX's Mean, which has no integers."""

    def function(*arrays):
        return _evaluate(inner.jaxpr, inner.consts, arrays)

    function.__name__ = name
    return jax.jit(function)


def _as_it_is(primitive, operands, params):
    return primitive.bind(*operands, **params)


def _convolution(primitive, operands, params):
    specs = params["dimension_numbers"]  # of each array: batch, channels (or outputs, inputs), then space
    operands = [lax.transpose(x, spec) for x, spec in zip(operands, specs[:2], strict=True)]
    usual = lax.ConvDimensionNumbers(*(tuple(range(len(spec))) for spec in specs))
    result = primitive.bind(*operands, **{**params, "dimension_numbers": usual})
    return lax.transpose(result, np.argsort(specs.out_spec).tolist())


def _product(primitive, operands, params):
    left, right = operands
    (contracted, of_right), batch = params["dimension_numbers"]
    if left.ndim == right.ndim == 2 and tuple(contracted) == (0,):
        params = {**params, "dimension_numbers": (((1,), of_right), batch)}
        left = lax.transpose(left, (1, 0))
    return primitive.bind(left, right, **params)


def _max_pool(primitive, operands, params):
    if {*params["base_dilation"], *params["window_dilation"]} != {1}:
        return _as_it_is(primitive, operands, params)
    (x,), window, strides = operands, params["window_dimensions"], params["window_strides"]
    filled = lax.pad(x, np.array(-np.inf, x.dtype), [(*sides, 0) for sides in params["padding"]])
    steps = [(n - w) // s * s + 1 for n, w, s in zip(filled.shape, window, strides, strict=True)]
    parts = [
        lax.slice(filled, start, np.add(start, steps).tolist(), strides)
        for start in itertools.product(*map(range, window))
    ]
    return functools.reduce(lax.max, parts)


_REWRITES = {"conv_general_dilated": _convolution, "dot_general": _product, "reduce_window_max": _max_pool}


def add(folder: pathlib.Path) -> None:
    """Makes and adds the ONNX model to the bundle in a folder; all else stays what it is.

    Raises:
        BundleError, MissingExtraError: see `make` and `read_bundle`.
    """
    bundle = read_bundle(folder)
    bundle = dataclasses.replace(bundle, onnx=make(bundle))
    versions = bundle.provenance.get("versions", {})
    write_bundle(
        folder,
        bundle,
        card=model_card.render(bundle),
        versions={name: version for name, version in versions.items() if name != "records"},
    )


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    if len(arguments) != 2:
        return commands.fail("name one bundle: jax-ser-darts onnx BUNDLE; see --help", status=2)
    add(pathlib.Path(arguments[1]))
    return 0


if __name__ == "__main__":
    commands.start(main, status=2)
