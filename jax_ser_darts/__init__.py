"""Differentiable architecture search (DARTS) for speech emotion recognition, in JAX."""

from typing import Any


def load(bundle: Any, **options: Any) -> Any:
    """A predictor of emotions from an exported bundle's folder: `load(folder).predict(waveform, sampling_rate)`.

    See `jax_ser_darts.serving.predictor.load`; imported here, so that importing the package alone takes no time.
    """
    from jax_ser_darts.serving import predictor

    return predictor.load(bundle, **options)
