"""Finds, trains and scores networks that hear emotion in speech, and what to compare them with.

    python -m jax_ser_darts.main --config=configs/demo.py --workdir=/tmp/demo --mode=all
    python -m jax_ser_darts.main --config=configs/ravdess.py:quick --config.data.source=DIR --workdir=DIR

Modes: prepare (sound -> TFRecords), search (the cells, for each method, seed and fold), train (the found networks and
the baselines, from scratch), evaluate (scores on the test speakers; with --bundle, of a bundle
on the config's corpus), all (the four of them), compare (the same by several processes, then tests of the differences
and a report), export (a trained network as a bundle, for jax_ser_darts.predict), plan (the memory that
the run will take of each device; runs nothing). Each goes on where it was stopped, and needs the ones before it. Every
setting can be given as --config.SECTION.NAME=VALUE; see jax_ser_darts/config.py.
"""

import itertools
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging
from ml_collections import config_flags

from data_prep import beam as beams
from data_prep import functionals
from data_prep.beam import Beam
from data_prep.corpora.base import CorpusError
from data_prep.features import SettingsError
from data_prep.prepare import prepare
from jax_ser_darts import compare, plan
from jax_ser_darts.config import search_variant
from jax_ser_darts.config_checks import validate
from jax_ser_darts.data import records
from jax_ser_darts.data.folds import FoldError
from jax_ser_darts.devices import compilation, hosts
from jax_ser_darts.devices.memory import keep_freed_memory
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import (
    Experiment,
    check_devices,
    found_by,
    records_root,
    set_up,
)
from jax_ser_darts.grid.workers import JobError
from jax_ser_darts.losses import DivergedError
from jax_ser_darts.rundir.checkpoints import CheckpointError
from jax_ser_darts.rundir.manifest import check_manifest, lock_workdir, write_manifest
from jax_ser_darts.rundir.metrics import MetricsError
from jax_ser_darts.rundir.progress import is_project_record
from jax_ser_darts.scoring.scores import ScoreError
from jax_ser_darts.search.search import search
from jax_ser_darts.search.searcher import make_searchers
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.serving import domain, export
from jax_ser_darts.serving.bundle import BundleError
from jax_ser_darts.training import evaluate, svm
from jax_ser_darts.training.designs import GIVEN_GENOTYPE, all_designs
from jax_ser_darts.training.train import Design, make_trainer, train

MODES = ("prepare", "search", "train", "evaluate", "all", "compare", "export", "plan")
ALONE = ("compare", "export", "plan")  # modes of one process
USER_ERRORS = (
    BundleError,
    CheckpointError,
    ConfigError,
    CorpusError,
    DivergedError,
    FoldError,
    hosts.HostsError,
    JobError,
    MetricsError,
    OSError,
    ScoreError,
    SettingsError,
    functionals.MissingError,
    genotypes.GenotypeError,
    records.RecordsError,
)

CONFIG = config_flags.DEFINE_config_file("config", None, "The run's settings, configs/NAME.py[:VARIANT].")
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything of this run is kept; a second run goes on.")
MODE = flags.DEFINE_enum("mode", "all", MODES, "What to do; all does everything in turn.")
BUNDLE = flags.DEFINE_string(
    "bundle",
    None,
    "A bundle's folder. export: where it goes, WORKDIR/bundle by default. evaluate: hear the config's corpus with it.",
)
DISTRIBUTED = flags.DEFINE_boolean(
    "distributed",
    False,
    "One of several processes of one run, which find each other (Slurm, Open MPI, GKE, TPU).",
)
COORDINATOR = flags.DEFINE_string("coordinator", None, "The same, found by HOST:PORT of process 0.")
PROCESSES = flags.DEFINE_integer("num_processes", None, "How many, with --coordinator.", lower_bound=1)
PROCESS = flags.DEFINE_integer("process_id", None, "Which one this is, with --coordinator.", lower_bound=0)
MEMORY = flags.DEFINE_float(
    "memory", 0.0, "plan: GiB of one device; 0 is what the device says, or the CPU's share.", lower_bound=0.0
)
BEAM = beams.define_flags()
for _name in beams.FLAGS:
    flags.declare_key_flag(_name)
CACHE = flags.DEFINE_string(
    "compilation_cache",
    str(pathlib.Path.home() / ".cache" / "jax_ser_darts"),
    "Folder that keeps compiled programs for later runs; empty keeps none.",
)


def run(
    config,
    workdir: pathlib.Path,
    mode: str,
    bundle: str | None = None,
    *,
    memory: float = 0.0,
    beam: Beam | None = None,
) -> None:
    """The whole job, or one mode of it; `bundle`, `memory` and `beam` as in their flags."""
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
    check_manifest(config, workdir)
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
        write_manifest(config, workdir, corpus.fingerprint)
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


def main(argv: list[str]) -> int:
    """The command; a user's mistake is one message and exit status 1."""
    if len(argv) > 1:
        print(
            f"error: unexpected arguments {argv[1:]}; settings are given as --config.NAME=VALUE",
            file=sys.stderr,
        )
        return 1
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().addFilter(is_project_record)
    keep_freed_memory()
    compilation.cache_compilations(CACHE.value)
    try:
        alone = not (DISTRIBUTED.value or COORDINATOR.value)
        if alone and (PROCESSES.value, PROCESS.value) != (None, None):
            raise ConfigError("--num_processes and --process_id are for --coordinator, which is not given")
        if DISTRIBUTED.value or COORDINATOR.value:
            hosts.initialise(COORDINATOR.value, PROCESSES.value, PROCESS.value)
        run(
            CONFIG.value,
            pathlib.Path(WORKDIR.value),
            MODE.value,
            BUNDLE.value,
            memory=MEMORY.value,
            beam=BEAM(),
        )
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        if hosts.count() > 1:
            hosts.abort()
        return 1
    except Exception:
        if hosts.count() == 1:
            raise
        traceback.print_exc()
        hosts.abort()
    return 0


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with one message where a flag, or the config that it names, is not as it must be."""
    for argument, following in itertools.pairwise([*argv, ""]):
        flag, given, value = argument.partition("=")
        path = pathlib.Path((value if given else following).partition(":")[0])  # what follows is the variant
        if flag in ("--config", "-config") and path.name and not path.is_file():
            there = ", ".join(str(one) for one in sorted(path.parent.glob("[!_]*.py"))) or "none"
            print(f"error: there is no config file {path}; in {path.parent} are: {there}", file=sys.stderr)
            sys.exit(1)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:  # with a traceback, where the config's own file has refused its variant
        cause = re.sub(r"^\w+Error: ", "", str(error).strip().splitlines()[-1].strip())
        print(f"error: {cause}\n--help explains the flags.", file=sys.stderr)
        sys.exit(1)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        print(
            f"error: the config does not take these flags: {error}\nEvery setting, its default and its meaning: "
            "jax_ser_darts/config.py; given as --config.SECTION.NAME=VALUE.",
            file=sys.stderr,
        )
        sys.exit(1)


def cli() -> None:
    """Entry point."""
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    cli()
