"""Times the steps of the search and of a found network, at a size of your choice, on random numbers.

    python -m jax_ser_darts.benchmark
    python -m jax_ser_darts.benchmark --what=first,second --batch=64 --edges=unrolled --json=figures.json

What: `first` and `second` (exact) and `second_differences` are whole search steps, alphas and weights; `train` is a
training step of a found network and `evaluate` its predictions. Each is measured in a process of its own, with an empty
compilation cache. Columns:

    cold, cached   seconds until all programs of that step are ready, without and with the persistent cache
    step           median seconds of a step; the results are waited for
    utt/s          utterances of a batch, a second
    GFLOP          arithmetic of a step: XLA's count, of the programs before optimisation with every edge written
                   out, so it does not depend on --edges and leaves out what the backward pass computes again; loops
                   over time (LSTMs, --sequence) are counted as one frame, so it is too low by theirs
    GFLOP/s        that over the step's seconds; the machine's own rate, of a float32 matrix product, is above the table
    temp           the largest temporary memory of one program, GB, by XLA
    peak           of the process, compiler included, GB
"""

import datetime
import json
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jax_ser_darts import bilevel, compilation, host_memory, optimisers, parallel
from jax_ser_darts.files import write_json
from jax_ser_darts.models.backend import FAST, PLAIN
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.network import Network
from jax_ser_darts.models.relaxed import EDGES, LOOPED, UNROLLED
from jax_ser_darts.models.supernet import Supernet, init_alphas
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.search_space.operations import OPERATIONS
from jax_ser_darts.search_space.sequence_operations import FIXED, SEQUENCES, sequence_operations
from jax_ser_darts.search_step import init_state, make_search_steps, supernet_loss
from jax_ser_darts.train_step import TrainState, make_train_steps

SEARCHES = {
    "first": (bilevel.FIRST, bilevel.EXACT),
    "second": (bilevel.SECOND, bilevel.EXACT),
    "second_differences": (bilevel.SECOND, bilevel.FINITE_DIFFERENCES),
}
WHAT = (*SEARCHES, "train", "evaluate")
CLASSES = 4
GEMM_SIZE = 2048

# What DARTS's second order found on CIFAR-10 (Liu et al. 2019, figure 4): a network like those that searches find.
DARTS_V2 = Genotype(
    normal=(
        (Edge("sep_conv_3x3", 0), Edge("sep_conv_3x3", 1)),
        (Edge("sep_conv_3x3", 0), Edge("sep_conv_3x3", 1)),
        (Edge("sep_conv_3x3", 1), Edge("skip_connect", 0)),
        (Edge("skip_connect", 0), Edge("dil_conv_3x3", 2)),
    ),
    reduction=(
        (Edge("max_pool_3x3", 0), Edge("max_pool_3x3", 1)),
        (Edge("skip_connect", 2), Edge("max_pool_3x3", 1)),
        (Edge("max_pool_3x3", 0), Edge("skip_connect", 2)),
        (Edge("skip_connect", 2), Edge("max_pool_3x3", 1)),
    ),
)

_WHAT = flags.DEFINE_list("what", list(WHAT), f"Which steps, of {', '.join(WHAT)}.")
_BATCH = flags.DEFINE_integer("batch", 16, "Utterances a batch, over all devices.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames", 128, "Frames an utterance.", lower_bound=4)
_COEFFICIENTS = flags.DEFINE_integer("coefficients", 128, "Coefficients a frame.", lower_bound=4)
_CELLS = flags.DEFINE_integer("cells", 4, "Cells; two of them halve.", lower_bound=1)
_NODES = flags.DEFINE_integer("nodes", 4, "Nodes a cell.", lower_bound=1)
_CHANNELS = flags.DEFINE_integer("channels", 8, "Channels of the first cell.", lower_bound=2)
_SEQUENCE = flags.DEFINE_enum(
    "sequence", FIXED, SEQUENCES, "Sequence cells, searched: see config.space.sequence."
)
_SEQUENCE_CELLS = flags.DEFINE_integer("sequence_cells", 4, "How many, of --nodes nodes.", lower_bound=1)
_SEQUENCE_WIDTH = flags.DEFINE_integer("sequence_width", 16, "Units of each of their nodes.", lower_bound=1)
_EDGES = flags.DEFINE_enum(
    "edges", LOOPED, EDGES, "How the supernet's edges are compiled: see config.search.edges."
)
_FAST = flags.DEFINE_boolean("fast", True, "False: plain XLA convolutions and autodiff.")
_FAST_MATH = flags.DEFINE_boolean("fast_math", True, "See config.fast_math.")
_DEVICES = flags.DEFINE_integer("devices", 0, "Local devices; 0 is all.", lower_bound=0)
_STEPS = flags.DEFINE_integer("steps", 5, "Measured steps, after one that is not.", lower_bound=1)
_GENOTYPE = flags.DEFINE_string("genotype", "", "Genotype file of the found network; DARTS's own by default.")
_JSON = flags.DEFINE_string("json", "", "Where the figures go as JSON, besides the table.")


def gemm_rate() -> float:
    """GFLOP/s of a float32 matrix product: what the machine does at best."""
    x = jnp.ones((GEMM_SIZE, GEMM_SIZE), jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(x, x))
    return 2 * GEMM_SIZE**3 / min(_seconds(lambda: product(x, x), 5)) / 1e9


def _seconds(step: Callable, repeats: int) -> list[float]:
    """How long each of some calls took, results waited for."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(step())
        found.append(time.perf_counter() - started)
    return found


def random_batch(seed: int, devices) -> dict:
    """Full-length utterances of random numbers, on the devices."""
    rng = np.random.default_rng(seed)
    size = _BATCH.value
    batch = {
        "features": rng.standard_normal((size, _FRAMES.value, _COEFFICIENTS.value), np.float32),
        "num_frames": np.full(size, _FRAMES.value, np.int32),
        "label": rng.integers(0, CLASSES, size).astype(np.int32),
        "weight": np.ones(size, np.float32),
    }
    return parallel.shard(batch, devices)


def _shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree)


def _flops(function, *arguments) -> float:
    """XLA's count of the arithmetic of a function, before optimisation: nothing is compiled."""
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


def _temporary(programs: dict) -> float:
    """The largest temporary memory, bytes, of {program: its arguments}; they are in the compilation cache."""
    analyses = [
        program.lower(*arguments).compile().memory_analysis() for program, arguments in programs.items()
    ]
    return max(a.temp_size_in_bytes for a in analyses)


def search_case(what: str, devices, options: dict) -> tuple[Callable, Callable, dict, float]:
    """A search step.

    Returns:
        compile: compiles all it needs; step: does one step; {program: arguments}; GFLOP of a step.
    """
    order, product = SEARCHES[what]
    model = Supernet(
        classes=CLASSES,
        operations=OPERATIONS,
        cells=_CELLS.value,
        nodes=_NODES.value,
        channels=_CHANNELS.value,
        sequence_operations=sequence_operations(_SEQUENCE.value),
        sequence_cells=_SEQUENCE_CELLS.value,
        sequence_nodes=_NODES.value,
        sequence_width=_SEQUENCE_WIDTH.value,
        backend=FAST if _FAST.value else PLAIN,
        edges=_EDGES.value,
        axis_name=parallel.AXIS,
    )
    both = {
        "weights_optimiser": optimisers.sgd(
            schedule=optimisers.cosine(start=0.025, end=0.001, steps=1000),
            momentum=0.9,
            weight_decay=3e-4,
            clip=5.0,
        ),
        "alphas_optimiser": optimisers.adam_with_l2(
            learning_rate=3e-4, betas=(0.5, 0.999), weight_decay=1e-3
        ),
    }
    steps = make_search_steps(
        loss=supernet_loss(model, parallel.AXIS),
        devices=devices,
        product=product,
        compiler_options=options,
        **both,
    )
    alphas = init_alphas(
        jax.random.key(0),
        nodes=model.nodes,
        operations=len(OPERATIONS),
        scale=1e-3,
        sequence_nodes=model.sequence_nodes,
        sequence_operations=len(model.sequence_operations),
    )
    train, val = (random_batch(seed, devices) for seed in range(2))
    example = tuple(x[0, :1] for x in (train["features"], train["num_frames"]))
    alone = model.clone(axis_name=None, edges=UNROLLED)
    weights = init_variables(alone, 0, *example, alphas, train=False)["params"]
    state = init_state(weights=weights, alphas=alphas, key=jax.random.key(0), devices=devices, **both)

    def step():
        nonlocal state
        state, _ = steps.update_alphas(state, train, val, order)
        state, _ = steps.update_weights(state, train)
        return state

    whole = jax.tree.map(lambda x: jax.ShapeDtypeStruct((_BATCH.value, *x.shape[2:]), x.dtype), train)
    gradients = bilevel.make_gradients(supernet_loss(alone, None))
    at = (*_shapes((weights, alphas)), (whole, jax.random.key(0)))
    counts = {"of_both": 1, "of_alphas": 1}
    if order == bilevel.SECOND:
        exact = {"mixed_product": 1} if product == bilevel.EXACT else {"of_alphas": 2}
        counts = {"of_both": 3, **exact}
    extra = {"mixed_product": at[:1]}
    flops = {name: _flops(getattr(gradients, name), *at, *extra.get(name, ())) for name in counts}
    here = (state.weights, state.alphas, (train, jax.random.key(0)))
    programs = {
        getattr(steps.programs, name): (*here, *((state.weights,) if name in extra else ()))
        for name in counts
    }
    compile_all = lambda: steps.compile(state, train, val, order)
    return compile_all, step, programs, sum(n * flops[name] for name, n in counts.items()) / 1e9


def network_case(what: str, devices, options: dict) -> tuple[Callable, Callable, dict, float]:
    """A training step or the predictions of a found network; returns as `search_case`."""
    network = Network(
        classes=CLASSES,
        genotype=genotypes.load(_GENOTYPE.value) if _GENOTYPE.value else DARTS_V2,
        cells=_CELLS.value,
        channels=_CHANNELS.value,
        sequence_cells=_SEQUENCE_CELLS.value,
        sequence_width=_SEQUENCE_WIDTH.value,
        backend=FAST if _FAST.value else PLAIN,
        axis_name=parallel.AXIS,
    )
    optimiser = optimisers.adamw(
        schedule=optimisers.cosine(start=1e-3, end=1e-5, steps=1000), weight_decay=1e-3, clip=5.0
    )
    steps = make_train_steps(
        network=network,
        optimiser=optimiser,
        devices=devices,
        auxiliary_weight=0.0,
        label_smoothing=0.0,
        drop_path=False,
        compiler_options=options,
    )
    batch = random_batch(0, devices)
    example = tuple(x[0, :1] for x in (batch["features"], batch["num_frames"]))
    variables = init_variables(network.clone(axis_name=None), 0, *example, train=False)
    state = parallel.replicate(
        TrainState(
            variables=variables,
            optimiser=optimiser.init(variables["params"]),
            step=jnp.zeros((), jnp.int32),
            key=jax.random.key(0),
        ),
        devices,
    )
    rate = jnp.zeros(())

    def train():
        nonlocal state
        state, _ = steps.train(state, batch, rate)
        return state

    def arithmetic(params, features, num_frames):
        alone = network.clone(axis_name=None)
        (logits, _), _ = alone.apply(
            {**variables, "params": params},
            features,
            num_frames,
            train=what == "train",
            mutable=["batch_stats"],
        )
        return jnp.sum(logits)

    whole = [
        jax.ShapeDtypeStruct((_BATCH.value, *x.shape[2:]), x.dtype)
        for x in (batch["features"], batch["num_frames"])
    ]
    if what == "train":
        flops = _flops(jax.grad(arithmetic), _shapes(variables["params"]), *whole)
        programs = {steps.train: (state, batch, rate)}
        return train, train, programs, flops / 1e9
    predict = lambda: steps.predict(state.variables, batch)
    flops = _flops(arithmetic, _shapes(variables["params"]), *whole)
    return predict, predict, {steps.predict: (state.variables, batch)}, flops / 1e9


def measure(what: str) -> dict:
    """The figures of one step, in this process."""
    host_memory.keep_freed_memory()
    devices = parallel.local_devices(_DEVICES.value)
    options = compilation.options(devices[0].platform, fast_math=_FAST_MATH.value)
    rate = gemm_rate()
    with tempfile.TemporaryDirectory() as cache:
        compilation.cache_compilations(cache)
        case = search_case if what in SEARCHES else network_case
        compile_all, step, programs, gflop = case(what, devices, options)
        # The first call compiles and runs; the run is taken off, by the second.
        ready = {}
        for name in ("cold", "cached"):
            jax.clear_caches()
            (first,) = _seconds(compile_all, 1)
            (again,) = _seconds(compile_all, 1)
            ready[name] = max(first - again, 0.0)
        jax.block_until_ready(step())
        seconds = _seconds(step, _STEPS.value)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        temporary = _temporary(programs)
    median = statistics.median(seconds)
    return {
        "what": what,
        "cold": ready["cold"],
        "cached": ready["cached"],
        "seconds": seconds,
        "step": median,
        "utterances_per_second": _BATCH.value / median,
        "gflop": gflop,
        "gflop_per_second": gflop / median,
        "gemm_gflop_per_second": rate,
        "temporary_gb": temporary / 1e9,
        "peak_gb": peak / 1e9,
    }


def in_own_process(what: str) -> dict:
    """`measure` in a fresh process, with this one's flags.

    Raises:
        RuntimeError: it failed; what it said is on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "figures.json"
        command = [
            sys.executable,
            "-m",
            "jax_ser_darts.benchmark",
            *sys.argv[1:],
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
        return json.loads(path.read_text())["figures"][0]


def table(figures: list[dict]) -> str:
    """The figures, a line each."""
    head = ("", "cold", "cached", "step", "utt/s", "GFLOP", "GFLOP/s", "temp", "peak")
    names = (
        "cold",
        "cached",
        "step",
        "utterances_per_second",
        "gflop",
        "gflop_per_second",
        "temporary_gb",
        "peak_gb",
    )
    lines = [f"{head[0]:<20}" + "".join(f"{name:>10}" for name in head[1:])]
    for row in figures:
        lines.append(
            f"{row['what']:<20}"
            + "".join(f"{row[name]:>10.{2 if row[name] < 100 else 0}f}" for name in names)
        )
    return "\n".join(lines)


def describe() -> dict:
    """The machine, the versions and the flags."""
    sizes = (
        _BATCH,
        _FRAMES,
        _COEFFICIENTS,
        _CELLS,
        _NODES,
        _CHANNELS,
        _SEQUENCE,
        _SEQUENCE_CELLS,
        _SEQUENCE_WIDTH,
        _EDGES,
        _FAST,
        _FAST_MATH,
        _DEVICES,
        _STEPS,
    )
    return {
        **{flag.name: flag.value for flag in sizes},
        "jax": jax.__version__,
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
    figures = []
    try:
        if len(_WHAT.value) == 1:
            figures.append(measure(*_WHAT.value))
        else:
            for i, what in enumerate(_WHAT.value):
                print(
                    f"{what} ({i + 1} of {len(_WHAT.value)}): compiles for a minute or two, then steps",
                    file=sys.stderr,
                )
                figures.append(in_own_process(what))
    except (genotypes.GenotypeError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
    if _JSON.value:
        write_json(pathlib.Path(_JSON.value), {**describe(), "figures": figures})
    settings = ", ".join(f"{name} {value}" for name, value in describe().items())
    print(
        f"{settings}\nfloat32 matrix product: {figures[0]['gemm_gflop_per_second']:.0f} GFLOP/s\n\n{table(figures)}"
    )


if __name__ == "__main__":
    app.run(main)
