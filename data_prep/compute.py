"""Utterances -> features, once, by several processes, into one scratch file.

Results come back in the order of the utterances whatever the number of processes, and wait on disk, not in memory.
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import logging

from data_prep import audio
from data_prep.corpora.base import BadFile, Utterance
from data_prep.facts import Facts, digest_of
from data_prep.features import FeatureSettings, Kind, extract, kind_of
from data_prep.processes import in_processes, usable_cores


@dataclasses.dataclass(frozen=True, slots=True)
class Computed:
    """One utterance's features: rows [first, first + frames) of the scratch file.

    Attributes:
        utterance: whose.
        seconds: length of the sound that they were computed from, after the cut.
        first: the first row.
        frames: how many rows.
        sound: digest of the sound that they were computed from, see `digest_of`.
        facts: of the whole utterance.
    """

    utterance: Utterance
    seconds: float
    first: int
    frames: int
    sound: str
    facts: Facts


def compute(
    utterances: Sequence[Utterance],
    *,
    settings: FeatureSettings,
    workers: int,
    scratch: pathlib.Path,
    first: int = 0,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[list[Computed], list[BadFile]]:
    """Computes the features of every utterance and writes them to `scratch`, which `rows` reads.

    Args:
        utterances: what to read, in the order of the results.
        settings: what to compute.
        workers: processes; 0 is one for each core that this process may use, 1 computes in this process.
        scratch: the file to write to, behind what is there.
        first: rows that are there.
        meanwhile: called in this process once, as soon as the other processes are at work.

    Returns:
        Where the features of each usable utterance are, and every file that cannot be used.
    """
    workers = workers or len(usable_cores())
    done, bad_files = [], []
    logging.info("Computing features of %d utterances with %d process(es)", len(utterances), workers)
    work = functools.partial(compute_one, settings=settings, kind=kind_of(settings))
    stream = _here if workers == 1 else in_processes
    results = stream(work, utterances, workers=workers, meanwhile=meanwhile)
    bar = tqdm.tqdm(results, total=len(utterances), desc="features", unit="utt", disable=None)
    with scratch.open("ab") as file, contextlib.closing(results):
        for utterance, result in zip(utterances, bar, strict=True):
            if isinstance(result, BadFile):
                bad_files.append(result)
                continue
            seconds, sound, facts, features = result
            file.write(
                np.ascontiguousarray(features, np.float32).data
            )  # tofile gives no reason when it fails
            done.append(Computed(utterance, seconds, first, len(features), sound, facts))
            first += len(features)
    logging.info("Computed features of %d utterances; %d cannot be used", len(done), len(bad_files))
    return done, bad_files


def rows(scratch: pathlib.Path, *, settings: FeatureSettings) -> np.ndarray:
    """The scratch file as float32 [frames of all utterances, coefficients], left on disk."""
    return np.memmap(scratch, np.float32, mode="r").reshape(-1, settings.coefficients)


def compute_one(
    utterance: Utterance, settings: FeatureSettings, kind: Kind | None = None
) -> tuple[float, str, Facts, np.ndarray] | BadFile:
    """Of one utterance the seconds of sound used, their digest, the facts of all of it, and the features [T, F].

    Where there are none, why. See `digest_of` and `extract`.
    """
    try:
        decoded, rate, facts = audio.examined(utterance, seconds=settings.seconds)
    except audio.AudioError as error:
        return BadFile(str(utterance.path), str(error))
    waveform = audio.resampled(decoded, rate, sampling_rate=settings.sampling_rate)
    features = extract(waveform, settings=settings, kind=kind)
    if not np.isfinite(features).all():
        return BadFile(str(utterance.path), "features are not finite: the samples are far beyond full scale")
    seconds = min(len(waveform), settings.max_samples) / settings.sampling_rate
    sound = facts.whole if facts.used >= facts.seconds else digest_of(decoded, rate)
    return seconds, sound, facts, features


def _here(
    work: Callable[[Utterance], Any],
    utterances: Sequence[Utterance],
    *,
    workers: int,
    meanwhile: Callable[[], None],
) -> Generator[Any, None, None]:
    """As `in_processes`, in this process."""
    del workers
    meanwhile()
    yield from map(work, utterances)
