"""What a run is made of: jobs, each of them done or not done.

    search   a method's search of one fold from one seed
    train    a network's training on one fold from one seed, then its predictions for the fold's test speakers: once,
             and nothing is chosen by them
    svm      the same of the SVM

A job writes into a folder of its own, see rundir/layout.py, and a `job.json` last and whole: what it took, and with
what it was done. What is below a job is resumed by its own checkpoints.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.models.baselines import MATCHED
from jax_ser_darts.rundir import checksums, layout
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.settings import Settings
from jax_ser_darts.training import designs, svm
from jax_ser_darts.training.spaces import is_random, random_spaces

SEARCH, TRAIN, SVM = "search", "train", "svm"
ENTRIES = ("kind", "method", "seconds", "wall")  # that every job.json has
MODES = ("search", "train", "evaluate", "all", "compare")  # that consist of jobs
MATCHED_PARAMETERS = "matched_parameters"  # entry of network.json


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
    def network(self) -> str:
        """The trained network's name, see layout.py."""
        if self.search_seed is None:
            return self.method
        name = layout.drawn_network if is_random(self.method) else layout.searched_network
        return name(self.method, self.search_seed)

    def folder(self, workdir: pathlib.Path) -> pathlib.Path:
        """Where it writes its results."""
        if self.kind == SEARCH:
            return layout.search_folder(workdir, self.method, seed=given(self.search_seed), fold=self.fold)
        return layout.train_folder(workdir, self.network, fold=self.fold, seed=given(self.seed))

    def record(self, workdir: pathlib.Path) -> dict[str, Any] | None:
        """What its job.json holds: it is searched, or trained. None where there is none.

        Raises:
            ConfigError: the file is damaged.
        """
        path = self.folder(workdir) / layout.JOB_FILE
        return checksums.read_sealed(path, *ENTRIES, checksums.FILES) if path.exists() else None

    def done(self, workdir: pathlib.Path) -> dict[str, Any] | None:
        """As `record`, but None also where a trained network has not predicted the test speakers yet."""
        record = self.record(workdir)
        predicted = self.kind == SEARCH or checksums.has(self.folder(workdir) / layout.PREDICTIONS_FILE)
        return record if predicted else None


def given(seed: int | None) -> int:
    """A seed that jobs of some kinds have, of a job that has it."""
    if seed is None:
        raise ValueError("a job of this kind has no such seed")
    return seed


def search_jobs(config: Settings, folds: Sequence[int]) -> list[Job]:
    """Every search of a config on these folds."""
    return [
        Job(SEARCH, method, seed, fold)
        for method, seed, fold in itertools.product(config.search.methods, config.search.seeds, folds)
    ]


def train_jobs(config: Settings, folds: Sequence[int]) -> list[Job]:
    """Everything that is trained, method by method, in the order of the tables."""
    baselines = config.baselines
    networks: list[tuple[str, int | None]] = []
    if config.train.genotype:
        networks += [(designs.GIVEN_GENOTYPE, None)]
    else:
        networks += itertools.product(config.search.methods, config.search.seeds)
    networks += itertools.product(random_spaces(config), range(baselines.random))
    networks += [
        (f"{kind}_{size}", None) for kind, size in itertools.product(baselines.networks, baselines.sizes)
    ]
    jobs = [
        Job(TRAIN, method, search_seed, fold, seed)
        for (method, search_seed), fold, seed in itertools.product(networks, folds, config.train.seeds)
    ]
    return jobs + [Job(SVM, svm.METHOD, None, fold, svm.SEED) for fold in folds if baselines.svm]


def all_jobs(config: Settings, folds: Sequence[int]) -> list[Job]:
    """Every job of a config on these folds: the searches that its networks need, then what is trained."""
    searches = [] if config.train.genotype else search_jobs(config, folds)
    return searches + train_jobs(config, folds)


def mode_jobs(mode: str, config: Settings, folds: Sequence[int], workdir: pathlib.Path) -> list[Job]:
    """The jobs of one of MODES, done or not.

    Raises:
        ConfigError: the mode needs what an earlier one has not done.
    """
    if mode == "search":
        return search_jobs(config, folds)
    if mode not in ("train", "evaluate"):
        return all_jobs(config, folds)
    check_searched(config, folds, workdir)
    jobs = train_jobs(config, folds)
    for job in jobs if mode == "evaluate" else ():
        if job.record(workdir) is None:
            raise ConfigError(
                f"{job.folder(workdir)} has nothing trained ({layout.JOB_FILE} is missing): run --mode=train first"
            )
    return jobs


def check_searched(config: Settings, folds: Sequence[int], workdir: pathlib.Path) -> None:
    """Whether every search that the config's networks need is done.

    Raises:
        ConfigError: one is not.
    """
    for job in () if config.train.genotype else search_jobs(config, folds):
        if job.record(workdir) is None:
            raise ConfigError(f"{job.folder(workdir) / layout.JOB_FILE} is missing: run --mode=search first")


def needed_by(job: Job, jobs: Iterable[Job], config: Settings) -> list[Job]:
    """Those of the jobs that have to be done before this one."""
    if job.kind != TRAIN:
        return []
    searches = [other for other in jobs if other.kind == SEARCH]
    if job.method.endswith(f"_{MATCHED}") and not config.baselines.parameters:
        return searches  # their mean size is what it is matched to
    key = (job.method, job.search_seed, job.fold)
    return [other for other in searches if (other.method, other.search_seed, other.fold) == key]


def check_same(job: Job, config: Settings, workdir: pathlib.Path) -> None:
    """Whether a done job's result is what the config asks for: some settings may change in a workdir.

    Raises:
        ConfigError: it is of another genotype, draw, size or grid of C.
    """
    file, entry, asked = _asked(job, config, workdir)
    path = job.folder(workdir) / file
    if entry and (there := checksums.read_object(checksums.checked(path)).get(entry)) != asked:
        wanted = f"the config's ({asked})"
        if entry == MATCHED_PARAMETERS and not config.baselines.parameters:
            wanted = (
                f"that of the found networks ({asked or 'not known yet'}; config.baselines.parameters = 0)"
            )
        raise ConfigError(
            f"{path} is of another {entry} ({there}) than {wanted}: use another --workdir, the setting "
            "that it was done with, or remove that folder to do the job again"
        )


def _asked(job: Job, config: Settings, workdir: pathlib.Path) -> tuple[str, str, Any]:
    """A file of a job's folder, an entry of it, and its value, where a setting decides it that may change."""
    if job.kind == SVM:
        return "setup.json", "c", [float(c) for c in config.baselines.svm_c]
    if is_random(job.method):
        return (
            layout.NETWORK_FILE,
            "random_seed",
            designs.random_seed(config, given(job.search_seed), job.fold),
        )
    if job.method == designs.GIVEN_GENOTYPE:
        return layout.NETWORK_FILE, "genotype", genotypes.load(config.train.genotype).to_json()
    if job.search_seed is None and job.method.endswith(f"_{MATCHED}"):
        return layout.NETWORK_FILE, MATCHED_PARAMETERS, designs.known_size(config, workdir)
    return "", "", None
