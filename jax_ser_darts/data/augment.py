"""SpecAugment (Park et al. 2019, "SpecAugment: A Simple Data Augmentation Method for ASR", section 2).

Masks of time and of frequency on normalised features, where 0 is the mean; and, as neighbours of it, shift,
loudness and noise. Time is the recording's own: no mask or shift reaches into padding.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.fields import check_own, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What to do to training utterances; the default does nothing. Counts, widths and gains are the largest: each
    utterance draws its own, uniformly.
    """

    time_masks: int = setting(0, "time masks an utterance (m_T)", low=0)
    time_width: int = setting(20, "widest time mask (T)", unit="frames, after pooling", low=0)
    time_share: float = setting(
        1.0, "of an utterance's valid frames that a mask may cover (p)", low=0, high=1
    )
    frequency_masks: int = setting(0, "frequency masks an utterance (m_F)", low=0)
    frequency_width: int = setting(8, "widest frequency mask (F)", unit="coefficients", low=0)
    shift: int = setting(0, "farthest rotation in time", unit="frames", low=0)
    gain: float = setting(0.0, "largest change of loudness", unit="dB", low=0)
    noise: float = setting(0.0, "standard deviation of added noise, in those of the coefficient", low=0)

    def __post_init__(self):
        check_own(self)

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        masks = self.time_masks * self.time_width or self.frequency_masks * self.frequency_width
        return bool(masks or self.shift or self.gain or self.noise)


def decibel(settings: Mapping[str, Any]) -> np.ndarray:
    """What one decibel more adds to each coefficient, float32 [F], before normalisation.

    To log-mels 1 each. The cepstrum is their orthonormal DCT, where a constant is in the first coefficient
    alone, times the root of the number of bands. Pooling changes neither.

    Args:
        settings: "kind", "coefficients", "n_mels" of the features: `Corpus.metadata["features"]`.

    Raises:
        ConfigError: features of another kind.
    """
    kind = settings.get("kind")
    if kind == "logmel":
        return np.ones(settings["coefficients"], np.float32)
    if kind == "mfcc":
        added = np.zeros(settings["coefficients"], np.float32)
        added[0] = math.sqrt(settings["n_mels"])
        return added
    raise ConfigError(
        f"config.train.augment.gain: nobody knows what a decibel adds to features of kind {kind!r}; set it to 0"
    )


def augment(
    features: np.ndarray,
    num_frames: np.ndarray,
    *,
    settings: Augmentation,
    rng: np.random.Generator,
    decibel: np.ndarray | None = None,
) -> np.ndarray:
    """Augments a batch, each utterance by its own draw.

    Args:
        features: float32 [B, T, F], normalised, 0 on padding.
        num_frames: valid frames, [B].
        settings: what to do.
        rng: where the draws come from.
        decibel: what one decibel adds to each normalised coefficient, [F]; only gain needs it.

    Returns:
        A new float32 [B, T, F], 0 where masked and on padding.
    """
    size, frames, coefficients = features.shape
    num_frames = np.asarray(num_frames)
    position = np.arange(frames)
    valid = position < num_frames[:, None]  # [B, T]
    if settings.shift:
        by = rng.integers(-settings.shift, settings.shift, size=(size, 1), endpoint=True)
        source = np.where(valid, (position - by) % np.maximum(num_frames, 1)[:, None], position)
        features = features[np.arange(size)[:, None], source]
    if settings.gain:
        if decibel is None:
            raise ValueError("gain needs what a decibel adds: the argument decibel")
        louder = rng.uniform(-settings.gain, settings.gain, (size, 1, 1)).astype(np.float32)
        features = features + louder * decibel
    if settings.noise:
        noise = rng.standard_normal(features.shape, np.float32)
        features = features + np.float32(settings.noise) * noise
    widest = np.minimum(settings.time_width, np.floor(settings.time_share * num_frames)).astype(np.int64)
    in_time = _masked(frames, widest=widest, within=num_frames, count=settings.time_masks, rng=rng)
    in_frequency = _masked(
        coefficients,
        widest=np.full(size, min(settings.frequency_width, coefficients)),
        within=np.full(size, coefficients),
        count=settings.frequency_masks,
        rng=rng,
    )
    unmasked = (valid & ~in_time)[:, :, None] & ~in_frequency[:, None, :]
    return np.where(unmasked, features, np.float32(0))


def _masked(
    length: int, *, widest: np.ndarray, within: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """bool [B, length]: in one of `count` intervals, 0 ... widest [B] long, inside the first within [B]."""
    width = rng.integers(0, widest[:, None], size=(len(widest), count), endpoint=True)
    start = rng.integers(0, within[:, None] - width, endpoint=True)
    place = np.arange(length)[None, None]
    return np.any((place >= start[..., None]) & (place < (start + width)[..., None]), axis=1)
