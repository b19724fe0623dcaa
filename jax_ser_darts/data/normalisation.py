"""Mean and standard deviation of each coefficient, from training utterances only; padding stays at zero."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_ser_darts.data.records import Subset

_ROUNDING = 1e-6  # a spread below this share of the mean is float32 rounding: the coefficient is constant


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """What is taken from each coefficient, and what it is divided by.

    Attributes:
        mean: float32 [F].
        std: float32 [F], all above 0.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, subset: Subset) -> "Normalisation":
        """Over every valid frame of the utterances; give it the training part of a fold, nothing else.

        Sums in float64, in two passes. A constant coefficient gets std 1, so that it becomes 0.
        """
        return cls.of_features([subset.corpus.features[index] for index in subset.indices])

    @classmethod
    def of_features(cls, features: Sequence[np.ndarray]) -> "Normalisation":
        """As `of`, over arrays [num_frames, F]."""
        frames = sum(map(len, features))
        if not frames:
            raise ValueError("there is no frame to take the mean of: the training part is empty")
        mean = np.asarray(sum(rows.sum(axis=0, dtype=np.float64) for rows in features)) / frames
        std = np.sqrt(sum(np.square(rows - mean).sum(axis=0) for rows in features) / frames)
        std = np.where(std > _ROUNDING * np.abs(mean), std, 1.0)
        return cls(mean.astype(np.float32), std.astype(np.float32))

    def apply(self, features: np.ndarray, num_frames: np.ndarray) -> np.ndarray:
        """Normalises valid frames and zeroes the rest, whatever is there.

        Args:
            features: float32 [..., T, F].
            num_frames: valid frames, [...].

        Returns:
            A new float32 [..., T, F].
        """
        valid = np.arange(features.shape[-2]) < np.asarray(num_frames)[..., None]
        return np.where(valid[..., None], (features - self.mean) / self.std, np.float32(0))

    def to_json(self) -> dict[str, Any]:
        """For JSON; `from_json` gives the very same numbers back."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Normalisation":
        """What `to_json` wrote; ValueError where it is not that."""
        try:
            mean, std = (np.array(saved[name], np.float32) for name in ("mean", "std"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"this is no normalisation, which has lists `mean` and `std`: {error!r}"
            ) from error
        same = mean.ndim == 1 and mean.shape == std.shape
        if not same or not np.isfinite([mean, std]).all() or not (std > 0).all():
            raise ValueError(
                "a normalisation has as many means as standard deviations, finite, these above 0"
            )
        return cls(mean, std)
