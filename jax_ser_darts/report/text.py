"""A summary as text, to print."""

from collections.abc import Mapping
from typing import Any

from jax_ser_darts.report import tables
from jax_ser_darts.report.notes import notes
from jax_ser_darts.scoring.text import aligned


def text(summary: Mapping[str, Any]) -> str:
    """All tables and notes."""
    several = any(len(method["seeds"]) > 1 for method in summary["methods"].values())
    by_seed = "By seed, and mean (standard deviation) over folds:\n"
    parts = [
        aligned(tables.scores(summary)),
        by_seed + aligned(tables.seeds(summary)) if several or len(summary["folds"]) > 1 else "",
        "Paired differences:\n" + aligned(tables.tests(summary)) if summary["tests"] else "",
        "Standard deviation of a fold's UA:\n" + aligned(tables.variances(summary)),
        "Gradients of the two orders:\n" + aligned(tables.agreement(summary)) if summary["agreement"] else "",
        "Cost, a network:\n" + aligned(tables.costs(summary)),
        *(
            f"Confusion of {name}, % of the true class (rows), all its networks:\n{aligned(rows)}"
            for name, rows in tables.confusions(summary).items()
        ),
        "\n".join(notes(summary)),
    ]
    return "\n\n".join(part for part in parts if part)
