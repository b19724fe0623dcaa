"""Facts of sounds that need not be there, and utterances that are."""

import pathlib

import numpy as np
import soundfile

from data_prep.compute import Computed
from data_prep.corpora.base import Utterance
from data_prep.facts import Facts

RATE = 16_000


def facts(**changes) -> Facts:
    """Of a healthy utterance of 2 s."""
    healthy = {
        "whole": "d1",
        "seconds": 2.0,
        "rate": RATE,
        "channels": 1,
        "coding": "WAV PCM_16",
        "bytes": 64_044,
        "missing": 0.0,
        "peak": 0.5,
        "rms": 0.1,
        "levels": (0.1,) * 8,
        "leading": 0.0,
        "trailing": 0.0,
        "clipped": 0.0,
        "mixed": 1.0,
        "silent_channels": 0,
        "used": 2.0,
        "speech_beyond": 0.0,
    }
    return Facts(**(healthy | changes))


def computed(name: str, *, speaker: str = "ann", emotion: str = "angry", **changes) -> Computed:
    utterance = Utterance(id=name, path=pathlib.Path(f"{name}.wav"), speaker=speaker, emotion=emotion)
    return Computed(utterance, 2.0, 0, 9, "d", facts(**changes))


def noise(seconds: float, *, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """float32 [samples] that 16 bits hold exactly."""
    steps = np.random.default_rng(seed).integers(-9_000, 9_000, round(seconds * rate))
    return (steps / 2**15).astype(np.float32)


def written(path: pathlib.Path, samples: np.ndarray, *, rate: int = RATE, **fields) -> Utterance:
    """An utterance of a file that is made here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=fields.pop("subtype", None))
    return Utterance(**{"id": path.name, "path": path, "speaker": "ann", "emotion": "angry", **fields})
