"""The results of a grid, read from where its jobs have left them: networks, searches, trainings, and what is missing.

Nothing here needs the corpus or a checkpoint: what has to be known of the corpus lies in report/corpus.json.
"""

import collections
import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.soundness import sentences_of
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.grid.jobs import SEARCH, TRAIN, Job, all_jobs
from jax_ser_darts.rundir import layout, metrics
from jax_ser_darts.rundir.checksums import checked, read_object
from jax_ser_darts.scoring.confusion import METRICS, confusion_matrix, metrics_of
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.search_space.genotype import CNN_CELLS, SEQUENCE
from jax_ser_darts.search_space.sequence_operations import sequence_operations
from jax_ser_darts.settings import Search, Settings
from jax_ser_darts.settings.sections import Space
from jax_ser_darts.training.evaluate import read_predictions


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
        soundness: sentences of what was cut, left out or looks wrong when the records were made.
    """

    config: Settings
    workdir: pathlib.Path
    corpus: str
    synthetic: bool
    classes: tuple[str, ...]
    all_folds: tuple[Fold, ...]
    soundness: tuple[str, ...] = ()

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
            soundness=tuple(sentences_of(experiment.corpus.metadata)),
        )

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], *, config: Settings, workdir: pathlib.Path) -> "Results":
        """What `to_json` wrote of the corpus, with a config and the folder that the jobs are in."""
        folds = tuple(
            Fold(fold["index"], *(tuple(fold[part]) for part in ("test", "validation", "train")))
            for fold in saved["folds"]
        )
        return cls(
            config,
            workdir,
            saved["corpus"],
            saved["synthetic"],
            tuple(saved["classes"]),
            all_folds=folds,
            soundness=tuple(saved.get("soundness", ())),
        )

    def to_json(self) -> dict[str, Any]:
        """What has to be known of the corpus."""
        return {
            "corpus": self.corpus,
            "synthetic": self.synthetic,
            "classes": list(self.classes),
            "folds": [dataclasses.asdict(fold) for fold in self.all_folds],
            "soundness": list(self.soundness),
        }

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Those that the config runs, in its order."""
        run = self.config.folds.run or range(len(self.all_folds))
        return tuple(self.all_folds[index] for index in run)

    @property
    def jobs(self) -> list[Job]:
        """Every job of the grid."""
        return all_jobs(self.config, [fold.index for fold in self.folds])


def complete(
    results: Results, *, failed: Mapping[Job, str] | None = None
) -> tuple[list[Job], list[dict[str, Any]]]:
    """What can be reported of a grid that is perhaps not done.

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
    for method, jobs in methods.items():
        if missing := [job for job in jobs if not job.done(results.workdir)]:
            first = next((job for job in missing if job in failed), missing[0])
            left_out.append(
                {
                    "method": method,
                    "done": len(jobs) - len(missing),
                    "jobs": len(jobs),
                    "first": first.name,
                    "error": failed.get(first),
                }
            )
    absent = {entry["method"] for entry in left_out}
    return [job for job in results.jobs if job.method not in absent], left_out


def predictions_of(results: Results, job: Job) -> Predictions:
    """What a network, or an SVM, predicted for its fold's test speakers."""
    return read_predictions(job.folder(results.workdir) / layout.PREDICTIONS_FILE)


def networks(results: Results, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """A row for each network and its fold: what it scored and what it cost."""
    rows = []
    for job in jobs:
        if job.kind == SEARCH:
            continue
        record = _record(results, job)
        search = _search_of(job, jobs)
        search_record = _record(results, search) if search else {}
        predictions = predictions_of(results, job)
        confusion = confusion_matrix(predictions.labels, predictions.predictions, len(predictions.classes))
        metric = metrics_of(confusion)
        rows.append(
            {
                "method": job.method,
                "search_seed": job.search_seed,
                "fold": job.fold,
                "train_seed": job.seed,
                **{name: float(metric[name]) for name in METRICS},
                "utterances": int(confusion.sum()),
                "validation_ua": record.get("validation_ua"),
                "parameters": record.get("parameters"),
                "flops": record.get("flops"),
                "search_seconds": search_record.get("seconds"),
                "search_compiling": search_record.get("compiling"),
                "search_memory": search_record.get("peak_memory"),
                "train_seconds": record["seconds"],
                "train_memory": record["peak_memory"],
            }
        )
    return rows


def operations_of(search: Search, space: Space) -> dict[str, tuple]:
    """Kind of cell -> the names of its alphas' columns."""
    return {
        **dict.fromkeys(CNN_CELLS, tuple(space.operations)),
        SEQUENCE: sequence_operations(search.sequence),
    }


def searches(results: Results, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Of each search: its epochs, as metrics.jsonl has them, what it found, and what it could choose from.

    Also the rule that stopped it (`early_stopping.Stop`, or None), whose alphas were taken (`genotype_epoch`),
    and whether its cells were read off them or chosen afterwards (`by_perturbation`).
    """
    rows = []
    for job in jobs:
        if job.kind != SEARCH:
            continue
        folder = job.folder(results.workdir)
        settings = results.config.method(job.method)[1]
        search, genotype = (
            read_object(checked(folder / name)) for name in (layout.SEARCH_FILE, layout.GENOTYPE_FILE)
        )
        epochs, stopped = metrics.read(checked(folder / metrics.FILE_NAME)), search.get("stopped")
        # A selection by perturbation goes on from the last epoch, whatever rule ended it.
        epoch = stopped["genotype_epoch"] if stopped and not settings.perturbation else epochs[-1]["epoch"]
        rows.append(
            {
                "method": job.method,
                "seed": job.search_seed,
                "fold": job.fold,
                "epochs": epochs,
                "genotype": genotype,
                "operations": operations_of(settings, results.config.space),
                "stopped": stopped,
                "genotype_epoch": epoch,
                "by_perturbation": settings.perturbation,
            }
        )
    return rows


def trainings(results: Results, jobs: Sequence[Job]) -> dict[str, list[list[dict[str, Any]]]]:
    """Method -> the epochs of each of its trainings."""
    curves = collections.defaultdict(list)
    for job in jobs:
        if job.kind == TRAIN:
            curves[job.method].append(metrics.read(checked(job.folder(results.workdir) / metrics.FILE_NAME)))
    return dict(curves)


def run_environments(results: Results, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """With what the jobs were run, where they know it: each such commit, machine and versions, and how many jobs."""
    counts = collections.Counter(
        json.dumps(_record(results, job).get("run_with"), sort_keys=True) for job in jobs
    )
    return [{"jobs": count, "run_with": json.loads(text)} for text, count in sorted(counts.items())]


def _record(results: Results, job: Job) -> dict[str, Any]:
    """What the job.json holds of a job that is done."""
    record = job.done(results.workdir)
    if record is None:
        raise ConfigError(f"{job.folder(results.workdir)} is not done: nothing can be reported of it")
    for name, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):  # JSON's 1e999 is read as infinity
            where = job.folder(results.workdir) / layout.JOB_FILE
            raise ConfigError(
                f"{where}: {name!r} is {value}, and no number that can be reported: do the job again"
            )
    return record


def _search_of(job: Job, jobs: Sequence[Job]) -> Job | None:
    search = Job(SEARCH, job.method, job.search_seed, job.fold)
    return search if job.kind == TRAIN and search in jobs else None
