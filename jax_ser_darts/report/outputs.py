"""A grid's results -> the folder of its report, see rundir/layout.py for its files."""

import csv
import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import write_alone
from jax_ser_darts.grid.jobs import Job
from jax_ser_darts.report import html
from jax_ser_darts.report.latex import latex
from jax_ser_darts.report.notes import missing
from jax_ser_darts.report.results import Results, complete, networks, searches, trainings
from jax_ser_darts.report.summary import summarise
from jax_ser_darts.report.text import text
from jax_ser_darts.settings import to_json


def write(
    folder: pathlib.Path,
    results: Results,
    *,
    environment: Mapping[str, Any],
    failed: Mapping[Job, str] | None = None,
) -> str:
    """Writes the tables and the page, and returns the tables as text; of several processes, one calls this.

    Methods with a job that is not done are left out, and named.

    Args:
        folder: that the files go to.
        results: see `Results`.
        environment: of this process, see environment.py.
        failed: what went wrong with jobs, where it is known.

    Raises:
        ConfigError: no method's jobs are all done.
    """
    jobs, left_out = complete(results, failed=failed)
    if not jobs:
        raise ConfigError("\n".join(["there is nothing to report yet:", *map(missing, left_out)]))
    summary = {**summarise(results, jobs, environment=environment), "left_out": left_out}
    tables = text(summary)
    write_alone(folder / "results.csv", _csv(networks(results, jobs)))
    write_alone(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    write_alone(folder / "table.txt", tables + "\n")
    write_alone(folder / "table.tex", latex(summary))
    html.write(
        folder,
        summary,
        searches=searches(results, jobs),
        trainings=trainings(results, jobs),
        config=to_json(results.config),
    )
    return tables


def read_summary(folder: pathlib.Path) -> dict[str, Any]:
    """What `write` wrote to a folder's summary.json."""
    return json.loads((folder / "summary.json").read_text())


def _csv(rows):
    lines = io.StringIO()
    writer = csv.DictWriter(lines, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return lines.getvalue()
