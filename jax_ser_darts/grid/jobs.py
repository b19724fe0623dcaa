"""What a comparison is made of: jobs, each of them done or not done.

    search   a method's search of one fold from one seed             -> search/METHOD/seed_R/fold_K/
    train    a network's training on one fold from one seed, and its answers to the fold's test speakers, which are
             asked for once and nothing is chosen by                  -> train/METHOD/fold_K/seed_S/
    svm      the same of the SVM                                      -> train/svm/fold_K/seed_0/

A job that is done has a `job.json` in its folder, written last and whole: what it cost, and with what it was done. What
is below a job is resumed by its own checkpoints.
"""

import dataclasses
import itertools
import pathlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

import ml_collections

from jax_ser_darts.data import records
from jax_ser_darts.devices import compilation, memory
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import check_devices, found_by, set_up
from jax_ser_darts.files import write_json
from jax_ser_darts.models.baselines import MATCHED
from jax_ser_darts.models.cost import flops
from jax_ser_darts.rundir.environment import run_with
from jax_ser_darts.rundir.manifest import read_object
from jax_ser_darts.search.search import search
from jax_ser_darts.search.searcher import make_searchers
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.training import designs, evaluate, svm
from jax_ser_darts.training.spaces import draw_name, is_random, random_spaces
from jax_ser_darts.training.train import Design, make_trainer, read_network, train

SEARCH, TRAIN, SVM = "search", "train", "svm"
FILE_NAME = "job.json"
MATCHED_PARAMETERS = "matched_parameters"  # entry of network.json
ENTRIES = ("kind", "method", "seconds", "wall")  # that every job.json has


@dataclasses.dataclass(frozen=True)
class Job:
    """One cell of the grid.

    Attributes:
        kind: SEARCH, TRAIN or SVM.
        method: a search variant, a random method of spaces.py, a baseline with its size, designs.GIVEN_GENOTYPE, or
            svm.METHOD.
        search_seed: of the search; of a random method the number of the draw; None where nothing is searched.
        fold: its index.
        seed: of the training.
    """

    kind: str
    method: str
    search_seed: int | None
    fold: int
    seed: int | None = None

    @property
    def group(self) -> str:
        """Jobs of one group can share a process: its memory is theirs, and they share compiled programs."""
        return f"{self.kind} {self.method}"

    @property
    def name(self) -> str:
        """For people."""
        parts = {"search seed": self.search_seed, "fold": self.fold, "seed": self.seed}
        if self.kind == SEARCH:
            parts = {"seed": self.search_seed, "fold": self.fold}
        return " ".join(
            [self.group, *(f"{key} {value}" for key, value in parts.items() if value is not None)]
        )

    @property
    def folder_name(self) -> str:
        """The method's folder below `train`."""
        if self.search_seed is None:
            return self.method
        name = draw_name if is_random(self.method) else found_by
        return name(self.method, self.search_seed)

    def folder(self, workdir: pathlib.Path) -> pathlib.Path:
        """Where it keeps its results; those of an experiment, see experiment.py."""
        fold = f"fold_{self.fold}"
        if self.kind == SEARCH:
            return workdir / "search" / self.method / f"seed_{self.search_seed}" / fold
        return workdir / "train" / self.folder_name / fold / f"seed_{self.seed}"

    def done(self, workdir: pathlib.Path) -> dict | None:
        """What its job.json holds, or None where it is not done; ConfigError where the file is damaged."""
        path = self.folder(workdir) / FILE_NAME
        return read_object(path, *ENTRIES) if path.exists() else None


def all_jobs(config: ml_collections.ConfigDict, folds: Sequence[int]) -> list[Job]:
    """Every job of a config on these folds: searches first, then what is trained, method by method."""
    baselines, searched = config.baselines, config.search.methods if not config.train.genotype else ()
    jobs = [
        Job(SEARCH, method, seed, fold)
        for method, seed, fold in itertools.product(searched, config.search.seeds, folds)
    ]
    trained = [*itertools.product(searched, config.search.seeds)]
    trained += [(designs.GIVEN_GENOTYPE, None)] if config.train.genotype else []
    trained += [*itertools.product(random_spaces(config), range(baselines.random))]
    trained += [
        (f"{kind}_{size}", None) for kind, size in itertools.product(baselines.networks, baselines.sizes)
    ]
    jobs += [
        Job(TRAIN, method, search_seed, fold, seed)
        for (method, search_seed), fold, seed in itertools.product(trained, folds, config.train.seeds)
    ]
    return jobs + [Job(SVM, svm.METHOD, None, fold, svm.SEED) for fold in folds if baselines.svm]


def needed_by(job: Job, jobs: Iterable[Job], config: ml_collections.ConfigDict) -> list[Job]:
    """The jobs that have to be done before this one."""
    if job.kind == SVM:  # the first one computes what all of them hear
        first = next(other for other in jobs if other.kind == SVM)
        return [] if job == first else [first]
    if job.kind == SEARCH:
        return []
    searches = [other for other in jobs if other.kind == SEARCH]
    if job.method.endswith(f"_{MATCHED}") and not config.baselines.parameters:
        return searches  # their mean size is what it is matched to
    ours = (job.method, job.search_seed, job.fold)
    return [other for other in searches if (other.method, other.search_seed, other.fold) == ours]


def check_same(job: Job, config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Whether what a job that is done has left is what the config asks for: some settings may change in a workdir.

    Raises:
        ConfigError: it is of another genotype, draw, size or grid of C.
    """
    file, entry, asked = _asked(job, config, workdir)
    path = job.folder(workdir) / file
    if entry and (there := read_object(path).get(entry)) != asked:
        wanted = f"the config's ({asked})"
        if entry == MATCHED_PARAMETERS and not config.baselines.parameters:
            wanted = (
                f"that of the found networks ({asked or 'not known yet'}; config.baselines.parameters = 0)"
            )
        raise ConfigError(
            f"{path} is of another {entry} ({there}) than {wanted}: use another --workdir, the setting "
            "that it was done with, or remove that folder to do the job again"
        )


def _asked(job, config, workdir) -> tuple[str, str, Any]:
    """A file of a job's folder, an entry of it, and its value, where it hangs on a setting of workdir.FREE."""
    if job.kind == SVM:
        return "setup.json", "c", [float(c) for c in config.baselines.svm_c]
    if is_random(job.method):
        return "network.json", "random_seed", designs.random_seed(config, job.search_seed, job.fold)
    if job.method == designs.GIVEN_GENOTYPE:
        return "network.json", "genotype", genotypes.load(config.train.genotype).to_json()
    if job.search_seed is None and job.method.endswith(f"_{MATCHED}"):
        return "network.json", MATCHED_PARAMETERS, designs.known_size(config, workdir)
    return "", "", None


class Worker:
    """Does jobs, in one process.

    Args:
        config: of the run.
        workdir: of the run.
        folder: of the records, as `data_prep.prepare` returns it.
        cache: folder of compiled programs; "" keeps none.

    Raises:
        ConfigError: the process has too few devices.
    """

    def __init__(
        self,
        config: dict,
        workdir: pathlib.Path,
        folder: pathlib.Path,
        cache: str,
    ):
        memory.keep_freed_memory()
        compilation.cache_compilations(cache)
        config = ml_collections.ConfigDict(config)
        check_devices(config)
        self._experiment = set_up(config, workdir, records.load_records(folder))
        self._folds = {fold.index: fold for fold in self._experiment.folds}
        self._searcher_of = make_searchers(self._experiment)
        self._trainer = None
        self._run_with = run_with()

    def __call__(self, job: Job) -> None:
        """Does the job, or what is left of it."""
        started = time.monotonic()
        about = {SEARCH: self._search, TRAIN: self._train, SVM: self._svm}[job.kind](job)
        about |= {"wall": time.monotonic() - started, "run_with": self._run_with}
        write_json(job.folder(self._experiment.workdir) / FILE_NAME, {**dataclasses.asdict(job), **about})

    def _search(self, job: Job) -> dict[str, Any]:
        search(self._searcher_of(job.method), job.method, self._folds[job.fold], job.search_seed)
        about = read_object(job.folder(self._experiment.workdir) / "search.json")
        return {key: about[key] for key in ("seconds", "compiling", "peak_memory")}

    def _train(self, job: Job) -> dict[str, Any]:
        fold, design = self._folds[job.fold], self._design(job)
        if self._trainer is None or self._trainer.design.key != design.key:
            self._trainer = make_trainer(self._experiment, design)
        train(self._trainer, job.folder_name, fold, job.seed)
        evaluate.result(self._trainer, job.folder_name, fold, job.seed)
        about = read_network(job.folder(self._experiment.workdir))
        return {
            **{key: about[key] for key in ("seconds", "peak_memory", "parameters", "epoch", "validation_ua")},
            "flops": flops(design.network, *self._experiment.shapes),
        }

    def _design(self, job: Job) -> Design:
        experiment = self._experiment
        if is_random(job.method):
            return designs.random_design(experiment, job.search_seed, job.fold, job.method)
        if job.method == designs.GIVEN_GENOTYPE:
            return designs.genotype_design(experiment, genotypes.load(experiment.config.train.genotype))
        if job.search_seed is not None:
            folder = experiment.search_folder(job.method, self._folds[job.fold], job.search_seed)
            return designs.genotype_design(experiment, genotypes.load(folder / "genotype.json"))
        kind, _, size = job.method.rpartition("_")
        return designs.baseline_design(experiment, kind, size, self._found())

    def _found(self) -> dict[str, list]:
        """Training method -> the genotype of each fold, as far as they are searched: what sizes are matched to."""
        experiment, found = self._experiment, {}
        for job in all_jobs(experiment.config, list(self._folds)):
            if job.kind == SEARCH and (path := job.folder(experiment.workdir) / "genotype.json").exists():
                found.setdefault(found_by(job.method, job.search_seed), []).append(genotypes.load(path))
        if experiment.config.train.genotype:
            found[designs.GIVEN_GENOTYPE] = [genotypes.load(experiment.config.train.genotype)]
        return found

    def _svm(self, job: Job) -> dict[str, Any]:
        experiment = self._experiment
        values = svm.heard(experiment)
        result = svm.result(experiment, values, self._folds[job.fold])
        return {"seconds": result.seconds, "peak_memory": memory.peak_memory()}
