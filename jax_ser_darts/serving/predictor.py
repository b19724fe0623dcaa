"""Sound -> emotions, by a bundle's network: windows of a few fixed shapes, so that nothing is compiled twice."""

import dataclasses
import functools
import itertools
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
    BundleError,
    check_listening,
    probabilities,
    probe_waveform,
    read_bundle,
)

ONE, MANY = (1,), (16, 1)  # windows heard at once; a CPU core is as fast with one
_PROBE_TOLERANCE = 1e-3  # machines differ by about 1e-6


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """What was heard in one stretch of a recording.

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
        return self.probabilities and max(self.probabilities, key=self.probabilities.__getitem__)

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
    """What was heard in a recording: as a whole, the mean of its windows that are not silent; and window by window.

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
    """A bundle's network, ready to hear. Thread-safe, as far as JAX is.

    Args:
        bundle: see `bundle.read_bundle`.
        overlap: of the windows of a long recording, a share from 0 to 0.9; None is the bundle's.
        silence: what stays below it is silence, in dB of full scale; None is the bundle's.

    Raises:
        BundleError: overlap or silence is out of range, or the network no longer answers to the probe as it did when
            the bundle was made.
    """

    def __init__(self, bundle: Bundle, *, overlap: float | None = None, silence: float | None = None):
        given = {"overlap": overlap, "silence": silence}
        listening = {
            name: bundle.listening[name] if value is None else value for name, value in given.items()
        }
        check_listening(listening, where="settings")
        self.bundle = bundle
        self.silence = listening["silence"]
        self.hop = max(round(bundle.window_samples * (1 - listening["overlap"])), 1)
        platform = jax.default_backend()
        self._batches = ONE if platform == "cpu" else MANY
        self._weights = jax.device_put(dict(bundle.weights()))
        self._probabilities = jax.jit(
            functools.partial(
                probabilities, network=bundle.network, settings=bundle.settings, frames=bundle.frames
            ),
            compiler_options=compilation.prediction_options(platform),
        )
        probe = self._hear([probe_waveform(bundle.window_samples, self.sampling_rate)])[0]
        if not np.abs(probe - np.asarray(bundle.probe)).max() < _PROBE_TOLERANCE:  # NaN is no agreement
            raise BundleError(
                f"the network answers {np.round(probe, 4).tolist()} to the bundle's probe, and "
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
        """Hears a recording in memory.

        Args:
            waveform: `[samples]` or `[samples, channels]`; floats of full scale 1, or integers of their full range.
            sampling_rate: in Hz.

        Raises:
            AudioError: too short, NaN, infinite, far beyond full scale, or no waveform.
        """
        check_rate(sampling_rate)
        return self._predict(sound.blocks_of(waveform), sampling_rate)

    def predict_file(self, source: str | os.PathLike | IO[bytes]) -> Prediction:
        """Hears a file, a part at a time: an hour takes no more memory than a minute.

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
        timeline = []
        while group := tuple(itertools.islice(windows, max(self._batches))):
            timeline.extend(self._spans(group))
        if not timeline:
            raise AudioError("holds no sound (0 samples)")
        heard = [list(span.probabilities.values()) for span in timeline if span.probabilities]
        mean = self._named(np.mean(heard, axis=0)) if heard else None
        return Prediction(Span(0.0, timeline[-1].end, mean), tuple(timeline))

    def _spans(self, group: tuple[sound.Window, ...]) -> Iterator[Span]:
        rate = self.sampling_rate
        loud = [one for one in group if sound.level(one.samples, rate=rate) >= self.silence]
        answers = dict(zip(map(id, loud), self._hear([one.samples for one in loud]), strict=True))
        for one in group:
            answer = answers.get(id(one))
            end = (one.start + len(one.samples)) / rate
            yield Span(one.start / rate, end, None if answer is None else self._named(answer))

    def _hear(self, sounds: list[np.ndarray]) -> np.ndarray:
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
        answers = np.concatenate(rows)
        if not np.isfinite(answers).all():
            raise AudioError("the network's answer is not finite")
        return answers / answers.sum(axis=1, keepdims=True)

    def _named(self, answer: np.ndarray) -> dict[str, float]:
        return dict(zip(self.classes, answer.tolist(), strict=True))


def load(bundle: str | os.PathLike, **options: Any) -> Predictor:
    """The predictor of a bundle's folder.

    Args:
        bundle: the folder.
        options: of `Predictor`.

    Raises:
        BundleError: it is no bundle, or damaged, or does not fit this version.
    """
    return Predictor(read_bundle(bundle), **options)
