"""Waveform -> features over time: MFCC, log-mel or the frames of a frozen encoder (encoder.py), pooled along time.

The numbers of the first two are librosa's (`librosa.feature.mfcc`, `librosa.feature.melspectrogram` + `power_to_db`, at
librosa's defaults: centred Hann frames, Slaney mels, 80 dB range) on the frames that hold speech. Published
systems zero-pad every waveform to the same length first; here nothing is computed for that padding, which the
models mask. What makes it fast: float32 transforms of a few frames at a time, which stay in the cache, and
the mel filters as a sparse matrix.
"""

import dataclasses
import functools
import hashlib
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import scipy.fft
import scipy.sparse

from data_prep import encoder
from jax_ser_darts.errors import UserError
from jax_ser_darts.fields import setting

ONNX = "onnx"
AMIN, TOP_DB = 1e-10, 80.0  # of librosa.power_to_db: the least power, and the range below the loudest, in dB
_Frames = TypeVar("_Frames", bound=Callable[..., np.ndarray])
_BLOCK_SAMPLES = 2**16  # 256 KiB of float32 frames at once: about a core's second-level cache


class SettingsError(UserError):
    """The feature settings make no sense; the message says which, and what would."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """What to compute; impossible settings raise SettingsError. `PUBLISHED` are the original paper's."""

    kind: str = setting("logmel", "logmel, mfcc, onnx, or one that a module of `extensions` registers")
    encoder: str = setting("", "ONNX file of a frozen encoder, waveform -> frames (onnx)", resumable=True)
    sampling_rate: int = setting(16_000, "of the waveform", unit="Hz", low=1)
    seconds: float = setting(4.0, "later sound is cut off", unit="s", above=0)
    n_fft: int = setting(512, "length of a frame (logmel, mfcc)", unit="samples", low=2)
    hop: int = setting(160, "from one frame to the next", unit="samples", low=1)
    coefficients: int = setting(
        64, "mel bands, cepstral coefficients, or values of an encoder's frame", low=1
    )
    n_mels: int = setting(128, "mel bands below the cepstral coefficients (mfcc)", low=1)
    fmin: float = setting(0.0, "lowest frequency of the mel bands", unit="Hz", low=0)
    fmax: float = setting(
        0.0, "highest frequency of the mel bands; 0 is half the sampling rate", unit="Hz", low=0
    )
    pool: int = setting(4, "frames pooled into one", low=1)
    pool_kind: str = setting("mean", "mean, or max")

    def __post_init__(self):
        for name in ("sampling_rate", "n_fft", "hop", "coefficients", "n_mels", "pool"):
            value = getattr(self, name)
            _require(type(value) is int and value >= 1, f"{name} must be a whole number above 0", value)
        for name in ("seconds", "fmin", "fmax"):
            value = getattr(self, name)
            _require(type(value) in (int, float), f"{name} must be a number", value)
            object.__setattr__(self, name, float(value))  # 8 and 8.0 are the same settings
        _require(self.pool_kind in ("max", "mean"), "pool_kind must be 'max' or 'mean'", self.pool_kind)
        _require(0 < self.seconds < math.inf, "seconds must be above 0", self.seconds)
        _require(self.n_fft >= 2, "n_fft must be at least 2", self.n_fft)
        _require(
            self.hop <= self.n_fft or self.kind == ONNX, f"hop must be at most n_fft ({self.n_fft})", self.hop
        )
        nyquist = self.sampling_rate / 2
        _require(
            0 <= self.fmin < self.highest <= nyquist,
            f"fmin and fmax must satisfy 0 <= fmin < fmax <= {nyquist:g}, half the sampling rate",
            (self.fmin, self.highest),
        )
        limits = {
            "mfcc": (self.n_mels, "n_mels"),
            "logmel": (self.n_fft // 2 + 1, "the frequencies of n_fft"),
        }
        limit, what = limits.get(self.kind, (self.coefficients, ""))
        _require(
            self.coefficients <= limit, f"coefficients must be at most {what} ({limit})", self.coefficients
        )

    @classmethod
    def from_mapping(cls, section: Mapping[str, Any]) -> "FeatureSettings":
        """Settings from a config's `features` section or a record's metadata; unknown names raise."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(section) - known):
            raise SettingsError(f"unknown feature settings {unknown}; there are {sorted(known)}")
        return cls(**dict(section))

    @property
    def highest(self) -> float:
        """Highest frequency of the mel bands, in Hz."""
        return self.fmax or self.sampling_rate / 2

    @property
    def mel_bands(self) -> int:
        """Mel bands of a frame."""
        return self.n_mels if self.kind == "mfcc" else self.coefficients

    @property
    def max_samples(self) -> int:
        """Samples after which a waveform is cut."""
        return max(1, round(self.seconds * self.sampling_rate))

    def num_frames(self, samples: int) -> int:
        """Pooled frames of a waveform of so many samples: at least 1."""
        return math.ceil((1 + min(samples, self.max_samples) // self.hop) / self.pool)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of features.

    Attributes:
        frames: (waveform float32 [samples], settings) -> float [1 + samples // hop, coefficients]; frame t is centred
            on sample t * hop. A function of a module, so that other processes can import it.
        version: changes with the numbers of a user's function or an encoder; "" of the other kinds of this module, see
            `provenance.VERSION`.
        any_length: there may be another number of frames.
    """

    frames: Callable[[np.ndarray, FeatureSettings], np.ndarray]
    version: str | Callable[[FeatureSettings], str] = ""
    any_length: bool = False

    def version_for(self, settings: FeatureSettings) -> str:
        """The version of what these settings compute; errors as of `encoder.version`."""
        return self.version(settings) if callable(self.version) else self.version


def register(name: str, *, version: str = "") -> Callable[[_Frames], _Frames]:
    """Makes a function the kind of features that `config.features.kind` may name from then on.

        @register("spectrum", version="1")
        def spectrum(waveform: np.ndarray, settings: FeatureSettings) -> np.ndarray: ...

    Args:
        name: letters, digits and underscores.
        version: to be changed with the function's numbers: records of another one are made anew. Without it, any
            change of the function's module makes them anew.

    Raises:
        SettingsError: the name is no name, or that of another kind, or the function is not one of a module.
    """
    if not name.isidentifier():
        raise SettingsError(f"features {name!r}: a name of letters, digits and underscores is needed")

    def decorate(function: _Frames) -> _Frames:
        where = f"{function.__module__}.{function.__qualname__}"
        if name in KINDS and f"{KINDS[name].frames.__module__}.{KINDS[name].frames.__qualname__}" != where:
            raise SettingsError(
                f"features {name!r} are registered already, by {KINDS[name].frames.__module__}"
            )
        if function.__module__ == "__main__" or "<" in where:
            raise SettingsError(
                f"features {name!r}: {where} is no function of a module; processes that compute import it by name"
            )
        KINDS[name] = Kind(function, version or _source_version(function))
        return function

    return decorate


def _source_version(function: _Frames) -> str:
    """Of the source of the function's module."""
    try:
        source = inspect.getsource(sys.modules[function.__module__])
    except (OSError, TypeError) as error:
        raise SettingsError(
            f"features of {function.__module__}: its source cannot be read ({error}): give a version"
        ) from None
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def kind_of(settings: FeatureSettings) -> Kind:
    """The kind that the settings name.

    Raises:
        SettingsError: there is none of this name.
    """
    _require(
        settings.kind in KINDS,
        f"kind must be one of {', '.join(KINDS)}, or one that a module of config.extensions registers",
        settings.kind,
    )
    return KINDS[settings.kind]


def extract(waveform: np.ndarray, *, settings: FeatureSettings, kind: Kind | None = None) -> np.ndarray:
    """Computes the features of one waveform.

    Every `pool` frames become one; the last one pools what is left. The numbers of "logmel" and "mfcc" do not depend on
    any padding with zeros.

    Args:
        waveform: float [samples] at settings.sampling_rate, at least one sample.
        settings: what to compute.
        kind: that of the settings, for a process that has not registered it.

    Returns:
        float32 [num_frames(samples), coefficients]: decibels for "logmel", their orthonormal DCT for "mfcc".

    Raises:
        SettingsError: there is no such kind, or the user's function returns another shape.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise ValueError(f"a waveform is one-dimensional and not empty, this one has shape {waveform.shape}")
    waveform = waveform[: settings.max_samples].astype(np.float32, copy=False)
    kind = kind or kind_of(settings)
    with np.errstate(over="ignore", invalid="ignore"):  # absurdly loud samples: the caller checks for inf
        frames = kind.frames(waveform, settings)
        count = len(frames) if kind.any_length else 1 + len(waveform) // settings.hop
        shape = (count, settings.coefficients)
        _require(
            np.shape(frames) == shape,
            f"{kind.frames.__name__} must return {list(shape)} for {len(waveform)} samples",
            list(np.shape(frames)),
        )
        return _pool(np.asarray(frames, np.float32), settings=settings)


def _logmel(waveform: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """float32 [frames, mel_bands], in decibels."""
    import librosa  # takes a second: only who computes pays for it

    frames = 1 + len(waveform) // settings.hop
    # The 80 dB range hangs on the loudest frame, and that may be one centred beyond the end that still has a loud last
    # syllable: compute those too, then drop them.
    beyond = 1 + min(len(waveform) + settings.n_fft // 2, settings.max_samples) // settings.hop
    mel = _mel_power(waveform, frames=beyond, settings=settings)
    return librosa.power_to_db(mel, amin=AMIN, top_db=TOP_DB)[:frames]


def _mfcc(waveform: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    decibels = _logmel(waveform, settings)
    return scipy.fft.dct(decibels, axis=1, type=2, norm="ortho")[:, : settings.coefficients]


KINDS = {
    "logmel": Kind(_logmel),
    "mfcc": Kind(_mfcc),
    ONNX: Kind(encoder.frames, encoder.version, any_length=True),
}


def arrays(settings: FeatureSettings) -> dict[str, np.ndarray]:
    """What "logmel" and "mfcc" multiply by, for those who compute the same elsewhere.

    Returns:
        float32 "window" [n_fft], "mel_filters" [mel_bands, 1 + n_fft // 2], and for "mfcc" "cosines" [mel_bands,
        coefficients].

    Raises:
        SettingsError: features of another kind, or a mel band without a frequency.
    """
    array_shapes(settings)  # is there anything to multiply by?
    values = {"window": _window(settings.n_fft), "mel_filters": _mel_filters(settings).toarray()}
    if settings.kind == "mfcc":
        cosines = scipy.fft.dct(np.eye(settings.mel_bands), axis=1, type=2, norm="ortho")
        values["cosines"] = cosines[:, : settings.coefficients]
    return {name: np.ascontiguousarray(array, np.float32) for name, array in values.items()}


def array_shapes(settings: FeatureSettings) -> dict[str, tuple[int, ...]]:
    """Name -> shape of what `arrays` returns; errors as of it."""
    _require(
        settings.kind in ("logmel", "mfcc"), "a bundle has features of kind logmel or mfcc", settings.kind
    )
    shapes = {"window": (settings.n_fft,), "mel_filters": (settings.mel_bands, 1 + settings.n_fft // 2)}
    if settings.kind == "mfcc":
        shapes["cosines"] = (settings.mel_bands, settings.coefficients)
    return shapes


def _mel_power(waveform: np.ndarray, *, frames: int, settings: FeatureSettings) -> np.ndarray:
    """float32 [frames, mel_bands]: the mel power spectrogram, zeros beyond both ends of the waveform."""
    n_fft, hop = settings.n_fft, settings.hop
    window, filters = _window(n_fft), _mel_filters(settings)
    padded = np.zeros(max((frames - 1) * hop + n_fft, n_fft // 2 + len(waveform)), np.float32)
    padded[n_fft // 2 : n_fft // 2 + len(waveform)] = waveform
    every_frame = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop][:frames]
    mel = np.empty((frames, settings.mel_bands), np.float32)
    block = max(1, _BLOCK_SAMPLES // n_fft)
    for first in range(0, frames, block):
        spectrum = scipy.fft.rfft(every_frame[first : first + block] * window, axis=1, overwrite_x=True)
        power = spectrum.real**2 + spectrum.imag**2
        mel[first : first + block] = (filters @ power.T).T
    return mel


def _pool(frames: np.ndarray, *, settings: FeatureSettings) -> np.ndarray:
    """[T, F] -> [ceil(T / pool), F]; the last window holds what is left."""
    starts = np.arange(0, len(frames), settings.pool)
    if settings.pool_kind == "max":
        return np.maximum.reduceat(frames, starts, axis=0)
    lengths = np.diff(starts, append=len(frames)).astype(np.float32)
    return np.add.reduceat(frames, starts, axis=0) / lengths[:, None]


@functools.lru_cache(maxsize=8)
def _window(n_fft: int) -> np.ndarray:
    import librosa

    return librosa.filters.get_window("hann", n_fft, fftbins=True).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _mel_filters(settings: FeatureSettings) -> scipy.sparse.csr_array:
    """[mel_bands, 1 + n_fft // 2], each frequency in two bands at most, hence sparse."""
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty bands: an error below
        filters = librosa.filters.mel(
            sr=settings.sampling_rate,
            n_fft=settings.n_fft,
            n_mels=settings.mel_bands,
            fmin=settings.fmin,
            fmax=settings.highest,
        )
    if empty := int((filters.max(axis=1) == 0).sum()):
        raise SettingsError(
            f"{empty} of {settings.mel_bands} mel bands hold no frequency of a {settings.n_fft}-sample "
            f"transform at {settings.sampling_rate} Hz: take fewer bands or a larger n_fft"
        )
    return scipy.sparse.csr_array(filters)


def _require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        raise SettingsError(f"features: {rule}, not {value!r}")


# The original paper's features: 8 s at 32,750 Hz are 128 pooled frames of 128 MFCC.
PUBLISHED = FeatureSettings(
    kind="mfcc",
    sampling_rate=32_750,
    seconds=8.0,
    n_fft=2048,
    hop=512,
    coefficients=128,
    n_mels=128,
    pool=4,
    pool_kind="max",
)
