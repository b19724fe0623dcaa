"""What is known of an utterance's sound beside its features: measured once, where the sound is decoded anyway."""

import dataclasses
import hashlib

import numpy as np

SILENT_PEAK = 1e-4  # -80 dB of full scale: three steps of a 16-bit recording
_ZERO = 1.5 / 2**15  # at most one step of 16 bits: digital silence
_STRETCH_SECONDS = 0.025  # a level is that of such a stretch
_PARTS = 8
_RANGE_DB = 60.0  # what lies further below the loudest stretches is no room's noise, but digital silence


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """Of one utterance, whole: before it is cut at `features.seconds`, mixed and resampled.

    Attributes:
        whole: digest of the mono waveform and its rate, see `digest_of`: one recording has one, whatever its coding.
        seconds: its length.
        rate: of the file, in Hz.
        channels: of the file.
        coding: of the file, such as "WAV PCM_16".
        bytes: of the file.
        missing: share of its sound that the file's header promises and the file does not have.
        peak: largest sample of the mono waveform; full scale is 1.
        rms: its root mean square.
        levels: root mean square of each eighth of it, which tells most recordings apart.
        leading, trailing: seconds of digital silence at its ends.
        clipped: share of samples in flat tops, three or more in a row at the largest or smallest value.
        mixed: power of the mono waveform over the channels' mean power: 1 for equal channels, 0 if they cancel out.
        silent_channels: how many of the channels are silent.
        used: seconds of it that the features are of.
        speech_beyond: seconds of speech beyond these, see `speech_seconds`.
    """

    whole: str
    seconds: float
    rate: int
    channels: int
    coding: str
    bytes: int
    missing: float
    peak: float
    rms: float
    levels: tuple[float, ...]
    leading: float
    trailing: float
    clipped: float
    mixed: float
    silent_channels: int
    used: float
    speech_beyond: float


def digest_of(waveform: np.ndarray, rate: int) -> str:
    """32 hex digits of what was recorded: a decoded mono waveform [samples] and its rate in Hz.

    It is taken before anything is computed: resampling and features may differ in the last bit from one machine, or
    version of a library, to another.
    """
    digest = hashlib.blake2b(np.ascontiguousarray(waveform, "<f4").data, digest_size=16)
    digest.update(str(rate).encode())
    return digest.hexdigest()


def measure(
    samples: np.ndarray,
    waveform: np.ndarray,
    rate: int,
    *,
    used: int,
    seconds: float,
    coding: str,
    size: int,
    missing: float,
) -> Facts:
    """The facts of one utterance.

    Args:
        samples: float32 [n, channels], at least one.
        waveform: float32 [n], their mean.
        rate: in Hz.
        used: samples that features are computed from.
        seconds, coding, missing: as of `Facts`.
        size: its `bytes`.
    """
    sounding = np.abs(waveform) > _ZERO
    first = int(sounding.argmax()) if sounding.any() else len(waveform)
    last = int(sounding[::-1].argmax()) if first < len(waveform) else 0
    power = float(np.dot(waveform, waveform)) / len(waveform)
    mixed, silent = 1.0, 0
    if samples.shape[1] > 1:
        of_channels = float(np.square(samples).mean())
        mixed = power / of_channels if of_channels else 1.0
        silent = int((np.abs(samples).max(axis=0) < SILENT_PEAK).sum())
    return Facts(
        whole=digest_of(waveform, rate),
        seconds=seconds,
        rate=rate,
        channels=samples.shape[1],
        coding=coding,
        bytes=size,
        missing=missing,
        peak=float(max(waveform.max(), -waveform.min())),
        rms=power**0.5,
        levels=tuple(_levels(waveform)),
        leading=first / rate,
        trailing=last / rate,
        clipped=max(map(_clipped, samples.T)),
        mixed=mixed,
        silent_channels=silent,
        used=used / rate,
        speech_beyond=speech_seconds(waveform, rate, after=used) if used < len(waveform) else 0.0,
    )


def speech_seconds(waveform: np.ndarray, rate: int, *, after: int) -> float:
    """Seconds of speech behind sample `after`, by the utterance's own threshold.

    Speech is each stretch of 25 ms whose level (root mean square) is above the middle, in decibels, between the level
    that nine in ten stretches exceed, and that which one in twenty exceeds. It errs towards speech: of steady noise
    about half counts.
    """
    size = max(round(_STRETCH_SECONDS * rate), 1)
    whole = len(waveform) // size * size
    power = np.square(waveform[:whole].reshape(-1, size)).mean(axis=1)
    level = 10 * np.log10(np.maximum(power, 1e-20))
    quiet, loud = np.percentile(level, [10, 95])
    threshold = (max(quiet, loud - _RANGE_DB) + loud) / 2
    return float((level[-(-after // size) :] > threshold).sum()) * size / rate


def _levels(waveform: np.ndarray) -> list[float]:
    """Of each of _PARTS parts, the root mean square."""
    parts = waveform[: len(waveform) // _PARTS * _PARTS].reshape(_PARTS, -1)
    return np.sqrt(np.einsum("ij,ij->i", parts, parts) / parts.shape[1]).tolist()


def _clipped(channel: np.ndarray) -> float:
    """The share of the samples of [n] that lie in flat tops."""
    at_top = (channel == channel.max()) | (channel == channel.min())
    if at_top.sum() < 3:  # of nearly every recording: the rest takes time
        return 0.0
    flat = at_top[:-2] & at_top[1:-1] & at_top[2:]
    return float(flat.sum()) / len(channel)
