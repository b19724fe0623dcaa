"""Damaged results, by the hundred: refused, repaired, or what is missing is said; never other numbers in silence.

    python tests/damage.py --count=200 --seed=0

Case k depends on the seed and k alone: --first=k --count=1 makes it again. It damages one file of a workdir, of its
records, of a bundle or of an archive (a flipped bit, an edited digit, a cut, an empty file, a removal, the file of
another run), and then does what reads it. The exit status is 0 where no case ended in other numbers without a message,
nor in an error that is not a message.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import logging as std_logging
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator

sys.path[:0] = [str(pathlib.Path(__file__).parent / "jax_ser_darts"), str(pathlib.Path(__file__).parents[1])]

import numpy as np  # noqa: E402
from absl import logging  # noqa: E402
from small_bundles import BASELINE, NETWORK, make_bundle, speech  # noqa: E402
from tiny import tiny_settings  # noqa: E402

from data_prep import sums  # noqa: E402
from jax_ser_darts import Run  # noqa: E402
from jax_ser_darts.archive import store  # noqa: E402
from jax_ser_darts.data.records import load_records  # noqa: E402
from jax_ser_darts.errors import UserError  # noqa: E402
from jax_ser_darts.report import html  # noqa: E402
from jax_ser_darts.rundir.checksums import read_sealed, write_sealed  # noqa: E402
from jax_ser_darts.rundir.manifest import read_about, read_manifest, write_about  # noqa: E402
from jax_ser_darts.serving import artifact  # noqa: E402
from jax_ser_darts.serving.bundle import read_bundle, write_bundle  # noqa: E402
from jax_ser_darts.serving.predictor import Predictor  # noqa: E402
from jax_ser_darts.settings import Settings  # noqa: E402
from jax_ser_darts.settings.convert import replaced  # noqa: E402

WAYS = ("flip", "edit", "cut", "empty", "remove", "swap")
REFUSED, REPAIRED, UNCHANGED, SAID = "refused", "repaired", "unchanged", "other numbers, said so"
SILENT, CRASHED = "SILENTLY DIFFERENT", "CRASHED"
UNREAD = (
    "tfevents",
    ".lock",
    "report/table",
    "report/results",
    "report/summary",
    "report/report",
    "report/figures",
)


class Reader:
    """A folder to damage, and what is read of it: equal values are the same numbers.

    Args:
        whole: the folder as it was made.
        other: the same of another run, for what is swapped.
    """

    def __init__(self, whole: pathlib.Path, other: pathlib.Path):
        self.whole, self.other = whole, other
        self.expected: object = None

    def files(self) -> list[pathlib.Path]:
        """What there is to damage, below `whole`."""
        names = (path.relative_to(self.whole) for path in self.whole.rglob("*") if path.is_file())
        return sorted(name for name in names if not any(part in name.as_posix() for part in UNREAD))

    def read(self, folder: pathlib.Path) -> object:
        """What a copy of the folder says."""
        raise NotImplementedError


class Records(Reader):
    """A corpus, as a run loads it."""

    def read(self, folder: pathlib.Path) -> object:
        corpus = load_records(folder)
        digest = hashlib.sha256(b"".join(rows.tobytes() for rows in corpus.features))
        columns = [corpus.id.tolist(), corpus.label.tolist(), corpus.speaker.tolist(), corpus.sex.tolist()]
        return digest.hexdigest(), columns, corpus.classes, dict(corpus.metadata)


class Bundle(Reader):
    """What a bundle predicts, and says of itself."""

    def read(self, folder: pathlib.Path) -> object:
        bundle = read_bundle(folder)
        return str(Predictor(bundle).predict(speech(1.0), 16_000)), bundle.provenance


class Archive(Reader):
    """The tables of an archive, or of a workdir without its corpus."""

    def read(self, folder: pathlib.Path) -> object:
        store.rebuild(folder, folder.parent / "rebuilt")
        return summary(folder.parent / "rebuilt")


class Workdir(Reader):
    """What a mode makes of a workdir whose corpus is at hand."""

    def __init__(self, whole: pathlib.Path, other: pathlib.Path, settings: Settings, mode: str):
        super().__init__(whole, other)
        self.settings, self.mode = settings, mode

    def read(self, folder: pathlib.Path) -> object:
        run = Run(self.settings, folder)
        if self.mode == "evaluate":
            return summary(run.evaluate().folder)
        if self.mode == "predict":
            for path in folder.rglob("predictions.json"):
                path.unlink()
            run.evaluate()
            return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("predictions.json")}
        return read_bundle(run.export()).digest


def summary(folder: pathlib.Path) -> dict:
    """What a report is made of, without where and when it was made."""
    content = json.loads((folder / "summary.json").read_text())
    return {**content, "environment": content["environment"]["jobs"]}


def damage(path: pathlib.Path, way: str, other: pathlib.Path, rng: np.random.Generator) -> None:
    """Damages a file; it is another afterwards."""
    content = path.read_bytes()
    if way == "edit" and (digits := [i for i, letter in enumerate(content) if letter in b"0123456789"]):
        place = int(rng.choice(digits))
        digit = (content[place] - ord("0") + int(rng.integers(1, 10))) % 10
        path.write_bytes(content[:place] + str(digit).encode() + content[place + 1 :])
    elif way == "swap" and other.is_file() and other.read_bytes() != content:
        shutil.copyfile(other, path)
    elif way == "remove" or (way == "swap" and not other.is_file()) or not content:
        path.unlink()
    elif way == "cut":
        path.write_bytes(content[: int(rng.integers(len(content)))])
    elif way == "empty":
        path.write_bytes(b"")
    else:
        place = int(rng.integers(8 * len(content)))
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)


class Warnings(std_logging.Handler):
    """Counts what is logged as a warning, or worse."""

    def __init__(self) -> None:
        super().__init__(std_logging.WARNING)
        self.count = 0

    def emit(self, record: std_logging.LogRecord) -> None:
        self.count += 1


@contextlib.contextmanager
def without_pictures() -> Iterator[None]:
    """Neither a report's page nor a bundle's program for others is made: they take most of the time."""
    write, make = html.write, artifact.make
    html.write, artifact.make = (lambda *_, **__: None), (lambda _: None)
    try:
        yield
    finally:
        html.write, artifact.make = write, make


def outcome(
    reader: Reader, name: pathlib.Path, way: str, rng: np.random.Generator, scratch: pathlib.Path
) -> str:
    """Damages one file of a copy, reads the copy, and says what came of it."""
    copy = scratch / "copy"
    shutil.copytree(reader.whole, copy)
    damage(copy / name, way, reader.other / name, rng)
    warnings = Warnings()
    logging.get_absl_logger().addHandler(warnings)
    try:
        result = reader.read(copy)
    except UserError:
        return REFUSED
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return CRASHED
    finally:
        logging.get_absl_logger().removeHandler(warnings)
    if result == reader.expected:
        path = copy / name
        same = path.is_file() and path.read_bytes() == (reader.whole / name).read_bytes()
        return REPAIRED if same else UNCHANGED
    said = warnings.count or (isinstance(result, dict) and result.get("left_out"))
    return SAID if said else SILENT


def another_run(workdir: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A workdir with other results in every place: of the other fold, and of another config."""
    shutil.copytree(workdir, folder)
    for first in sorted(folder.rglob("fold_0")):
        second, aside = first.with_name("fold_1"), first.with_name("aside")
        first.rename(aside)
        second.rename(first)
        aside.rename(second)
    saved = read_sealed(folder / "config.json")
    saved["config"]["scores"]["level"] = 0.5
    about = read_about(folder / "report/corpus.json", folder)
    write_sealed(folder / "config.json", saved)
    write_about(folder / "report/corpus.json", {**about, "corpus": "another", "synthetic": False}, folder)
    return folder


def readers(
    workdir: pathlib.Path, records: pathlib.Path, folder: pathlib.Path, *, quick: bool
) -> list[Reader]:
    """Of everything that there is to damage.

    Args:
        workdir: of a run of two folds by `first`, done.
        records: of its corpus.
        folder: for what is made of it.
        quick: leaves out the modes of a workdir, which take seconds each.
    """
    whole = shutil.copytree(workdir, folder / "run", ignore=shutil.ignore_patterns("records", "demo_corpus"))
    other = another_run(whole, folder / "another_run")
    for source, name in ((whole, "archive"), (other, "another_archive")):
        store.collect(source, folder / name)
    for network, name in ((NETWORK, "bundle"), (BASELINE, "another_bundle")):
        bundle = make_bundle(network)
        write_bundle(folder / name, bundle, card="A card.", versions={"jax_ser_darts": "0"})
    others = shutil.copytree(records, folder / "other_records")
    about = others / "metadata.json"
    about.write_text(about.read_text().replace('"synthetic": true', '"synthetic": false'))
    sums.write(others, "")
    made: list[Reader] = [
        Records(records, others),
        Bundle(folder / "bundle", folder / "another_bundle"),
        Archive(folder / "archive", folder / "another_archive"),
        Archive(whole, other),
    ]
    if not quick:
        changes = {
            "data.records": str(records.parents[1]),
            "bundle.method": "first/search_0",
            "bundle.fold": 0,
        }
        settings = replaced(read_manifest(workdir)[0], changes)
        made += [Workdir(whole, other, settings, mode) for mode in ("evaluate", "predict", "export")]
    for k, reader in enumerate(made):
        copy = shutil.copytree(reader.whole, folder / f"expected_{k}" / "copy")
        reader.expected = reader.read(copy)
        shutil.rmtree(copy.parent)
    return made


def run(
    made: list[Reader], *, first: int, count: int, seed: int, folder: pathlib.Path
) -> collections.Counter[str]:
    """The cases; returns how many ended how."""
    outcomes: collections.Counter[str] = collections.Counter()
    for case in range(first, first + count):
        rng = np.random.default_rng([seed, case])
        reader, way = made[rng.integers(len(made))], WAYS[rng.integers(len(WAYS))]
        files = collections.defaultdict(list)  # kind of file -> files: a run has hundreds of a checkpoint's
        for name in reader.files():
            files["checkpoint" if "checkpoints" in name.parts else name.name].append(name)
        kind = sorted(files)[rng.integers(len(files))]
        name = files[kind][rng.integers(len(files[kind]))]
        scratch = folder / f"case_{case}"
        came = outcome(reader, name, way, rng, scratch)
        shutil.rmtree(scratch)
        mode = getattr(reader, "mode", "")
        line = f"case {case}: {type(reader).__name__} {mode} {name}, {way}: {came}"
        print(line, flush=True, file=sys.stderr if came in (SILENT, CRASHED) else sys.stdout)
        outcomes[came] += 1
    return outcomes


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", type=pathlib.Path, help="of an earlier call: what it ran is there")
    arguments = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    logging.set_verbosity(logging.WARNING)
    workdir = arguments.workdir or pathlib.Path(tempfile.mkdtemp(prefix="damage_"))
    Run(tiny_settings({"search.methods": ("first",)}), workdir / "whole").all()
    (records,) = (workdir / "whole" / "records").glob("*/[0-9]*")
    with tempfile.TemporaryDirectory(dir=workdir) as temporary, without_pictures():
        folder = pathlib.Path(temporary)
        made = readers(workdir / "whole", records, folder, quick=False)
        outcomes = run(made, first=arguments.first, count=arguments.count, seed=arguments.seed, folder=folder)
    print(f"{arguments.count} cases of seed {arguments.seed}: {dict(outcomes)}")
    return 1 if outcomes[SILENT] or outcomes[CRASHED] else 0


if __name__ == "__main__":
    sys.exit(main())
