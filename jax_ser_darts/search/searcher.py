"""What searches share: the supernet, its optimisers and the compiled steps."""

import dataclasses
import json
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jax_ser_darts import optimisers
from jax_ser_darts.data.batches import steps_per_epoch
from jax_ser_darts.data.records import subset
from jax_ser_darts.devices import compilation, parallel
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.models.cell_network import sizes
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.supernet import Supernet, auxiliary_skip, init_alphas
from jax_ser_darts.ops import backend
from jax_ser_darts.search.early_stopping import Rules
from jax_ser_darts.search.search_step import (
    SearchState,
    SearchSteps,
    init_state,
    make_search_steps,
    supernet_loss,
)
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import Genotype
from jax_ser_darts.search_space.sequence_operations import sequence_operations
from jax_ser_darts.settings import Search, Settings


def make_supernet(config: Settings, *, classes: int, axis_name: str | None) -> Supernet:
    """The supernet of a config, or of one with a variant's section `search`."""
    s = config.search
    return Supernet(
        classes=classes,
        operations=config.space.operations,
        nodes=config.space.nodes,
        sequence_operations=sequence_operations(s.sequence),
        sequence_nodes=s.sequence_nodes,
        partial_channels=s.partial_channels,
        backend=backend.choose(s.custom_kernels),
        edges=s.edges,
        remat=s.remat,
        axis_name=axis_name,
        **sizes(s, config.model),
    )


@dataclasses.dataclass(frozen=True)
class Searcher:
    """What all searches with the same settings share: the compiled steps and the optimisers.

    Both orders of the same settings share one, so that neither compiles what the other has.

    Attributes:
        learning_rate: step -> that of the params, which is the second order's xi.
        added: step -> what it adds to the op weights; None is nothing.
    """

    experiment: Experiment
    settings: Search
    devices: Sequence[jax.Device]
    model: Supernet
    steps: SearchSteps
    steps_per_epoch: int
    fresh_state: Callable[[int], SearchState]
    learning_rate: Callable[[int], jax.Array]
    added: Callable[[jax.Array], dict] | None = None

    @property
    def rules(self) -> Rules:
        """What ends a search before its last epoch."""
        s = self.settings
        return Rules(
            skips=s.stop_skips,
            stable=s.stop_stable,
            ratio=s.stop_eigenvalue,
            window=s.stop_eigenvalue_window,
            delay=s.stop_eigenvalue_delay,
            start=s.stop_eigenvalue_start,
            operations=self.model.operations,
            sequence_operations=self.model.sequence_operations,
        )

    def derive(self, alphas: dict) -> Genotype:
        """The genotype that alphas stand for."""
        return genotypes.derive(alphas, self.model.operations, self.model.sequence_operations)


def make_searchers(experiment: Experiment) -> Callable[[str], Searcher]:
    """Method -> its searcher; methods that differ in their order alone have the same one."""
    searchers = {}

    def searcher_of(method: str) -> Searcher:
        _, settings = experiment.config.method(method)
        key = json.dumps(dataclasses.asdict(settings), sort_keys=True)
        if key not in searchers:
            searchers[key] = make_searcher(experiment, settings)
        return searchers[key]

    return searcher_of


def make_searcher(experiment: Experiment, settings: Search) -> Searcher:
    """Builds model, optimisers and steps; nothing is compiled before the first step.

    Args:
        experiment: its corpus, folds and shapes.
        settings: the section `search`, see `Settings.method`.
    """
    config, s = dataclasses.replace(experiment.config, search=settings), settings
    devices = parallel.devices_of_all(config.devices)
    model = make_supernet(config, classes=len(experiment.corpus.classes), axis_name=parallel.AXIS)
    steps_of_folds = [
        steps_per_epoch(subset(experiment.corpus, experiment.search_groups(fold)[0]), batch_size=s.batch_size)
        for fold in experiment.all_folds
    ]
    schedule = optimisers.cosine(
        start=s.learning_rate, end=s.final_learning_rate, steps=max(steps_of_folds) * s.epochs
    )
    tx = optimisers.sgd(schedule=schedule, momentum=s.momentum, weight_decay=s.weight_decay, clip=s.clip)
    alphas_tx = optimisers.adam_with_l2(
        learning_rate=s.alphas_learning_rate,
        betas=s.alphas_betas,
        weight_decay=s.alphas_weight_decay,
    )
    decay = optimisers.linear(start=s.auxiliary_skip, end=0.0, steps=max(steps_of_folds) * s.epochs)
    names = {"operations": model.operations, "sequence_operations": model.sequence_operations}

    def skips(step: jax.Array) -> dict:
        return auxiliary_skip(decay(step), **names)

    added = skips if s.auxiliary_skip or s.perturbation else None
    steps = make_search_steps(
        loss=supernet_loss(model, parallel.AXIS),
        tx=tx,
        alphas_tx=alphas_tx,
        devices=devices,
        hvp=s.hvp,
        hvp_epsilon=s.hvp_epsilon,
        neumann={"terms": s.neumann_terms, "rate": s.neumann_rate, "decay": s.weight_decay},
        with_curvature=s.eigenvalue,
        added=added,
        mapping=config.parallel,
        compiler_options=compilation.options(devices[0].platform, fast_math=config.fast_math),
    )

    def fresh_state(seed: int) -> SearchState:
        key = jax.random.key(seed)
        alphas = init_alphas(
            key,
            nodes=model.nodes,
            operations=len(model.operations),
            scale=s.alphas_scale,
            sequence_nodes=model.sequence_nodes,
            sequence_operations=len(model.sequence_operations),
            edge_normalisation=s.edge_normalisation,
        )
        shapes = (
            jax.ShapeDtypeStruct((1, experiment.frames, experiment.corpus.coefficients), jnp.float32),
            jax.ShapeDtypeStruct((1,), jnp.int32),
            alphas,
        )
        params = init_variables(model.clone(axis_name=None), seed, *shapes, train=False)["params"]
        return init_state(
            params=params,
            alphas=alphas,
            tx=tx,
            alphas_tx=alphas_tx,
            key=key,
            devices=devices,
        )

    return Searcher(
        experiment, settings, devices, model, steps, max(steps_of_folds), fresh_state, schedule, added
    )
