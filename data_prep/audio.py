"""Utterance -> waveform: decode, cut, mix to mono, resample. Every unusable sound is refused here."""

import numpy as np
import soundfile

from data_prep.corpora.base import Utterance
from jax_ser_darts.errors import UserError

SHORTEST_SECONDS = 0.025  # one analysis frame of speech, as it is usually taken
SILENT_PEAK = 1e-4  # -80 dB of full scale: three steps of a 16-bit recording
SLOWEST, FASTEST = 1_000, 768_000  # Hz; a header beyond these is damaged
END_SLACK_SECONDS = 0.05  # annotated ends are rounded, so a hair beyond the file's end is its end


class AudioError(UserError):
    """The sound cannot be used; the message is the reason, without the file's name."""


def read(utterance: Utterance, *, sampling_rate: int, seconds: float | None = None) -> np.ndarray:
    """Reads one utterance as a mono waveform.

    Channels are averaged; the rate is changed by soxr at high quality, librosa's default.

    Args:
        utterance: what to read; `start` and `end` (seconds) cut it out of its file.
        sampling_rate: of the waveform, in Hz, whatever the rate of the file.
        seconds: length from the start of the utterance; None is the whole.

    Returns:
        float32 [samples], full scale at 1.

    Raises:
        AudioError: the file is missing, unreadable or empty, the cut lies outside it, or the sound is
            shorter than SHORTEST_SECONDS, silent (no sample reaches SILENT_PEAK), NaN or infinite.
    """
    return resampled(*decoded(utterance, seconds=seconds), sampling_rate=sampling_rate)


def decoded(utterance: Utterance, *, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """As `read`, at the rate of the file: float32 [samples], and that rate in Hz."""
    samples, rate = _decode(utterance, seconds=seconds)
    if len(samples) < SHORTEST_SECONDS * rate:
        raise AudioError(f"only {len(samples) / rate:.4f} s long, shorter than {SHORTEST_SECONDS} s")
    if not np.isfinite(samples).all():
        raise AudioError("holds samples that are NaN or infinite")
    waveform = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if np.abs(waveform).max() < SILENT_PEAK:
        raise AudioError(f"silent: no sample reaches {SILENT_PEAK:g} of full scale")
    return np.ascontiguousarray(waveform, dtype=np.float32), rate


def resampled(waveform: np.ndarray, rate: int, *, sampling_rate: int) -> np.ndarray:
    """A waveform float32 [samples] of one rate at another, in Hz."""
    if rate != sampling_rate:
        import librosa  # takes a second, and only the processes that resample need it

        waveform = librosa.resample(waveform, orig_sr=rate, target_sr=sampling_rate, res_type="soxr_hq")
    return np.ascontiguousarray(waveform, dtype=np.float32)


def check_rate(rate: float) -> None:
    """Whether sound can have this rate, in Hz.

    Raises:
        AudioError: it cannot.
    """
    if not SLOWEST <= rate <= FASTEST:
        raise AudioError(f"a sampling rate of {rate} Hz; it must be from {SLOWEST} to {FASTEST}")


def _decode(utterance: Utterance, *, seconds: float | None) -> tuple[np.ndarray, int]:
    """Returns float32 [samples, channels] and their rate in Hz."""
    path = utterance.path
    if not path.is_file():
        raise AudioError("no such file")
    try:
        if path.stat().st_size == 0:
            raise AudioError("empty file (0 bytes)")
        with soundfile.SoundFile(path) as sound:
            check_rate(sound.samplerate)
            first, last = _span(utterance, rate=sound.samplerate, frames=sound.frames)
            if seconds is not None:
                last = min(last, first + round(seconds * sound.samplerate))
            sound.seek(first)
            return sound.read(last - first, dtype="float32", always_2d=True), sound.samplerate
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: headerless .raw
        reason = str(error).removeprefix(f"Error opening {str(path)!r}: ")
        raise AudioError(f"cannot be decoded: {reason}") from error


def _span(utterance: Utterance, *, rate: int, frames: int) -> tuple[int, int]:
    """The utterance's first and past-the-last sample in its file."""
    length = frames / rate
    if frames == 0:
        raise AudioError("holds no sound (0 samples)")
    start, end = utterance.start, length if utterance.end is None else utterance.end
    if not 0 <= start < length:
        raise AudioError(f"starts at {start:g} s, outside the file's {length:.3f} s")
    if not end > start:
        raise AudioError(f"ends at {end:g} s, not after its start at {start:g} s")
    if end > length + END_SLACK_SECONDS:
        raise AudioError(f"ends at {end:g} s, beyond the file's {length:.3f} s")
    return round(start * rate), min(frames, round(end * rate))
