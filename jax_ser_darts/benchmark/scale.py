"""What more devices cost: steps a second, and what the devices tell each other beside what they must.

    python -m jax_ser_darts.benchmark.scale
    python -m jax_ser_darts.benchmark.scale --devices=2 --processes= --steps=0    # only counts, runs nothing

The same global batch is divided over each number of --devices in one process, and over each number of --processes
with a device each. On a CPU the devices are virtual ones that share its cores: nothing becomes faster there, and what
is seen is the cost of dividing. Columns:

    steps/s        of whole search steps, alphas and params; median of --steps
    messages       collectives of a step, each of which all devices wait for, counted in the compiled programs
    MB sent        bytes of their results on one device
    MB needed      of the gradients alone, which any data parallelism has to average

The rest are batch-norm statistics of the global batch: small, and many, because each layer waits for those before it.
Below the table: what the same messages would take on machines that were not there. It is arithmetic from the
assumptions in MACHINES, of a batch of --batch a device, with nothing done while a message is under way.
"""

import dataclasses
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import jax
from absl import app, flags

from jax_ser_darts import commands
from jax_ser_darts.benchmark import sizes
from jax_ser_darts.benchmark.cases import SEARCHES, make_case
from jax_ser_darts.benchmark.collectives import NOTHING, Collectives, collectives
from jax_ser_darts.benchmark.rates import seconds_of
from jax_ser_darts.devices import compilation, hosts, parallel
from jax_ser_darts.files import write_json

_WHAT = flags.DEFINE_list("what", ["first", "second"], f"Which steps, of {', '.join(SEARCHES)}.")
_DEVICES = flags.DEFINE_list("devices", ["1", "2", "4", "8"], "Numbers of devices of one process.")
_PROCESSES = flags.DEFINE_list("processes", ["2", "4"], "Numbers of processes, a device each.")
_STEPS = flags.DEFINE_integer(
    "steps", 5, "Measured steps, after one that is not; 0 counts the messages only.", lower_bound=0
)
_JSON = flags.DEFINE_string("json", "", "Where the measurements go as JSON, besides the table.")
_CASE = flags.DEFINE_string("case", "", "Of the processes that this command starts.")

# Gradients of (params, alphas) that a step has to average: of the virtual step, at it, of the product, of the params.
NEEDED = {"first": (1, 1), "second": (3, 2), "second_differences": (3, 3)}


@dataclasses.dataclass(frozen=True)
class Machine:
    """Assumptions of a machine that nobody measured here.

    Attributes:
        name: what it is.
        devices: how many.
        bandwidth: bytes a second that a device sends to the next one of a ring.
        latency: seconds of a small message among all of them.
        rate: FLOP/s that a device makes of this network, not its peak.
    """

    name: str
    devices: int
    bandwidth: float
    latency: float
    rate: float

    def seconds(self, messages: Collectives) -> float:
        """Of a step's messages, one after the other, each as a ring."""
        return messages.count * self.latency + 2 * (1 - 1 / self.devices) * messages.bytes / self.bandwidth

    def efficiency(self, messages: Collectives, flop: float) -> float:
        """Share of the time that computes, for a step of `flop` on each device."""
        return flop / self.rate / (flop / self.rate + self.seconds(messages))


MACHINES = (
    Machine("8 H100, NVLink", devices=8, bandwidth=450e9, latency=20e-6, rate=5e12),
    Machine("32 TPU v5e chips", devices=32, bandwidth=50e9, latency=10e-6, rate=2e12),
)


def expected(what: str, messages: Collectives, gflop: float) -> list[str]:
    """A line a machine: the seconds of its messages, and the efficiency."""
    return [
        f"{what:<20}{machine.name:<20}{1e3 * machine.seconds(messages):>10.2f} ms of messages,"
        f"{100 * machine.efficiency(messages, 1e9 * gflop):>5.0f} % efficient "
        f"({1e6 * machine.latency:.0f} us a message, {machine.bandwidth / 1e9:.0f} GB/s, "
        f"{machine.rate / 1e12:.0f} TFLOP/s of this network)"
        for machine in MACHINES
    ]


def measure(case: dict) -> dict:
    """The measurements of one case, in one of its processes."""
    compilation.cache_compilations(case["cache"])
    if case["processes"] > 1:
        hosts.initialise(f"127.0.0.1:{case['port']}", case["processes"], case["index"])
    setting = sizes.setting(parallel.devices_of_all(case["devices"]))
    measured, seconds = make_case(case["what"], setting), []
    if _STEPS.value:
        jax.block_until_ready(measured.step())
        seconds = [seconds_of(measured.step, 1)[0] for _ in range(_STEPS.value)]
    messages = NOTHING
    for program, (arguments, calls) in measured.programs.items():
        messages += collectives(program.lower(*arguments).compile().as_text()) * calls
    params, alphas = (_bytes(tree) for tree in next(iter(measured.programs.values()))[0][:2])
    passes = NEEDED[case["what"]]
    return {
        **{name: case[name] for name in ("what", "devices", "processes")},
        "seconds": seconds,
        "messages": messages.count,
        "bytes": messages.bytes,
        "needed_bytes": passes[0] * params + passes[1] * alphas,
        **({"gflop": measured.gflop()} if case["gflop"] else {}),
    }


def _bytes(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def in_own_processes(case: dict) -> dict:
    """`measure` in as many fresh processes as the case has.

    Raises:
        RuntimeError: one failed; what it said is on standard error.
    """
    virtual = f" --xla_force_host_platform_device_count={case['devices']}"
    environment = {**os.environ, "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + virtual}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "benchmark.json"
        case = {**case, "port": free_port(), "path": str(path)}
        command = [sys.executable, "-m", "jax_ser_darts.benchmark.scale", *sys.argv[1:]]
        started = [
            subprocess.Popen([*command, f"--case={json.dumps({**case, 'index': i})}"], env=environment)
            for i in range(case["processes"])
        ]
        try:
            if any(process.wait() for process in started):
                raise RuntimeError(f"a process of {case['what']!r} failed")
        finally:
            for process in started:
                process.kill()
                process.wait()
        return json.loads(path.read_text())


def free_port() -> int:
    """One of this machine that nobody listens to."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return port.getsockname()[1]


def table(rows: Sequence[dict]) -> str:
    """The measurements, a line each."""
    heads = ("processes", "devices", "steps/s", "messages", "MB sent", "MB needed")
    lines = [f"{'':<20}" + "".join(f"{head:>11}" for head in heads)]
    for row in rows:
        rate = f"{1 / statistics.median(row['seconds']):.2f}" if row["seconds"] else "-"
        sizes_sent = (f"{row[name] / 1e6:.3f}" for name in ("bytes", "needed_bytes"))
        cells = (row["processes"], row["devices"] * row["processes"], rate, row["messages"], *sizes_sent)
        lines.append(f"{row['what']:<20}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def cases(cache: str) -> list[dict]:
    """What the flags ask for; the arithmetic of a step is counted once each."""
    pairs = [(int(n), 1) for n in _DEVICES.value] + [(1, int(n)) for n in _PROCESSES.value]
    return [
        {"what": what, "devices": devices, "processes": processes, "cache": cache, "gflop": i == 0}
        for what in _WHAT.value
        for i, (devices, processes) in enumerate(pairs)
    ]


def check_flags() -> None:
    """Raises app.UsageError where a flag cannot be."""
    if unknown := set(_WHAT.value) - set(SEARCHES):
        raise app.UsageError(f"--what: {', '.join(sorted(unknown))} is not one of {', '.join(SEARCHES)}")
    batch = sizes.sizes()["batch"]
    for name, numbers in (("devices", _DEVICES.value), ("processes", _PROCESSES.value)):
        for number in numbers:
            if not number.isdecimal() or int(number) < 1 or batch % int(number):
                raise app.UsageError(f"--{name}: a batch of {batch} cannot be divided over {number!r}")
    if not (_DEVICES.value or _PROCESSES.value):
        raise app.UsageError("--devices and --processes are both empty: nothing to measure")


def main(argv: list[str]) -> None:
    """The command."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}")
    if _CASE.value:
        case = json.loads(_CASE.value)
        write_json(pathlib.Path(case["path"]), measure(case))  # all of its processes call it, and wait in it
        return
    check_flags()
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        todo = cases(cache)
        for i, case in enumerate(todo):
            where = f"{case['processes']} process(es) of {case['devices']} device(s)"
            print(f"{case['what']}, {where} ({i + 1} of {len(todo)}): compiles, then steps", file=sys.stderr)
            try:
                rows.append(in_own_processes(case))
            except RuntimeError as error:
                sys.exit(f"error: {error}")
    if _JSON.value:
        write_json(pathlib.Path(_JSON.value), {**sizes.given(), "jax": jax.__version__, "cases": rows})
    settings = ", ".join(f"{name} {value}" for name, value in sizes.given().items())
    print(f"{settings}, jax {jax.__version__}, {os.cpu_count()} cores\n\n{table(rows)}\n")
    for row in rows:
        if "gflop" in row:
            print(*expected(row["what"], Collectives(row["messages"], row["bytes"]), row["gflop"]), sep="\n")


if __name__ == "__main__":
    commands.start(main, status=1)
