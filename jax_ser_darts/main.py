"""Finds, trains and scores networks that recognise emotion in speech, and compares them with others.

    python -m jax_ser_darts.main --config=demo --workdir=runs/demo
    python -m jax_ser_darts.main --config=ravdess:quick --config.data.source=DIR --workdir=runs/ravdess
    python -m jax_ser_darts.main --config=my_config.py --workdir=runs/mine --mode=export --bundle=my_bundle

`jax-ser-darts MODE ...` is the same with --mode=MODE. Modes:

    prepare     turns sound into TFRecords of features
    search      searches the cells, for each method, seed and fold
    train       trains the found networks and the baselines from scratch
    evaluate    scores them on the test speakers; with --bundle, scores a bundle on the config's corpus
    all         prepare, search, train and evaluate
    compare     all of it by several processes; then tests the differences and writes a report
    export      writes a trained network as a bundle, for `jax-ser-darts predict`
    plan        prints the memory that the run will take of each device; runs nothing

Every mode resumes where it was stopped. Any setting can be given as --config.SECTION.NAME=VALUE; --show prints the
settings of a config, --list the packaged configs. The exit status is 1 after a mistake, with one line that names it.
"""

import pathlib
import sys
import traceback
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from data_prep import beam as beams
from jax_ser_darts import commands, config_files
from jax_ser_darts.errors import ConfigError, UserError

MODES = ("prepare", "search", "train", "evaluate", "all", "compare", "export", "plan")

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The settings: NAME[:VARIANT] of a packaged config, or a file, PATH.py[:VARIANT]."
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of everything that the run writes; run again, it resumes."
)
MODE = flags.DEFINE_enum("mode", "all", MODES, "What to do, see above.")
LIST = flags.DEFINE_boolean("list", False, "Print the packaged configs and their variants, and end.")
SHOW = flags.DEFINE_boolean("show", False, "Print the settings of --config, and end.")
BUNDLE = flags.DEFINE_string(
    "bundle",
    None,
    "Folder of a bundle. export: where it goes, WORKDIR/bundle by default. evaluate: the bundle to score.",
)
DISTRIBUTED = flags.DEFINE_boolean(
    "distributed",
    False,
    "One of several processes of one run, which find each other (Slurm, Open MPI, GKE, TPU).",
)
COORDINATOR = flags.DEFINE_string("coordinator", None, "As --distributed, by HOST:PORT of process 0.")
PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Number of processes, with --coordinator.", lower_bound=1
)
PROCESS = flags.DEFINE_integer(
    "process_id", None, "Index of this process, with --coordinator.", lower_bound=0
)
MEMORY = flags.DEFINE_float(
    "memory",
    0.0,
    "plan: GiB of one device; 0 is what the device reports, or the CPU's share.",
    lower_bound=0.0,
)
BEAM = beams.define_flags()
for _name in beams.FLAGS:
    flags.declare_key_flag(_name)
CACHE = flags.DEFINE_string(
    "compilation_cache",
    str(pathlib.Path.home() / ".cache" / "jax_ser_darts"),
    "Folder of compiled programs, for later runs; empty keeps none.",
)


def run(config: Any, workdir: pathlib.Path, mode: str, bundle: str | None = None, **options: Any) -> None:
    """Does a mode and prints what it has to show; options as of `Run` and `Run.mode`."""
    from jax_ser_darts.devices import hosts
    from jax_ser_darts.run import Run  # imported here: that takes seconds, and --help needs none of it

    text = Run(config, workdir, beam=options.pop("beam", None)).mode(mode, bundle=bundle, **options)
    if hosts.is_primary():
        print(text)


def main(argv: list[str]) -> int:
    """The command; returns the exit status.

    Raises:
        UserError: a user's mistake.
    """
    if len(argv) > 1:
        raise ConfigError(f"unexpected arguments {argv[1:]}; settings are given as --config.NAME=VALUE")
    if LIST.value:
        print(config_files.listing())
        return 0
    if CONFIG.value is None:
        raise ConfigError("--config is missing: --list prints the packaged configs")
    if SHOW.value:
        from jax_ser_darts.settings import resolve, show

        changed = config_flags.get_override_values(flags.FLAGS["config"])
        print(show.show(resolve(CONFIG.value), overridden=changed))
        return 0
    if WORKDIR.value is None:
        raise ConfigError("--workdir is missing: the folder of everything that the run writes")
    several = DISTRIBUTED.value or COORDINATOR.value
    if not several and (PROCESSES.value, PROCESS.value) != (None, None):
        raise ConfigError("--num_processes and --process_id are for --coordinator, which is not given")
    from jax_ser_darts.devices import compilation, hosts, memory
    from jax_ser_darts.rundir.progress import is_project_record

    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().addFilter(is_project_record)
    memory.keep_freed_memory()
    compilation.cache_compilations(CACHE.value)
    try:
        if several:
            hosts.initialise(COORDINATOR.value, PROCESSES.value, PROCESS.value)
        workdir = pathlib.Path(WORKDIR.value)
        run(CONFIG.value, workdir, MODE.value, BUNDLE.value, memory=MEMORY.value, beam=BEAM())
    except Exception as error:
        if hosts.count() == 1:
            raise
        if isinstance(error, UserError | OSError):
            commands.fail(error, status=1)
        else:
            traceback.print_exc()
        hosts.abort()
    return 0


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with one line where a flag, or the config that it names, is not as it must be."""
    commands.show_help(argv)
    try:
        resolved = _with_config_files(argv)
    except UserError as error:
        sys.exit(commands.fail(error, status=1))
    return commands.parse_config_flags(resolved, status=1)


def _with_config_files(argv: list[str]) -> list[str]:
    """The arguments, with the file of a packaged config in the place of its name.

    Raises:
        ConfigError: there is no such config.
    """
    resolved, follows = argv[:1], False
    for argument in argv[1:]:
        flag, given, value = argument.partition("=")
        is_config = flag in ("--config", "-config")
        if follows:
            argument = config_files.resolve(argument)
        elif is_config and given:
            argument = f"{flag}={config_files.resolve(value)}"
        follows = is_config and not given
        resolved.append(argument)
    return resolved


def cli() -> None:
    """Entry point."""
    commands.start(main, status=1, parse=parse_flags)


if __name__ == "__main__":
    cli()
