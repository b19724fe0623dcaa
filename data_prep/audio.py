"""Utterance -> waveform: decode, cut, mix to mono, resample. Every unusable sound is refused here."""

import contextlib
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
import soundfile

from data_prep import formats
from data_prep.corpora.base import Utterance
from jax_ser_darts.errors import UserError

SHORTEST_SECONDS = 0.025  # one analysis frame of speech, as it is usually taken
SILENT_PEAK = 1e-4  # -80 dB of full scale: three steps of a 16-bit recording
SLOWEST, FASTEST = 1_000, 768_000  # Hz; a header beyond these is damaged
LONGEST_UNKNOWN_SECONDS = 3_600  # of a file that does not say its length, such as FLAC from a pipe
_UNKNOWN_FRAMES = 2**62  # libsndfile has the largest number there is for a length that it does not know
_BLOCK = 2**18  # samples of all channels that are decoded at once: 1 MiB
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
    _check_length(len(samples), rate)
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


def check(utterance: Utterance) -> None:
    """Whether the file's header lets the utterance be read: it exists, is sound, has a rate, and the span is inside.

    Sound is decoded only where the header does not say how much there is.

    Raises:
        AudioError: as of `read`, of what the header shows.
    """
    with _opened(utterance.path) as sound:
        first, last = _span(utterance, rate=sound.samplerate, frames=_frames(sound, utterance.path))
        _check_length(last - first, sound.samplerate)


class Streamed(soundfile.SoundFile):
    """A file that is read from its start to its end, for which libsndfile need not seek.

    In GSM it cannot, and in FLAC that does not say its length it fails, though it says that it can.
    """

    def seekable(self) -> bool:
        """Never."""
        return False


def _check_length(samples: int, rate: int) -> None:
    if samples < SHORTEST_SECONDS * rate:
        raise AudioError(
            f"only {samples / rate:.4f} s long, shorter than {SHORTEST_SECONDS} s: too short for speech"
        )


def _decode(utterance: Utterance, *, seconds: float | None) -> tuple[np.ndarray, int]:
    """Returns float32 [samples, channels] and their rate in Hz."""
    path = utterance.path
    with _opened(path) as sound:
        rate, frames = sound.samplerate, _frames(sound, path)
        first, last = _span(utterance, rate=rate, frames=frames)
        if seconds is not None:
            last = min(last, first + round(seconds * rate))
        if sound.frames == frames and sound.seekable():
            sound.seek(first)
            return sound.read(last - first, dtype="float32", always_2d=True), rate
    with _opened(path, Streamed) as sound:
        for _ in _blocks(sound, first):
            pass
        blocks = list(_blocks(sound, last - first))
    return np.concatenate([np.zeros((0, sound.channels), np.float32), *blocks]), rate


@contextlib.contextmanager
def _opened(
    path: pathlib.Path, kind: type[soundfile.SoundFile] = soundfile.SoundFile
) -> Iterator[soundfile.SoundFile]:
    """The file, whose rate is one that sound can have; what fails inside is an AudioError."""
    if not path.is_file():
        raise AudioError("no such file")
    try:
        if path.stat().st_size == 0:
            raise AudioError("empty file (0 bytes): copy or download it again")
        with kind(path) as sound:
            check_rate(sound.samplerate)
            yield sound
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:  # TypeError: headerless .raw
        raise AudioError(cannot_decode(error, path)) from error


def cannot_decode(error: Exception, path: pathlib.Path) -> str:
    """The reason of a file that libsndfile has refused: what it is instead, where its first bytes tell."""
    reason = str(error).removeprefix(f"Error opening {str(path)!r}: ").strip() or type(error).__name__
    if isinstance(error, soundfile.LibsndfileError | TypeError) and "lost sync" not in reason:
        with contextlib.suppress(OSError):
            if what := formats.what_is(path):
                return f"cannot be decoded: {what}"
    return f"cannot be decoded: {reason}; the file is damaged: copy or download it again"


def _frames(sound: soundfile.SoundFile, path: pathlib.Path) -> int:
    """How many samples a channel has; they are counted where the header does not say so.

    Raises:
        AudioError: there is none, or more than LONGEST_UNKNOWN_SECONDS.
    """
    frames = sound.frames
    if not 0 < frames < _UNKNOWN_FRAMES:
        frames = _counted(path, path.stat().st_mtime_ns)
    if frames == 0:
        left = formats.bytes_after_empty_header(path)
        raise AudioError(
            "holds no sound (0 samples)"
            + (
                f": its header says so, though {left} bytes follow it; the recording was interrupted, or streamed: "
                "write the header anew, for example: sox --ignore-length FILE FILE.flac"
                if left
                else ": copy or download it again"
            )
        )
    return frames


@functools.lru_cache(maxsize=32)
def _counted(path: pathlib.Path, changed: int) -> int:
    """The samples a channel that can be decoded of a file, as of its time of change."""
    with _opened(path, Streamed) as sound:
        longest = round(LONGEST_UNKNOWN_SECONDS * sound.samplerate)
        frames = sum(map(len, _blocks(sound, longest + 1)))
    if frames > longest:
        raise AudioError(
            f"longer than {LONGEST_UNKNOWN_SECONDS} s by a header that does not say how long; "
            "write it anew, for example: ffmpeg -i FILE FILE.wav"
        )
    return frames


def _blocks(sound: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
    """The next samples, float32 [n, channels] each: as many as asked for, or as there are."""
    size = max(_BLOCK // sound.channels, 1)
    while frames > 0 and len(block := sound.read(min(size, frames), dtype="float32", always_2d=True)):
        frames -= len(block)
        yield block


def _span(utterance: Utterance, *, rate: int, frames: int) -> tuple[int, int]:
    """The utterance's first and past-the-last sample in its file."""
    length = frames / rate
    start, end = utterance.start, length if utterance.end is None else utterance.end
    if not 0 <= start < length:
        raise AudioError(f"starts at {start:g} s, outside the file's {length:.3f} s")
    if not end > start:
        raise AudioError(f"ends at {end:g} s, not after its start at {start:g} s")
    if end > length + END_SLACK_SECONDS:
        raise AudioError(f"ends at {end:g} s, beyond the file's {length:.3f} s")
    return round(start * rate), min(frames, round(end * rate))
