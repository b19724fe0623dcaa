"""Differentiable architecture search (DARTS) for speech emotion recognition, in JAX.

Run     the whole job: a config and a workdir -> records, genotypes, networks, scores, a bundle
load    a predictor from a bundle
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax_ser_darts.run import Run as Run


def load(bundle: Any, **options: Any) -> Any:
    """A predictor of emotions from an exported bundle's folder: `load(folder).predict(waveform, sampling_rate)`.

    See `jax_ser_darts.serving.predictor.load`; imported here, so that importing the package alone takes no time.
    """
    from jax_ser_darts.serving import predictor

    return predictor.load(bundle, **options)


def __getattr__(name: str) -> Any:
    """`Run`, imported when it is asked for: that takes seconds, and a bundle's predictions need none of it."""
    if name == "Run":
        from jax_ser_darts.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
