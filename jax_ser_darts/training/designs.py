"""Every network that a config asks for: found, drawn at random, designed by hand; all are trained alike."""

import functools
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from jax_ser_darts.devices import parallel
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.models import cell_network
from jax_ser_darts.models.baselines import (
    PAPER,
    make,
    matched_width,
    paper_sizes,
    parameters,
    sizes,
)
from jax_ser_darts.models.network import Network
from jax_ser_darts.rundir.checksums import read_sealed, write_sealed
from jax_ser_darts.rundir.layout import MATCHED_FILE
from jax_ser_darts.search_space.genotype import Genotype, random_genotype
from jax_ser_darts.search_space.sequence_operations import sequence_operations
from jax_ser_darts.settings import Settings
from jax_ser_darts.training.spaces import RANDOM, Space, random_spaces
from jax_ser_darts.training.train import Design

GIVEN_GENOTYPE = "genotype"  # the method's name where train.genotype names a file


def genotype_design(experiment: Experiment, genotype: Genotype, **notes: Any) -> Design:
    """The network of a genotype at the config's size."""
    network = _network(experiment, genotype, parallel.AXIS)
    return Design(kind="genotype", value=genotype.to_json(), network=network, notes=notes)


def random_design(experiment: Experiment, draw: int, fold: int, method: str = RANDOM) -> Design:
    """The draw-th random architecture of a fold (its index), from a random method's search space.

    Each fold has draws of its own, as it has searches of its own: else the luck of few draws would be common to all
    test speakers, whom the tests of a comparison take as independent.
    """
    config, seed = experiment.config, random_seed(experiment.config, draw, fold)
    sequence = Space.of(config.search) if method == RANDOM else random_spaces(config)[method]
    genotype = random_genotype(
        np.random.default_rng(seed),
        nodes=config.space.nodes,
        operations=config.space.operations,
        sequence_nodes=sequence.nodes,
        sequence_operations=sequence_operations(sequence.sequence),
    )
    return genotype_design(experiment, genotype, random_seed=seed)


def random_seed(config: Settings, draw: int, fold: int) -> list[int]:
    """The seed of one random architecture, as its network.json has it."""
    return [config.seed, draw, fold]


def baseline_design(
    experiment: Experiment, kind: str, size: str, found: Mapping[str, Sequence[Genotype]]
) -> Design:
    """A hand-designed network at the published size, or of as many parameters as the found ones."""
    model = functools.partial(
        make,
        kind,
        classes=len(experiment.corpus.classes),
        dropout=experiment.config.train.dropout,
        momentum=experiment.config.train.bn_momentum,
    )
    if size == PAPER:
        chosen, notes = paper_sizes(kind), {}
    else:
        target = matched_parameters(experiment, found)
        count = functools.cache(
            lambda width: parameters(model(axis_name=None, **sizes(kind, width)), *experiment.shapes)
        )
        width = matched_width(count, target)
        chosen, notes = sizes(kind, width), {"matched_parameters": target}
        logging.info(
            "%s with %s has %d parameters, %+.1f %% of %d",
            kind,
            chosen,
            count(width),
            100 * (count(width) / target - 1),
            target,
        )
    network = model(**chosen, axis_name=parallel.AXIS)
    return Design(kind="baseline", value={"name": kind, "size": size, **chosen}, network=network, notes=notes)


def matched_parameters(experiment: Experiment, found: Mapping[str, Sequence[Genotype]]) -> int:
    """How many parameters the matched size aims at: baselines.parameters, or the mean of the found networks.

    The mean is taken once and written to the workdir, so that what a later run adds is matched to the same number.
    """
    if size := known_size(experiment.config, experiment.workdir):
        return size
    count = functools.cache(
        lambda genotype: parameters(_network(experiment, genotype, None), *experiment.shapes)
    )
    mean = round(statistics.fmean(count(genotype) for genotypes in found.values() for genotype in genotypes))
    write_sealed(experiment.workdir / MATCHED_FILE, {"parameters": mean, "methods": sorted(found)})
    return mean


def known_size(config: Settings, workdir: pathlib.Path) -> int:
    """The matched size as baselines.parameters gives it, or an earlier run; 0 where neither does.

    Raises:
        ConfigError: the file of an earlier run is damaged.
    """
    path = workdir / MATCHED_FILE
    if config.baselines.parameters or not path.exists():
        return config.baselines.parameters
    return read_sealed(path, "parameters")["parameters"]


def _network(experiment: Experiment, genotype: Genotype, axis_name: str | None) -> Network:
    t = experiment.config.train
    return Network(
        classes=len(experiment.corpus.classes),
        genotype=genotype,
        auxiliary=t.auxiliary > 0,
        momentum=t.bn_momentum,
        axis_name=axis_name,
        **cell_network.sizes(t, experiment.config.model),
    )
