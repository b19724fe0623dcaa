"""Sound on disk -> TFRecords of features, computed once for all folds.

    python -m data_prep.prepare --config=configs/ravdess.py --config.data.source=DIR --records=DIR

One error lists everything that is wrong with the corpus. A folder of records is whole or not there. A second run finds
the records of the first and does nothing.
"""

import functools
import json
import pathlib
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence

import filelock
from absl import app, flags, logging
from ml_collections import config_flags

from data_prep import beam as beams
from data_prep import compute, counts, disk, feature_cache, headers
from data_prep.beam import Beam
from data_prep.compute import Computed
from data_prep.corpora.base import BadFile, BadFilesError, CorpusError, Utterance, grouped, is_cut
from data_prep.corpus_settings import CorpusSettings
from data_prep.duplicates import DuplicatesError
from data_prep.duplicates import find as find_duplicates
from data_prep.features import FeatureSettings
from data_prep.provenance import VERSION, fingerprint_of, metadata_of
from data_prep.selection import select
from data_prep.soundness import Soundness, examine
from data_prep.splits import check_several, divide, keep_in_part
from jax_ser_darts import commands
from jax_ser_darts.extensions import load_extensions
from jax_ser_darts.fields import from_mapping


def prepare(
    *,
    data: CorpusSettings,
    features: FeatureSettings,
    records: pathlib.Path,
    beam: Beam | None = None,
    show_counts: bool = True,
    make: bool = True,
) -> pathlib.Path:
    """Makes the records of one corpus, unless they are there already.

    Args:
        data: which corpus, and which of it; without a source the demo corpus is made beside `records`.
        features: what is computed of each utterance.
        records: folder of all records.
        beam: the pipeline whose workers compute and write; None is this machine. The records are the same.
        show_counts: print the utterances a class and speaker, session and part, and what was cut or left out.
        make: the records are made where they are missing; else their folder is returned that is not there.

    Returns:
        The folder for `tfds.builder_from_directory`: records/<corpus>_<fingerprint>/<version>.

    Raises:
        BadFilesError: files cannot be used and data.on_bad_file is "error"; it names every one.
        BeamError: the pipeline failed; nothing has been written.
        CorpusError: the corpus does not fit the config; nothing has been written.
        DuplicatesError: one recording has two speakers or classes, and data.on_duplicate is "error".
        OSError: the disk is full; nothing is left of the attempt.
        SettingsError: impossible feature settings.
    """
    records = pathlib.Path(records).expanduser().absolute()
    listed = records / f"{data.corpus}_bad_files.txt"
    try:
        selection = select(data, records=records)
    except BadFilesError as error:
        raise _bad_files_error(error.bad_files, listed, any_good=False) from None
    emotions = selection.emotions
    differences = counts.differences(
        selection.chosen,
        corpus=data.corpus,
        parts=data.parts,
        target=data.intended_emotion,
        emotions=emotions,
    )
    for difference in differences:
        logging.warning("%s", difference)
    utterances = selection.utterances
    if data.group_by == "part":
        utterances = [keep_in_part(utterance) for utterance in utterances]
    groups = divide(utterances, group_by=data.group_by)
    fingerprint = fingerprint_of(
        data=data,
        source=selection.source,
        settings=features,
        emotions=emotions,
        utterances=utterances,
        bad_files=selection.bad_files,
    )
    name = f"{data.corpus}_{fingerprint[:8]}"
    folder = records / name / VERSION
    if not make:
        return folder
    if show_counts:
        print(counts.tables(utterances, emotions=emotions), flush=True)
    if folder.is_dir():  # renamed to this name when whole, never before
        logging.info("Records of this corpus and config are there already, nothing to do: %s", folder)
        if show_counts:
            _print_soundness(folder)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder.parent / ".lock")  # waits for another process; free when that ends
    with disk.explain_full(folder, "the records are made anew"), lock:
        if folder.is_dir():  # by another process, while this one waited
            return folder
        _sweep(folder.parent)
        headers_bad = headers.check([one for members in groups.values() for one in members])
        known = {*selection.bad_files, *headers_bad.values()}
        groups = _without(groups, headers_bad)
        if known and (data.on_bad_file == "error" or not groups):
            raise _bad_files_error(_sorted(known), listed, any_good=bool(groups))
        check_several(groups, group_by=data.group_by)
        kept = feature_cache.folder_of(records, source=selection.source, settings=features)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".scratch_") as temporary:
            scratch = pathlib.Path(temporary)
            if beam is None:
                computed, unreadable, dataset = _make_here(
                    groups, settings=features, workers=data.workers, scratch=scratch, kept=kept
                )
            else:
                computed, unreadable, dataset = _make_by_beam(
                    groups,
                    beam=beam,
                    name=name,
                    settings=features,
                    emotions=emotions,
                    on_duplicate=data.on_duplicate,
                    scratch=scratch,
                )
            bad_files = _sorted({*known, *unreadable})
            if bad_files and data.on_bad_file == "error":
                if beam is None:
                    feature_cache.keep(kept, computed, scratch=scratch / "features")
                raise _bad_files_error(bad_files, listed, any_good=bool(computed))
            _warn_of_bad_files(bad_files, computed=computed, emotions=emotions)
            duplicates = find_duplicates([(one.utterance, one.facts) for one in computed], emotions=emotions)
            try:
                duplicates.refuse(data.on_duplicate, emotions=emotions)
            except DuplicatesError:
                if beam is None:
                    feature_cache.keep(kept, computed, scratch=scratch / "features")
                raise
            left_out = duplicates.left_out(data.on_duplicate)
            computed = [one for one in computed if one.utterance.id not in left_out]
            splits = _usable(groups, computed)
            check_several(
                {split: [one.utterance for one in members] for split, members in splits.items()},
                group_by=data.group_by,
            )
            soundness = examine(
                chosen=selection.chosen,
                computed=[one for members in splits.values() for one in members],
                emotions=emotions,
                duplicates=duplicates,
                on_duplicate=data.on_duplicate,
                bad_files=bad_files,
                told=[*selection.notes, *map(_in_one_line, differences)],
                seconds=features.seconds,
                sampling_rate=features.sampling_rate,
            )
            metadata = metadata_of(
                data=data,
                settings=features,
                emotions=emotions,
                splits=splits,
                bad_files=bad_files,
                soundness=soundness,
                fingerprint=fingerprint,
            )
            written = dataset(
                name=name,
                version=VERSION,
                data_dir=scratch / "written",
                splits=splits,
                emotions=emotions,
                metadata=metadata,
                bad_files=bad_files,
            ).write(download_dir=scratch)
            written.rename(folder)
    feature_cache.forget(kept)
    listed.unlink(missing_ok=True)  # of an attempt before
    logging.info("Wrote the records of %d utterances in %d splits: %s", len(computed), len(splits), folder)
    if show_counts:
        _print_soundness(folder)
    return folder


def _in_one_line(message: str) -> str:
    return message.replace(":\n  ", ": ").replace("\n  ", "; ")


def _print_soundness(folder: pathlib.Path) -> None:
    """The block that the records keep of themselves."""
    metadata = json.loads((folder / "metadata.json").read_text())
    print(f"\n{Soundness.from_json(metadata['soundness']).text()}", flush=True)


def _make_here(groups, *, settings, workers, scratch, kept):
    """The features of all splits (split -> its utterances), by this machine's cores; some may be `kept`.

    Returns:
        What could be computed, what could not, and how the rest of the builder's arguments make it a builder.
    """
    utterances = [utterance for members in groups.values() for utterance in members]
    taken = feature_cache.take(kept, utterances, scratch=scratch / "features", settings=settings)
    done = {one.utterance.id for one in taken}
    computed, bad_files = compute.compute(
        [utterance for utterance in utterances if utterance.id not in done],
        settings=settings,
        workers=workers,
        scratch=scratch / "features",
        first=sum(one.frames for one in taken),
        meanwhile=_import_tensorflow,
    )
    computed = [*taken, *computed]

    def dataset(**arguments):
        from data_prep import builder  # brings TensorFlow

        rows = compute.rows(scratch / "features", settings=settings)
        return builder.SpeechFeatures(rows=rows, **arguments)

    return computed, bad_files, dataset


def _make_by_beam(groups, *, beam, name, settings, emotions, on_duplicate, scratch):
    """As `_make_here`, by the workers of a pipeline."""
    made = beams.make(
        groups,
        beam=beam,
        name=name,
        version=VERSION,
        settings=settings,
        emotions=emotions,
        on_duplicate=on_duplicate,
        scratch=scratch,
    )

    def dataset(**arguments):
        from data_prep import builder  # brings TensorFlow

        return builder.Gathered(parts=made.parts, coefficients=settings.coefficients, **arguments)

    return made.computed, made.bad_files, dataset


def _usable(groups: Mapping[str, Sequence], computed: Sequence[Computed]) -> dict[str, list[Computed]]:
    """Split -> its computed utterances; splits without any are left out."""
    usable = {example.utterance.id: example for example in computed}
    splits = {
        split: [usable[member.id] for member in members if member.id in usable]
        for split, members in groups.items()
    }
    return {split: members for split, members in splits.items() if members}


def _sorted(bad_files: Iterable[BadFile]) -> list[BadFile]:
    return sorted(bad_files, key=lambda bad: (bad.path, bad.reason))


def _without(groups: Mapping[str, Sequence[Utterance]], bad: Collection[str]) -> dict[str, list[Utterance]]:
    """Split -> its utterances whose ids are not `bad`; splits without any are left out."""
    good = {split: [one for one in members if one.id not in bad] for split, members in groups.items()}
    return {split: members for split, members in good.items() if members}


def _bad_files_error(bad_files: Sequence[BadFile], listed: pathlib.Path, *, any_good: bool) -> BadFilesError:
    """The error of these files; where its message leaves some out, `listed` has them all."""
    if not is_cut(bad_files):
        return BadFilesError(bad_files, any_good=any_good)
    lines = "".join(f"{bad.path}\t{bad.reason}\n" for bad in bad_files)
    with disk.replacing(listed, "the list is written anew") as file:
        file.write(lines.encode(errors="backslashreplace"))
    return BadFilesError(bad_files, listed=listed, any_good=any_good)


def _warn_of_bad_files(
    bad_files: Sequence[BadFile], *, computed: Sequence[Computed], emotions: Mapping[str, str]
) -> None:
    """About what is left out; an error where a class has nothing left."""
    if not bad_files:
        return
    logging.warning("Left out %d file(s) that cannot be used:\n%s", len(bad_files), grouped(bad_files))
    if gone := sorted(set(emotions.values()) - {emotions[example.utterance.emotion] for example in computed}):
        raise CorpusError(
            f"without its bad files the corpus has no utterance of {', '.join(gone)}; they are:\n"
            + grouped(bad_files)
        )


def _sweep(folder: pathlib.Path) -> None:
    """Removes what a killed run has left; under the lock, nobody else is at work here."""
    for left in folder.glob(".scratch_*"):
        shutil.rmtree(left)


def _import_tensorflow() -> None:
    """Takes seconds, so only a run that writes waits for it, and its processes compute while it does."""
    import tensorflow  # noqa: F401


def main(argv: Sequence[str]) -> int:
    """The command.

    Raises:
        UserError: a user's mistake, which `commands.start` makes one message and exit status 1.
    """
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    config = _CONFIG.value
    load_extensions(config.get("extensions", ()))
    folder = prepare(
        data=from_mapping(CorpusSettings, config.data.to_dict(), "data."),
        features=from_mapping(FeatureSettings, config.features.to_dict(), "features."),
        records=pathlib.Path(_RECORDS.value),
        beam=_BEAM(),
    )
    print(folder)
    return 0


if __name__ == "__main__":
    _CONFIG = config_flags.DEFINE_config_file("config", None, "The config file, such as configs/ravdess.py.")
    _RECORDS = flags.DEFINE_string("records", "records", "The folder of all records.")
    _BEAM = beams.define_flags()
    for _name in beams.FLAGS:
        flags.declare_key_flag(_name)
    flags.mark_flag_as_required("config")
    commands.start(main, status=1, parse=functools.partial(commands.parse_config_flags, status=1))
