"""Kills a run at random moments, starts it again, and compares what it ends with with a run that was left alone.

    python tests/kill.py --workdir=DIR
    python tests/kill.py --workdir=DIR --kills=30 --seed=1 -- --config=configs/demo.py --mode=all

What follows `--` are flags of jax_ser_darts.main; by default both orders of a search on the tests' tiny config. A run
that is left alone comes first, twice: once to fill the compilation cache, once for its seconds. Then runs are ended
by SIGKILL or SIGTERM, drawn at random, at a moment drawn at random (see `moment`), and started again, until they are
done; a new one begins until there have been `--kills`. Each is forked from a process that has imported the program and
done nothing else, since importing takes longer than these runs do. Alphas, genotypes, metrics and predictions must be
the same bit by bit; only seconds and memory may differ. The exit status is 1 if anything does.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
TINY = (
    f"--config={ROOT / 'tests/jax_ser_darts/tiny.py'}",
    "--mode=search",
    "--config.devices=1",
    "--config.folds.run=(0,)",
    "--config.search.epochs=6",
)
COMPARED = ("genotype.json", "metrics.jsonl", "network.json", "predictions.json")
PRELOADED = ("jax_ser_darts.run", "tensorflow", "tensorflow_datasets")
FORKS = multiprocessing.get_context("forkserver")
MEASURED = frozenset(("seconds", "overhead_s", "compiling", "peak_memory"))  # these differ from run to run


def start(folder: pathlib.Path, name: str, flags) -> multiprocessing.Process:
    """One run of the program in `folder`/`name`, in a process group of its own."""
    arguments = [
        *("jax_ser_darts", *flags),
        *(f"--workdir={folder / name}", f"--compilation_cache={folder / 'cache'}"),
        f"--config.data.records={folder / 'records'}",
    ]
    process = FORKS.Process(target=program, args=(arguments, folder / f"{name}.log"))
    process.start()
    return process


def program(arguments: list[str], log: pathlib.Path) -> None:
    """What a started process does: the command, its output in a file."""
    with contextlib.suppress(PermissionError):  # it leads a group already
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server of forks ignores it
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    for name in PRELOADED:  # the server of forks does not report an import that failed
        if name not in sys.modules:
            raise ImportError(f"{name} was not imported before the fork: try python -c 'import {name}'")
    from jax_ser_darts import main

    sys.argv = arguments  # config flags look there too
    main.cli()


def blow(process: multiprocessing.Process, how: signal.Signals) -> bool:
    """Ends it and what it has started; whether it was ended by it."""
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:  # it does not lead a group yet, or is gone
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, how)
    process.join()
    return process.exitcode == -how


def whole(folder: pathlib.Path, name: str, flags) -> float:
    """A run that is left alone; returns its seconds."""
    started = time.monotonic()
    process = start(folder, name, flags)
    process.join()
    if process.exitcode:
        sys.exit(f"error: the run that was left alone failed: see {folder / name}.log")
    return time.monotonic() - started


def epochs(workdir: pathlib.Path) -> int:
    """Epochs that are on disk. A run may be at work there: what goes away under `os.walk` is left out by it."""
    files = (
        pathlib.Path(folder, "metrics.jsonl")
        for folder, _, names in os.walk(workdir)
        if "metrics.jsonl" in names
    )
    return sum(len(path.read_bytes().splitlines()) for path in files)


def moment(process: multiprocessing.Process, workdir: pathlib.Path, *, rng, seconds: float) -> None:
    """Returns at a random moment of the process's life, or at its end.

    Half of the moments are drawn over a whole run, starting and compiling included. The others come after one to
    three more epochs: within a step, or while something is written.
    """
    until, target = time.monotonic() + rng.uniform(0, seconds), None
    if rng.random() < 0.5:
        target, rest = epochs(workdir) + rng.randint(1, 3), rng.uniform(0, 0.5)
    while process.exitcode is None:
        if target is not None and epochs(workdir) >= target:
            until, target = time.monotonic() + rest, None
        if target is None and time.monotonic() >= until:
            return
        time.sleep(0.005)


def killed(folder: pathlib.Path, name: str, flags, *, rng, seconds: float, kills: int) -> list[str]:
    """A run that is killed at most `kills` times until it is done; returns what was done to it."""
    blows = []
    while True:
        process = start(folder, name, flags)
        if len(blows) < kills:
            moment(process, folder / name, rng=rng, seconds=seconds)
        if len(blows) < kills and process.exitcode is None:
            how = rng.choice((signal.SIGKILL, signal.SIGTERM))
            if blow(process, how):
                blows.append(f"{how.name} at {epochs(folder / name)} epochs")
                continue
        process.join()
        if process.exitcode:
            sys.exit(f"error: a run that was killed does not go on: see {folder / name}.log")
        return blows


def results(workdir: pathlib.Path) -> dict[str, list]:
    """File -> what it holds, without what is measured."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key not in MEASURED}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    contents = {}
    for path in sorted(workdir.rglob("*")):
        if path.name in COMPARED:
            text = path.read_text()
            lines = text.splitlines() if path.suffix == ".jsonl" else [text]
            contents[str(path.relative_to(workdir))] = [plain(json.loads(line)) for line in lines]
    return contents


def differences(first: dict, second: dict) -> list[str]:
    """Files that are not the same, or in one of the two alone. JSON writes each float so that it is read back whole."""
    return [name for name in sorted({*first, *second}) if repr(first.get(name)) != repr(second.get(name))]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--workdir", required=True, type=pathlib.Path, help="a folder that is made; a new one"
    )
    parser.add_argument("--kills", type=int, default=12, help="how many in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the signals")
    parser.add_argument("flags", nargs="*", help="after --: of jax_ser_darts.main")
    options = parser.parse_args()
    folder, rng = options.workdir.absolute(), random.Random(options.seed)
    folder.mkdir(parents=True)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    flags = options.flags or TINY
    FORKS.set_forkserver_preload(list(PRELOADED))
    whole(folder, "first", flags)
    seconds = whole(folder, "whole", flags)
    expected = results(folder / "whole")
    if not expected:
        sys.exit(f"error: {folder / 'whole'} holds nothing to compare")
    print(f"left alone: {seconds:.1f} s, {len(expected)} files to compare", flush=True)
    wrong = differences(expected, results(folder / "first"))
    done = runs = 0
    while done < options.kills:
        blows = killed(folder, "killed", flags, rng=rng, seconds=seconds, kills=options.kills - done)
        done, runs = done + len(blows), runs + 1
        different = differences(expected, results(folder / "killed"))
        print(f"run {runs}: {', '.join(blows) or 'done before its blow'}: ", end="")
        print(f"DIFFERS in {', '.join(different)}" if different else "the same", flush=True)
        wrong += different
        if different:
            (folder / "killed").rename(folder / f"different_{runs}")
        else:
            shutil.rmtree(folder / "killed")
    print(f"{done} kills in {runs} runs: {'NOT the same' if wrong else 'all the same, bit by bit'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
