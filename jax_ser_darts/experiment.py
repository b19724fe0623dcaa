"""What search, training and evaluation agree on: the corpus, its folds, the shapes, and where results lie."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from jax_ser_darts.data.batches import class_weights
from jax_ser_darts.data.folds import Fold, given_folds, halves, make_folds, official_fold
from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.data.records import Corpus, Subset, subset
from jax_ser_darts.devices import hosts, parallel
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import write_json
from jax_ser_darts.rundir import layout
from jax_ser_darts.settings import Settings

FRAMES_MULTIPLE = 4  # two reductions of the cells leave whole frames


def records_root(config: Settings, workdir: pathlib.Path) -> pathlib.Path:
    """The folder of all records: data.records, or one of the workdir."""
    return pathlib.Path(config.data.records or workdir / "records").expanduser()


@dataclasses.dataclass(frozen=True)
class Part:
    """Training data of one fold, and what is known from it alone.

    Attributes:
        data: the utterances.
        normalisation: of these utterances.
        weights: of the classes, `[classes]`, or None for 1 each.
    """

    data: Subset
    normalisation: Normalisation
    weights: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A config applied to a corpus.

    Attributes:
        config: the settings.
        workdir: where results lie.
        corpus: all utterances.
        folds: those to run.
        all_folds: every fold: what all of them share, such as the length of a schedule, does not depend on which run.
    """

    config: Settings
    workdir: pathlib.Path
    corpus: Corpus
    folds: tuple[Fold, ...]
    all_folds: tuple[Fold, ...]

    @property
    def frames(self) -> int:
        """T of every batch."""
        return self.corpus.frames(multiple=FRAMES_MULTIPLE)

    @property
    def shapes(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """What a network takes of one utterance: features `[1, T, F]` and num_frames `[1]`."""
        features = jax.ShapeDtypeStruct((1, self.frames, self.corpus.coefficients), jnp.float32)
        return features, jax.ShapeDtypeStruct((1,), jnp.int32)

    @property
    def test_speakers(self) -> set[str]:
        """All who are tested, in whatever fold."""
        return {who for fold in self.folds for group in fold.test for who in self.corpus.groups[group]}

    def search_groups(self, fold: Fold) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The speaker groups for the weights and for the alphas: disjoint, none of them of the test part.

        Raises:
            FoldError: there are fewer than two.
        """
        names = sorted({*fold.train, *fold.validation})
        groups = {name: self.corpus.groups[name] for name in names}
        sexes = {name: sex for name, sex in self.corpus.group_sexes().items() if name in groups}
        share = self.config.search.params_share
        return halves(groups, share=share, seed=self.config.folds.seed, sexes=sexes)

    def search_parts(self, fold: Fold) -> tuple[Part, Part]:
        """Data for the weights and for the alphas, both normalised by the statistics of the weights' part.

        Raises:
            ConfigError: a class has no utterance in one of them, so that it cannot be weighted.
            FoldError: see `search_groups`.
        """
        halves_of_it = self._search_data(fold)
        normalisation = Normalisation.of(halves_of_it[0][0])
        for_params, for_alphas = (Part(data, normalisation, weights) for data, weights in halves_of_it)
        return for_params, for_alphas

    def train_part(self, fold: Fold) -> Part:
        """Data to train on, whatever the method.

        Raises:
            ConfigError: a class has no utterance in it, so that it cannot be weighted.
        """
        data, weights = self._train_data(fold)
        return Part(data, Normalisation.of(data), weights)

    def check(self, fold: Fold) -> None:
        """Whether a fold can be searched and trained; errors as of the parts, whose frames are not looked at."""
        self._train_data(fold)
        if self.config.search.methods and not self.config.train.genotype:
            self._search_data(fold)

    def search_folder(self, method: str, fold: Fold, seed: int) -> pathlib.Path:
        """Where a search writes its results."""
        return layout.search_folder(self.workdir, method, seed=seed, fold=fold.index)

    def train_folder(self, network: str, fold: Fold, seed: int) -> pathlib.Path:
        """Where a training writes its results; see layout.py for the networks' names."""
        return layout.train_folder(self.workdir, network, fold=fold.index, seed=seed)

    def _train_data(self, fold):
        return self._weighted(fold.train, self.config.train.class_weights, "the training speakers", fold)

    def _search_data(self, fold):
        weighted, whose = self.config.search.class_weights, "a half of the search's speakers"
        return [self._weighted(groups, weighted, whose, fold) for groups in self.search_groups(fold)]

    def _weighted(self, groups, weighted, whose, fold):
        data = subset(self.corpus, groups)
        try:
            return data, class_weights(data.labels, self.corpus.classes) if weighted else None
        except ValueError as error:
            raise ConfigError(f"fold {fold.index}, {whose}: {error}") from None


def set_up(config: Settings, workdir: pathlib.Path, corpus: Corpus) -> Experiment:
    """The experiment: the folds that the settings ask for, of which those that `folds.run` names are run.

    Raises:
        FoldError: the corpus has too few speakers for the config, or not the groups that it names.
        ConfigError: there is no such fold, a class has no utterance to train on, or to search on, in one, or there
            is one class alone, which is always found.
    """
    folds = _folds(config, corpus)
    run = config.folds.run or tuple(range(len(folds)))
    if unknown := [index for index in run if not 0 <= index < len(folds)]:
        raise ConfigError(f"config.folds.run: there is no fold {unknown[0]} among {len(folds)}")
    chosen = tuple(folds[index] for index in run)
    experiment = Experiment(config, pathlib.Path(workdir), corpus, chosen, tuple(folds))
    _check_classes(experiment)
    for fold in chosen:
        experiment.check(fold)
    return experiment


def _check_classes(experiment: Experiment) -> None:
    """That two classes are tested, by all folds together: one alone is always found, with a UA of 1."""
    tested = subset(experiment.corpus, {group for fold in experiment.folds for group in fold.test}).counts
    present = [name for name, count in tested.items() if count]
    if len(present) < 2:
        whose = "the corpus" if len(tested) < 2 else "the test speakers"
        raise ConfigError(
            f"{whose}: every utterance is of one class, {present[0]}, and whatever says so is always right: "
            "choose more classes (config.data.emotions), or other folds (config.folds)"
        )


def _folds(config: Settings, corpus: Corpus) -> list[Fold]:
    """The corpus's own fold, those whose tests the config names, or an even division of the groups."""
    if config.data.group_by == "part":
        return [official_fold(corpus.groups, parts=corpus.metadata["parts"])]
    settings, sexes = config.folds, corpus.group_sexes()
    if settings.test:
        return given_folds(
            corpus.groups,
            tests=settings.test,
            validation_groups=settings.validation_groups,
            seed=settings.seed,
            sexes=sexes,
        )
    return make_folds(
        corpus.groups,
        count=settings.count,
        balance=corpus.group_counts(),
        validation_groups=settings.validation_groups,
        seed=settings.seed,
        sexes=sexes,
    )


def claim(folder: pathlib.Path, kind: str, value: Any) -> None:
    """Makes a training's folder that of one design: `value`, as JSON has it, lies in KIND.json from then on.

    Raises:
        ConfigError: the folder holds the training of another one.
    """
    path = folder / f"{kind}.json"
    if path.exists():
        try:
            same = json.loads(path.read_text()) == value
        except ValueError as error:
            raise ConfigError(f"{path} is damaged ({error}): use another --workdir") from None
        if not same:
            raise ConfigError(
                f"{folder} holds the training of another {kind} ({path}): use another --workdir for this one"
            )
    write_json(path, value)


def check_devices(config: Settings) -> None:
    """Whether the devices are there and can share the batches evenly; logs where they are mapped otherwise than asked.

    Raises:
        ConfigError: they cannot; the message has the nearest batch size that can be.
    """
    try:
        count = len(parallel.devices_of_all(config.devices))
    except ValueError as error:
        raise ConfigError(f"config.devices = {config.devices}: {error}") from None
    if parallel.mapping_of(config.parallel) != config.parallel:
        logging.info(
            "config.parallel = %r reaches no device of another process: these %d processes take %r",
            config.parallel,
            hosts.count(),
            parallel.mapping_of(config.parallel),
        )
    for part, size in (("search", config.search.batch_size), ("train", config.train.batch_size)):
        if size % count:
            raise ConfigError(
                f"config.{part}.batch_size = {size} cannot be divided over {count} devices: take "
                f"{max(round(size / count), 1) * count}, or fewer devices by config.devices"
            )
