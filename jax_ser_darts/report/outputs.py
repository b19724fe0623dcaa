"""A grid's results -> the folder of its comparison: results.csv, summary.json, tables and page."""

import csv
import io
import pathlib
from collections.abc import Mapping
from typing import Any

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import write_json, write_text
from jax_ser_darts.grid.jobs import Job
from jax_ser_darts.report import html, tables
from jax_ser_darts.report.results import Results, complete, networks, searches, trainings
from jax_ser_darts.report.summary import summarise


def write(
    where: pathlib.Path,
    results: Results,
    *,
    environment: Mapping[str, Any],
    failed: Mapping[Job, str] | None = None,
) -> str:
    """Writes the tables and the page, see comparison/compare.py, and returns the table as text.

    Methods with a job that is not done are left out, and named.

    Args:
        where: the folder that they go to.
        results: see `Results`.
        environment: of this process, see environment.py.
        failed: what went wrong with jobs, where it is known.

    Raises:
        ConfigError: no method's jobs are all done.
    """
    jobs, left_out = complete(results, failed=failed)
    if not jobs:
        raise ConfigError("\n".join(["there is nothing to compare yet:", *map(tables.missing, left_out)]))
    summary = {**summarise(results, jobs, environment=environment), "left_out": left_out}
    write_text(where / "results.csv", _csv(networks(results, jobs)))
    write_json(where / "summary.json", summary)
    text = tables.text(summary)
    write_text(where / "table.txt", text + "\n")
    write_text(where / "table.tex", tables.latex(summary))
    html.write(
        where,
        summary,
        searches=searches(results, jobs),
        trainings=trainings(results, jobs),
        config=results.config.to_dict(),
    )
    return text


def _csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
