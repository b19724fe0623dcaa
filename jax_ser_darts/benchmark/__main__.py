"""Times the steps of the search and of a found network, at a size of your choice, on random numbers.

    python -m jax_ser_darts.benchmark
    python -m jax_ser_darts.benchmark --what=first,second --batch=64 --edges=unroll --json=benchmark.json

What: `first` and `second` (exact) and `second_differences` are whole search steps, alphas and params; `train` is a
training step of a found network and `evaluate` its predictions. Each is measured in a process of its own, with an empty
compilation cache, or that of --cache. Columns:

    cold, cached   seconds until all programs of that step are ready, without and with the persistent cache
    step           median seconds of a step; the results are waited for
    utt/s          utterances of a batch, a second
    GFLOP          arithmetic of a step: XLA's count, of the programs before optimisation with every edge written
                   out, so it does not depend on --edges and leaves out what the backward pass computes again; loops
                   over time (LSTMs, --sequence) are counted as one frame, so it is too low by theirs
    GFLOP/s        that over the step's seconds; the machine's own rate, of a float32 matrix product, is above the table
    GB             read and written by all kernels of a step, each array once a kernel (see traffic.py); counted only
                   with --edges=unroll; the machine's own rate is above the table
    temp           the largest temporary memory of one program, GB, by XLA
    peak           of the process, compiler included, or of the fullest GPU or TPU, GB

Beside the authors' PyTorch code (github jayaneetha/emoDARTS, cloned by you), step by step in turns:

    python -m jax_ser_darts.benchmark --peer=CLONE/emoDARTS --peer_python=VENV_WITH_TORCH/bin/python

    theirs         median seconds of their step at the same size, without their sequence cells unless
                   --sequence=all; their second order is by finite differences
    ratio          median of ours over theirs, turn by turn
    their peak     memory of their process, GB

Where both together do not fit in memory, --apart gives each step a fresh process, which takes a minute to start.
"""

import contextlib
import datetime
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

import jax
from absl import app, flags

from jax_ser_darts import commands
from jax_ser_darts.benchmark import sizes
from jax_ser_darts.benchmark.cases import DARTS_V2, SEARCHES, WHAT, Setting, make_case
from jax_ser_darts.benchmark.peer import Peer, PeerError, check
from jax_ser_darts.benchmark.rates import gemm_rate, memory_rate, seconds_of, seconds_until_ready
from jax_ser_darts.benchmark.traffic import traffic
from jax_ser_darts.devices import compilation, memory, parallel
from jax_ser_darts.files import write_json
from jax_ser_darts.models.relaxed import UNROLL
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.sequence_operations import ALL, FIXED

_WHAT = flags.DEFINE_list("what", list(WHAT), f"Which steps, of {', '.join(WHAT)}.")
_DEVICES = flags.DEFINE_integer("devices", 0, "Local devices; 0 is all.", lower_bound=0)
_STEPS = flags.DEFINE_integer("steps", 5, "Measured steps, after one that is not.", lower_bound=1)
_GENOTYPE = flags.DEFINE_string("genotype", "", "Genotype file of the found network; DARTS's own by default.")
_PEER = flags.DEFINE_string(
    "peer", "", "The folder of the authors' search.py, to be timed in turns with ours."
)
_PEER_PYTHON = flags.DEFINE_string("peer_python", "", "An interpreter that has torch, for --peer.")
_APART = flags.DEFINE_bool(
    "apart",
    False,
    "With --peer: every step, of ours and theirs, in a fresh process that has the memory alone.",
)
_CACHE = flags.DEFINE_string(
    "cache",
    "",
    "A compilation cache that stays; once it is full, the column cold is not cold.",
)
_JSON = flags.DEFINE_string("json", "", "Where the measurements go as JSON, besides the table.")

# (heading, measurement); those of the peer are there only with --peer.
COLUMNS = (
    ("cold", "cold"),
    ("cached", "cached"),
    ("step", "step"),
    ("utt/s", "utterances_per_second"),
    ("GFLOP", "gflop"),
    ("GFLOP/s", "gflop_per_second"),
    ("GB", "gigabytes"),
    ("temp", "temporary_gb"),
    ("peak", "peak_gb"),
    ("theirs", "peer_step"),
    ("ratio", "peer_ratio"),
    ("their peak", "peer_peak_gb"),
)


def genotype() -> genotypes.Genotype:
    """That of the found network."""
    return genotypes.load(_GENOTYPE.value) if _GENOTYPE.value else DARTS_V2


def setting() -> Setting:
    """The flags."""
    return sizes.setting(parallel.local_devices(_DEVICES.value), genotype())


def peer_of(what: str) -> contextlib.AbstractContextManager[Peer | None]:
    """The authors' step, or nothing without --peer; to be used in a `with`."""
    if not _PEER.value:
        return contextlib.nullcontext()
    size = sizes.sizes() | {"genotype": genotype().to_json()}
    if size["sequence"] not in (FIXED, ALL) or (size["sequence"] == ALL and what not in SEARCHES):
        raise PeerError(f"--peer: the authors' code has no {what} step with --sequence={size['sequence']}")
    return contextlib.closing(Peer(what, python=_PEER_PYTHON.value, folder=_PEER.value, sizes=size))


def analyse(programs: dict) -> tuple[int, int]:
    """Largest temporary memory of a program, and traffic of a step, in bytes; all are in the compilation cache."""
    temporary, moved = 0, 0
    for program, (arguments, calls) in programs.items():
        compiled = program.lower(*arguments).compile()
        temporary = max(temporary, compiled.memory_analysis().temp_size_in_bytes)
        moved += calls * traffic(compiled.as_text())
    return temporary, moved


def cache_folder() -> contextlib.AbstractContextManager[str]:
    """Where compiled programs go: that of --cache, or an empty one that is removed; to be used in a `with`."""
    return contextlib.nullcontext(_CACHE.value) if _CACHE.value else tempfile.TemporaryDirectory()


def measure(what: str) -> dict:
    """The measurements of one step, in this process."""
    memory.keep_freed_memory()
    here = setting()
    rates = {"gemm_gflop_per_second": gemm_rate(), "memory_gb_per_second": memory_rate()}
    with cache_folder() as cache:
        compilation.cache_compilations(cache)
        case = make_case(what, here)
        ready = seconds_until_ready(case.compile)
        jax.block_until_ready(case.step())
        seconds, theirs = [], []
        with peer_of(what) as peer:
            for _ in range(_STEPS.value):
                seconds += seconds_of(case.step, 1)
                theirs += [peer.step()] if peer else []
        peak = memory.peak_memory()
        temporary, moved = analyse(case.programs)
    scans = what in SEARCHES and here.edges != UNROLL
    return {
        "what": what,
        **ready,
        **per_second(seconds, batch=here.batch, gflop=case.gflop()),
        **({} if scans else {"gigabytes": moved / 1e9}),
        **rates,
        "temporary_gb": temporary / 1e9,
        "peak_gb": peak / 1e9,
        **(compare(seconds, theirs) | {"torch": peer.torch} if peer else {}),
    }


def per_second(seconds: list[float], *, batch: int, gflop: float) -> dict:
    """Measurements of the steps that took these seconds."""
    median = statistics.median(seconds)
    return {
        "seconds": seconds,
        "step": median,
        "utterances_per_second": batch / median,
        "gflop": gflop,
        "gflop_per_second": gflop / median,
    }


def measure_apart(what: str) -> dict:
    """The measurements of one step and of the authors', turn by turn, each turn of either in a fresh process.

    The first turn compiles, unless --cache holds it already; the others find what it has compiled. Seconds and the
    machine's rates are medians over the turns. No device is touched here: they are the other processes'.
    """
    ours, theirs = [], []
    with cache_folder() as cache:
        for turn in range(_STEPS.value):
            print(f"turn {turn + 1} of {_STEPS.value}: ours, then theirs", file=sys.stderr)
            alone = ("--peer=", "--noapart", "--steps=1", f"--cache={cache}")
            ours.append(in_own_process(what, *alone))
            with peer_of(what) as peer:
                assert peer is not None  # `main` takes --apart only beside --peer
                theirs.append(peer.step() | {"torch": peer.torch})
    seconds = [row["step"] for row in ours]
    typical = ("cached", "gemm_gflop_per_second", "memory_gb_per_second")
    return {
        **ours[0],
        **{name: statistics.median(row[name] for row in ours) for name in typical},
        **per_second(seconds, batch=sizes.sizes()["batch"], gflop=ours[0]["gflop"]),
        "peak_gb": max(row["peak_gb"] for row in ours),
        **compare(seconds, theirs),
        "torch": theirs[0]["torch"],
    }


def compare(seconds: list[float], theirs: list[dict]) -> dict:
    """Measurements of the authors' code, and of ours over theirs, of steps made in turns."""
    their_seconds = [step["seconds"] for step in theirs]
    return {
        "peer_seconds": their_seconds,
        "peer_step": statistics.median(their_seconds),
        "peer_ratio": statistics.median(a / b for a, b in zip(seconds, their_seconds, strict=True)),
        "peer_peak_gb": max(step["peak_gb"] for step in theirs),
    }


def in_own_process(what: str, *others: str) -> dict:
    """The measurements of one step by a fresh process, with this one's flags and, over them, `others`.

    Raises:
        RuntimeError: it failed; what it said is on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "benchmark.json"
        command = [
            sys.executable,
            "-m",
            "jax_ser_darts.benchmark",
            *sys.argv[1:],
            *others,
            f"--what={what}",
            f"--json={path}",
        ]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            how = (
                f"was killed by signal {-done.returncode} (9: out of memory)"
                if done.returncode < 0
                else "failed"
            )
            raise RuntimeError(f"the benchmark of {what!r} {how}")
        return json.loads(path.read_text())["measurements"][0]


def table(rows: list[dict]) -> str:
    """The measurements, a line each; columns that nobody has are left out."""
    columns = [(head, name) for head, name in COLUMNS if any(name in row for row in rows)]

    def show(value):
        return "-" if value is None else f"{value:.{2 if value < 100 else 0}f}"

    lines = [f"{'':<20}" + "".join(f"{head:>11}" for head, _ in columns)]
    for row in rows:
        lines.append(f"{row['what']:<20}" + "".join(f"{show(row.get(name)):>11}" for _, name in columns))
    return "\n".join(lines)


def describe(rows: list[dict]) -> dict:
    """The machine, the versions and the flags."""
    torch = {row["torch"] for row in rows if "torch" in row}
    return {
        **sizes.given(),
        **{flag.name: flag.value for flag in (_DEVICES, _STEPS)},
        **({"apart": True} if _APART.value else {}),
        **({"cache": _CACHE.value} if _CACHE.value else {}),
        "jax": jax.__version__,
        **({"torch": ", ".join(torch)} if torch else {}),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {len(jax.local_devices())} x {jax.local_devices()[0].device_kind}",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def main(argv: list[str]) -> None:
    """The command."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}")
    if unknown := set(_WHAT.value) - set(WHAT):
        raise app.UsageError(f"--what: {', '.join(sorted(unknown))} is not one of {', '.join(WHAT)}")
    rows = []
    try:
        if _PEER.value:
            check(_PEER_PYTHON.value, _PEER.value)
        elif _APART.value:
            raise PeerError("--apart is for steps beside --peer, which is not given")
        if len(_WHAT.value) == 1:
            rows.append((measure_apart if _APART.value else measure)(*_WHAT.value))
        else:
            for i, what in enumerate(_WHAT.value):
                print(
                    f"{what} ({i + 1} of {len(_WHAT.value)}): compiles for a minute or two, then steps",
                    file=sys.stderr,
                )
                rows.append(in_own_process(what))
    except (genotypes.GenotypeError, OSError, PeerError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
    setup = describe(rows)
    if _JSON.value:
        write_json(pathlib.Path(_JSON.value), {**setup, "measurements": rows})
    settings = ", ".join(f"{name} {value}" for name, value in setup.items())
    print(
        f"{settings}\nfloat32 matrix product: {rows[0]['gemm_gflop_per_second']:.0f} GFLOP/s, "
        f"memory: {rows[0]['memory_gb_per_second']:.0f} GB/s\n\n{table(rows)}"
    )


if __name__ == "__main__":
    commands.start(main, status=1)
