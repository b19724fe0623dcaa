"""Times the preparation of a corpus against the way it is published.

    python -m data_prep.benchmark --source=DIR [--corpus=ravdess] [--repeats=3] [--workers=2]

The published way (the original paper's code) is `librosa.load` to 32,750 Hz, at most 8 s, zero-padded to 8 s,
`librosa.feature.mfcc` with 128 coefficients, max-pooled by 4, in one thread, and all of it again for each of
5 folds: counted over the folds it does a fifth of the utterances a second. Ours computes them once. All are
timed in turn, so that what else the machine does slows each; processor seconds (user + system, of one thread)
hardly depend on it.
"""

import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import threadpoolctl
from absl import flags, logging

from data_prep import compute, corpora
from data_prep.corpora.base import Utterance
from data_prep.features import PUBLISHED
from jax_ser_darts import commands

FOLDS = 5
_SOURCE = flags.DEFINE_string("source", None, "The corpus's root folder.")
_CORPUS = flags.DEFINE_string("corpus", "ravdess", "Which corpus it is.")
_UTTERANCES = flags.DEFINE_integer("utterances", 60, "How many of them the published way is timed on.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "How often; the medians are printed.")
_WORKERS = flags.DEFINE_integer("workers", 2, "Our processes; 0 is all cores.")

_CONFIG = """
import ml_collections

def get_config():
    return ml_collections.ConfigDict({config!r})
"""


class Times(NamedTuple):
    """How long so many utterances took, in seconds."""

    utterances: float
    wall: float
    cpu: float


def our_features(utterance: Utterance) -> object:
    """Ours, of one utterance."""
    return compute.compute_one(utterance, PUBLISHED)


def published_features(utterance: Utterance) -> np.ndarray:
    """The original paper's features of one utterance: float32 [128, 128] (pooled frames, coefficients)."""
    import librosa

    settings = PUBLISHED
    waveform, _ = librosa.load(utterance.path, sr=settings.sampling_rate, duration=settings.seconds)
    padded = np.pad(waveform[: settings.max_samples], (0, max(0, settings.max_samples - len(waveform))))
    mfcc = librosa.feature.mfcc(y=padded, sr=settings.sampling_rate, n_mfcc=settings.coefficients).T
    return mfcc.reshape(-1, settings.pool, settings.coefficients).max(axis=1)


def time_one_by_one(function: Callable[[Utterance], object], utterances: Sequence[Utterance]) -> Times:
    """Times a function of one utterance, in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    for utterance in utterances:
        function(utterance)
    return Times(len(utterances), time.perf_counter() - wall, time.process_time() - cpu)


def time_command(utterances: Sequence[Utterance]) -> Times:
    """Times the whole command, from its start to the records on disk; no processor time."""
    data: dict[str, Any] = {
        "corpus": _CORPUS.value,
        "source": _SOURCE.value,
        "emotions": {},
        "group_by": "speaker",
    }
    data |= {"parts": (), "intended_emotion": False, "on_bad_file": "error", "workers": _WORKERS.value}
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "config.py"
        config.write_text(_CONFIG.format(config={"data": data, "features": {}}))
        command = [
            sys.executable,
            "-m",
            "data_prep.prepare",
            f"--config={config}",
            f"--records={folder}/records",
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return Times(len(utterances), time.perf_counter() - start, math.nan)


def time_processes(utterances: Sequence[Utterance]) -> Times:
    """Times the features of the whole corpus, with the start of the processes; no processor time."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        compute.compute(
            utterances,
            settings=PUBLISHED,
            workers=_WORKERS.value,
            scratch=pathlib.Path(folder) / "scratch",
        )
        return Times(len(utterances), time.perf_counter() - start, math.nan)


def main(argv: list[str]) -> None:
    """Prints the medians, in utterances a second; those of the published way are counted over the folds."""
    del argv
    logging.set_verbosity(logging.WARNING)
    assert _SOURCE.value is not None  # a required flag
    utterances = corpora.read(_CORPUS.value, _SOURCE.value).utterances
    some = utterances[:: max(1, len(utterances) // _UTTERANCES.value)][: _UTTERANCES.value]
    ways = {
        f"published, 1 thread, {FOLDS} folds": lambda: time_one_by_one(published_features, some),
        "features, 1 thread": lambda: time_one_by_one(our_features, some),
        f"features, {_WORKERS.value} processes": lambda: time_processes(utterances),
        f"command, {_WORKERS.value} processes": lambda: time_command(utterances),
    }
    published_features(some[0])  # imports, and fills every cache
    our_features(some[0])
    taken: dict[str, list[Times]] = {way: [] for way in ways}
    with threadpoolctl.threadpool_limits(1):
        for _ in range(_REPEATS.value):
            for way, run in ways.items():
                taken[way].append(run())
    published = next(iter(ways))
    taken[published] = [Times(t.utterances / FOLDS, t.wall, t.cpu) for t in taken[published]]

    print(f"{len(utterances)} utterances, {os.cpu_count()} cores, medians of {_REPEATS.value}")
    print(f"{'utterances a second':32} {'wall':>8} {'times':>6} {'cpu':>8} {'times':>6}")
    base = [rate(taken[published], clock) for clock in ("wall", "cpu")]
    for way, times in taken.items():
        wall, cpu = rate(times, "wall"), rate(times, "cpu")
        print(f"{way:32} {wall:8.1f} {wall / base[0]:6.1f} {cpu:8.1f} {cpu / base[1]:6.1f}")


def rate(times: Sequence[Times], clock: str) -> float:
    """Median utterances a second."""
    return statistics.median(t.utterances / getattr(t, clock) for t in times)


if __name__ == "__main__":
    flags.mark_flag_as_required("source")
    commands.start(main, status=1)
