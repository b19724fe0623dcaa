"""The training loop of any network: from scratch, on one fold, stopped by its validation speakers.

The test part of the fold is not touched here; `evaluate` looks at it, once.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging

from jax_ser_darts import optimisers
from jax_ser_darts.data.batches import eval_batches, steps_per_epoch, train_batches
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.data.prefetch import prefetch
from jax_ser_darts.data.records import Subset, subset
from jax_ser_darts.devices import compilation, hosts, memory, parallel
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import Experiment, Part, claim
from jax_ser_darts.files import write_json
from jax_ser_darts.losses import DivergedError
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.network import count_parameters
from jax_ser_darts.rundir.checkpoints import CheckpointError, Checkpoints, checksum
from jax_ser_darts.rundir.checksums import checked, read_object
from jax_ser_darts.rundir.metrics import MetricsWriter
from jax_ser_darts.rundir.progress import Progress
from jax_ser_darts.scoring.confusion import unweighted_accuracy
from jax_ser_darts.settings.sections import Train
from jax_ser_darts.training.train_step import TrainState, TrainSteps, make_train_steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """What is trained: a network, and what is written down of it.

    Attributes:
        kind: "genotype" or "baseline": its entry in network.json, and the file beside its weights.
        value: what identifies it among its kind, as JSON has it.
        network: called as `models.network.Network`; its axis_name is parallel.AXIS.
        notes: further entries of network.json.
    """

    kind: str
    value: Any
    network: nn.Module
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for two designs whose networks are the same."""
        return json.dumps([self.kind, self.value], sort_keys=True)


@dataclasses.dataclass(frozen=True)
class Trainer:
    """A network with its compiled steps; folds and seeds share it."""

    experiment: Experiment
    devices: Sequence[jax.Device]
    design: Design
    tx: optax.GradientTransformation
    steps: TrainSteps
    steps_per_epoch: int

    def fresh_state(self, seed: int) -> TrainState:
        """The state before the first step."""
        network = self.design.network.clone(axis_name=None)
        variables = init_variables(network, seed, *self.experiment.shapes, train=False)
        state = TrainState(
            variables=variables,
            opt_state=self.tx.init(variables["params"]),
            step=jnp.zeros((), jnp.int32),
            key=jax.random.key(seed),
        )
        return parallel.replicate(state, self.devices)


def make_trainer(experiment: Experiment, design: Design) -> Trainer:
    """Builds optimiser and steps, the same for every design; nothing is compiled before the first step."""
    config, t = experiment.config, experiment.config.train
    devices = parallel.devices_of_all(config.devices)
    steps_of_folds = [
        steps_per_epoch(subset(experiment.corpus, fold.train), batch_size=t.batch_size)
        for fold in experiment.all_folds
    ]
    schedule = optimisers.cosine(
        start=t.learning_rate, end=t.final_learning_rate, steps=max(steps_of_folds) * t.epochs
    )
    if t.optimiser == "adamw":
        tx = optimisers.adamw(schedule=schedule, weight_decay=t.weight_decay, clip=t.clip)
    else:
        tx = optimisers.sgd(schedule=schedule, momentum=t.momentum, weight_decay=t.weight_decay, clip=t.clip)
    steps = make_train_steps(
        network=design.network,
        tx=tx,
        devices=devices,
        auxiliary_weight=t.auxiliary,
        label_smoothing=t.label_smoothing,
        drop_path=t.drop_path > 0,
        mapping=config.parallel,
        compiler_options=compilation.options(devices[0].platform, fast_math=config.fast_math),
    )
    return Trainer(experiment, devices, design, tx, steps, max(steps_of_folds))


def predict(trainer: Trainer, variables: dict, data: Subset, part: Part) -> np.ndarray:
    """Class probabilities of every utterance of `data`, in its order.

    Args:
        trainer: see `make_trainer`.
        variables: of the network.
        data: what to predict.
        part: the training data, for its normalisation.

    Returns:
        float `[n, classes]`.
    """
    batches = eval_batches(
        data,
        normalisation=part.normalisation,
        batch_size=trainer.experiment.config.train.batch_size,
        frames=trainer.experiment.frames,
        share=(hosts.index(), hosts.count()),
    )
    rows = np.zeros((len(data), len(data.corpus.classes)))
    place = {int(index): row for row, index in enumerate(data.indices)}
    for batch in batches:
        batch = parallel.shard(batch, trainer.devices)
        output = parallel.gather(trainer.steps.predict(variables, batch))
        for index, probabilities in zip(parallel.gather(batch["index"]), output, strict=True):
            if index >= 0:
                rows[place[int(index)]] = probabilities
    return rows


def train(trainer: Trainer, method: str, fold: Fold, seed: int) -> dict:
    """Trains one network, or resumes its training, or returns the summary of one that is done.

    Its best epoch is the one with the best UA on the validation speakers (the first of equals); without validation
    groups, the last one.

    Returns:
        What network.json holds: epoch, validation UA, parameters, seconds, normalisation, classes, the design, and
        which checkpoint has the weights, with their checksum.

    Raises:
        DivergedError: a loss is not finite.
        ConfigError: the folder holds the training of another design.
    """
    experiment, design, t = trainer.experiment, trainer.design, trainer.experiment.config.train
    name = f"train, {method}, fold {fold.index}, seed {seed}"
    folder = experiment.train_folder(method, fold, seed)
    claim(folder, design.kind, design.value)
    if (folder / "network.json").exists():
        logging.info("%s: done", name)
        return read_network(folder)

    part = experiment.train_part(fold)
    validation = subset(experiment.corpus, fold.validation) if fold.validation else None
    state = trainer.fresh_state(seed)
    best, best_epoch, epoch, seconds = (
        jax.tree.map(jnp.copy, state.variables),
        {"epoch": -1, "ua": -1.0},
        0,
        0.0,
    )
    with Checkpoints(folder / "checkpoints") as checkpoints:
        if restored := checkpoints.restore_latest({"state": state, "best": best}):
            epoch, trees, extra = restored
            state, best = trees["state"], trees["best"]
            best_epoch, seconds = extra["best_epoch"], extra["seconds"]
            logging.info("%s: resumes after epoch %d", name, epoch)
        batches = _batches(trainer, part, seed, first_step=epoch * trainer.steps_per_epoch)
        progress = Progress(
            total=t.epochs, initial=epoch, unit="epoch", description=name, enabled=hosts.is_primary()
        )
        with MetricsWriter(folder, start=epoch) as writer, progress:
            while not _is_over(t, epoch, best_epoch):
                started = time.monotonic()
                state, metrics = _epoch(trainer, state, batches, epoch)
                if not np.isfinite(metrics["train"]["loss"]):
                    raise DivergedError(
                        f"{name}, epoch {epoch}: the loss is not finite; lower config.train.learning_rate, in another "
                        "workdir"
                    )
                ua = 0.0
                if validation is not None:
                    ua = _unweighted_accuracy(trainer, state.variables, validation, part)
                    metrics["validation"] = {"ua": ua}
                if validation is None or ua > best_epoch["ua"]:
                    best, best_epoch = jax.tree.map(jnp.copy, state.variables), {"epoch": epoch, "ua": ua}
                seconds += time.monotonic() - started
                writer.write(epoch, {**metrics, "seconds": seconds})
                epoch += 1
                progress.update(1, loss=metrics["train"]["loss"], ua=ua)
                if epoch % t.checkpoint_epochs == 0 or _is_over(t, epoch, best_epoch):
                    extra = {"best_epoch": best_epoch, "seconds": seconds}
                    checkpoints.save(epoch, {"state": state, "best": best}, extra)
        batches.close()
    summary = {
        "method": method,
        "fold": dataclasses.asdict(fold),
        "seed": seed,
        "epoch": best_epoch["epoch"],
        "validation_ua": best_epoch["ua"] if fold.validation else None,
        "parameters": count_parameters(best),
        "seconds": seconds,
        "peak_memory": memory.peak_memory(),
        "classes": list(experiment.corpus.classes),
        "weights": {"checkpoint": epoch, "sha256": checksum(best)},
        design.kind: design.value,
        **design.notes,
        "normalisation": part.normalisation.to_json(),
    }
    write_json(folder / "network.json", summary)
    return read_network(folder)


def _is_over(t: Train, epoch: int, best_epoch: dict) -> bool:
    """Whether a training has had all its epochs, or as many without a better one as its patience allows."""
    is_patient = not t.patience or best_epoch["epoch"] < 0 or epoch - 1 - best_epoch["epoch"] < t.patience
    return epoch >= t.epochs or not is_patient


def _epoch(trainer: Trainer, state: TrainState, batches: Iterator, epoch: int) -> tuple[TrainState, dict]:
    """The state after an epoch, and the means of its metrics."""
    t, collected = trainer.experiment.config.train, []
    rate = np.float32(t.drop_path * epoch / t.epochs)  # grows with the epochs, as in DARTS
    for _ in range(trainer.steps_per_epoch):
        state, metrics = trainer.steps.train(state, next(batches), rate)
        collected.append(metrics)
    means = jax.tree.map(lambda *x: float(np.mean(x)), *jax.device_get(collected))
    return state, {"train": means}


def _unweighted_accuracy(trainer: Trainer, variables: dict, data: Subset, part: Part) -> float:
    """The UA of `data`, over the classes that are in it."""
    predictions = predict(trainer, variables, data, part).argmax(axis=-1)
    return unweighted_accuracy(data.labels, predictions, len(data.corpus.classes))


def read_network(folder: pathlib.Path) -> dict:
    """What `train` wrote to network.json; ConfigError where the file is damaged, or another."""
    return read_object(checked(folder / "network.json"), "parameters", "seconds", "validation_ua")


def check_design(folder: pathlib.Path, design: Design) -> dict:
    """network.json of a training that is done.

    Raises:
        ConfigError: it is the training of another design, or the file is damaged.
    """
    about = read_network(folder)
    if about.get(design.kind) != design.value:
        raise ConfigError(
            f"{folder} holds the training of another {design.kind} than the config asks for: use another --workdir, "
            "the setting that it was trained with (train.genotype, baselines.parameters, seed), or remove that folder "
            "and run --mode=train"
        )
    return about


def best_variables(trainer: Trainer, folder: pathlib.Path, seed: int) -> dict:
    """The variables of the best epoch of a finished training, on the trainer's devices.

    They are the ones that its network.json speaks of, or none: another epoch's would have other scores.

    Raises:
        ConfigError: they are not there, as of a network restored from an archive, or are damaged.
    """
    about = read_object(checked(folder / "network.json"), "weights")["weights"]
    state = trainer.fresh_state(seed)
    why = "the folder has no checkpoint, as that of a network restored from an archive"
    if (folder / "checkpoints").is_dir():
        try:
            with Checkpoints(folder / "checkpoints") as checkpoints:
                target = {"state": state, "best": state.variables}
                best = checkpoints.restore(about["checkpoint"], target)["best"]
            if checksum(best) == about["sha256"]:
                return best
            why = f"checkpoint {about['checkpoint']} has others (their SHA-256 is another)"
        except CheckpointError as error:
            why = str(error)
    raise ConfigError(
        f"{folder} lacks the weights that its network.json speaks of: {why}. Restore the folder, or remove it and run "
        "--mode=train"
    )


def _batches(trainer: Trainer, part: Part, seed: int, *, first_step: int) -> Generator[Any, None, None]:
    """Training batches on the devices, from a step on, without end."""
    t = trainer.experiment.config.train
    augmentation = t.augment
    stream = train_batches(
        part.data,
        normalisation=part.normalisation,
        batch_size=t.batch_size,
        frames=trainer.experiment.frames,
        seed=seed,
        step=first_step,
        weights=part.weights,
        augmentation=augmentation if augmentation.changes else None,
        share=(hosts.index(), hosts.count()),
    )
    return prefetch(stream, lambda batch: parallel.shard(batch, trainer.devices))
