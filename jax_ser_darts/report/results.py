"""The results of a grid, read from where its jobs have left them: networks, searches, trainings, and what is missing.

Nothing here hears the corpus, or needs a checkpoint: what has to be known of the corpus lies in compare/corpus.json.
"""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from jax_ser_darts.config import search_variant
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.grid import jobs as grid
from jax_ser_darts.grid.jobs import SEARCH, TRAIN, Job
from jax_ser_darts.rundir import metrics
from jax_ser_darts.rundir.manifest import read_object
from jax_ser_darts.scoring.scores import Predictions, score
from jax_ser_darts.search_space.genotype import CNN_CELLS, SEQUENCE
from jax_ser_darts.search_space.sequence_operations import sequence_operations
from jax_ser_darts.training.evaluate import read_predictions

CORPUS_FILE = pathlib.Path("compare", "corpus.json")  # of a workdir


@dataclasses.dataclass(frozen=True)
class Results:
    """Where the jobs of a grid have left their results, and what else a summary needs.

    Attributes:
        config: of the run.
        workdir: its workdir, or a folder that is laid out as one.
        corpus: its name.
        synthetic: whether a machine spoke.
        classes: names.
        all_folds: of the corpus; `folds` are those of them that the config runs.
    """

    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    corpus: str
    synthetic: bool
    classes: tuple[str, ...]
    all_folds: tuple[Fold, ...]

    @classmethod
    def of(cls, experiment: Experiment) -> "Results":
        """Of an experiment whose corpus is at hand."""
        return cls(
            config=experiment.config,
            workdir=experiment.workdir,
            corpus=experiment.corpus.metadata["corpus"],
            synthetic=experiment.corpus.synthetic,
            classes=tuple(experiment.corpus.classes),
            all_folds=experiment.all_folds,
        )

    @classmethod
    def from_json(
        cls, saved: Mapping[str, Any], *, config: ml_collections.ConfigDict, workdir: pathlib.Path
    ) -> "Results":
        """What `to_json` wrote of the corpus, with a config and the folder that the jobs are in."""
        folds = tuple(
            Fold(of["index"], *(tuple(of[part]) for part in ("test", "validation", "train")))
            for of in saved["folds"]
        )
        return cls(
            config, workdir, saved["corpus"], saved["synthetic"], tuple(saved["classes"]), all_folds=folds
        )

    def to_json(self) -> dict[str, Any]:
        """What has to be known of the corpus."""
        return {
            "corpus": self.corpus,
            "synthetic": self.synthetic,
            "classes": list(self.classes),
            "folds": [dataclasses.asdict(fold) for fold in self.all_folds],
        }

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Those that the config runs, in its order."""
        run = self.config.folds.run or range(len(self.all_folds))
        return tuple(self.all_folds[index] for index in run)

    @property
    def jobs(self) -> list[Job]:
        """Every job of the grid."""
        return grid.all_jobs(self.config, [fold.index for fold in self.folds])


def complete(
    results: Results, *, failed: Mapping[Job, str] | None = None
) -> tuple[list[Job], list[dict[str, Any]]]:
    """What can be compared of a grid that is perhaps not done.

    Args:
        results: of the grid.
        failed: what went wrong with jobs, where it is known.

    Returns:
        The jobs of the methods all of whose jobs are done; of each other method how many of its jobs are `done`, of
        how many `jobs`, the `first` that is not, one that failed before others, and its `error` or None.
    """
    failed = failed or {}
    methods = collections.defaultdict(list)
    for job in results.jobs:
        methods[job.method].append(job)
    left_out = []
    for method, of in methods.items():
        if missing := [job for job in of if not job.done(results.workdir)]:
            done = len(of) - len(missing)
            first = next((job for job in missing if job in failed), missing[0])
            about = {"done": done, "jobs": len(of), "first": first.name, "error": failed.get(first)}
            left_out.append({"method": method, **about})
    absent = {one["method"] for one in left_out}
    return [job for job in results.jobs if job.method not in absent], left_out


def predictions_of(results: Results, job: Job) -> Predictions:
    """What a network, or an SVM, answered to its fold's test speakers."""
    return read_predictions(job.folder(results.workdir) / "predictions.json")


def networks(results: Results, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """A row for each network and its fold: what it scored and what it cost."""
    rows = []
    for job in jobs:
        if job.kind == SEARCH:
            continue
        about = job.done(results.workdir)
        search = _search_of(job, jobs)
        found = search.done(results.workdir) if search else {}
        scores = score(predictions_of(results, job), resamples=1)
        rows.append(
            {
                "method": job.method,
                "search_seed": job.search_seed,
                "fold": job.fold,
                "train_seed": job.seed,
                "ua": scores.ua.value,
                "wa": scores.wa.value,
                "f1": scores.f1.value,
                "utterances": scores.n,
                "validation_ua": about.get("validation_ua"),
                "parameters": about.get("parameters"),
                "flops": about.get("flops"),
                "search_seconds": found.get("seconds"),
                "search_compiling": found.get("compiling"),
                "search_memory": found.get("peak_memory"),
                "train_seconds": about["seconds"],
                "train_memory": about["peak_memory"],
            }
        )
    return rows


def operations_of(search: ml_collections.ConfigDict, space: ml_collections.ConfigDict) -> dict[str, tuple]:
    """Kind of cell -> the names of its alphas' columns."""
    return {
        **dict.fromkeys(CNN_CELLS, tuple(space.operations)),
        SEQUENCE: sequence_operations(search.sequence),
    }


def searches(results: Results, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Of each search: its epochs, as metrics.jsonl has them, what it found, and what it could choose from.

    Also the rule that stopped it (`collapse.Stop`, or None), whose alphas were taken (`genotype_epoch`),
    and whether its cells were read off them or chosen afterwards (`by_perturbation`).
    """
    found = []
    for job in jobs:
        if job.kind != SEARCH:
            continue
        folder = job.folder(results.workdir)
        settings = search_variant(results.config, job.method)[1]
        about, genotype = (read_object(folder / name) for name in ("search.json", "genotype.json"))
        epochs, stopped = metrics.read(folder / metrics.FILE_NAME), about.get("stopped")
        # A selection by perturbation goes on from the last epoch, whatever rule ended it.
        of_before = stopped and not settings.perturbation
        found.append(
            {
                "method": job.method,
                "seed": job.search_seed,
                "fold": job.fold,
                "epochs": epochs,
                "genotype": genotype,
                "operations": operations_of(settings, results.config.space),
                "stopped": stopped,
                "genotype_epoch": stopped["genotype_epoch"] if of_before else epochs[-1]["epoch"],
                "by_perturbation": settings.perturbation,
            }
        )
    return found


def trainings(results: Results, jobs: Sequence[Job]) -> dict[str, list[list[dict[str, Any]]]]:
    """Method -> the epochs of each of its trainings."""
    found = collections.defaultdict(list)
    for job in jobs:
        if job.kind == TRAIN:
            found[job.method].append(metrics.read(job.folder(results.workdir) / metrics.FILE_NAME))
    return dict(found)


def made_with(results: Results, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """With what the jobs were done, where they say it: each such commit, machine and versions, and how many jobs."""
    found = collections.Counter(
        json.dumps(job.done(results.workdir).get("run_with"), sort_keys=True) for job in jobs
    )
    return [{"jobs": count, "run_with": json.loads(of)} for of, count in sorted(found.items())]


def _search_of(job, jobs):
    ours = Job(SEARCH, job.method, job.search_seed, job.fold)
    return ours if job.kind == TRAIN and ours in jobs else None
