"""jax-ser-darts: searches, trains and uses networks that recognise emotion in speech.

    jax-ser-darts all --config=demo --workdir=runs/demo            the whole job on a synthetic demo corpus
    jax-ser-darts export --config=demo --workdir=runs/demo --bundle=my_bundle
    jax-ser-darts predict my_bundle speech.wav recordings/         emotions in sound files

A run, all with --config=NAME[:VARIANT] (or the name alone, first) and --workdir=DIR:
    prepare     sound to TFRecords of features
    search      searches the cells
    train       trains the found networks and the baselines
    evaluate    scores them on the test speakers; with --bundle, scores a bundle on another corpus
    all         prepare, search, train and evaluate
    compare     all of it by several processes, with tests of the differences and a report
    export      a trained network as a bundle
    plan        the memory that a run will take of each device
Configs:
    list        the packaged configs and their variants
    show        all settings of a config
A bundle:
    predict     emotions in sound files
    page        a page in the browser that records, or takes a file
    onnx        adds a model for ONNX Runtime to it
Results:
    archive     collects, rebuilds and restores the results of a comparison
    draw        draws the cells of a genotype file
    cells       checks and compares genotype files
    benchmark   times the steps of search and training

`jax-ser-darts COMMAND --help` explains a command. Each is also a module: `python -m jax_ser_darts.main --mode=MODE`,
`python -m jax_ser_darts.predict` ...
"""

import importlib.metadata
import runpy
import sys

from jax_ser_darts import commands, extras
from jax_ser_darts.errors import UserError

MODES = ("prepare", "search", "train", "evaluate", "all", "compare", "export", "plan")
# Command -> the module that does it, and the arguments that stand before the user's.
COMMANDS = {
    **{mode: ("main", f"--mode={mode}") for mode in MODES},
    "list": ("main", "--list"),
    "show": ("main", "--show"),
    "predict": ("predict",),
    "page": ("page",),
    "onnx": ("serving.onnx_model",),
    "archive": ("archive",),
    "draw": ("cells", "draw"),
    "cells": ("cells",),
    "benchmark": ("benchmark",),
}


def main() -> None:
    """Runs the command's module as `python -m` would, so that nothing of the others is imported."""
    commands.print_anything()
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in commands.HELP:
        print(__doc__)
    elif command == "--version":
        print(importlib.metadata.version("jax_ser_darts"))
    elif command not in COMMANDS:
        text = f"there is no command {command!r}; there are {', '.join(COMMANDS)}; see --help"
        sys.exit(commands.fail(text, status=2))
    else:
        module, *before = COMMANDS[command]
        if module == "main" and arguments and not arguments[0].startswith("-"):
            arguments[0] = f"--config={arguments[0]}"
        sys.argv[1:] = [*before, *arguments]
        try:
            with extras.explained():
                runpy.run_module(f"jax_ser_darts.{module}", run_name="__main__", alter_sys=True)
        except UserError as error:
            sys.exit(commands.fail(error, status=1))


if __name__ == "__main__":
    main()
