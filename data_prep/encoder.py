"""Waveform -> frames of a frozen encoder in an ONNX file, by onnxruntime (extra `onnx`): the features of kind "onnx".

The file takes one waveform `[1, samples]`, float32, full scale at 1, and returns frames `[1, T, D]`. Its hash is the
version of these features: records of another file are made anew, wherever it lies. docs/encoders.md has recipes.
"""

import functools
import hashlib
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_ser_darts import extras
from jax_ser_darts.errors import UserError

if TYPE_CHECKING:
    from data_prep.features import FeatureSettings

SLACK = (
    2  # frames that an encoder may have less or more than its samples over its hop: its windows end somewhere
)


class EncoderError(UserError):
    """The encoder cannot be used; the message says why, and what to do."""


def frames(waveform: np.ndarray, settings: "FeatureSettings") -> np.ndarray:
    """The frames of one waveform.

    Sound shorter than two frames is filled with zeros to their length: encoders refuse less.

    Args:
        waveform: float32 [samples] at settings.sampling_rate.
        settings: its `encoder` is the file, `hop` the samples from one frame to the next, `coefficients` D.

    Returns:
        float32 [T, D].

    Raises:
        EncoderError: the file cannot be run, or its frames are not what the settings say.
    """
    path = path_of(settings)
    session = _session(str(path))
    missing = max(0, 2 * settings.hop - len(waveform))
    wave = np.pad(waveform, (0, missing))[None]
    try:
        output = session.run(None, {session.get_inputs()[0].name: wave})[0]
    except Exception as error:  # onnxruntime's errors have no common base of their own
        raise EncoderError(f"encoder {path}: {len(waveform)} samples cannot be encoded: {error}") from error
    if output.ndim != 3 or output.shape[0] != 1:
        raise EncoderError(
            f"encoder {path} returns {list(output.shape)} for one waveform; [1, frames, values] is needed"
        )
    _, count, values = output.shape
    if values != settings.coefficients:
        raise EncoderError(
            f"encoder {path}: its frames have {values} values: set features.coefficients={values}"
        )
    if abs(count - wave.shape[1] / settings.hop) > SLACK:
        raise EncoderError(
            f"encoder {path}: {count} frames of {wave.shape[1]} samples are not one every {settings.hop}: set "
            f"features.hop={wave.shape[1] // max(count, 1)} or so"
        )
    return output[0].astype(np.float32, copy=False)


def path_of(settings: "FeatureSettings") -> pathlib.Path:
    """The file of the encoder.

    Raises:
        EncoderError: none is named, or it is not there.
        MissingExtraError: onnxruntime is not installed.
    """
    if not settings.encoder:
        raise EncoderError("features.kind=onnx needs features.encoder: the path of an ONNX file")
    path = pathlib.Path(settings.encoder).expanduser()
    if not path.is_file():
        raise EncoderError(f"there is no encoder {path} (features.encoder)")
    extras.check_installed("onnxruntime")
    return path


def version(settings: "FeatureSettings") -> str:
    """The hash of the encoder's file, SHA-256 in hex digits; errors as of `path_of`."""
    path = path_of(settings)
    return _hash(str(path), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _hash(path: str, changed: int) -> str:
    del changed  # another file under this name is read again
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=1)
def _session(path: str) -> Any:
    """One a process, and one thread each: there is a process on every core. A GPU goes first where there is one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    has = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in has]
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:
        raise EncoderError(f"encoder {path} is no ONNX model that can be run: {error}") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 2:
        listing = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        raise EncoderError(f"encoder {path} takes {listing}; one float32 waveform [1, samples] is needed")
    return session
