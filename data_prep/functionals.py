"""Utterances -> functionals of openSMILE, one vector each: the features of classical emotion recognition.

eGeMAPS v02 (Eyben et al. 2016, "The Geneva Minimalistic Acoustic Parameter Set"), 88 numbers of a whole utterance,
however long. Computed once, and stored in one file.
"""

import contextlib
import functools
import importlib.util
import pathlib
import zipfile
from collections.abc import Sequence

import ml_collections
import numpy as np
import tqdm
from absl import logging

from data_prep import audio, disk
from data_prep.corpora.base import BadFile, CorpusError, Utterance
from data_prep.processes import in_processes, usable_cores
from data_prep.selection import read_corpus
from jax_ser_darts.errors import UserError

SAMPLING_RATE = 16_000  # Hz; the set looks no higher than 5 kHz
SHORTEST_SECONDS = 0.06  # what is shorter is padded: openSMILE 2.6 has no numbers for it
VERSION = "eGeMAPSv02, 1"  # raise the number when the functionals of the same sound change


class MissingError(UserError):
    """openSMILE is not installed; the message says how to install it."""


def check_installed() -> None:
    """Whether functionals can be computed at all.

    Raises:
        MissingError: they cannot.
    """
    if importlib.util.find_spec("opensmile") is None:
        raise MissingError(
            "the SVM needs openSMILE: pip install -e '.[baselines]', or --config.baselines.svm=False"
        )


def functionals(
    *,
    data: ml_collections.ConfigDict,
    records: pathlib.Path,
    ids: Sequence[str],
    fingerprint: str,
    path: pathlib.Path,
) -> np.ndarray:
    """The functionals of every utterance, computed unless `path` has them.

    Args:
        data, records: as given to `prepare`, which made the records.
        ids: of the utterances.
        fingerprint: of the records: other sound has another.
        path: of the .npz file.

    Returns:
        float32 [N, 88], in the order of `ids`.

    Raises:
        CorpusError: an utterance is not in the corpus any more, cannot be read whole, or has functionals that are not
            finite.
        MissingError: openSMILE is not installed.
        OSError: the disk is full; nothing is left of the file.
    """
    stamp = f"{VERSION}, {fingerprint}"
    stored = _load(path, ids=ids, stamp=stamp)
    if stored is not None:
        return stored
    check_installed()
    known = {utterance.id: utterance for utterance in read_corpus(data, records=records).utterances}
    if gone := [id_ for id_ in ids if id_ not in known]:
        raise CorpusError(
            f"{len(gone)} utterance(s) of the records are not in {data.source}: {', '.join(gone[:10])}"
        )
    values = compute([known[id_] for id_ in ids], workers=data.workers)
    _save(path, ids=np.array(ids), stamp=np.array(stamp), values=values)
    return values


def compute(utterances: Sequence[Utterance], *, workers: int = 0) -> np.ndarray:
    """float32 [N, 88] of these utterances; errors as of `functionals`.

    In other processes: beside TensorFlow in one process, openSMILE 2.6 destroys the heap.

    Args:
        utterances: whose.
        workers: processes; 0 is one for each core that this process may use.
    """
    rows, bad_files = [], []
    workers = workers or len(usable_cores())
    logging.info(
        "Computing eGeMAPS functionals of %d utterances with %d process(es)", len(utterances), workers
    )
    results = in_processes(compute_one, utterances, workers=workers)
    bar = tqdm.tqdm(results, total=len(utterances), desc="functionals", unit="utt", disable=None)
    with contextlib.closing(results):
        for result in bar:
            (bad_files if isinstance(result, BadFile) else rows).append(result)
    if not bad_files:
        values = np.stack(rows)
        finite = np.isfinite(values).all(axis=1)
        bad_files = [
            BadFile(str(utterance.path), "openSMILE's functionals of it are not finite")
            for utterance, is_finite in zip(utterances, finite, strict=True)
            if not is_finite
        ]
    if bad_files:
        lines = "\n".join(f"  {bad.path}: {bad.reason}" for bad in bad_files)
        raise CorpusError(
            f"the SVM needs whole utterances, also beyond features.seconds, and cannot use {len(bad_files)} of them:\n"
            f"{lines}\nMend them or take them out of the corpus (which then needs another workdir), or leave the SVM "
            "out: --config.baselines.svm=False"
        )
    return values


def compute_one(utterance: Utterance) -> np.ndarray | BadFile:
    """float32 [88], or why there are none; only for a process without TensorFlow."""
    try:
        waveform = audio.read(utterance, sampling_rate=SAMPLING_RATE)
    except audio.AudioError as error:
        return BadFile(str(utterance.path), str(error))
    missing = round(SHORTEST_SECONDS * SAMPLING_RATE) - len(waveform)
    waveform = np.pad(waveform, (0, max(missing, 0)))
    return _smile().process_signal(waveform, SAMPLING_RATE).to_numpy(np.float32)[0]


@functools.cache
def _smile():
    import opensmile  # brings pandas

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )


def _save(path: pathlib.Path, **arrays: np.ndarray) -> None:
    with disk.replacing(path, "the functionals are computed anew") as file:
        np.savez(file, **arrays)


def _load(path: pathlib.Path, *, ids: Sequence[str], stamp: str) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if stored["stamp"].item() == stamp and stored["ids"].tolist() == list(ids):
                return stored["values"]
    except (EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        logging.warning("%s cannot be read (%r): computing again", path, error)
    return None
