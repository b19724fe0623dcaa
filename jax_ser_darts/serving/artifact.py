"""The StableHLO artifact: waveform -> probabilities as one program with its weights, for programs without this code.

    exported = jax.export.deserialize(bytearray(pathlib.Path("model.stablehlo").read_bytes()))
    exported.call(waveform, num_samples)    # float32 [b, window_samples], int32 [b] -> float32 [b, classes]

It is lowered for cpu, cuda and tpu at once, for any number b of sounds. jax promises to read it for six months at the
least (https://docs.jax.dev/en/latest/export/export.html); the weights beside it have no such limit. StableHLO is a
tensor program: it opens no file and runs no Python, but a compiler reads it, so take one from people you trust only.
"""

import contextlib
import functools
from collections.abc import Iterator

import jax
import jax.export
import jax.numpy as jnp

from jax_ser_darts.models.description import with_reference_kernels
from jax_ser_darts.serving.bundle import Bundle, probabilities
from jax_ser_darts.serving.reading import BundleError

PLATFORMS = ("cpu", "cuda", "tpu")


def make(bundle: Bundle) -> bytes:
    """The artifact of a bundle.

    The kernels are the REFERENCE ones, XLA's own: the custom ones come with hints for a CPU's compiler alone.
    """
    network = with_reference_kernels(bundle.network)
    function = functools.partial(
        probabilities, bundle.weights(), network=network, settings=bundle.settings, frames=bundle.frames
    )
    (batch,) = jax.export.symbolic_shape("b")
    arguments = (
        jax.ShapeDtypeStruct((batch, bundle.window_samples), jnp.float32),
        jax.ShapeDtypeStruct((batch,), jnp.int32),
    )

    def waveform_to_probabilities(waveform, num_samples):
        return function(waveform, num_samples)

    with _no_source_locations():
        exported = jax.export.export(jax.jit(waveform_to_probabilities), platforms=PLATFORMS)(*arguments)
    return bytes(exported.serialize())


@contextlib.contextmanager
def _no_source_locations() -> Iterator[None]:
    """Lowered inside, a program does not name the files of this machine, and is the same bytes every time."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)


def load(bundle: Bundle) -> jax.export.Exported:
    """The artifact of a bundle that has been read and checked.

    Raises:
        BundleError: there is none, or it is of another shape than the bundle's network, or of another platform.
    """
    if bundle.artifact is None:
        raise BundleError("this bundle has no StableHLO artifact: export it again")
    try:
        exported = jax.export.deserialize(bytearray(bundle.artifact))
    except Exception as error:  # whatever the readers of its two layers raise
        raise BundleError(f"the StableHLO artifact cannot be read: {error}") from error
    shapes = [tuple(str(side) for side in aval.shape) for aval in (*exported.in_avals, *exported.out_avals)]
    expected = [("b", str(bundle.window_samples)), ("b",), ("b", str(len(bundle.classes)))]
    if shapes != expected or exported.platforms != PLATFORMS:
        raise BundleError(
            f"the StableHLO artifact takes and gives {shapes} on {exported.platforms}, the bundle's network {expected} "
            f"on {PLATFORMS}: export it again"
        )
    return exported
