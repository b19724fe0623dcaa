"""Predicts emotions in recordings, by an exported bundle.

    jax-ser-darts predict BUNDLE speech.wav
    jax-ser-darts predict BUNDLE recordings/ 'more/*.flac' --format=csv > predictions.csv
    ffmpeg -i talk.mp4 -f wav - | jax-ser-darts predict BUNDLE - --timeline

BUNDLE is a folder that `jax-ser-darts export` wrote. After it come sound files of any rate, channels and length (WAV,
FLAC, and what else libsndfile reads), folders (all WAV and FLAC files below them), patterns in quotes, or - for a file
on standard input. Put -- before names that begin with a dash. `python -m jax_ser_darts.predict` is the same command.

A recording longer than the network's window is cut into overlapping windows. Its prediction is their mean; --timeline
shows each window, --first takes the first alone, as the scores on the bundle's card did. A window that stays below
--silence gets no emotion. The formats:

    table    for people
    jsonl    one JSON object a file, always with the timeline; a file that cannot be used has "error"
    csv      one line a file, or with --timeline one a window; what cannot be used has its error in the last column

In table and csv, characters of a name that would control a terminal are escaped (\\x1b), and in csv a cell that a
spreadsheet would take for a formula has ' before it. jsonl has names as they are.

The exit status is 0 if every file has a prediction, 1 if some could not be used (standard error names each, the others
have their predictions), 2 if nothing could be done: no bundle, no file, wrong flags.

A prediction is how a voice sounds to a network, not what a person feels. Read BUNDLE/README.md before you use it on
people.
"""

import csv
import glob
import json
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from absl import flags, logging

from data_prep.audio import AudioError
from data_prep.corpora.base import BadFile
from data_prep.corpora.files import find_sounds
from jax_ser_darts import commands

if TYPE_CHECKING:  # it brings JAX, which --help does without
    from jax_ser_darts.serving.predictor import Prediction, Predictor

STDIN = "-"
SILENCE = "(silence)"  # in the place of an emotion
FORMAT = flags.DEFINE_enum("format", "table", ("table", "jsonl", "csv"), "How predictions are written.")
TIMELINE = flags.DEFINE_bool("timeline", False, "Every window of a long recording, in table and csv.")
OVERLAP = flags.DEFINE_float(
    "overlap", None, "Overlap of the windows, a share from 0 to 0.9; the bundle's by default.", 0.0, 0.9
)
SILENCE_LEVEL = flags.DEFINE_float(
    "silence",
    None,
    "dB of full scale: a window with no 25 ms above it is silence; the bundle's by default.",
    -120.0,
    0.0,
)
FIRST = flags.DEFINE_bool(
    "first", False, "The first window of each recording alone: how the bundle's own scores were made."
)
CACHE = flags.DEFINE_string(
    "cache",
    str(pathlib.Path.home() / ".cache" / "jax_ser_darts"),
    "Folder of compiled programs, so that the next start is quicker; empty keeps none.",
)


def sources(names: Sequence[str], bad_files: list[BadFile]) -> Iterator[str]:
    """The files that the arguments name, each once, in their order.

    Args:
        names: files, folders, patterns, or "-".
        bad_files: gets the names that stand for no file.
    """
    seen = set()
    for name in names:
        if name != STDIN and os.path.isdir(name):
            paths = [str(path) for path in find_sounds(pathlib.Path(name), bad_files)]
            missing = "no .wav or .flac file below this folder"
        elif name != STDIN and not os.path.lexists(name) and glob.has_magic(name):
            paths = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
            missing = "no file of this pattern"
        else:
            paths, missing = [name], ""
        if not paths:
            bad_files.append(BadFile(name, missing))
        for path in paths:
            key = path if path == STDIN else os.path.realpath(path)
            if key not in seen:
                seen.add(key)
                yield path


def predict(predictor: "Predictor", path: str) -> "Prediction":
    """The `Prediction` of a file, or of standard input.

    Raises:
        AudioError: it cannot be used.
    """
    if path != STDIN:
        return predictor.predict_file(path)
    # A decoder goes back and forth in its file; a pipe cannot.
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        if not file.tell():
            raise AudioError("nothing came on standard input")
        file.seek(0)
        return predictor.predict_file(file)


class Table:
    """Aligned columns for people; a line as soon as it is known."""

    def __init__(self, classes: Sequence[str], width: int):
        self._classes, self._width = classes, width
        self._emotion = max(map(len, (*classes, SILENCE, "emotion")))
        columns = "  ".join(name.rjust(max(len(name), 5)) for name in classes)
        print(
            f"{'file'.ljust(width)}  {'start s':>8}  {'end s':>8}  {'emotion'.ljust(self._emotion)}  {columns}"
        )

    def add(self, path: str, prediction: "Prediction") -> None:
        """A line for the file, and one a window where these are asked for."""
        self._line(commands.printable(path), prediction.whole)
        if TIMELINE.value and len(prediction.timeline) > 1:
            for span in prediction.timeline:
                self._line("", span)

    def refuse(self, bad: BadFile) -> None:
        """Standard error has it."""

    def _line(self, path, span):
        if span.probabilities is None:
            columns = "  ".join("-".rjust(max(len(name), 5)) for name in self._classes)
        else:
            columns = "  ".join(f"{p:.3f}".rjust(max(len(name), 5)) for name, p in span.probabilities.items())
        emotion = (span.emotion or SILENCE).ljust(self._emotion)
        print(f"{path.ljust(self._width)}  {span.start:8.2f}  {span.end:8.2f}  {emotion}  {columns}")


class JsonLines:
    """One JSON object a file."""

    def add(self, path: str, prediction: "Prediction") -> None:
        """The file and its prediction."""
        print(json.dumps({"file": path, **prediction.to_json()}))

    def refuse(self, bad: BadFile) -> None:
        """The file and why it cannot be used."""
        print(json.dumps({"file": bad.path, "error": bad.reason}))


class Csv:
    """A line a file, or a window."""

    def __init__(self, classes: Sequence[str]):
        self._classes = classes
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._write("file", "start", "end", "emotion", *classes, "error")

    def add(self, path: str, prediction: "Prediction") -> None:
        """The file's line or lines."""
        for span in prediction.timeline if TIMELINE.value else (prediction.whole,):
            numbers = [f"{p:.6f}" for p in (span.probabilities or {}).values()] or [""] * len(self._classes)
            emotion = span.emotion or SILENCE
            self._write(path, f"{span.start:.3f}", f"{span.end:.3f}", emotion, *numbers, "")

    def refuse(self, bad: BadFile) -> None:
        """A line with the reason alone."""
        self._write(bad.path, "", "", "", *[""] * len(self._classes), bad.reason)

    def _write(self, *cells):
        self._writer.writerow(
            [commands.printable(f"'{cell}" if _is_formula(cell) else cell) for cell in cells]
        )


def _is_formula(cell: str) -> bool:
    """Whether a spreadsheet would compute a cell, or take it apart; the dash of standard input is none."""
    return cell != STDIN and cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def run(bundle: str, names: Sequence[str]) -> int:
    """Writes the prediction of every file; returns the exit status.

    Raises:
        BundleError: of the bundle.
    """
    bad_files: list[BadFile] = []
    paths = list(sources(names, bad_files))
    from jax_ser_darts.devices import compilation
    from jax_ser_darts.serving import predictor as predictors  # takes a second: not for --help

    compilation.cache_compilations(CACHE.value)
    predictor = predictors.load(bundle, overlap=OVERLAP.value, silence=SILENCE_LEVEL.value, first=FIRST.value)
    out: Table | JsonLines | Csv
    if FORMAT.value == "table":
        out = Table(predictor.classes, width=max(map(len, map(commands.printable, [*paths, "file"]))))
    else:
        out = JsonLines() if FORMAT.value == "jsonl" else Csv(predictor.classes)
    for bad in bad_files:
        _refuse(out, bad)
    for path in paths:
        try:
            prediction = predict(predictor, path)
        except (AudioError, OSError) as error:
            bad_files.append(BadFile(path, str(error)))
            _refuse(out, bad_files[-1])
        else:
            out.add(path, prediction)
        sys.stdout.flush()
    if bad_files:
        print(
            f"{len(bad_files)} of {len(paths) + _unfound(bad_files, paths)} could not be used",
            file=sys.stderr,
        )
    return 1 if bad_files else 0


def _refuse(out: Table | JsonLines | Csv, bad: BadFile) -> None:
    print(commands.printable(f"error: {bad.path}: {bad.reason}"), file=sys.stderr, flush=True)
    out.refuse(bad)


def _unfound(bad_files: Sequence[BadFile], paths: Sequence[str]) -> int:
    return sum(bad.path not in paths for bad in bad_files)


def main(argv: Sequence[str]) -> int:
    """The command; a user's mistake is one message and exit status 2."""
    logging.set_verbosity(logging.WARNING)
    if len(argv) < 3:
        missing = "file" if argv[1:] else "bundle"
        text = f"no {missing} is named: jax-ser-darts predict BUNDLE FILES; see --help"
        return commands.fail(text, status=2)
    return run(argv[1], argv[2:])


def cli() -> None:
    """Entry point; flags may stand before, between and after the files."""
    flags.FLAGS.set_gnu_getopt(True)
    commands.start(main, status=2)


if __name__ == "__main__":
    cli()
