"""SpecAugment (Park et al. 2019, "SpecAugment: A Simple Data Augmentation Method for ASR", section 2).

Masks of time and of frequency on normalised features, where 0 is the mean; and, as neighbours of it, shift,
loudness and noise. Time is the recording's own: no mask or shift reaches into padding.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """What to do to training utterances; the default does nothing. ValueError where it makes no sense.

    Attributes:
        time_masks: number of time masks an utterance (m_T).
        time_width: the widest of them in frames, after pooling (T); widths are uniform in 0 ... T.
        time_share: a time mask covers this share of the valid frames at most (p).
        frequency_masks: number of frequency masks an utterance (m_F).
        frequency_width: the widest of them in coefficients (F); widths are uniform in 0 ... F.
        shift: frames by which an utterance is rotated, uniform in -shift ... shift; what leaves at one end
            comes in at the other.
        gain: decibels by which it becomes louder or softer, uniform in -gain ... gain.
        noise: standard deviation of normal noise, in standard deviations of the coefficient.
    """

    time_masks: int = 0
    time_width: int = 0
    time_share: float = 1.0
    frequency_masks: int = 0
    frequency_width: int = 0
    shift: int = 0
    gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self):
        for name in ("time_masks", "time_width", "frequency_masks", "frequency_width", "shift"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise ValueError(f"augmentation: {name} must be a whole number, 0 or more, not {value!r}")
        for name, most in {"time_share": 1.0, "gain": math.inf, "noise": math.inf}.items():
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value <= most or not math.isfinite(value):
                raise ValueError(f"augmentation: {name} must be a number from 0 to {most:g}, not {value!r}")

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
    """
    kind = settings.get("kind")
    if kind == "logmel":
        return np.ones(settings["coefficients"], np.float32)
    if kind == "mfcc":
        added = np.zeros(settings["coefficients"], np.float32)
        added[0] = math.sqrt(settings["n_mels"])
        return added
    raise ValueError(f"nobody knows what a decibel adds to features of kind {kind!r}: set gain to 0")


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
    kept = (valid & ~in_time)[:, :, None] & ~in_frequency[:, None, :]
    return np.where(kept, features, np.float32(0))


def _masked(
    length: int, *, widest: np.ndarray, within: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """bool [B, length]: in one of `count` intervals, 0 ... widest [B] long, inside the first within [B]."""
    width = rng.integers(0, widest[:, None], size=(len(widest), count), endpoint=True)
    start = rng.integers(0, within[:, None] - width, endpoint=True)
    place = np.arange(length)[None, None]
    return ((place >= start[..., None]) & (place < (start + width)[..., None])).any(axis=1)
