"""The comparison of methods: every job of the grid, then figures, tests of the differences, and a report.

All methods have the same folds, the same protocol and the same budget, and several seeds of search and training where
the config gives them. Test speakers are heard once a network, and nothing is chosen by them.

WORKDIR/compare/results.csv          a row a network: fold, seeds, UA, WA, F1, size, cost
WORKDIR/compare/summary.json         everything the tables and the report are made of
WORKDIR/compare/table.txt, table.tex the tables
WORKDIR/compare/report.html          all of it to look at; figures/ has its figures as SVG and PNG
WORKDIR/compare/logs/                what the processes write
"""

import collections
import csv
import datetime
import importlib.metadata
import io
import json
import math
import os
import pathlib
import platform
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging

from jax_ser_darts import jobs as grid
from jax_ser_darts import metrics, significance, workers
from jax_ser_darts.config import search_variant
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.files import write_json, write_text
from jax_ser_darts.jobs import RANDOM, SEARCH, TRAIN, Job
from jax_ser_darts.report import html, tables
from jax_ser_darts.scores import Answers, score
from jax_ser_darts.search_space.genotype import CNN_CELLS, SEQUENCE
from jax_ser_darts.search_space.sequence_operations import sequence_operations

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn", "tensorflow")


def compare(experiment: Experiment, *, folder: pathlib.Path, records_root: pathlib.Path) -> str:
    """Runs what is left of the grid, writes the results, and returns the table as text.

    This process touches no device: they are its workers'.

    Args:
        experiment: what is compared, and on which folds.
        folder: of the records. records_root: where all records lie.

    Raises:
        ConfigError: what is done is of a setting that has changed since.
        workers.JobError: jobs failed; those that did not are done.
    """
    config, workdir = experiment.config, experiment.workdir
    jobs = grid.all_jobs(config, [fold.index for fold in experiment.folds])
    finished = {job: about for job in jobs if (about := job.done(workdir))}
    for job in finished:
        grid.check_same(job, config, workdir)
    workers.run(
        jobs,
        needs={job: grid.needed_by(job, jobs, config) for job in jobs},
        done={job: about["wall"] for job, about in finished.items()},
        make=grid.Worker,
        arguments=(
            config.to_dict(),
            workdir,
            folder,
            records_root,
            jax.config.jax_compilation_cache_dir or "",
        ),
        count=config.compare.workers,
        logs=workdir / "compare" / "logs",
    )
    summary = summarise(experiment, jobs)
    where = workdir / "compare"
    write_text(where / "results.csv", _csv(networks(experiment, jobs)))
    write_json(where / "summary.json", summary)
    text = tables.text(summary)
    write_text(where / "table.txt", text + "\n")
    write_text(where / "table.tex", tables.latex(summary))
    html.write(
        where,
        summary,
        searches=searches(experiment, jobs),
        trainings=trainings(experiment, jobs),
        config=config.to_dict(),
    )
    logging.info("The report: %s", where / "report.html")
    return f"{text}\n\nThe report: {where / 'report.html'}"


def answers_of(experiment: Experiment, job: Job) -> Answers:
    """What a network, or an SVM, answered to its fold's test speakers."""
    return Answers.from_json(json.loads((job.folder(experiment.workdir) / "answers.json").read_text()))


def networks(experiment: Experiment, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """A row for each network and its fold: what it scored and what it cost."""
    rows = []
    for job in jobs:
        if job.kind == SEARCH:
            continue
        about = job.done(experiment.workdir)
        search = _search_of(job, jobs)
        found = search.done(experiment.workdir) if search else {}
        scores = score(answers_of(experiment, job), resamples=1)
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


def summarise(experiment: Experiment, jobs: Sequence[Job]) -> dict[str, Any]:
    """Everything there is to say of a finished grid, as JSON has it."""
    config, level = experiment.config, experiment.config.scores.level
    rows = collections.defaultdict(list)
    for row in networks(experiment, jobs):
        rows[row["method"]].append(row)
    answers = collections.defaultdict(lambda: collections.defaultdict(list))
    for job in jobs:
        if job.kind != SEARCH:
            seeds = {"search_seed": job.search_seed, "train_seed": job.seed}
            at = tuple(_place(rows[job.method], key, seed) for key, seed in seeds.items())
            answers[job.method][at].append(answers_of(experiment, job))
    fold_of = {
        speaker: fold.index
        for fold in experiment.folds
        for group in fold.test
        for speaker in experiment.corpus.groups[group]
    }
    heard = {s for of in next(iter(answers.values())).values() for one in of for s in one.speakers}
    speakers = sorted(heard)
    counts = {
        method: significance.make_table({at: tuple(of) for at, of in folds.items()}, speakers)
        for method, folds in answers.items()
    }
    draws = significance.bootstrap(counts, resamples=config.scores.resamples)
    values = {method: significance.means(table) for method, table in counts.items()}
    clusters = [s if config.compare.cluster == "speaker" else f"{fold_of[s]:06d}" for s in speakers]
    methods = {}
    for method, table in counts.items():
        figures = {
            name: vars_of(significance.estimate(values[method][name], draws[method][name], level))
            for name in significance.FIGURES
        }
        methods[method] = {
            **figures,
            "ri": _improvement(method, values, draws, level),
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
        "corpus": experiment.corpus.metadata["corpus"],
        "synthetic": experiment.corpus.synthetic,
        "classes": list(experiment.corpus.classes),
        "folds": [
            {"index": fold.index, "test": list(fold.test), "validation": list(fold.validation)}
            for fold in experiment.folds
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
        "agreement": agreement(searches(experiment, jobs)),
        "wall_seconds": sum(job.done(experiment.workdir)["wall"] for job in jobs),
        "environment": environment(),
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


def _improvement(method, values, draws, level):
    """RI, per cent: the relative improvement of the UA over that of random architectures."""
    if RANDOM not in values or method == RANDOM or not values[RANDOM]["ua"]:
        return None
    relative = lambda ua, base: 100 * (ua / base - 1)
    drawn = relative(draws[method]["ua"], np.maximum(draws[RANDOM]["ua"], np.finfo(float).tiny))
    return vars_of(significance.estimate(relative(values[method]["ua"], values[RANDOM]["ua"]), drawn, level))


def operations_of(search: ml_collections.ConfigDict, space: ml_collections.ConfigDict) -> dict[str, tuple]:
    """Kind of cell -> the names of its alphas' columns."""
    return {
        **dict.fromkeys(CNN_CELLS, tuple(space.operations)),
        SEQUENCE: sequence_operations(search.sequence),
    }


def searches(experiment: Experiment, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Of each search: its epochs, as metrics.jsonl has them, what it found, and what it could choose from."""
    return [
        {
            "method": job.method,
            "seed": job.search_seed,
            "fold": job.fold,
            "epochs": metrics.read(job.folder(experiment.workdir) / metrics.FILE_NAME),
            "genotype": json.loads((job.folder(experiment.workdir) / "genotype.json").read_text()),
            "operations": operations_of(
                search_variant(experiment.config, job.method)[1], experiment.config.space
            ),
        }
        for job in jobs
        if job.kind == SEARCH
    ]


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


def trainings(experiment: Experiment, jobs: Sequence[Job]) -> dict[str, list[list[dict[str, Any]]]]:
    """Method -> the epochs of each of its trainings."""
    found = collections.defaultdict(list)
    for job in jobs:
        if job.kind == TRAIN:
            found[job.method].append(metrics.read(job.folder(experiment.workdir) / metrics.FILE_NAME))
    return dict(found)


def environment() -> dict[str, Any]:
    """Where and how this was run."""
    return {
        "command": " ".join(["python -m jax_ser_darts.main", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} core(s), {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


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
