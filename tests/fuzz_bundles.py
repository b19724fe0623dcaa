"""Damaged and hostile bundles, by the thousand: each is refused with a reason, or predicts as it did.

    python tests/fuzz_bundles.py --count=10000 --seed=0

Three in four are sealed again after the change, with sizes and hashes that are right, so that the parsers see it. The
others must be refused, or be the same bundle to the bit. A sealed one that is taken must say the same of the probe, and
give probabilities for a sound; all is done within SECONDS and GROWTH. Case k depends on the seed and k alone.
"""

import argparse
import collections
import dataclasses
import faulthandler
import hashlib
import json
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time

import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parent / "jax_ser_darts"), str(pathlib.Path(__file__).parents[1])]

from fuzz import damaged, refused  # noqa: E402
from small_bundles import make_bundle, speech  # noqa: E402

from jax_ser_darts.errors import UserError  # noqa: E402
from jax_ser_darts.serving.bundle import (  # noqa: E402
    MANIFEST,
    NETWORK,
    PROVENANCE,
    Bundle,
    read_bundle,
    write_bundle,
)
from jax_ser_darts.serving.predictor import Predictor  # noqa: E402

SECONDS = 60.0  # of processor time that no case may take
GROWTH = 512 * 2**20  # bytes that all cases together may add to the peak
VALUES = (
    None, True, 0, -1, 1, 2, 7, 0.5, -0.0, 1e-300, 1e300, 2**31, 2**63, 10**400, "", "x", "\x1b[2J\x07", "\ud800",
    "../../etc/passwd", "=1+1", "x" * 10_000, [], {}, [[]], [0] * 1_000, {"": 0}, {"model": "genotype"},
)  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory(prefix="fuzz_bundles_") as folder:
        return run(pathlib.Path(folder), arguments.first, arguments.count, arguments.seed)


def run(folder: pathlib.Path, first: int, count: int, seed: int) -> int:
    """The cases; returns the exit status."""
    bundle = dataclasses.replace(make_bundle(), artifact=b"artifact", onnx=b"onnx")
    write_bundle(folder / "whole", bundle, card="# card", versions={"jax_ser_darts": "9.9"})
    whole = read_bundle(folder / "whole")
    Predictor(whole).predict(speech(0.5), 16_000)
    outcomes: collections.Counter[str] = collections.Counter()
    before = peak()
    for case in range(first, first + count):
        rng = np.random.default_rng([seed, case])
        shutil.rmtree(folder / "case", ignore_errors=True)
        shutil.copytree(folder / "whole", folder / "case")
        started = time.process_time()
        faulthandler.dump_traceback_later(20 * SECONDS, exit=True)
        try:
            what = change(folder / "case", rng)
            outcomes[f"{what}: {outcome(folder / 'case', whole, sealed=what.startswith('sealed'))}"] += 1
        except Exception:
            print(f"case {case} of seed {seed} failed", file=sys.stderr)
            raise
        if (seconds := time.process_time() - started) > SECONDS:
            print(f"case {case} of seed {seed} took {seconds:.0f} s", file=sys.stderr)
            return 1
    faulthandler.cancel_dump_traceback_later()
    grown = peak() - before
    print(
        f"{count} cases of seed {seed}: {dict(sorted(outcomes.items()))}; the peak grew by {grown / 2**20:.0f} MiB"
    )
    return int(grown > GROWTH)


def peak() -> int:
    """Bytes of memory that this process has held at the most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def change(folder: pathlib.Path, rng: np.random.Generator) -> str:
    """Changes something in a bundle's folder; returns in a word what."""
    names = sorted(path.name for path in folder.iterdir())
    path = folder / names[rng.integers(len(names))]
    kind = rng.integers(8)
    if kind == 0:
        return replaced(path, rng)
    if kind == 1:
        path.write_bytes(damaged(path.read_bytes(), rng))
        return "damaged"
    if kind < 5:
        path.write_bytes(damaged(path.read_bytes(), rng))
        return seal(folder, "sealed damage")
    path = folder / (NETWORK, PROVENANCE, MANIFEST)[rng.integers(3)]
    value = json.loads(path.read_text())
    for _ in range(rng.integers(1, 4)):
        change_json(value, rng)
    text = json.dumps(value)
    if rng.random() < 0.2:
        text = text.replace("0.5", ("1e999", "NaN", "0" * 5_000, "[" * 50_000)[rng.integers(4)])
    path.write_text(text)
    return "sealed manifest" if path.name == MANIFEST else seal(folder, "sealed JSON")


def replaced(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Puts what is no such file in its place."""
    content = path.read_bytes()
    path.unlink()
    kind = ("missing", "link", "endless link", "pipe", "folder", "huge", "empty")[rng.integers(7)]
    if kind == "link":
        path.with_name("other").write_bytes(content)
        path.symlink_to("other")
    elif kind == "endless link":
        path.symlink_to(("/dev/zero", path.name)[rng.integers(2)])
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        path.write_bytes(content)
        os.truncate(path, 2**40)  # a hole
    elif kind == "empty":
        path.touch()
    return kind


def change_json(value, rng: np.random.Generator) -> None:
    """One entry, anywhere below, becomes another value, is lost, comes twice, or gets a companion."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = keys[rng.integers(len(keys))]
        if isinstance(value[key], dict | list) and value[key] and rng.random() < 0.8:
            value = value[key]
            continue
        kind = rng.random()
        if kind < 0.1:
            del value[key]
        elif kind < 0.2 and isinstance(value, list):
            value.extend([value[key]] * int(rng.integers(1, 3_000)))
        elif kind < 0.2:
            value[f"{key}\n"] = value[key]
        elif kind < 0.5 and type(value[key]) in (int, float) and abs(value[key]) < 1e300:
            value[key] = type(value[key])(value[key] * 10.0 ** rng.integers(-2, 5))
        else:
            value[key] = VALUES[rng.integers(len(VALUES))]
        return


def seal(folder: pathlib.Path, what: str) -> str:
    """Sizes and hashes that are right again, as anybody can write them."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name in manifest["files"]:
            content = (folder / name).read_bytes()
            manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    except (ValueError, KeyError, TypeError, OSError):  # what was damaged is the manifest
        return "damaged"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return what


def outcome(folder: pathlib.Path, whole: Bundle, *, sealed: bool) -> str:
    """Reads the bundle and predicts; returns what came of it."""
    try:
        bundle = read_bundle(folder)
        if same(bundle, whole):
            return "the same"
        assert sealed, "a bundle that is another was taken for the one that was exported"
        prediction = Predictor(bundle).predict(speech(0.5), 16_000)
    except UserError as error:
        return refused(error, "refused")
    numbers = np.array(list((prediction.probabilities or {"silence": 1.0}).values()))
    assert np.isfinite(numbers).all()
    assert abs(numbers.sum() - 1) < 1e-9
    return "another, of the same probe"


def same(bundle: Bundle, whole: Bundle) -> bool:
    """Whether two bundles predict the same, to the bit, and say the same of themselves."""
    names = (
        "description",
        "classes",
        "settings",
        "frames",
        "windowing",
        "probe",
        "provenance",
        "artifact",
        "onnx",
    )
    if any(getattr(bundle, name) != getattr(whole, name) for name in names):
        return False
    ours, theirs = bundle.weights(), whole.weights()
    flat = lambda tree: [(key, value) for key, value in sorted(_leaves(tree))]
    return all(
        a == b and np.array_equal(x, y) for (a, x), (b, y) in zip(flat(ours), flat(theirs), strict=True)
    )


def _leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}/{key}")
        else:
            yield f"{prefix}/{key}", value


if __name__ == "__main__":
    sys.exit(main())
