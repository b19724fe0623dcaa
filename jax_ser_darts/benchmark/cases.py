"""The steps that are measured, on random numbers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ser_darts import bilevel, optimisers
from jax_ser_darts.devices import hosts, parallel
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.network import Network
from jax_ser_darts.models.relaxed import UNROLL
from jax_ser_darts.models.supernet import Supernet, init_alphas
from jax_ser_darts.ops import backend
from jax_ser_darts.search.search_step import init_state, make_search_steps, supernet_loss
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.search_space.operations import OPERATIONS
from jax_ser_darts.search_space.sequence_operations import sequence_operations
from jax_ser_darts.training.train_step import TrainState, make_train_steps

SEARCHES = {
    "first": (bilevel.FIRST, bilevel.EXACT),
    "second": (bilevel.SECOND, bilevel.EXACT),
    "second_differences": (bilevel.SECOND, bilevel.FINITE_DIFFERENCES),
}
WHAT = (*SEARCHES, "train", "evaluate")
CLASSES = 4

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


@dataclasses.dataclass(frozen=True)
class Setting:
    """The size of what is measured, and how it is compiled."""

    batch: int
    frames: int
    coefficients: int
    cells: int
    nodes: int
    channels: int
    sequence: str
    sequence_cells: int
    sequence_width: int
    edges: str
    remat: bool
    custom_kernels: bool
    devices: Sequence[jax.Device]
    compiler_options: dict
    genotype: Genotype = DARTS_V2


class Case(NamedTuple):
    """One kind of step.

    Attributes:
        compile: compiles all it needs, and runs it once.
        step: does one step.
        programs: {program: (its arguments, how often a step calls it)}.
        gflop: () -> arithmetic of a step; traces it once more.
    """

    compile: Callable
    step: Callable
    programs: dict
    gflop: Callable[[], float]


def make_case(what: str, setting: Setting) -> Case:
    """A step by its name in `WHAT`."""
    return _search(what, setting) if what in SEARCHES else _network(what, setting)


def _random_batch(setting, seed):
    """Full-length utterances of random numbers, on the devices; of several processes each makes its share."""
    rng = np.random.default_rng(seed)
    size = setting.batch
    batch = {
        "features": rng.standard_normal((size, setting.frames, setting.coefficients), np.float32),
        "num_frames": np.full(size, setting.frames, np.int32),
        "label": rng.integers(0, CLASSES, size).astype(np.int32),
        "weight": np.ones(size, np.float32),
    }
    return parallel.shard(
        {name: x[hosts.index() :: hosts.count()] for name, x in batch.items()}, setting.devices
    )


def _one_utterance(batch):
    """Shapes of one utterance of a sharded batch, as a model takes them."""
    return tuple(
        jax.ShapeDtypeStruct((1, *batch[x].shape[2:]), batch[x].dtype) for x in ("features", "num_frames")
    )


def _on_one_device(batch, size):
    """Shapes of a sharded batch as one array each, `[B, ...]`."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape[2:]), x.dtype), batch)


def _shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree)


def _flops(function: Callable, *arguments: Any) -> float:
    """XLA's count of the arithmetic of a function, before optimisation: nothing is compiled."""
    cost = jax.jit(function).lower(*arguments).cost_analysis()
    if cost is None:
        raise RuntimeError(f"the compiler of {jax.default_backend()} does not count arithmetic")
    return cost["flops"]


def _search(what, setting):
    order, hvp = SEARCHES[what]
    model = Supernet(
        classes=CLASSES,
        operations=OPERATIONS,
        cells=setting.cells,
        nodes=setting.nodes,
        channels=setting.channels,
        sequence_operations=sequence_operations(setting.sequence),
        sequence_cells=setting.sequence_cells,
        sequence_nodes=setting.nodes,
        sequence_width=setting.sequence_width,
        backend=backend.choose(setting.custom_kernels),
        edges=setting.edges,
        remat=setting.remat,
        axis_name=parallel.AXIS,
    )
    optimiser = {
        "tx": optimisers.sgd(
            schedule=optimisers.cosine(start=0.025, end=0.001, steps=1000),
            momentum=0.9,
            weight_decay=3e-4,
            clip=5.0,
        ),
        "alphas_tx": optimisers.adam_with_l2(learning_rate=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
    }
    steps = make_search_steps(
        loss=supernet_loss(model, parallel.AXIS),
        devices=setting.devices,
        hvp=hvp,
        compiler_options=setting.compiler_options,
        **optimiser,
    )
    alphas = init_alphas(
        jax.random.key(0),
        nodes=model.nodes,
        operations=len(OPERATIONS),
        scale=1e-3,
        sequence_nodes=model.sequence_nodes,
        sequence_operations=len(model.sequence_operations),
    )
    train, val = (_random_batch(setting, seed) for seed in range(2))
    alone = model.clone(axis_name=None, edges=UNROLL, remat=False)
    params = init_variables(alone, 0, *_one_utterance(train), alphas, train=False)["params"]
    state = init_state(
        params=params, alphas=alphas, key=jax.random.key(0), devices=setting.devices, **optimiser
    )

    def step():
        nonlocal state
        state, _ = steps.update_alphas(state, train, val, order)
        state, _ = steps.update_params(state, train)
        return state

    counts = {"grad_both": 1, "grad_alphas": 1}
    if order == bilevel.SECOND:
        exact = {"hvp_mixed": 1} if hvp == bilevel.EXACT else {"grad_alphas": 2}
        counts = {"grad_both": 3, **exact}
    gradients = bilevel.make_gradients(supernet_loss(alone, None))
    at = (*_shapes((params, alphas)), (_on_one_device(train, setting.batch), jax.random.key(0)))
    extra = {"hvp_mixed": at[:1]}

    def gflop():
        each = (n * _flops(getattr(gradients, name), *at, *extra.get(name, ())) for name, n in counts.items())
        return sum(each) / 1e9

    here = (state.params, state.alphas, (train, state.key))
    programs = {
        getattr(steps.programs, name): ((*here, *((state.params,) if name in extra else ())), n)
        for name, n in counts.items()
    }
    return Case(lambda: steps.compile(state, train, val, order), step, programs, gflop)


def _network(what, setting):
    network = Network(
        classes=CLASSES,
        genotype=setting.genotype,
        cells=setting.cells,
        channels=setting.channels,
        sequence_cells=setting.sequence_cells,
        sequence_width=setting.sequence_width,
        backend=backend.choose(setting.custom_kernels),
        axis_name=parallel.AXIS,
    )
    tx = optimisers.adamw(
        schedule=optimisers.cosine(start=1e-3, end=1e-5, steps=1000), weight_decay=1e-3, clip=5.0
    )
    steps = make_train_steps(
        network=network,
        tx=tx,
        devices=setting.devices,
        auxiliary_weight=0.0,
        label_smoothing=0.0,
        drop_path=False,
        compiler_options=setting.compiler_options,
    )
    batch = _random_batch(setting, 0)
    variables = init_variables(network.clone(axis_name=None), 0, *_one_utterance(batch), train=False)
    state = parallel.replicate(
        TrainState(
            variables=variables,
            opt_state=tx.init(variables["params"]),
            step=jnp.zeros((), jnp.int32),
            key=jax.random.key(0),
        ),
        setting.devices,
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

    whole = _on_one_device([batch["features"], batch["num_frames"]], setting.batch)
    if what == "train":
        gflop = lambda: _flops(jax.grad(arithmetic), _shapes(variables["params"]), *whole) / 1e9
        return Case(train, train, {steps.train: ((state, batch, rate), 1)}, gflop)
    predict = lambda: steps.predict(state.variables, batch)
    gflop = lambda: _flops(arithmetic, _shapes(variables["params"]), *whole) / 1e9
    return Case(predict, predict, {steps.predict: ((state.variables, batch), 1)}, gflop)
