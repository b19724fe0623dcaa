"""Sound -> emotions, by a bundle's network: windows of a few fixed shapes, so that nothing is compiled twice."""

import dataclasses
import functools
import itertools
import numbers
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any

import jax
import numpy as np

from data_prep.audio import AudioError, check_rate
from jax_ser_darts.devices import compilation
from jax_ser_darts.serving import sound
from jax_ser_darts.serving.bundle import (
    Bundle,
    check_windowing,
    probabilities,
    probe_waveform,
    read_bundle,
)
from jax_ser_darts.serving.reading import BundleError

ONE, MANY = (1,), (16, 1)  # windows in a call; a CPU core is as fast with one
_PROBE_TOLERANCE = 1e-3  # machines differ by about 1e-6


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """The prediction for one stretch of a recording.

    Attributes:
        start, end: seconds.
        probabilities: class -> probability, summing to 1; None in silence.
    """

    start: float
    end: float
    probabilities: dict[str, float] | None

    @property
    def emotion(self) -> str | None:
        """The likeliest class; None in silence."""
        if self.probabilities is None:
            return None
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def to_json(self) -> dict[str, Any]:
        """A dict that JSON can hold."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "silence": self.probabilities is None,
            "emotion": self.emotion,
            "probabilities": self.probabilities,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for a recording: as a whole, the mean of its windows that are not silent; and window by window.

    Attributes:
        whole: from the start to the end.
        timeline: one window, or overlapping ones of a longer recording.
    """

    whole: Span
    timeline: tuple[Span, ...]

    @property
    def emotion(self) -> str | None:
        """The likeliest class; None if all is silence."""
        return self.whole.emotion

    @property
    def probabilities(self) -> dict[str, float] | None:
        """Class -> probability; None if all is silence."""
        return self.whole.probabilities

    def to_json(self) -> dict[str, Any]:
        """A dict that JSON can hold."""
        return {**self.whole.to_json(), "timeline": [span.to_json() for span in self.timeline]}


class Predictor:
    """A bundle's network, ready to predict. Thread-safe, as far as JAX is.

    Args:
        bundle: see `bundle.read_bundle`.
        overlap: of the windows of a long recording, a share from 0 to 0.9; None is the bundle's.
        silence: what stays below it is silence, in dB of full scale; None is the bundle's.
        first: the first window of a recording alone is predicted for, as in the evaluation of the training.

    Raises:
        BundleError: overlap or silence is out of range, or the network no longer predicts for the probe what it did
            when the bundle was made.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        overlap: float | None = None,
        silence: float | None = None,
        first: bool = False,
    ):
        given = {"overlap": overlap, "silence": silence}
        windowing = {
            name: bundle.windowing[name] if value is None else value for name, value in given.items()
        }
        check_windowing(windowing, where="settings")
        self.bundle = bundle
        self.first = first
        self.silence = windowing["silence"]
        self.hop = max(round(bundle.window_samples * (1 - windowing["overlap"])), 1)
        platform = jax.default_backend()
        self._batches = ONE if platform == "cpu" else MANY
        self._weights = jax.device_put(dict(bundle.weights()))
        self._probabilities = jax.jit(
            functools.partial(
                probabilities, network=bundle.network, settings=bundle.settings, frames=bundle.frames
            ),
            compiler_options=compilation.prediction_options(platform),
        )
        probe = self._infer([probe_waveform(bundle.window_samples, self.sampling_rate)])[0]
        if not np.abs(probe - np.asarray(bundle.probe)).max() < _PROBE_TOLERANCE:  # NaN is no agreement
            raise BundleError(
                f"the network predicts {np.round(probe, 4).tolist()} for the bundle's probe, and "
                f"{np.round(bundle.probe, 4).tolist()} when it was exported: this version of jax_ser_darts or of its "
                "libraries computes something else; install those of bundle.json"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions."""
        return self.bundle.classes

    @property
    def sampling_rate(self) -> int:
        """Of the network, in Hz; other sound is resampled."""
        return self.bundle.settings.sampling_rate

    def predict(self, waveform: np.ndarray, sampling_rate: float) -> Prediction:
        """Predicts for a recording in memory.

        Args:
            waveform: `[samples]` or `[samples, channels]`; floats of full scale 1, or integers of their full range.
            sampling_rate: in Hz.

        Raises:
            AudioError: too short, NaN, infinite, far beyond full scale, or no waveform; or a rate that is no number.
        """
        if not _is_number(sampling_rate):
            raise AudioError(f"a sampling rate is a number in Hz, and not {sampling_rate!r}")
        check_rate(sampling_rate)
        return self._predict(sound.blocks_of(waveform), sampling_rate)

    def predict_file(self, source: str | os.PathLike | IO[bytes]) -> Prediction:
        """Predicts for a file, a part at a time: an hour takes no more memory than a minute.

        Args:
            source: a path, or an open file that can be read from any place.

        Raises:
            AudioError: as of `predict`, and what cannot be decoded.
        """
        blocks, rate = sound.decode(source)
        try:
            return self._predict(blocks, rate)
        finally:
            blocks.close()

    def _predict(self, blocks: Iterable[np.ndarray], rate: float) -> Prediction:
        resampled = sound.mono(blocks, rate=rate, to=self.sampling_rate)
        windows = sound.windows(resampled, size=self.bundle.window_samples, hop=self.hop)
        windows = itertools.islice(windows, 1) if self.first else windows
        timeline: list[Span] = []
        while group := tuple(itertools.islice(windows, max(self._batches))):
            timeline.extend(self._spans(group))
        if not timeline:
            raise AudioError("holds no sound (0 samples)")
        rows = [list(span.probabilities.values()) for span in timeline if span.probabilities]
        mean = self._named(np.mean(rows, axis=0)) if rows else None
        return Prediction(Span(0.0, timeline[-1].end, mean), tuple(timeline))

    def _spans(self, group: tuple[sound.Window, ...]) -> Iterator[Span]:
        rate = self.sampling_rate
        is_loud = [sound.level(window.samples, rate=rate) >= self.silence for window in group]
        rows = iter(self._infer([w.samples for w, loud in zip(group, is_loud, strict=True) if loud]))
        for window, loud in zip(group, is_loud, strict=True):
            end = (window.start + len(window.samples)) / rate
            yield Span(window.start / rate, end, self._named(next(rows)) if loud else None)

    def _infer(self, sounds: list[np.ndarray]) -> np.ndarray:
        """Probabilities `[n, K]`, by as few calls as the fixed shapes allow."""
        rows = [np.zeros((0, len(self.classes)))]
        while sounds:
            size = next(size for size in self._batches if size <= len(sounds))
            waveform = np.zeros((size, self.bundle.window_samples), np.float32)
            for row, samples in zip(waveform, sounds, strict=False):
                row[: len(samples)] = samples
            lengths = np.array([len(samples) for samples in sounds[:size]], np.int32)
            rows.append(np.asarray(self._probabilities(self._weights, waveform, lengths), np.float64))
            sounds = sounds[size:]
        values = np.concatenate(rows)
        if not np.isfinite(values).all():
            raise AudioError("the network's prediction is not finite")
        return values / values.sum(axis=1, keepdims=True)

    def _named(self, row: np.ndarray) -> dict[str, float]:
        return dict(zip(self.classes, row.tolist(), strict=True))


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def load(bundle: str | os.PathLike, **options: Any) -> Predictor:
    """The predictor of a bundle's folder.

    Args:
        bundle: the folder.
        options: of `Predictor`.

    Raises:
        BundleError: it is no bundle, or damaged, or does not fit this version.
    """
    return Predictor(read_bundle(bundle), **options)
