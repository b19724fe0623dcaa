"""Finds, trains and scores networks that hear emotion in speech, and what to compare them with.

    python -m jax_ser_darts.main --config=configs/demo.py --workdir=/tmp/demo --mode=all
    python -m jax_ser_darts.main --config=configs/ravdess.py:quick --config.data.source=DIR --workdir=DIR

Modes: prepare (sound -> TFRecords), search (the cells, for each method, seed and fold), train (the found networks and
the baselines, from scratch), evaluate (predictions for the test speakers and the report; with --bundle, of a bundle
on the config's corpus), all (the four of them; compare is another name), export (a trained network as a bundle, for
jax_ser_darts.predict), plan (the memory that the run will take of each device; runs nothing). Each resumes where it was
stopped, and needs the ones before it. Every setting can be given as --config.SECTION.NAME=VALUE; see
jax_ser_darts/config.py.
"""

import itertools
import os
import pathlib
import re
import sys
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging
from ml_collections import config_flags

from data_prep import beam as beams
from data_prep import functionals
from data_prep.beam import Beam
from data_prep.corpora.base import CorpusError
from data_prep.features import SettingsError
from data_prep.prepare import prepare
from jax_ser_darts import pipeline, plan
from jax_ser_darts.config import search_variant
from jax_ser_darts.config_checks import validate
from jax_ser_darts.data import records
from jax_ser_darts.data.folds import FoldError
from jax_ser_darts.devices import compilation, hosts
from jax_ser_darts.devices.memory import keep_freed_memory
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import (
    check_devices,
    digest,
    records_root,
    set_up,
)
from jax_ser_darts.grid import jobs
from jax_ser_darts.grid.board import JobError
from jax_ser_darts.grid.worker import network_designs
from jax_ser_darts.losses import DivergedError
from jax_ser_darts.rundir.checkpoints import CheckpointError
from jax_ser_darts.rundir.manifest import check_workdir, claim_workdir, lock_workdir
from jax_ser_darts.rundir.metrics import MetricsError
from jax_ser_darts.rundir.progress import is_project_record
from jax_ser_darts.scoring.predictions import ScoreError
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.serving import domain, export
from jax_ser_darts.serving.bundle import BundleError

MODES = ("prepare", "search", "train", "evaluate", "all", "compare", "export", "plan")
ALONE = ("export", "plan")  # modes of one process
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
    workers = config.grid.workers if mode in jobs.MODES else 1
    shared = not (bundle or config.baselines.svm or needs_one_process(config) or workers > 1)
    if hosts.count() > 1 and (mode in ALONE or not shared):
        raise ConfigError(
            "several processes do not share the SVM, search.eigenvalue, search.perturbation, grid.workers, --bundle, "
            f"nor --mode={', '.join(ALONE)}: start one"
        )
    if bundle and mode not in ("evaluate", "export"):
        raise ConfigError(f"--bundle is for --mode=export or evaluate, not {mode}")
    if mode == "plan":
        print(plan.plan(config, memory=memory))
        return
    if bundle and mode == "evaluate":
        print(domain.check(config, pathlib.Path(bundle), workdir))
        return
    if workers == 1:  # several look at their own devices: this process must leave them alone
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
            print(f"Bundle: {export.export(experiment, network_designs(experiment), target)}")
            return
        text = pipeline.run(experiment, mode, folder=folder)
        if text and hosts.is_primary():
            print(text)


def needs_one_process(config) -> bool:
    """Whether a search reads batches that it does not share out."""
    variants = (search_variant(config, method)[1] for method in config.search.methods)
    return any(settings.eigenvalue or settings.perturbation for settings in variants)


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
