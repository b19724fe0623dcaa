"""Utterance -> waveform: decode, cut, mix to mono, resample. Every unusable sound is refused here."""

import contextlib
import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterator

import numpy as np
import soundfile

from data_prep import formats
from data_prep.corpora.base import Utterance
from data_prep.facts import SILENT_PEAK, Facts, measure
from jax_ser_darts.errors import UserError

SHORTEST_SECONDS = 0.025  # one analysis frame of speech, as it is usually taken
LOUDEST = 100.0  # times full scale; beyond it the numbers are no sound of full scale 1
SCALE_IT = "floats must have full scale at 1"
EXAMINED_SECONDS = 600.0  # of a longer utterance that is cut, the rest is not looked at: memory is bounded
SLOWEST, FASTEST = 1_000, 768_000  # Hz; a header beyond these is damaged
LONGEST_UNKNOWN_SECONDS = 3_600  # of a file that does not say its length, such as FLAC from a pipe
_UNKNOWN_FRAMES = 2**62  # libsndfile has the largest number there is for a length that it does not know
_BLOCK = 2**18  # samples of all channels that are decoded at once: 1 MiB
END_SLACK_SECONDS = 0.05  # annotated ends are rounded, so a hair beyond the file's end is its end
_CUT_SHORT = re.compile(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 2**31 - 2**16  # sizes from here on are those of writers that did not know it


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
            shorter than SHORTEST_SECONDS, NaN, infinite, beyond LOUDEST, or silent: all of it, or all that is
            used, stays within SILENT_PEAK of a constant.
    """
    return resampled(*decoded(utterance, seconds=seconds), sampling_rate=sampling_rate)


def decoded(utterance: Utterance, *, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """As `read`, at the rate of the file: float32 [samples], and that rate in Hz."""
    recording = _decode(utterance, seconds=seconds)
    return _usable(recording, seconds=seconds)[1], recording.rate


def examined(utterance: Utterance, *, seconds: float | None = None) -> tuple[np.ndarray, int, Facts]:
    """As `decoded`, with the facts of the whole utterance, or of its first EXAMINED_SECONDS."""
    recording = _decode(utterance, seconds=seconds)
    whole, used = _usable(recording, seconds=seconds)
    facts = measure(
        recording.samples,
        whole,
        recording.rate,
        used=len(used),
        seconds=recording.seconds,
        coding=recording.coding,
        size=utterance.path.stat().st_size,
        missing=recording.missing,
    )
    return used, recording.rate, facts


def _usable(recording: "_Recording", *, seconds: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The mono waveform, float32 [samples], all that was decoded and what of it is used.

    Raises:
        AudioError: there is nothing to use, see `read`.
    """
    samples, rate = recording.samples, recording.rate
    used = len(samples) if seconds is None else min(len(samples), round(seconds * rate))
    _check_length(used, rate)
    loudest = max(float(samples.max()), -float(samples.min()))
    if not np.isfinite(loudest):  # NaN is the largest of any that has it
        raise AudioError("holds samples that are NaN or infinite")
    if loudest > LOUDEST:
        raise AudioError(f"samples reach {loudest:.3g} times full scale: {SCALE_IT}")
    whole = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    whole = np.ascontiguousarray(whole, dtype=np.float32)
    if _swing(whole) < SILENT_PEAK:
        if loudest < SILENT_PEAK:
            raise AudioError(f"silent: no sample reaches {SILENT_PEAK:g} of full scale")
        if _swing(samples) < SILENT_PEAK:
            raise AudioError(f"silent: a constant {whole[0]:.3g} of full scale (DC) and no sound")
        raise AudioError("silent: its channels cancel out when they are averaged; keep one of them")
    if _swing(whole[:used]) < SILENT_PEAK:
        begins = int((np.abs(whole - whole[0]) >= SILENT_PEAK).argmax()) / rate
        raise AudioError(
            f"silent in its first {seconds:g} s, the only ones that are used (features.seconds); sound begins at "
            f"{begins:.2f} s: cut the silence away, or raise features.seconds"
        )
    return whole, whole[:used]


def _swing(samples: np.ndarray) -> float:
    """Half the distance from the lowest to the highest sample; no constant counts."""
    return float(np.ptp(samples, axis=0).max()) / 2


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


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    """What was decoded: float32 [n, channels], their rate in Hz, and of the rest see `Facts`."""

    samples: np.ndarray
    rate: int
    seconds: float
    coding: str
    missing: float


def _decode(utterance: Utterance, *, seconds: float | None) -> _Recording:
    """Decodes the utterance; all of it, but of a very long one that is cut no more than EXAMINED_SECONDS."""
    path = utterance.path
    with _opened(path) as sound:
        rate, frames = sound.samplerate, _frames(sound, path)
        first, last = _span(utterance, rate=rate, frames=frames)
        length, coding, missing = (last - first) / rate, f"{sound.format} {sound.subtype}", _missing(sound)
        if seconds is not None:
            last = min(last, first + round(max(seconds, EXAMINED_SECONDS) * rate))
        if sound.frames == frames and sound.seekable():
            sound.seek(first)
            samples = sound.read(last - first, dtype="float32", always_2d=True)
            return _Recording(samples, rate, length, coding, missing)
    with _opened(path, Streamed) as sound:
        for _ in _blocks(sound, first):
            pass
        blocks = list(_blocks(sound, last - first))
    samples = np.concatenate([np.zeros((0, sound.channels), np.float32), *blocks])
    return _Recording(samples, rate, length, coding, missing)


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


def _missing(sound: soundfile.SoundFile) -> float:
    """The share of the sound that the header promises and the file does not have; 0 of one that was streamed."""
    found = _CUT_SHORT.search(sound.extra_info)  # libsndfile takes what is there, and says so here only
    if found is None:
        return 0.0
    promised, there = map(int, found.groups())
    return 1 - there / promised if there < promised < _STREAMED else 0.0


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
