"""A mode's jobs, then the report of what they have left."""

import contextlib
import pathlib

from absl import logging

from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.files import write_json
from jax_ser_darts.grid import driver
from jax_ser_darts.grid.board import JobError
from jax_ser_darts.report import outputs
from jax_ser_darts.report.results import Results
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.environment import environment
from jax_ser_darts.search_space import genotype as genotypes

REPORTED = ("evaluate", "all", "compare")  # modes that end in a report


def run(experiment: Experiment, mode: str, *, folder: pathlib.Path) -> str:
    """Does what is left of a mode's jobs; of several processes, all call this, and the first one reports.

    Args:
        experiment: whose jobs they are.
        mode: one of `jobs.MODES`.
        folder: of the records.

    Returns:
        What the mode has to show: the genotypes of a search; the tables, where test speakers were predicted.

    Raises:
        UserError: as of `driver.run`. Where jobs failed, methods that are whole have a report.
    """
    results, report = Results.of(experiment), experiment.workdir / layout.REPORT
    write_json(experiment.workdir / layout.CORPUS_FILE, results.to_json())
    try:
        jobs = driver.run(experiment, mode, folder=folder)
    except JobError as error:
        if mode in REPORTED:
            with contextlib.suppress(ConfigError):  # no method is whole
                outputs.write(report, results, environment=environment(), failed=error.failed)
                logging.warning("The report is of the methods that are whole: %s", report / "report.html")
        raise
    text = ""
    if mode == "search":
        found = {
            job.name: genotypes.load(job.folder(experiment.workdir) / layout.GENOTYPE_FILE) for job in jobs
        }
        text = "\n\n".join(f"Genotype of {name}:\n{genotype}" for name, genotype in found.items())
    elif mode in REPORTED and hosts.is_primary():
        tables = outputs.write(report, results, environment=environment())
        text = f"{tables}\n\nThe report: {report / 'report.html'}"
    hosts.barrier("reported")
    return text
