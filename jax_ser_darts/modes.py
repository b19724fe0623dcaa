"""What each mode of a run does: `main.py` is the command."""

import itertools
import os
import pathlib
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


from data_prep import functionals
from data_prep.beam import Beam
from data_prep.prepare import prepare
from jax_ser_darts import compare, plan
from jax_ser_darts.config import search_variant
from jax_ser_darts.config_checks import validate
from jax_ser_darts.data import records
from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import (
    Experiment,
    check_devices,
    digest,
    found_by,
    records_root,
    set_up,
)
from jax_ser_darts.rundir.manifest import check_workdir, claim_workdir, lock_workdir
from jax_ser_darts.search.search import search
from jax_ser_darts.search.searcher import make_searchers
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.serving import domain, export
from jax_ser_darts.training import evaluate, svm
from jax_ser_darts.training.designs import GIVEN_GENOTYPE, all_designs
from jax_ser_darts.training.train import Design, make_trainer, train

ALONE = ("compare", "export", "plan")  # modes of one process


def run(
    config,
    workdir: pathlib.Path,
    mode: str,
    bundle: str | None = None,
    *,
    memory: float = 0.0,
    beam: Beam | None = None,
) -> None:
    """The whole job, or one mode of it; `bundle`, `memory` and `beam` as in the flags of `main`.

    Raises:
        UserError: of whatever is wrong with the settings, the corpus, the workdir or the bundle.
    """
    validate(config)
    if config.train.genotype and mode not in ("prepare", "search") and not (bundle and mode == "evaluate"):
        genotypes.load(config.train.genotype)  # what is wrong with it is told before any work
    if hosts.count() > 1 and (mode in ALONE or bundle or config.baselines.svm or needs_one_process(config)):
        raise ConfigError(
            "several processes do not share the SVM, search.eigenvalue, search.perturbation, --bundle, nor "
            f"--mode={', '.join(ALONE)}: start one"
        )
    if bundle and mode not in ("evaluate", "export"):
        raise ConfigError(f"--bundle is for --mode=export or evaluate, not {mode}")
    if mode == "plan":
        print(plan.plan(config, memory=memory))
        return
    if bundle and mode == "evaluate":
        print(domain.check(config, pathlib.Path(bundle), workdir))
        return
    if mode != "compare":  # whose processes look at their own: this one must leave the devices to them
        check_devices(config)
    check_workdir(config, workdir)
    if config.baselines.svm and mode not in ("prepare", "search", "export"):
        functionals.check_installed()
    if not hosts.is_primary():
        hosts.barrier("prepared")
    root = records_root(config, workdir)
    folder = prepare(
        data=config.data, features=config.features, records=root, beam=beam, show_counts=hosts.is_primary()
    )
    if hosts.is_primary():
        hosts.barrier("prepared")
    if mode == "prepare":
        if hosts.is_primary():
            print(f"Records: {folder}")
        return
    corpus = records.load_records(folder)
    experiment = set_up(config, workdir, corpus)
    with lock_workdir(workdir):
        claim_workdir(config, workdir, digest(corpus))
        if mode == "export":
            target = pathlib.Path(bundle or workdir / "bundle")
            print(
                f"Bundle: {export.export(experiment, all_designs(experiment, find(experiment, mode)), target)}"
            )
        elif mode == "compare":
            print(compare.compare(experiment, folder=folder))
        else:
            work(experiment, mode)


def needs_one_process(config) -> bool:
    """Whether a search reads batches that it does not share out."""
    variants = (search_variant(config, method)[1] for method in config.search.methods)
    return any(settings.eigenvalue or settings.perturbation for settings in variants)


def work(experiment: Experiment, mode: str) -> None:
    """Search, training and evaluation, or those of them that the mode asks for."""
    if experiment.config.baselines.svm and mode in ("train", "all"):
        svm.heard(experiment)  # what it cannot hear is told before hours of searching and training
    found = find(experiment, mode)
    if mode == "search":
        return
    results = {
        method: networks(experiment, method, of_folds, mode)
        for method, of_folds in all_designs(experiment, found).items()
    }
    if experiment.config.baselines.svm:
        results[svm.METHOD] = {svm.SEED: svms(experiment, mode)}
    if mode != "train":
        text = evaluate.report(experiment, *evaluate.summarise(experiment, results))
        if hosts.is_primary():
            print(text)


def networks(experiment: Experiment, method: str, of_folds: Sequence[Design], mode: str) -> dict:
    """Trains a method's design of each fold, or evaluates it, or both: training seed -> a result a fold."""
    trainers, results = {}, {}
    for fold, design in zip(experiment.folds, of_folds, strict=True):
        if design.key not in trainers:
            trainers[design.key] = make_trainer(experiment, design)
        trainer = trainers[design.key]
        for seed in experiment.config.train.seeds:
            if mode == "evaluate":
                check_trained(experiment.train_folder(method, fold, seed), "network.json")
            else:
                train(trainer, method, fold, seed)
            if mode != "train":
                results.setdefault(seed, []).append(evaluate.result(trainer, method, fold, seed))
    return results


def svms(experiment: Experiment, mode: str) -> list[evaluate.Result]:
    """As `networks`, of the SVM: a result a fold."""
    if mode == "evaluate":
        for fold in experiment.folds:
            check_trained(experiment.train_folder(svm.METHOD, fold, svm.SEED), "svm.json")
    values = svm.heard(experiment)
    if mode == "train":
        for fold in experiment.folds:
            svm.train(experiment, values, fold)
        return []
    return [svm.result(experiment, values, fold) for fold in experiment.folds]


def check_trained(folder: pathlib.Path, file: str) -> None:
    """Whether a training is done.

    Raises:
        ConfigError: it is not.
    """
    if not (folder / file).exists():
        raise ConfigError(f"{folder} has nothing trained ({file} is missing): run --mode=train first")


def find(experiment: Experiment, mode: str) -> dict:
    """Method -> the genotype of each fold: searched, read from earlier searches, or from train.genotype."""
    config = experiment.config
    if config.train.genotype and mode != "search":
        return {GIVEN_GENOTYPE: [genotypes.load(config.train.genotype)] * len(experiment.folds)}
    searches = mode in ("search", "all")
    searcher_of = make_searchers(experiment)
    found = {}
    for method, seed in itertools.product(config.search.methods, config.search.seeds):
        for fold in experiment.folds:
            path = experiment.search_folder(method, fold, seed) / "genotype.json"
            if not searches and not path.exists():
                raise ConfigError(f"{path} is missing: run --mode=search first")
            genotype = search(searcher_of(method), method, fold, seed) if searches else genotypes.load(path)
            found.setdefault(found_by(method, seed), []).append(genotype)
            if hosts.is_primary():
                print(f"Genotype of {method}, seed {seed}, fold {fold.index}:\n{genotype}\n", flush=True)
    return found
