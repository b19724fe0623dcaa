"""Features and TFRecords by the workers of an Apache Beam pipeline, for a corpus that takes one machine too long.

    python -m data_prep.prepare --config=... --records=DIR --beam_runner=DirectRunner \
        --beam_options="--direct_running_mode=multi_processing --direct_num_workers=4"

One pipeline computes the features of each utterance by the function that `compute` calls. It gathers those of a split
and writes them with the same builder, so the records are those of one machine. All workers must see the corpus and the
records under the same paths. A worker that tries again, or twice at once, writes into a folder of its own; only what is
reported counts.
"""

import argparse
import dataclasses
import difflib
import importlib.util
import json
import pathlib
import shlex
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags, logging

from data_prep import compute, duplicates, features
from data_prep.compute import Computed
from data_prep.corpora.base import BadFile, CorpusError, Utterance
from data_prep.facts import Facts
from data_prep.features import FeatureSettings, Kind

RUNNERS = ("DirectRunner", "DataflowRunner", "FlinkRunner", "SparkRunner")
# What Beam calls so tries to download and run another runner first, which heeds none of the direct runner's options.
_DIRECT = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_ASKED = ("FlinkRunner", "SparkRunner")  # of their options Python knows some, and their job servers all
_WRITING = (
    threading.Lock()
)  # a runner may work in threads, and the builder turns standard output off meanwhile


class BeamError(CorpusError):
    """The pipeline cannot be run, or did not end; the message says why, and nothing has been written."""


@dataclasses.dataclass(frozen=True)
class Beam:
    """Which pipeline.

    Attributes:
        runner: one of RUNNERS.
        options: of `PipelineOptions`, as on a command line: "--direct_num_workers=4 --project=mine".
    """

    runner: str
    options: str = ""


FLAGS = ("beam_runner", "beam_options")


def define_flags(values: flags.FlagValues = flags.FLAGS) -> Callable[[], Beam | None]:
    """Defines FLAGS; the function returned reads them, once they are parsed.

    Whose --help is to list them declares them its own: `flags.declare_key_flag`.
    """
    runner = flags.DEFINE_enum(
        "beam_runner",
        None,
        RUNNERS,
        "Prepare the records by Apache Beam on this runner; needs '.[beam]'.",
        flag_values=values,
    )
    options = flags.DEFINE_string(
        "beam_options", "", "Of the runner, such as '--direct_num_workers=4'.", flag_values=values
    )

    def asked() -> Beam | None:
        if options.value and runner.value is None:
            raise BeamError("--beam_options are for a runner: give --beam_runner too")
        return None if runner.value is None else Beam(runner.value, options.value)

    return asked


@dataclasses.dataclass(frozen=True)
class Made:
    """What a pipeline has made.

    Attributes:
        computed: the usable utterances, in the order of the splits, also those that are not recorded: copies.
        bad_files: those that cannot be used.
        parts: split -> the folder of a dataset of this split alone.
    """

    computed: list[Computed]
    bad_files: list[BadFile]
    parts: Mapping[str, pathlib.Path]


def make(
    splits: Mapping[str, Sequence[Utterance]],
    *,
    beam: Beam,
    name: str,
    version: str,
    settings: FeatureSettings,
    emotions: Mapping[str, str],
    on_duplicate: str,
    scratch: pathlib.Path,
) -> Made:
    """Runs the pipeline and waits for its end.

    Args:
        splits: split name -> its utterances, in the order of its records.
        beam: the runner.
        name, version, emotions: see `builder.SpeechFeatures`.
        settings: of the features.
        on_duplicate: what is not recorded of recordings that come twice, see `duplicates.Duplicates.left_out`.
        scratch: a folder that all workers see under this path.

    Raises:
        BeamError: Apache Beam is not installed or refuses the options, the pipeline failed, or its workers see another
            file system.
        SettingsError: impossible feature settings.
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise BeamError(
            "--beam_runner needs Apache Beam: pip install -e '.[beam]', in an environment of its own"
        )
    import apache_beam

    options = _options(beam)
    # What only computing shows to be impossible is an error here, not in a worker.
    features.extract(np.ones(settings.n_fft), settings=settings)
    members = [(split, utterance) for split, utterances in splits.items() for utterance in utterances]
    work = [(index, split, utterance) for index, (split, utterance) in enumerate(members)]
    how = {"name": name, "version": version, "emotions": dict(emotions), "folder": str(scratch / "parts")}
    logging.info("Computing features of %d utterances by %s", len(work), beam.runner)
    try:
        with apache_beam.Pipeline(options=options) as pipeline:
            outcomes = (
                pipeline
                | "Utterances" >> apache_beam.Create(work)
                | "Spread" >> apache_beam.Reshuffle()
                | "Features"
                >> apache_beam.FlatMap(
                    _compute, settings=settings, kind=features.kind_of(settings)
                ).with_outputs("bad", main="good")
            )
            left_out = (
                outcomes.good
                | "Facts" >> apache_beam.Map(_recording)
                | "All facts" >> apache_beam.combiners.ToList()
                | "Copies" >> apache_beam.Map(_left_out, emotions=dict(emotions), on_duplicate=on_duplicate)
            )
            parts = (
                outcomes.good
                | "Gather" >> apache_beam.GroupByKey()
                | "Records"
                >> apache_beam.Map(
                    _write,
                    **how,
                    coefficients=settings.coefficients,
                    left_out=apache_beam.pvalue.AsSingleton(left_out),
                )
            )
            (
                (parts, outcomes.bad)
                | "Reports" >> apache_beam.Flatten()
                | "Report" >> apache_beam.io.WriteToText(str(scratch / "reports"))
            )
    except Exception as error:  # whatever a runner may raise: of its own, of its service, of a worker
        raise BeamError(f"the pipeline of {beam.runner} failed, and no records were made: {error}") from error
    return _read_reports(scratch, [utterance for _, utterance in members])


def _options(beam: Beam) -> Any:
    """The `PipelineOptions` of `beam`; a BeamError where Beam cannot read them, or would drop some with a warning."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parsers = []

    def keep(parser: argparse.ArgumentParser) -> None:
        parser.exit_on_error = False
        parsers.append(parser)

    try:
        words = shlex.split(beam.options)
        options = PipelineOptions(words, runner=_DIRECT if beam.runner == "DirectRunner" else beam.runner)
        known = options.get_all_options(add_extra_args_fn=keep)
        _, unknown = parsers[0].parse_known_args(words)
    except (argparse.ArgumentError, SystemExit, ValueError) as error:
        raise BeamError(f"--beam_options={beam.options}: Apache Beam does not take them: {error}") from error
    if unknown and beam.runner not in _ASKED:
        near = difflib.get_close_matches(unknown[0].split("=")[0], [f"--{name}" for name in known], n=1)
        raise BeamError(
            f"--beam_options={beam.options}: Apache Beam knows no {unknown[0]}"
            + (f"; is it {near[0]}?" if near else "; options begin with --")
        )
    return options


def _compute(work: tuple[int, str, Utterance], settings: FeatureSettings, kind: Kind) -> Iterator[Any]:
    """(index, split, utterance) -> (split, (index, utterance, *its result)), or a report of the bad file."""
    from apache_beam.pvalue import TaggedOutput

    index, split, utterance = work
    result = compute.compute_one(utterance, settings, kind)
    if isinstance(result, BadFile):
        yield TaggedOutput("bad", json.dumps({"bad": [index, result.path, result.reason]}))
    else:
        yield split, (index, utterance, *result)


def _recording(of_split: tuple[str, tuple[Any, ...]]) -> duplicates.Recording:
    """Of what `_compute` yields, what tells copies."""
    _, (_, utterance, _, _, facts, _) = of_split
    return utterance, facts


def _left_out(
    recordings: Sequence[duplicates.Recording], *, emotions: Mapping[str, str], on_duplicate: str
) -> frozenset[str]:
    """The ids of the utterances that are not recorded; the machine that began refuses what is to be refused."""
    return duplicates.find(recordings, emotions=emotions).left_out(on_duplicate)


def _write(
    of_split: tuple[str, Iterable[tuple[int, Utterance, float, str, Facts, np.ndarray]]],
    *,
    name: str,
    version: str,
    emotions: Mapping[str, str],
    folder: str,
    coefficients: int,
    left_out: frozenset[str],
) -> str:
    """Writes a dataset of one split, whose features are held in memory meanwhile; returns the report.

    The report has the utterances that are left out of it, too.
    """
    from data_prep import builder  # brings TensorFlow, which only workers that come to this need

    split, members = of_split[0], sorted(of_split[1], key=lambda member: member[0])
    good = [
        [index, seconds, len(rows), sound, dataclasses.astuple(facts)]
        for index, _, seconds, sound, facts, rows in members
    ]
    members = [member for member in members if member[1].id not in left_out]
    if not members:
        return json.dumps({"good": good})
    ends = np.cumsum([len(rows) for *_, rows in members]).tolist()
    computed = [
        Computed(utterance, seconds, end - len(rows), len(rows), sound, facts)
        for end, (_, utterance, seconds, sound, facts, rows) in zip(ends, members, strict=True)
    ]
    attempt = pathlib.Path(folder) / uuid.uuid4().hex
    attempt.mkdir(parents=True)
    with _WRITING:
        made = builder.SpeechFeatures(
            name=name,
            version=version,
            data_dir=attempt,
            splits={split: computed},
            rows=np.concatenate([rows for *_, rows in members]).reshape(-1, coefficients),
            emotions=emotions,
            metadata={},
            progress=False,
        ).write(download_dir=attempt)
    return json.dumps({"split": split, "folder": str(made), "good": good})


def _read_reports(scratch: pathlib.Path, utterances: Sequence[Utterance]) -> Made:
    """The reports of the workers; an error where an utterance is in none, or in two."""
    good: dict[int, tuple[float, int, str, list[Any]]] = {}
    bad: dict[int, BadFile] = {}
    parts: dict[str, pathlib.Path] = {}
    for path in sorted(scratch.glob("reports*")):
        for report in map(json.loads, path.read_text().splitlines()):
            if "bad" in report:
                index, path_of_sound, reason = report["bad"]
                bad[index] = BadFile(path_of_sound, reason)
                continue
            if "split" in report:
                parts[report["split"]] = pathlib.Path(report["folder"])
            good |= {index: tuple(rest) for index, *rest in report["good"]}
    if good.keys() | bad.keys() != set(range(len(utterances))) or good.keys() & bad.keys():
        raise BeamError(
            f"the pipeline ended, but only {len(good)} + {len(bad)} of {len(utterances)} utterances came back to "
            f"{scratch}: do all workers see this folder, and write to it? No records have been made"
        )
    if unseen := [str(folder) for folder in parts.values() if not folder.is_dir()]:
        raise BeamError(
            f"workers wrote {unseen[0]}, which this machine does not see: put --records where all see it"
        )
    computed = [
        Computed(utterances[index], seconds, 0, frames, sound, Facts(*facts))
        for index, (seconds, frames, sound, facts) in sorted(good.items())
    ]
    return Made(computed, [bad[index] for index in sorted(bad)], parts)
