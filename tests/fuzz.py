"""Damaged sound and tables, by the thousand: each is answered, or refused with a reason.

    python tests/fuzz.py --count=10000 --seed=0

Case k depends on the seed and k alone: --first=k --count=1 makes it again, and leaves its file in --folder. The exit
status is 0 where every case ended well: with probabilities that sum to 1, with silence, or with a clear error; in time,
and with the memory that the first cases took.
"""

import argparse
import collections
import faulthandler
import io
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
import soundfile

sys.path[:0] = [str(pathlib.Path(__file__).parent / "jax_ser_darts"), str(pathlib.Path(__file__).parents[1])]

from small_bundles import SETTINGS, make_bundle, speech  # noqa: E402

from data_prep import corpora  # noqa: E402
from data_prep.audio import AudioError  # noqa: E402
from data_prep.compute import compute_one  # noqa: E402
from data_prep.corpora.base import BadFile, CorpusError, Utterance  # noqa: E402
from jax_ser_darts.serving.predictor import Predictor  # noqa: E402

SECONDS = 20.0  # of processor time that no case may take
GROWTH = 64 * 2**20  # bytes that may be added after the first tenth of the cases
NUMBERS = (
    0,
    1,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0x7FC00000,
    0x7F800000,
    0x7F7FFFFF,
)  # also NaN, inf, largest float


def originals() -> dict[str, bytes]:
    """Whole files of every kind, by name."""
    stereo = np.stack([speech(0.6, rate=44_100), speech(0.6, rate=44_100, seed=1)], axis=1)
    sounds = {
        "pcm16.wav": (speech(0.5), 16_000, "WAV", "PCM_16"),
        "float.wav": (speech(0.4), 16_000, "WAV", "FLOAT"),
        "stereo24.wav": (stereo, 44_100, "WAV", "PCM_24"),
        "long.wav": (speech(2.6, rate=8_000), 8_000, "WAV", "PCM_16"),
        "mono.flac": (speech(0.5), 16_000, "FLAC", "PCM_16"),
        "stereo.flac": (stereo, 44_100, "FLAC", "PCM_24"),
    }
    whole = {}
    for name, (samples, rate, kind, subtype) in sounds.items():
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format=kind, subtype=subtype)
        whole[name] = file.getvalue()
    rows = [f"sound{k}.wav,ann{k},angry,s{k},f,0.{k},1.5,id{k}" for k in range(5)]
    whole["manifest.csv"] = "\n".join(["path,speaker,emotion,session,sex,start,end,id", *rows]).encode()
    return whole


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: of bits, bytes and numbers, most of them in the header; or cuts, gaps and repeats."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        size = len(content)
        if size < 8:
            return bytes(content)
        place = int(rng.integers(min(size, 80) if rng.random() < 0.6 else size))
        kind = rng.integers(7)
        if kind == 0:
            content[place] ^= 1 << rng.integers(8)
        elif kind == 1:
            content[place] = rng.integers(256)
        elif kind == 2:
            number = int(rng.choice(NUMBERS))
            content[place : place + 4] = number.to_bytes(4, "little" if rng.random() < 0.5 else "big")
        elif kind == 3:
            del content[int(rng.integers(size)) :]
        elif kind == 4:
            del content[place : place + int(rng.integers(1, 200))]
        elif kind == 5:
            content[place:place] = content[place : place + int(rng.integers(1, 200))]
        else:
            content[place : place + 16] = rng.bytes(16)
    return bytes(content)


def refused(error: Exception, outcome: str) -> str:
    """The outcome of an error that says what is wrong."""
    if not str(error).strip():
        raise AssertionError("an error without a word") from error
    return outcome


def check_sound(path: pathlib.Path, predictor: Predictor) -> str:
    """Hears the file as `predict` does, and as the preparation of a corpus does; returns what came of it."""
    prepared = compute_one(Utterance(id="x", path=path, speaker="s", emotion="angry"), SETTINGS)
    if isinstance(prepared, BadFile):
        assert prepared.reason
    else:
        assert np.isfinite(prepared[-1]).all()
    try:
        prediction = predictor.predict_file(path)
    except AudioError as error:
        return refused(error, "refused")
    for span in (prediction.whole, *prediction.timeline):
        assert 0 <= span.start < span.end
        if span.probabilities is not None:
            numbers = np.array(list(span.probabilities.values()))
            assert np.isfinite(numbers).all()
            assert (numbers >= 0).all()
            assert abs(numbers.sum() - 1) < 1e-9
            assert span.emotion in predictor.classes
    return "silence" if prediction.emotion is None else "answered"


def check_table(path: pathlib.Path) -> str:
    """Reads the manifest; returns what came of it."""
    try:
        reading = corpora.read("manifest", path)
    except CorpusError as error:
        return refused(error, "table refused")
    assert all(one.path.is_file() and one.speaker and one.emotion for one in reading.utterances)
    assert all(bad.reason for bad in reading.bad_files)
    return "table read"


def memory() -> int:
    """Bytes of memory that this process holds; 0 where that cannot be told."""
    try:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def run(*, first: int, count: int, seed: int, folder: pathlib.Path) -> int:
    """The cases; returns the exit status."""
    predictor = Predictor(make_bundle())
    whole = originals()
    for k in range(5):
        (folder / f"sound{k}.wav").write_bytes(whole["pcm16.wav"])
    for name, content in whole.items():  # undamaged, all are answered
        (folder / name).write_bytes(content)
        expected = "table read" if name.endswith(".csv") else "answered"
        check = check_table(folder / name) if name.endswith(".csv") else check_sound(folder / name, predictor)
        assert check == expected, (name, check)
        (folder / name).unlink()
    outcomes, held = collections.Counter(), 0
    for case in range(first, first + count):
        rng = np.random.default_rng([seed, case])
        name = sorted(whole)[rng.integers(len(whole))]
        path = folder / f"case_{case}_{name}"  # left where a case kills the process
        path.write_bytes(damaged(whole[name], rng))
        faulthandler.dump_traceback_later(60 * SECONDS, exit=True)
        started = time.process_time()
        try:
            outcome = check_table(path) if name.endswith(".csv") else check_sound(path, predictor)
        except Exception:
            print(f"case {case} of seed {seed} failed; its file: {path}", file=sys.stderr)
            raise
        if time.process_time() - started > SECONDS:
            print(f"case {case} of seed {seed} took over {SECONDS} s; its file: {path}", file=sys.stderr)
            return 1
        outcomes[outcome] += 1
        if case - first == count // 10:
            held = memory()
        if count > 1:
            path.unlink()
    faulthandler.cancel_dump_traceback_later()
    growth = memory() - held
    print(f"{count} cases of seed {seed}: {dict(outcomes)}; memory grew by {growth / 2**20:.1f} MiB")
    if held and growth > GROWTH:
        print("that is more than it may", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path)
    arguments = parser.parse_args()
    faulthandler.enable()
    folder = arguments.folder or pathlib.Path(tempfile.mkdtemp(prefix="fuzz_"))
    folder.mkdir(parents=True, exist_ok=True)
    return run(first=arguments.first, count=arguments.count, seed=arguments.seed, folder=folder)


if __name__ == "__main__":
    sys.exit(main())
