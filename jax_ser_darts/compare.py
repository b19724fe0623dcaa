"""The comparison of methods: every job of the grid, then figures, tests of the differences, and a report.

All methods have the same folds, the same protocol and the same budget, and several seeds of search and training where
the config gives them. Test speakers are heard once a network, and nothing is chosen by them.

WORKDIR/compare/results.csv          a row a network: fold, seeds, UA, WA, F1, size, cost
WORKDIR/compare/summary.json         everything the tables and the report are made of
WORKDIR/compare/table.txt, table.tex the tables
WORKDIR/compare/report.html          all of it to look at; figures/ has its figures as SVG and PNG
WORKDIR/compare/corpus.json          what has to be known of the corpus, so that all this can be made without it
WORKDIR/compare/logs/                what the processes write
"""

import contextlib
import pathlib

import jax
from absl import logging

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.files import write_json
from jax_ser_darts.grid import jobs as grid
from jax_ser_darts.grid import workers
from jax_ser_darts.report import outputs
from jax_ser_darts.report.results import CORPUS_FILE, Results
from jax_ser_darts.rundir.environment import environment


def compare(experiment: Experiment, *, folder: pathlib.Path) -> str:
    """Runs what is left of the grid, writes the results, and returns the table as text.

    This process touches no device: they are its workers'.

    Args:
        experiment: what is compared, and on which folds.
        folder: of the records.

    Raises:
        ConfigError: what is done is of a setting that has changed since.
        workers.JobError: jobs failed; those that did not are done, and methods that are whole have a report.
    """
    config, workdir = experiment.config, experiment.workdir
    found = Results.of(experiment)
    write_json(workdir / CORPUS_FILE, found.to_json())
    jobs = found.jobs
    finished = {job: about for job in jobs if (about := job.done(workdir))}
    for job in finished:
        grid.check_same(job, config, workdir)
    where = workdir / "compare"
    try:
        workers.run(
            sorted(jobs, key=lambda job: job.kind != grid.SVM),  # what it cannot hear is told early
            needs={job: grid.needed_by(job, jobs, config) for job in jobs},
            done={job: about["wall"] for job, about in finished.items()},
            make=grid.Worker,
            arguments=(
                config.to_dict(),
                workdir,
                folder,
                jax.config.jax_compilation_cache_dir or "",
            ),
            count=config.compare.workers,
            logs=where / "logs",
        )
    except workers.JobError as error:
        with contextlib.suppress(ConfigError):  # no method is whole
            outputs.write(where, found, environment=environment(), failed=error.failed)
            logging.warning("The report is of the methods that are whole: %s", where / "report.html")
        raise
    text = outputs.write(where, found, environment=environment())
    logging.info("The report: %s", where / "report.html")
    return f"{text}\n\nThe report: {where / 'report.html'}"
