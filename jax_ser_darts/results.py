"""The results of a grid, read from where its jobs have left them: a row a network, and the summary of all.

Nothing here hears the corpus, or needs a checkpoint: what has to be known of the corpus lies in compare/corpus.json.
"""

import collections
import csv
import dataclasses
import io
import json
import math
import pathlib
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np

from jax_ser_darts import jobs as grid
from jax_ser_darts import metrics, significance
from jax_ser_darts.config import ConfigError, search_variant
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.files import write_json, write_text
from jax_ser_darts.folds import Fold
from jax_ser_darts.jobs import SEARCH, TRAIN, Job
from jax_ser_darts.report import html, tables
from jax_ser_darts.scores import Answers, score
from jax_ser_darts.search_space.genotype import CNN_CELLS, SEQUENCE
from jax_ser_darts.search_space.sequence_operations import sequence_operations
from jax_ser_darts.spaces import is_random, random_method

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


def complete(results: Results) -> tuple[list[Job], list[dict[str, Any]]]:
    """What can be compared of a grid that is perhaps not done.

    Returns:
        The jobs of the methods all of whose jobs are done; of each other method how many of its jobs are `done`, of
        how many `jobs`, and the `first` that is not.
    """
    methods = collections.defaultdict(list)
    for job in results.jobs:
        methods[job.method].append(job)
    left_out = []
    for method, of in methods.items():
        if missing := [job for job in of if not job.done(results.workdir)]:
            done = len(of) - len(missing)
            left_out.append({"method": method, "done": done, "jobs": len(of), "first": missing[0].name})
    absent = {one["method"] for one in left_out}
    return [job for job in results.jobs if job.method not in absent], left_out


def write(where: pathlib.Path, results: Results, *, environment: Mapping[str, Any]) -> str:
    """Writes the tables and the page, see compare.py, and returns the table as text.

    Methods with a job that is not done are left out, and named.

    Args:
        where: the folder that they go to.
        results: see `Results`.
        environment: of this process, see environment.py.

    Raises:
        ConfigError: no method's jobs are all done.
    """
    jobs, left_out = complete(results)
    if not jobs:
        raise ConfigError("\n".join(["there is nothing to compare yet:", *map(tables.missing, left_out)]))
    summary = {**summarise(results, jobs, environment=environment), "left_out": left_out}
    write_text(where / "results.csv", _csv(networks(results, jobs)))
    write_json(where / "summary.json", summary)
    text = tables.text(summary)
    write_text(where / "table.txt", text + "\n")
    write_text(where / "table.tex", tables.latex(summary))
    html.write(
        where,
        summary,
        searches=searches(results, jobs),
        trainings=trainings(results, jobs),
        config=results.config.to_dict(),
    )
    return text


def answers_of(results: Results, job: Job) -> Answers:
    """What a network, or an SVM, answered to its fold's test speakers."""
    return Answers.from_json(json.loads((job.folder(results.workdir) / "answers.json").read_text()))


def networks(results: Results, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """A row for each network and its fold: what it scored and what it cost."""
    rows = []
    for job in jobs:
        if job.kind == SEARCH:
            continue
        about = job.done(results.workdir)
        search = _search_of(job, jobs)
        found = search.done(results.workdir) if search else {}
        scores = score(answers_of(results, job), resamples=1)
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


def summarise(results: Results, jobs: Sequence[Job], *, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Everything there is to say of jobs that are done, as JSON has it; other arguments as of `write`."""
    config, level = results.config, results.config.scores.level
    rows = collections.defaultdict(list)
    for row in networks(results, jobs):
        rows[row["method"]].append(row)
    answers, fold_of = collections.defaultdict(lambda: collections.defaultdict(list)), {}
    for job in jobs:
        if job.kind != SEARCH:
            seeds = {"search_seed": job.search_seed, "train_seed": job.seed}
            at = tuple(_place(rows[job.method], key, seed) for key, seed in seeds.items())
            answers[job.method][at].append(answered := answers_of(results, job))
            fold_of |= dict.fromkeys(answered.speakers, job.fold)
    speakers = sorted(fold_of)  # of every method: all of them have the same folds
    counts = {
        method: significance.make_table({at: tuple(of) for at, of in folds.items()}, speakers)
        for method, folds in answers.items()
    }
    draws = significance.bootstrap(counts, resamples=config.scores.resamples)
    values = {method: significance.means(table) for method, table in counts.items()}
    clusters = [s if config.compare.cluster == "speaker" else f"{fold_of[s]:06d}" for s in speakers]
    over = {method: None if is_random(method) else random_method(config, method) for method in counts}
    methods = {}
    for method, table in counts.items():
        figures = {
            name: vars_of(significance.estimate(values[method][name], draws[method][name], level))
            for name in significance.FIGURES
        }
        methods[method] = {
            **figures,
            "ri": _improvement(method, over[method], values, draws, level),
            "over": over[method],
            "searches": table.shape[0],
            "trainings": table.shape[1],
            "searched": any(job.kind == SEARCH and job.method == method for job in jobs),
            "variance": significance.variance_components(_by_fold(rows[method])),
            "confusion": table.sum(axis=(0, 1, 2)).tolist(),
            "ua_of_networks": _by_fold(rows[method]).tolist(),
            **{name: _mean(rows[method], name) for name in ("parameters", "flops")},
            **{
                name: _mean(rows[method], name)
                for name in ("search_seconds", "search_compiling", "train_seconds")
            },
            **{name: _most(rows[method], name) for name in ("search_memory", "train_memory")},
        }
    return {
        "corpus": results.corpus,
        "synthetic": results.synthetic,
        "classes": list(results.classes),
        "folds": [
            {"index": fold.index, "test": list(fold.test), "validation": list(fold.validation)}
            for fold in results.folds
        ],
        "speakers": speakers,
        "level": level,
        "resamples": config.scores.resamples,
        "methods": methods,
        "tests": _tests(config, counts, values, draws, clusters),
        "test": {
            "cluster": config.compare.cluster,
            "clusters": len(set(clusters)),
            "smallest_p": significance.smallest_p(
                len(set(clusters)), permutations=config.compare.permutations
            ),
        },
        "agreement": agreement(searches(results, jobs)),
        "wall_seconds": sum(job.done(results.workdir)["wall"] for job in jobs),
        "environment": {**environment, "jobs": _made_with(results, jobs)},
    }


def _tests(config, counts, values, draws, clusters):
    names = sorted(counts, key=lambda method: -values[method]["ua"])
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    of_clusters = {method: significance.of_clusters(table, clusters) for method, table in counts.items()}
    p_values = [
        significance.sign_flip(of_clusters[a] - of_clusters[b], permutations=config.compare.permutations)
        for a, b in pairs
    ]
    found = []
    for (a, b), p, adjusted in zip(pairs, p_values, significance.holm(p_values), strict=True):
        difference = significance.estimate(
            values[a]["ua"] - values[b]["ua"], draws[a]["ua"] - draws[b]["ua"], config.scores.level
        )
        found.append({"a": a, "b": b, **vars_of(difference), "p": p, "p_holm": adjusted})
    return found


def _improvement(method, over, values, draws, level):
    """RI, per cent: the relative improvement of the UA over that of random architectures, of the method's own space."""
    if over not in values or not values[over]["ua"]:
        return None
    relative = lambda ua, base: 100 * (ua / base - 1)
    drawn = relative(draws[method]["ua"], np.maximum(draws[over]["ua"], np.finfo(float).tiny))
    return vars_of(significance.estimate(relative(values[method]["ua"], values[over]["ua"]), drawn, level))


def operations_of(search: ml_collections.ConfigDict, space: ml_collections.ConfigDict) -> dict[str, tuple]:
    """Kind of cell -> the names of its alphas' columns."""
    return {
        **dict.fromkeys(CNN_CELLS, tuple(space.operations)),
        SEQUENCE: sequence_operations(search.sequence),
    }


def searches(results: Results, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Of each search: its epochs, as metrics.jsonl has them, what it found, and what it could choose from.

    Also the rule that stopped it (`collapse.Stop`, or None), and whose alphas were taken (`genotype_epoch`).
    """
    found = []
    for job in jobs:
        if job.kind != SEARCH:
            continue
        folder = job.folder(results.workdir)
        settings = search_variant(results.config, job.method)[1]
        about, genotype = (
            json.loads((folder / name).read_text()) for name in ("search.json", "genotype.json")
        )
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
            }
        )
    return found


def agreement(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Second-order method -> of each epoch, means over its searches of what the second order is about.

    Args:
        found: see `searches`.

    Returns:
        `cosine` of the two orders' gradients, at an epoch's first step; `term_share`: norm of the second-order term
        over that of the direct part. Epochs of warm-up, which move no alpha, are left out.
    """
    methods = collections.defaultdict(lambda: collections.defaultdict(list))
    for one in found:
        for line in one["epochs"]:
            if "orders" in line:
                term, direct, cosine = (
                    math.nan if x is None else x  # what was not finite is null in JSON
                    for x in (line["val"]["term"], line["val"]["direct"], line["orders"]["cosine"])
                )
                share = term / max(direct, sys.float_info.min)
                methods[one["method"]][line["epoch"]].append((cosine, share))
    return {
        method: {
            name: [statistics.fmean(pair[i] for pair in pairs) for _, pairs in sorted(epochs.items())]
            for i, name in enumerate(("cosine", "term_share"))
        }
        for method, epochs in methods.items()
    }


def trainings(results: Results, jobs: Sequence[Job]) -> dict[str, list[list[dict[str, Any]]]]:
    """Method -> the epochs of each of its trainings."""
    found = collections.defaultdict(list)
    for job in jobs:
        if job.kind == TRAIN:
            found[job.method].append(metrics.read(job.folder(results.workdir) / metrics.FILE_NAME))
    return dict(found)


def _made_with(results, jobs):
    """With what the jobs were done, where they say it: each such commit, machine and versions, and how many jobs."""
    found = collections.Counter(
        json.dumps(job.done(results.workdir).get("run_with"), sort_keys=True) for job in jobs
    )
    return [{"jobs": count, "run_with": json.loads(of)} for of, count in sorted(found.items())]


def vars_of(found) -> dict[str, float]:
    """An estimate as JSON has it."""
    return {"value": found.value, "low": found.low, "high": found.high}


def _search_of(job, jobs):
    ours = Job(SEARCH, job.method, job.search_seed, job.fold)
    return ours if job.kind == TRAIN and ours in jobs else None


def _place(rows, key, value):
    """The position of a seed among those of a method's rows, in their order."""
    return list(dict.fromkeys(row[key] for row in rows)).index(value)


def _by_fold(rows):
    """UA `[folds, search seeds, training seeds]` of a method's rows."""
    keys = ("fold", "search_seed", "train_seed")
    found = np.zeros([len({row[key] for row in rows}) for key in keys])
    for row in rows:
        found[tuple(_place(rows, key, row[key]) for key in keys)] = row["ua"]
    return found


def _mean(rows, name):
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.fmean(values) if values else None


def _most(rows, name):
    return max((row[name] for row in rows if row[name] is not None), default=None)


def _csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
