"""Sound on disk -> TFRecords of features, computed once for all folds.

    python -m data_prep.prepare --config=configs/ravdess.py --config.data.source=DIR --records=DIR

Whatever is wrong with the corpus is told at once and in full, and nothing is published: a folder of records
either is whole or is not there. A second run finds the records of the first and does nothing.
"""

import collections
import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from data_prep import beam as beams
from data_prep import compute, corpora, counts, demo_corpus, disk
from data_prep.beam import Beam
from data_prep.compute import Computed
from data_prep.corpora.base import BadFile, BadFilesError, CorpusError, Utterance
from data_prep.features import FeatureSettings, SettingsError

VERSION = "1.0.0"  # of the records' layout and numbers: raise it when either changes
_LIBRARIES = ("librosa", "numpy", "scipy", "soundfile", "soxr", "tensorflow_datasets", "jax_ser_darts")


def prepare(
    *,
    data: ml_collections.ConfigDict,
    features: ml_collections.ConfigDict,
    records: pathlib.Path,
    beam: Beam | None = None,
) -> pathlib.Path:
    """Makes the records of one corpus, unless they are there already.

    Args:
        data: corpus (str), source (its root folder; "" makes the demo corpus beside `records`), emotions
            (corpus's emotion -> class; what it does not name is left out, and empty takes all as they are),
            parts (those of the corpus to take; empty takes all), target (whether emotions are those that the
            speakers were asked for), group_by ("speaker", "session" or "part": what a split is; splits of
            "part" are a part's speakers), on_bad_file ("error" or "skip"), workers (processes; 0 is all cores).
        features: the fields of `features.FeatureSettings`.
        records: folder of all records.
        beam: the pipeline whose workers compute and write; None is this machine. The records are the same.

    Returns:
        The folder for `tfds.builder_from_directory`: records/<corpus>_<fingerprint>/<version>.

    Raises:
        BadFilesError: files cannot be used and data.on_bad_file is "error"; it names every one.
        BeamError: the pipeline failed; nothing has been written.
        CorpusError: the corpus does not fit the config; nothing has been written.
        OSError: the disk is full; nothing is left of the attempt.
        SettingsError: impossible feature settings.
    """
    settings = FeatureSettings.from_mapping(features.to_dict())
    _check(data)
    records = pathlib.Path(records).absolute()
    source = _source(data, records=records)
    reading = _read(data, source)
    chosen = _choose(reading.utterances, parts=data.parts, target=data.target)
    emotions = _emotions(chosen, data.emotions.to_dict())
    for difference in counts.differences(
        chosen, corpus=data.corpus, parts=data.parts, target=data.target, emotions=emotions
    ):
        logging.warning("%s", difference)
    utterances = [utterance for utterance in chosen if utterance.emotion in emotions]
    if data.group_by == "part":
        utterances = [_keep_in_part(utterance) for utterance in utterances]
    groups = _groups(utterances, group_by=data.group_by)
    fingerprint = _fingerprint(
        data=data,
        source=source,
        settings=settings,
        emotions=emotions,
        utterances=utterances,
        bad_files=reading.bad_files,
    )
    name = f"{data.corpus}_{fingerprint[:8]}"
    folder = records / name / VERSION
    if folder.is_dir():  # renamed to this name when whole, never before
        logging.info("Records of this corpus and config are there already, nothing to do: %s", folder)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with disk.told(folder, "the records are made anew"), _lock(folder.parent / ".lock"):
        if folder.is_dir():  # by another process, while this one waited
            return folder
        _sweep(folder.parent)
        print(counts.tables(utterances, emotions=emotions), flush=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".scratch_") as temporary:
            scratch = pathlib.Path(temporary)
            if beam is None:
                computed, unreadable = compute.compute(
                    [utterance for split in groups for utterance in groups[split]],
                    settings=settings,
                    workers=data.workers,
                    scratch=scratch / "features",
                    meanwhile=_import_tensorflow,
                )
            else:
                made = beams.make(
                    groups,
                    beam=beam,
                    name=name,
                    version=VERSION,
                    settings=settings,
                    emotions=emotions,
                    scratch=scratch,
                )
                computed, unreadable = made.computed, made.bad_files
            bad_files = sorted({*reading.bad_files, *unreadable}, key=lambda bad: (bad.path, bad.reason))
            _refuse_bad_files(bad_files, computed=computed, emotions=emotions, on_bad_file=data.on_bad_file)
            usable = {one.utterance.id: one for one in computed}
            splits = {
                split: kept
                for split, members in groups.items()
                if (kept := [usable[utterance.id] for utterance in members if utterance.id in usable])
            }
            metadata = _metadata(
                data=data,
                settings=settings,
                emotions=emotions,
                splits=splits,
                bad_files=bad_files,
                fingerprint=fingerprint,
            )
            from data_prep import builder  # brings TensorFlow

            arguments = {
                "name": name,
                "version": VERSION,
                "data_dir": records,
                "splits": splits,
                "emotions": emotions,
                "metadata": metadata,
                "bad_files": bad_files,
            }
            if beam is None:
                rows = compute.rows(scratch / "features", settings=settings)
                dataset = builder.SpeechFeatures(rows=rows, **arguments)
            else:
                coefficients = settings.coefficients
                dataset = builder.Gathered(parts=made.parts, coefficients=coefficients, **arguments)
            dataset.write(download_dir=scratch)
    logging.info("Wrote the records of %d utterances in %d splits: %s", len(computed), len(splits), folder)
    return folder


def _check(data: ml_collections.ConfigDict) -> None:
    for name, allowed in {
        "group_by": ("speaker", "session", "part"),
        "on_bad_file": ("error", "skip"),
    }.items():
        if data[name] not in allowed:
            raise CorpusError(f"data.{name} is {data[name]!r}; it must be one of {', '.join(allowed)}")
    if type(data.workers) is not int or data.workers < 0:
        raise CorpusError(f"data.workers is {data.workers!r}; it must be 0 (all cores) or more")


def read_corpus(data: ml_collections.ConfigDict, *, records: pathlib.Path) -> corpora.Reading:
    """The utterances that `prepare` takes its choice from; arguments and errors as of `prepare`."""
    return _read(data, _source(data, records=pathlib.Path(records).absolute()))


def labelled(
    data: ml_collections.ConfigDict, *, records: pathlib.Path
) -> tuple[list[tuple[Utterance, str]], tuple[BadFile, ...]]:
    """What `prepare` would make records of: utterances with their classes, and the files that cannot be used.

    Arguments and errors as of `prepare`; whether the sound is usable is seen when it is read.
    """
    _check(data)
    reading = read_corpus(data, records=records)
    chosen = _choose(reading.utterances, parts=data.parts, target=data.target)
    emotions = _emotions(chosen, data.emotions.to_dict())
    return [(one, emotions[one.emotion]) for one in chosen if one.emotion in emotions], reading.bad_files


def _read(data: ml_collections.ConfigDict, source: pathlib.Path) -> corpora.Reading:
    return corpora.read("manifest" if data.corpus == "demo" else data.corpus, source)


def _source(data: ml_collections.ConfigDict, *, records: pathlib.Path) -> pathlib.Path:
    """The corpus's root, an absolute path that exists."""
    if not data.source and data.corpus == "demo":
        return demo_corpus.make(records.parent / "demo_corpus").resolve()
    if not data.source:
        raise CorpusError(f"no folder for corpus {data.corpus!r}: give --config.data.source=DIR")
    source = pathlib.Path(data.source).expanduser().resolve()
    if not source.exists():
        raise CorpusError(f"the root of corpus {data.corpus!r} does not exist: {source} (data.source)")
    return source


def _choose(utterances: Sequence[Utterance], *, parts: Sequence[str], target: bool) -> list[Utterance]:
    """The utterances of these parts of the corpus (none named: all), with the emotion that is wanted."""
    found = {utterance.part for utterance in utterances}
    if missing := sorted(set(parts) - found):
        raise CorpusError(
            f"data.parts names {', '.join(missing)}; the corpus has: {', '.join(sorted(found - {''})) or 'no parts'}"
        )
    chosen = [utterance for utterance in utterances if not parts or utterance.part in parts]
    if not target:
        return chosen
    if without := [utterance for utterance in chosen if not utterance.target]:
        raise CorpusError(
            f"{len(without)} utterance(s) have no target emotion, such as {without[0].path}: set data.target=False"
        )
    return [dataclasses.replace(utterance, emotion=utterance.target) for utterance in chosen]


def _keep_in_part(utterance: Utterance) -> Utterance:
    """Where nobody knows who speaks, someone of this part does: another person than the unknown of the others."""
    speaker = utterance.speaker or f"unknown_{utterance.part}"
    return dataclasses.replace(utterance, speaker=speaker)


def _emotions(utterances: Sequence[Utterance], wanted: Mapping[str, str]) -> dict[str, str]:
    """Corpus's emotion -> class, for the emotions that are used."""
    found = collections.Counter(utterance.emotion for utterance in utterances)
    listing = ", ".join(f"{emotion} ({count})" for emotion, count in sorted(found.items())) or "none"
    if missing := sorted(set(wanted) - set(found)):
        raise CorpusError(
            f"data.emotions names {', '.join(missing)}, but the corpus has no such utterance; "
            f"it has: {listing}"
        )
    if not found:
        raise CorpusError("the corpus has no utterance at all: is data.source the right folder?")
    return dict(sorted(wanted.items())) or {emotion: emotion for emotion in sorted(found)}


def _groups(utterances: Sequence[Utterance], *, group_by: str) -> dict[str, list[Utterance]]:
    r"""Split name (`\w+`) -> its utterances, both sorted; a speaker is in one group only."""
    members = collections.defaultdict(list)
    for utterance in sorted(utterances, key=lambda utterance: utterance.id):
        members[getattr(utterance, group_by)].append(utterance)
    if "" in members:
        without = members[""]
        raise CorpusError(
            f"{len(without)} utterance(s) have no {group_by}, such as {without[0].path}: "
            "they cannot be grouped by it (data.group_by)"
        )
    where = collections.defaultdict(lambda: collections.defaultdict(list))
    for group, of in members.items():
        for utterance in of:
            where[utterance.speaker][group].append(str(utterance.path))
    problems = [
        f"  speaker {speaker} is in {group_by} {group}: {', '.join(sorted(set(paths)))}"
        for speaker, groups in sorted(where.items())
        if len(groups) > 1
        for group, paths in sorted(groups.items())
    ]
    if problems:
        raise CorpusError(
            f"a speaker may be in one {group_by} only, or the same voice is in training and test; "
            "mend the labels, or take --config.data.group_by=speaker:\n" + "\n".join(problems)
        )
    if group_by == "part":  # its speakers stay apart, so that a search can divide them
        speakers = collections.defaultdict(list)
        for part, of in members.items():
            for utterance in of:
                speakers[f"{part}/{utterance.speaker}"].append(utterance)
        members = speakers
    names = _split_names(sorted(members), prefix=group_by)
    return {names[group]: members[group] for group in sorted(members)}


def _split_names(groups: Sequence[str], *, prefix: str) -> dict[str, str]:
    """Group -> a name of letters, digits and underscores; no two alike, not even in upper and lower case."""
    names, taken = {}, set()
    for group in groups:
        plain = name = f"{prefix}_{re.sub(r'[^0-9A-Za-z]', '_', group)}"
        number = 2
        while name.casefold() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.casefold())
        names[group] = name
    return names


def _fingerprint(
    *,
    data: ml_collections.ConfigDict,
    source: pathlib.Path,
    settings: FeatureSettings,
    emotions: Mapping[str, str],
    utterances: Sequence[Utterance],
    bad_files: Sequence[BadFile],
) -> str:
    """Hex digits that change with anything that the records depend on.

    Files count by path, size and time of change, not by content: to look at those takes no time. The number
    of workers and the versions of the libraries do not count; the metadata has the versions.
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
        "features": dataclasses.asdict(settings),
        "emotions": emotions,
        "utterances": [[*map(str, dataclasses.astuple(one)), stamp(one.path)] for one in utterances],
        "bad_files": [dataclasses.astuple(bad) for bad in bad_files],
    }
    return hashlib.sha256(json.dumps(determines, sort_keys=True).encode()).hexdigest()


def _refuse_bad_files(
    bad_files: Sequence[BadFile],
    *,
    computed: Sequence[Computed],
    emotions: Mapping[str, str],
    on_bad_file: str,
) -> None:
    if not bad_files:
        return
    if on_bad_file == "error":
        raise BadFilesError(bad_files)
    logging.warning("Left out %d file(s) that cannot be used, such as %s", len(bad_files), bad_files[0])
    if gone := sorted(set(emotions.values()) - {emotions[one.utterance.emotion] for one in computed}):
        raise CorpusError(
            f"without its bad files the corpus has no utterance of {', '.join(gone)}; they are:\n"
            + "\n".join(f"  {bad.path}: {bad.reason}" for bad in bad_files)
        )


def _metadata(
    *,
    data: ml_collections.ConfigDict,
    settings: FeatureSettings,
    emotions: Mapping[str, str],
    splits: Mapping[str, Sequence[Computed]],
    bad_files: Sequence[BadFile],
    fingerprint: str,
) -> dict[str, Any]:
    """What is stored beside the records as metadata.json: where they come from, and what is in them."""
    classes = sorted(set(emotions.values()))
    of_classes, of_parts = {}, collections.defaultdict(list)
    for split, computed in splits.items():
        found = collections.Counter(emotions[one.utterance.emotion] for one in computed)
        of_classes[split] = {name: found[name] for name in classes}
        for part in sorted({one.utterance.part for one in computed} - {""}):
            of_parts[part].append(split)
    return {
        "corpus": data.corpus,
        "source": data.source,
        "synthetic": data.corpus == "demo",
        "features": dataclasses.asdict(settings),
        "emotions": dict(emotions),
        "classes": classes,
        "group_by": data.group_by,
        "groups": {split: sorted({one.utterance.speaker for one in of}) for split, of in splits.items()},
        "parts": dict(of_parts),
        "target": data.target,
        "counts": of_classes,
        "bad_files": [dataclasses.asdict(bad) for bad in bad_files],
        "versions": _versions(),
        "fingerprint": fingerprint,
    }


def _versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return versions


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    """One process at a time; the system lets go when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sweep(folder: pathlib.Path) -> None:
    """Removes what a killed run has left; under the lock, nobody else is at work here."""
    for left in [*folder.glob(".scratch_*"), *folder.glob("incomplete.*")]:
        shutil.rmtree(left)


def _import_tensorflow() -> None:
    """Takes seconds, so only a run that writes waits for it, and its processes compute while it does."""
    import tensorflow  # noqa: F401


def main(argv: Sequence[str]) -> int:
    """The command; a user's mistake is one message and exit status 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    config = _CONFIG.value
    try:
        folder = prepare(
            data=config.data, features=config.features, records=pathlib.Path(_RECORDS.value), beam=_BEAM()
        )
    except (CorpusError, SettingsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    _CONFIG = config_flags.DEFINE_config_file("config", None, "The config file, such as configs/ravdess.py.")
    _RECORDS = flags.DEFINE_string("records", "records", "The folder of all records.")
    _BEAM = beams.define_flags()
    flags.mark_flag_as_required("config")
    app.run(main)
