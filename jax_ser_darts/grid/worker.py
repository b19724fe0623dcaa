"""Does jobs, one after the other, in the process that it is made in."""

import dataclasses
import pathlib
import time
from typing import Any

from absl import logging

from jax_ser_darts.data import records
from jax_ser_darts.devices import compilation, memory
from jax_ser_darts.experiment import Experiment, check_devices, set_up
from jax_ser_darts.extensions import load_extensions
from jax_ser_darts.grid.jobs import SEARCH, SVM, TRAIN, Job, check_searched, given, search_jobs, train_jobs
from jax_ser_darts.models.cost import flops
from jax_ser_darts.rundir import checksums, layout
from jax_ser_darts.rundir.checksums import read_object
from jax_ser_darts.rundir.environment import run_with
from jax_ser_darts.search.search import search
from jax_ser_darts.search.searcher import make_searchers
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import Genotype
from jax_ser_darts.settings import from_json
from jax_ser_darts.training import designs, evaluate, svm
from jax_ser_darts.training.spaces import is_random
from jax_ser_darts.training.train import Design, Trainer, make_trainer, read_network, train


class Worker:
    """Does jobs of one experiment; jobs of one group share what they compile.

    Args:
        experiment: whose jobs they are.
        predict: whether a trained network predicts the test speakers.
    """

    def __init__(self, experiment: Experiment, *, predict: bool):
        self._experiment, self._predict = experiment, predict
        self._folds = {fold.index: fold for fold in experiment.folds}
        self._searcher_of = make_searchers(experiment)
        self._trainer: Trainer | None = None
        self._run_with = run_with()

    def __call__(self, job: Job) -> None:
        """Does the job, or what is left of it, and writes its job.json."""
        workdir, started = self._experiment.workdir, time.monotonic()
        earlier = job.record(workdir) or {}  # trained then, predicts now
        entries = {SEARCH: self._search, TRAIN: self._train, SVM: self._svm}[job.kind](job)
        entries["wall"] = earlier.get("wall", 0.0) + time.monotonic() - started
        entries["run_with"] = earlier.get("run_with") or self._run_with
        folder = job.folder(workdir)
        names = checksums.listed(
            folder
        )  # of a job that was done: what has changed since does not become right
        entries[checksums.FILES] = checksums.files_of(folder) if names is None else names
        checksums.write_sealed(folder / layout.JOB_FILE, {**dataclasses.asdict(job), **entries})

    def _search(self, job: Job) -> dict[str, Any]:
        genotype = search(
            self._searcher_of(job.method), job.method, self._folds[job.fold], given(job.search_seed)
        )
        logging.info("%s found:\n%s", job.name, genotype)
        entries = read_object(job.folder(self._experiment.workdir) / layout.SEARCH_FILE)
        return {key: entries[key] for key in ("seconds", "compiling", "peak_memory")}

    def _train(self, job: Job) -> dict[str, Any]:
        fold, design = self._folds[job.fold], design_of(job, self._experiment)
        if self._trainer is None or self._trainer.design.key != design.key:
            self._trainer = make_trainer(self._experiment, design)
        train(self._trainer, job.network, fold, given(job.seed))
        if self._predict:
            evaluate.evaluate(self._trainer, job.network, fold, given(job.seed))
        entries = read_network(job.folder(self._experiment.workdir))
        names = ("seconds", "peak_memory", "parameters", "epoch", "validation_ua")
        return {name: entries[name] for name in names} | {
            "flops": flops(design.network, *self._experiment.shapes)
        }

    def _svm(self, job: Job) -> dict[str, Any]:
        fold, functionals = self._folds[job.fold], svm.functionals_of(self._experiment)
        entries = svm.train(self._experiment, functionals, fold)
        if self._predict:
            svm.evaluate(self._experiment, functionals, fold)
        return {"seconds": entries["seconds"], "peak_memory": memory.peak_memory()}


def make_worker(
    config: dict[str, Any], workdir: pathlib.Path, folder: pathlib.Path, cache: str, predict: bool
) -> Worker:
    """A worker in a process of its own, from what can be sent to it.

    Args:
        config: of the run.
        workdir: of the run.
        folder: of the records, as `data_prep.prepare` returns it.
        cache: folder of compiled programs; "" for none.
        predict: see `Worker`.

    Raises:
        ConfigError: the process has too few devices.
    """
    memory.keep_freed_memory()
    compilation.cache_compilations(cache)
    settings = from_json(config)
    load_extensions(settings.extensions)
    check_devices(settings)
    return Worker(set_up(settings, workdir, records.load_records(folder)), predict=predict)


def design_of(job: Job, experiment: Experiment) -> Design:
    """What a training job trains; the searches that it needs are done.

    Raises:
        GenotypeError: a genotype file is missing or damaged.
    """
    if is_random(job.method):
        return designs.random_design(experiment, given(job.search_seed), job.fold, job.method)
    if job.method == designs.GIVEN_GENOTYPE:
        return designs.genotype_design(experiment, genotypes.load(experiment.config.train.genotype))
    if job.search_seed is not None:
        folder = layout.search_folder(experiment.workdir, job.method, seed=job.search_seed, fold=job.fold)
        return designs.genotype_design(
            experiment, genotypes.load(checksums.checked(folder / layout.GENOTYPE_FILE))
        )
    kind, _, size = job.method.rpartition("_")
    return designs.baseline_design(experiment, kind, size, _found_genotypes(experiment))


def network_designs(experiment: Experiment) -> dict[str, list[Design]]:
    """Network -> its design on each of the experiment's folds: all that the config's training jobs train.

    Raises:
        ConfigError: a search that they need is not done.
    """
    folds = [fold.index for fold in experiment.folds]
    check_searched(experiment.config, folds, experiment.workdir)
    networks: dict[str, list[Design]] = {}
    for job in train_jobs(experiment.config, folds):
        if job.kind == TRAIN and job.seed == experiment.config.train.seeds[0]:
            networks.setdefault(job.network, []).append(design_of(job, experiment))
    return networks


def _found_genotypes(experiment: Experiment) -> dict[str, list[Genotype]]:
    """Network -> the genotype of each fold, as far as they are searched: what sizes are matched to."""
    if experiment.config.train.genotype:
        return {designs.GIVEN_GENOTYPE: [genotypes.load(experiment.config.train.genotype)]}
    networks: dict[str, list[Genotype]] = {}
    for job in search_jobs(experiment.config, [fold.index for fold in experiment.folds]):
        path = job.folder(experiment.workdir) / layout.GENOTYPE_FILE
        if path.exists():
            network = layout.searched_network(job.method, given(job.search_seed))
            networks.setdefault(network, []).append(genotypes.load(checksums.checked(path)))
    return networks
