"""Sound of any rate, channels and length -> mono blocks at one rate -> overlapping windows, in bounded memory."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Generator, Iterable, Iterator
from typing import IO

import numpy as np
import soundfile
import soxr

from data_prep.audio import (
    LOUDEST,
    SCALE_IT,
    SHORTEST_SECONDS,
    AudioError,
    Streamed,
    cannot_decode,
    check_rate,
)

_QUIETEST_PEAK = 2**23  # of int32: what is below is 16-bit or 24-bit samples, or sound that nobody hears
_MOST_CHANNELS = 32  # of an array; a spectrogram has more columns
_BLOCK = 2**18  # samples of all channels that are decoded at once: 1 MiB
_LEVEL_SECONDS = 0.025  # a level is that of such a stretch


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A stretch of a recording.

    Attributes:
        start: its first sample.
        samples: float32 [at most the size of a window].
    """

    start: int
    samples: np.ndarray


def decode(source: str | os.PathLike | IO[bytes]) -> tuple[Generator[np.ndarray, None, None], int]:
    """A file's samples in blocks, and their rate.

    Args:
        source: a path, or an open file that can be read from any place.

    Returns:
        Generator of float32 [n, channels], and Hz. The file is open until the generator is done or closed.

    Raises:
        AudioError: it cannot be decoded; the generator raises it too.
    """
    if isinstance(source, str | os.PathLike):
        path = pathlib.Path(source)
        if not path.is_file():
            raise AudioError("no such file" if not path.exists() else "not a file")
    with _decoding_errors(source):
        sound = Streamed(_openable(source))
    try:
        check_rate(sound.samplerate)
    except AudioError:
        sound.close()
        raise
    return _blocks(sound, source), sound.samplerate


def blocks_of(waveform: np.ndarray) -> Iterator[np.ndarray]:
    """As `decode`, of an array `[samples]` or `[samples, channels]`; integers are scaled by their range.

    Raises:
        AudioError: it is no such array.
    """
    if isinstance(waveform, str | bytes | os.PathLike):
        raise AudioError(f"{waveform!r} is a path and not a waveform: give it to predict_file")
    try:
        waveform = np.asarray(waveform)
    except ValueError as error:  # lists of several lengths
        raise AudioError(f"a waveform is [samples] or [samples, channels]: {error}") from None
    if waveform.ndim not in (1, 2) or not waveform.size:
        raise AudioError(
            f"a waveform is [samples] or [samples, channels] and not empty; this has shape {list(waveform.shape)}"
        )
    if waveform.ndim == 2 and waveform.shape[1] > _MOST_CHANNELS:
        shape = list(waveform.shape)
        if shape[1] > shape[0]:
            raise AudioError(f"shape {shape} is [channels, samples]: give its transpose")
        raise AudioError(f"shape {shape} has {shape[1]} channels; at most {_MOST_CHANNELS} are taken")
    kind = waveform.dtype.kind
    if kind not in "fi" and waveform.dtype != np.uint8:
        raise AudioError(f"a waveform is of floats or signed integers, not {waveform.dtype}")
    if kind == "i" and waveform.itemsize >= 4:
        _check_range(waveform)
    waveform = waveform[:, None] if waveform.ndim == 1 else waveform
    step = max(_BLOCK // waveform.shape[1], 1)
    for first in range(0, len(waveform), step):
        block = waveform[first : first + step]
        if waveform.dtype == np.uint8:
            block = (block.astype(np.float32) - 128) / 128
        elif kind == "i":
            block = block.astype(np.float64) / -float(np.iinfo(waveform.dtype).min)
        with np.errstate(over="ignore"):  # `mono` refuses it
            yield block.astype(np.float32, copy=False)


def _check_range(waveform: np.ndarray) -> None:
    """Whether integers of 32 or 64 bits can have the full scale of their type; 16-bit samples often come in such."""
    peak = max(int(waveform.max()), -int(waveform.min()))
    if waveform.itemsize > 4 or 0 < peak <= _QUIETEST_PEAK:
        raise AudioError(
            f"{waveform.dtype} samples that reach {peak} do not tell their full scale: give .astype(np.int16) of "
            "16-bit samples, or floats that are divided by it"
        )


def mono(blocks: Iterable[np.ndarray], *, rate: float, to: int) -> Iterator[np.ndarray]:
    """Averages channels and changes the rate, by soxr at high quality as for training.

    Args:
        blocks: float32 [n, channels].
        rate: of them, in Hz.
        to: Hz.

    Yields:
        float32 [n].

    Raises:
        AudioError: samples that are NaN, infinite, or far beyond full scale; or less than SHORTEST_SECONDS in all.
    """
    stream = None if rate == to else soxr.ResampleStream(rate, to, 1, dtype="float32", quality="HQ")
    seconds = 0.0
    for block in blocks:
        seconds += len(block) / rate
        if not np.isfinite(block).all():
            raise AudioError("holds samples that are NaN or infinite")
        if (peak := np.abs(block).max(initial=0)) > LOUDEST:
            raise AudioError(f"samples reach {peak:.3g} times full scale: {SCALE_IT}")
        waveform = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        yield waveform if stream is None else stream.resample_chunk(np.ascontiguousarray(waveform))
    if seconds < SHORTEST_SECONDS:
        raise AudioError(
            f"only {seconds:.4f} s long, shorter than {SHORTEST_SECONDS} s"
            if seconds
            else "holds no sound (0 samples)"
        )
    if stream is not None:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def windows(blocks: Iterable[np.ndarray], *, size: int, hop: int) -> Iterator[Window]:
    """Overlapping windows of `size` samples, one every `hop`; the last ends with the sound.

    Sound of at most `size` samples is one window, as long as the sound. Every sample is in a window.

    Args:
        blocks: float32 [n] each.
        size: samples.
        hop: samples, at most `size`.
    """
    kept, start, before = np.zeros(0, np.float32), 0, None
    for block in blocks:
        kept = np.concatenate([kept, block])
        while len(kept) > size:  # there is more, so this window is full and not the last
            before = kept[:size]
            yield Window(start, before)
            kept, start = kept[hop:], start + hop
    if before is None:
        if len(kept):
            yield Window(0, kept)
        return
    missing = size - len(kept)  # less than a hop: what `before` had first
    yield Window(start - missing, np.concatenate([before[hop - missing : hop], kept]))


def level(samples: np.ndarray, *, rate: int) -> float:
    """Loudest level (root mean square) of the sound's stretches of 25 ms, in dB of full scale; -200 at the least."""
    size = max(round(_LEVEL_SECONDS * rate), 1)
    whole = len(samples) // size * size
    stretches = samples[:whole].reshape(-1, size) if whole else samples[None]
    squares = np.square(stretches, dtype=np.float64).mean(axis=1)
    return float(10 * np.log10(max(squares.max(), 1e-20)))


def _blocks(sound: soundfile.SoundFile, source: object) -> Generator[np.ndarray, None, None]:
    with sound:
        size = max(_BLOCK // sound.channels, 1)
        while True:
            with _decoding_errors(source):
                block = sound.read(size, dtype="float32", always_2d=True)
            if not len(block):
                return
            yield block


def _openable(source):
    """As soundfile opens it: a path whose name is no UTF-8 as its bytes."""
    try:
        str(source).encode()
    except UnicodeEncodeError:
        return os.fsencode(source)
    return source


@contextlib.contextmanager
def _decoding_errors(source: object) -> Iterator[None]:
    try:
        yield
    except (soundfile.SoundFileError, OSError, TypeError, ValueError, OverflowError, MemoryError) as error:
        if isinstance(source, str | os.PathLike):
            raise AudioError(cannot_decode(error, pathlib.Path(source))) from error
        reason = str(error).removeprefix(f"Error opening {str(source)!r}: ").strip()
        raise AudioError(f"cannot be decoded: {reason or type(error).__name__}") from error
