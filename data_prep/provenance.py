"""What records are made from: the fingerprint by which they are found again, and their metadata."""

import collections
import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.compute import Computed
from data_prep.corpora.base import BadFile, Utterance
from data_prep.corpus_settings import CorpusSettings
from data_prep.features import FeatureSettings, kind_of
from data_prep.soundness import Soundness

VERSION = "1.1.0"  # of the records' layout and numbers: raise it when either changes
_LIBRARIES = ("librosa", "numpy", "scipy", "soundfile", "soxr", "tensorflow_datasets", "jax_ser_darts")


def fingerprint_of(
    *,
    data: CorpusSettings,
    source: pathlib.Path,
    settings: FeatureSettings,
    emotions: Mapping[str, str],
    utterances: Sequence[Utterance],
    bad_files: Sequence[BadFile],
) -> str:
    """Hex digits that change with anything that the records depend on.

    Files count by path, size and time of change, not by content: to look at those takes no time. The number
    of workers and the versions of the libraries do not count; the metadata has the versions.

    Args:
        data: as of `prepare`.
        source, emotions, bad_files: as of `selection.Selection`.
        settings: of the features.
        utterances: those that are recorded, in the order of the corpus.
    """

    def stamp(path: pathlib.Path) -> tuple[int, int] | None:
        try:
            stat = path.stat()
        except OSError:  # compute will report it as a bad file
            return None
        return stat.st_size, stat.st_mtime_ns

    determines = {
        "version": VERSION,
        "corpus": data.corpus,
        "source": str(source),
        "group_by": data.group_by,
        "on_bad_file": data.on_bad_file,
        "on_duplicate": data.on_duplicate,
        "features": _settings_of(settings),
        **_features_version(settings),
        "emotions": emotions,
        "utterances": [[*map(str, dataclasses.astuple(u)), stamp(u.path)] for u in utterances],
        "bad_files": [dataclasses.astuple(bad) for bad in bad_files],
    }
    return hashlib.sha256(json.dumps(determines, sort_keys=True).encode()).hexdigest()


def metadata_of(
    *,
    data: CorpusSettings,
    settings: FeatureSettings,
    emotions: Mapping[str, str],
    splits: Mapping[str, Sequence[Computed]],
    bad_files: Sequence[BadFile],
    soundness: Soundness,
    fingerprint: str,
) -> dict[str, Any]:
    """What is stored beside the records as metadata.json: where they come from, and what they hold.

    Args:
        data: as of `prepare`.
        settings: of the features.
        emotions: corpus's emotion -> class.
        splits: split -> what is recorded of it.
        bad_files: all that have been left out.
        soundness: what was cut, left out or looks wrong.
        fingerprint: see `fingerprint_of`.

    Its `content` says what a result on the records is of, wherever the files lie.
    """
    classes = sorted(set(emotions.values()))
    class_counts, splits_of = {}, collections.defaultdict(list)
    for split, computed in splits.items():
        counts = collections.Counter(emotions[example.utterance.emotion] for example in computed)
        class_counts[split] = {name: counts[name] for name in classes}
        for part in sorted({example.utterance.part for example in computed} - {""}):
            splits_of[part].append(split)
    return {
        "corpus": data.corpus,
        "source": data.source,
        "synthetic": data.corpus == "demo",
        "features": dataclasses.asdict(settings),
        **_features_version(settings),
        "emotions": dict(emotions),
        "classes": classes,
        "group_by": data.group_by,
        "groups": {
            split: sorted({c.utterance.speaker for c in computed}) for split, computed in splits.items()
        },
        "parts": dict(splits_of),
        "target": data.intended_emotion,
        "counts": class_counts,
        "bad_files": [dataclasses.asdict(bad) for bad in bad_files],
        "soundness": soundness.to_json(),
        "versions": _versions(),
        "fingerprint": fingerprint,
        "content": _content(settings, emotions, splits),
    }


def _content(
    settings: FeatureSettings, emotions: Mapping[str, str], splits: Mapping[str, Sequence[Computed]]
) -> str:
    """16 hex digits of which sound was heard as whose and as what, and how it was made features.

    Not of the features themselves: two machines, or two versions of a library, may differ in their last bit, and a grid
    that both work on would be refused. Lossy files are decoded alike by one version of libsndfile.
    """
    rows = sorted(
        [one.utterance.id, emotions[one.utterance.emotion], one.utterance.speaker, one.sound]
        for members in splits.values()
        for one in members
    )
    of = [VERSION, _settings_of(settings), _features_version(settings), rows]
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


def _settings_of(settings: FeatureSettings) -> dict[str, Any]:
    """What counts of them: an encoder's hash does (see `_features_version`), not where it lies."""
    return {name: value for name, value in dataclasses.asdict(settings).items() if name != "encoder"}


def _features_version(settings: FeatureSettings) -> dict[str, str]:
    """Of a user's function or an encoder; that of the package's other kinds is VERSION."""
    version = kind_of(settings).version_for(settings)
    return {"features_version": version} if version else {}


def _versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return versions
