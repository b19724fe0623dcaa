"""What a bundle may ask of a machine: known from sizes and a trace, before anything is allocated or compiled."""

import math
from typing import Any

import jax

from data_prep.audio import FASTEST, SHORTEST_SECONDS, SLOWEST
from data_prep.features import FeatureSettings
from jax_ser_darts.models import cost
from jax_ser_darts.serving import frontend
from jax_ser_darts.serving.reading import BundleError

SAMPLES = 2**22  # of a window: four minutes at 16 kHz
NUMBERS = 2**26  # of any array on the way from sound to probabilities, and of all weights: 256 MiB
FLOPS = 2**40  # of one prediction: some ten seconds of a core
_WHOLE = 2**31  # beyond every number of the feature settings


def check_features(settings: dict[str, Any]) -> None:
    """Whether every feature setting is a text, or a number that arithmetic does not fail with.

    Args:
        settings: the entries as they were read.

    Raises:
        BundleError: naming the entry.
    """
    texts = ("kind", "pool_kind")
    for name, value in settings.items():
        if not isinstance(value, int | float | str) or isinstance(value, str) < (name in texts):
            raise BundleError(f"the feature setting {name!r} is of another type")
        if isinstance(value, int | float) and abs(value) > _WHOLE:
            raise BundleError(f"the feature setting {name!r} is beyond all use: above {_WHOLE}")


def check_window(settings: FeatureSettings, frames: int) -> None:
    """Whether the features of a window fit.

    Args:
        settings: of the features.
        frames: T of the network's input.

    Raises:
        BundleError: the window is too short or too long, or an array on the way is too large.
    """
    rate, samples = settings.sampling_rate, frontend.window_samples(settings, frames)
    if not SLOWEST <= rate <= FASTEST:
        raise BundleError(f"the sampling rate is {rate} Hz; it must be from {SLOWEST} to {FASTEST}")
    if not SHORTEST_SECONDS * rate <= samples <= SAMPLES:
        raise BundleError(f"a window of {samples} samples at {rate} Hz is none of speech")
    bins = settings.n_fft // 2 + 1
    sizes = {
        "the spectrum": 2 * (samples // settings.hop + 2) * settings.n_fft,
        "the mel filters": max(settings.mel_bands, settings.coefficients) * (bins + settings.mel_bands),
        "the features": frames * settings.pool * settings.coefficients,
    }
    for name, size in sizes.items():
        if size > NUMBERS:
            raise BundleError(f"{name} of a window would have {size} numbers; at most {NUMBERS} are taken")


def check_network(trace: Any, variables: Any) -> None:
    """Whether a network's weights, activations and arithmetic fit.

    Args:
        trace: jaxpr of a forward pass of one utterance.
        variables: shapes of its weights.

    Raises:
        BundleError: they do not.
    """
    sizes = {
        "weights": sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables)),
        "activations of one layer": cost.largest_array(trace),
    }
    for name, size in sizes.items():
        if size > NUMBERS:
            raise BundleError(f"the network has {size} numbers as {name}; at most {NUMBERS} are taken")
    if (operations := cost.count(trace)) > FLOPS:
        raise BundleError(f"a prediction takes {operations:.1e} operations; at most {FLOPS:.1e} are taken")
