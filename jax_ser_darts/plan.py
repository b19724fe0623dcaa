"""--mode=plan: what a run will take of each device's memory, before it is run.

The config's own programs are lowered and compiled for its devices, from shapes alone, and XLA says what each of them
takes: nothing is run, and no corpus is read. Utterances are taken as long as `config.features.seconds` lets them be,
so a corpus of shorter ones needs less. What a step holds is

    state         params, alphas, their optimisers
    copies        of the second order: gradient, virtual params, gradient at them, v (see `bilevel.second_order`);
                  of the training: the best params so far
    batches       the one at work and those prepared ahead
    temporary     XLA's, of the program that takes most: activations and work space
    results       that program's

and the sum is what is wanted of a device. Activations are told from work space by a second compilation, of a smaller
batch: they grow with the batch, the rest does not.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from jax_ser_darts import bilevel
from jax_ser_darts.data import prefetch
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.data.records import Corpus
from jax_ser_darts.devices import parallel
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.models.network import count_parameters
from jax_ser_darts.search.searcher import make_searchers
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.settings import Settings
from jax_ser_darts.training.designs import genotype_design, random_design
from jax_ser_darts.training.train import make_trainer

GIB = 2**30
UNKNOWN_CLASSES = 8  # of a corpus whose emotions the config does not name; a class takes next to nothing
SHARE = 0.9  # of a device's memory that may be planned with: the rest goes to fragments and to the runtime
ROUNDS = 4  # sizes that are compiled to find the largest batch, a step, and
NEAR = 0.95  # share of the limit at which the search for it ends
LARGEST = 2**14  # utterances a device: no larger batch is looked for


@dataclasses.dataclass(frozen=True)
class Need:
    """Bytes that one step takes of a device, at one batch.

    Attributes:
        state, copies, batches, temporary, results: see the module.
        program: whose temporary memory and results these are.
    """

    state: int
    copies: int
    batches: int
    temporary: int
    results: int
    program: str

    @property
    def total(self) -> int:
        """All of it."""
        return self.state + self.copies + self.batches + self.temporary + self.results


@dataclasses.dataclass(frozen=True)
class Row:
    """A step's line in the table.

    Attributes:
        name: of the search variant, or "train".
        parameters: trained numbers, alphas apart.
        batch: over all devices, the config's.
        need: at this batch.
        activations: bytes of the temporary memory that grow with the batch.
        largest: the largest batch over all devices that was seen to fit, compiled; None if the smallest does not.
    """

    name: str
    parameters: int
    batch: int
    need: Need
    activations: int
    largest: int | None


@dataclasses.dataclass(frozen=True)
class Step:
    """What is planned: a step as a function of the utterances a device.

    Attributes:
        name: see `Row`.
        parameters: see `Row`.
        need: utterances a device -> Need; compiles.
    """

    name: str
    parameters: int
    need: Callable[[int], Need]


def plan(config: Settings, *, memory: float = 0.0) -> str:
    """The table of a config.

    Args:
        config: see `checks.check`.
        memory: GiB of a device; 0 asks the device.

    Raises:
        ConfigError: a batch cannot be divided over the devices, or nothing is known of their memory.
    """
    count = config.devices or len(parallel.local_devices())
    # As many devices as are here stand for all of the config's: each takes its share of the batch in any case.
    here = parallel.local_devices(min(count, len(parallel.local_devices())))
    sizes = {"search": config.search.batch_size, "train": config.train.batch_size}
    for part, size in sizes.items():
        if size % count:
            raise ConfigError(f"config.{part}.batch_size = {size} cannot be divided over {count} devices")
    available = memory * GIB or device_memory(here)
    experiment = stand_in(dataclasses.replace(config, devices=len(here)))
    compiler = Compiler()
    rows = []
    for part, step in [*search_steps(experiment, here, compiler), train_step(experiment, here, compiler)]:
        rows.append(_row(step, sizes[part], count, available * SHARE))
    return table(rows, experiment, here, count=count, available=available)


def device_memory(devices: Sequence[jax.Device]) -> float:
    """Bytes of one of the devices; CPU devices share the machine's.

    Raises:
        ConfigError: the device does not tell.
    """
    stats = devices[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    if devices[0].platform == "cpu":
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / len(devices)
    raise ConfigError(f"{devices[0]} does not tell its memory: give --memory, in GiB")


def stand_in(config: Settings) -> Experiment:
    """The config's experiment on a corpus of its sizes, whose speakers say nothing: it lends shapes alone."""
    settings = config.features
    frames = settings.num_frames(settings.max_samples)
    classes = sorted(set(config.data.emotions.values())) or [str(i) for i in range(UNKNOWN_CLASSES)]
    groups = [f"speaker_{i}" for i in range(3)]
    each = len(classes)
    count = each * len(groups)
    names = np.repeat(groups, each)
    corpus = Corpus(
        classes=tuple(classes),
        groups={name: (name,) for name in groups},
        features=(np.zeros((frames, settings.coefficients), np.float32),) * count,
        num_frames=np.full(count, frames, np.int32),
        label=np.tile(np.arange(each, dtype=np.int32), len(groups)),
        id=np.arange(count).astype(str),
        speaker=names,
        group=names,
        sex=np.full(count, ""),
        metadata={},
    )
    fold = Fold(0, test=(groups[0],), validation=(), train=tuple(groups[1:]))
    return Experiment(config, pathlib.Path(), corpus, (fold,), (fold,))


class Compiler:
    """Compiles each program once a size, and says how far it is and how long each took."""

    def __init__(self):
        self._done: dict[tuple, Any] = {}

    def __call__(self, name: str, program: jax.stages.Wrapped, size: int, *arguments: Any) -> Any:
        """XLA's memory analysis of `program` at `size` utterances a device."""
        key = (program, size)
        if key not in self._done:
            logging.info("Plan: compiling %s at %d utterances a device; this can take minutes", name, size)
            started = time.monotonic()
            self._done[key] = program.lower(*arguments).compile().memory_analysis()
            logging.info("Plan: compiled in %.0f s (program %d)", time.monotonic() - started, len(self._done))
        return self._done[key]


def search_steps(
    experiment: Experiment, devices: Sequence[jax.Device], compiler: Compiler
) -> Iterator[tuple[str, Step]]:
    """("search", step) of each search variant that the config runs: none where it names a genotype."""
    if experiment.config.train.genotype:
        return
    searcher_of = make_searchers(experiment)
    for method in experiment.config.search.methods:
        order, settings = experiment.config.method(method)
        searcher = searcher_of(method)
        state = searcher.fresh_state(0)
        yield "search", _search_step(method, order, settings, searcher, state, devices, compiler)


def _search_step(method, order, settings, searcher, state, devices, compiler):
    gradients = searcher.steps.programs
    programs = {"gradient of both": gradients.grad_both}
    if order == bilevel.FIRST or settings.hvp == bilevel.FINITE_DIFFERENCES:
        programs["gradient of the alphas"] = gradients.grad_alphas
    if order == bilevel.IMPLICIT or (order == bilevel.SECOND and settings.hvp == bilevel.EXACT):
        programs["mixed product"] = gradients.hvp_mixed
    if order == bilevel.IMPLICIT and settings.neumann_terms:
        programs["product of the params"] = gradients.hvp_params
    if settings.eigenvalue:
        programs["product of the alphas"] = gradients.hvp_alphas
    vectors = {
        "mixed product": state.params,
        "product of the params": state.params,
        "product of the alphas": state.alphas,
    }
    added = (searcher.added(state.step),) if searcher.added else ()
    copies = 4 * _bytes(state.params) if order != bilevel.FIRST else 0

    def need(size):
        batch = _batch(searcher.experiment, size, devices)
        arguments = (state.params, state.alphas, (batch, state.key, *added))
        analyses = {
            name: compiler(name, program, size, *arguments, *([vectors[name]] if name in vectors else []))
            for name, program in programs.items()
        }
        return _need(analyses, state, copies, 2 * _bytes(batch) // len(devices))

    return Step(method, count_parameters({"params": state.params}), need)


def train_step(experiment: Experiment, devices: Sequence[jax.Device], compiler: Compiler) -> tuple[str, Step]:
    """("train", step): of `train.genotype`, or of a random architecture where none is found yet."""
    path = experiment.config.train.genotype
    design = genotype_design(experiment, genotypes.load(path)) if path else random_design(experiment, 0, 0)
    trainer = make_trainer(experiment, design)
    state = trainer.fresh_state(0)
    rate = np.float32(0)

    def need(size):
        batch = _batch(experiment, size, devices)
        analysis = compiler("the training step", trainer.steps.train, size, state, batch, rate)
        best = _bytes(state.variables)
        return _need({"training step": analysis}, state, best, _bytes(batch) // len(devices))

    return "train", Step("train", count_parameters(state.variables), need)


def _need(analyses: Mapping[str, Any], state: Any, copies: int, batches: int) -> Need:
    results = lambda a: max(a.output_size_in_bytes - a.alias_size_in_bytes, 0)
    name = max(analyses, key=lambda n: analyses[n].temp_size_in_bytes + results(analyses[n]))
    most = analyses[name]
    ahead = prefetch.DEPTH + 1
    return Need(_bytes(state), copies, ahead * batches, most.temp_size_in_bytes, results(most), program=name)


def _row(step: Step, batch: int, devices: int, limit: float) -> Row:
    size = batch // devices
    other = size // 2 or 2
    need, less = step.need(size), step.need(other)
    slope = max((need.temporary - less.temporary) / (size - other), 0.0)
    largest = largest_size(step.need, {size: need, other: less}, limit)
    return Row(
        step.name,
        step.parameters,
        batch,
        need,
        min(round(slope * size), need.temporary),
        None if largest is None else largest * devices,
    )


def largest_size(need: Callable[[int], Need], known: Mapping[int, Need], limit: float) -> int | None:
    """The largest number of utterances a device whose need is known to be within the limit.

    Need grows nearly in a line, so the line through two known sizes names the next to try.

    Args:
        need: of a size.
        known: two sizes at least, and their needs.
        limit: bytes.
    """
    known = dict(known)
    for _ in range(ROUNDS):
        fits = [size for size in known if known[size].total <= limit]
        fails = [size for size in known if known[size].total > limit]
        if fits and max(known[size].total for size in fits) >= NEAR * limit:
            break
        low, high = sorted(known)[-2:] if not fails else _around(known, fits, fails)
        slope = (known[high].total - known[low].total) / (high - low)
        if slope <= 0:
            break
        guess = int(low + (limit - known[low].total) / slope)
        if fails:
            guess = min(guess, min(fails) - 1)
        guess = min(max(guess, 1), LARGEST)
        if guess in known:
            break
        known[guess] = need(guess)
    return max((size for size in known if known[size].total <= limit), default=None)


def _around(known, fits, fails):
    """The two sizes between which, or below which, the limit is crossed."""
    if fits:
        return max(fits), min(fails)
    return tuple(sorted(known)[:2])


def _batch(experiment: Experiment, size: int, devices: Sequence[jax.Device]) -> dict:
    """Shapes of a batch of `size` utterances a device, as `parallel.shard` lays it out."""
    mesh = jax.sharding.Mesh(np.asarray(devices), (parallel.AXIS,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(parallel.AXIS))
    utterance = {
        "features": ((experiment.frames, experiment.corpus.coefficients), jnp.float32),
        "num_frames": ((), jnp.int32),
        "label": ((), jnp.int32),
        "weight": ((), jnp.float32),
        "index": ((), jnp.int32),
    }
    return {
        name: jax.ShapeDtypeStruct((len(devices), size, *shape), dtype, sharding=sharding)
        for name, (shape, dtype) in utterance.items()
    }


def _bytes(tree: Any) -> int:
    """Of arrays or their shapes, as one array each."""

    def size(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        return leaf.size * np.dtype(leaf.dtype).itemsize

    return sum(map(size, jax.tree.leaves(tree)))


def table(
    rows: Sequence[Row], experiment: Experiment, here: Sequence[jax.Device], *, count: int, available: float
) -> str:
    """The rows as text; memory of one device, in MiB."""
    columns = ("parameters", "state", "copies", "batches", "activations", "work space", "results", "total")
    mib = lambda n: f"{n / 2**20:,.1f}"
    lines = [
        f"{experiment.corpus.coefficients} coefficients, up to {experiment.frames} frames "
        f"({experiment.config.features.seconds:g} s), {count} device(s), compiled for {len(here)} x "
        f"{here[0].device_kind}; {available / GIB:.1f} GiB a device, of which {SHARE:.0%} are planned with",
        "MiB of one device:",
        f"{'':<20}{'batch':>7}" + "".join(f"{c:>13}" for c in columns) + f"{'largest batch':>15}",
    ]
    for row in rows:
        n = row.need
        work = n.temporary - row.activations
        sizes = (n.state, n.copies, n.batches, row.activations, work, n.results, n.total)
        fits = "none seen" if row.largest is None else f"{row.largest:,}"
        fits += "+" if row.largest == LARGEST * count else ""
        lines.append(
            f"{row.name:<20}{row.batch:>7}{row.parameters:>13,}"
            + "".join(f"{mib(x):>13}" for x in sizes)
            + f"{fits:>15}"
        )
    for row in rows:
        if row.need.total > available * SHARE:
            part = "train" if row.name == "train" else "search"
            lines.append(
                f"{row.name} does NOT fit: config.{part}.batch_size = {row.batch} needs {row.need.total / GIB:.2f} "
                "GiB a device. Take a smaller batch or more devices"
                + (", or config.search.remat=True." if part == "search" else ".")
            )
    return "\n".join(lines)
