"""Workdirs as the jobs of a run leave them, made up: nothing is searched or trained."""

import dataclasses
import json

import numpy as np
from tiny import tiny_config

from jax_ser_darts.data.folds import Fold
from jax_ser_darts.grid import jobs
from jax_ser_darts.report.results import Results
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.checksums import FILES, SEAL, files_of, write_sealed
from jax_ser_darts.rundir.manifest import write_about, write_manifest
from jax_ser_darts.search_space.genotype import num_edges, random_genotype
from jax_ser_darts.search_space.sequence_operations import sequence_operations
from jax_ser_darts.settings import resolve
from jax_ser_darts.training import svm
from jax_ser_darts.training.designs import random_seed
from jax_ser_darts.training.spaces import is_random

SPEAKERS = "abcd"
CLASSES = ("angry", "happy", "sad")
EACH = 8  # utterances of a class and speaker
CORPUS = "a digest"
MATCHED_SIZE = 1234


def grid_config():
    """Both orders, random, a matched baseline and the SVM, on two folds with two training seeds."""
    c = tiny_config()
    c.train.seeds = (0, 1)
    c.baselines.random = 2
    c.baselines.networks = ("cnn",)
    c.baselines.sizes = ("matched",)
    c.baselines.svm = True
    return c


def make(workdir, config) -> Results:
    """A workdir of the config in which every job is done, each with another result."""
    config = resolve(config)
    folds = tuple(
        Fold(
            i,
            test=(SPEAKERS[i],),
            validation=(SPEAKERS[i - 1],),
            train=tuple(sorted({*SPEAKERS} - {SPEAKERS[i], SPEAKERS[i - 1]})),
        )
        for i in range(len(SPEAKERS))
    )
    results = Results(config, workdir, "made_up", synthetic=True, classes=CLASSES, all_folds=folds)
    claim(results)
    write_sealed(workdir / layout.MATCHED_FILE, {"parameters": MATCHED_SIZE, "methods": ["first/search_0"]})
    for number, job in enumerate(results.jobs):
        make_job(job, results, np.random.default_rng(number))
    return results


def claim(results, config=None, corpus=CORPUS):
    """Makes the workdir that of a config, by default its own."""
    write_manifest(config or results.config, results.workdir, corpus)
    write_about(results.workdir / layout.CORPUS_FILE, results.to_json(), results.workdir)


def enlist(folder, **changes):
    """Makes what lies in a job's folder what it has written; `changes` are of its job.json."""
    path = folder / layout.JOB_FILE
    record = {**json.loads(path.read_text()), **changes, FILES: files_of(folder)}
    del record[SEAL]
    write_sealed(path, record)


def make_job(job, results, rng):
    """The files of one job."""
    folder, fold = job.folder(results.workdir), results.all_folds[job.fold]
    costs = {"seconds": float(rng.uniform(1, 9)), "peak_memory": int(rng.integers(1e9))}
    genotype = random_genotype(
        rng, nodes=results.config.space.nodes, operations=results.config.space.operations
    )
    if job.kind == jobs.SEARCH:
        costs["compiling"] = float(rng.uniform(1, 9))
        write(folder / "search.json", {"method": job.method, "fold": dataclasses.asdict(fold), **costs})
        write(folder / "genotype.json", genotype.to_json())
        lines = search_lines(job, results.config, rng, genotype.to_json())
    else:
        write(folder / "predictions.json", predictions(fold, rng))
        lines = [{"epoch": e, "train": {"loss": rng.random()}, "seconds": rng.random()} for e in range(2)]
    if job.kind == jobs.TRAIN:
        costs |= {"parameters": int(rng.integers(1000)), "validation_ua": rng.random(), "epoch": 1}
        setting = {}
        if is_random(job.method):
            setting = {"random_seed": random_seed(results.config, job.search_seed, job.fold)}
        elif job.method.endswith("_matched"):
            setting = {"matched_parameters": MATCHED_SIZE}
        write(
            folder / "network.json",
            {
                "fold": dataclasses.asdict(fold),
                **costs,
                **setting,
                "normalisation": {"mean": [0.1] * 64},
            },
        )
    if job.kind == jobs.SVM:
        costs |= {"parameters": None}
        write(folder / "setup.json", {"c": [float(c) for c in results.config.baselines.svm_c], "values": 88})
    else:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if job.method != svm.METHOD and job.kind != jobs.SEARCH:
        costs["flops"] = int(rng.integers(1e6))
    run_with = {"commit": "abc", "machine": "a machine", "python": "3.11", "versions": {"jax": "0.10.2"}}
    record = {**dataclasses.asdict(job), **costs, "wall": float(rng.uniform(1, 99)), "run_with": run_with}
    write_sealed(folder / layout.JOB_FILE, {**record, FILES: files_of(folder)})


def search_lines(job, config, rng, genotype):
    """The epochs of a search, two of them."""
    order, settings = config.method(job.method)
    shapes = dict.fromkeys(("normal", "reduction"), (num_edges(config.space.nodes), 4))
    if operations := sequence_operations(settings.sequence):
        shapes["sequence"] = (num_edges(settings.sequence_nodes), len(operations))
    metrics = lambda: {
        "loss": rng.random(),
        "accuracy": rng.random(),
        "direct": rng.random(),
        "correction": 0.1,
    }
    return [
        {
            "epoch": epoch,
            "train": {"loss": rng.random()},
            "val": metrics(),
            **({"agreement": {"cosine": rng.random()}} if order == "second" else {}),
            "entropy": dict.fromkeys(shapes, rng.random()),
            "skip_share": dict.fromkeys(shapes, 0.5),
            "genotype": genotype,
            "alphas": {kind: rng.normal(size=shape).tolist() for kind, shape in shapes.items()},
            "seconds": rng.random(),
        }
        for epoch in range(2)
    ]


def predictions(fold, rng):
    """What a network of this fold may have predicted: half of it right."""
    labels = np.repeat(np.arange(len(CLASSES)), EACH)
    guesses = np.where(rng.random(len(labels)) < 0.5, labels, rng.integers(len(CLASSES), size=len(labels)))
    return {
        "classes": list(CLASSES),
        "ids": [f"{fold.test[0]}_{i}" for i in range(len(labels))],
        "labels": labels.tolist(),
        "predictions": guesses.tolist(),
        "speakers": [fold.test[0]] * len(labels),
    }


def write(path, value):
    """JSON, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
