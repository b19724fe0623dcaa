"""A report as one page that opens from a disk: tables, figures, alphas to step through. It loads nothing."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from jax_ser_darts.files import write_alone
from jax_ser_darts.report import cells, figures, style, tables
from jax_ser_darts.report.notes import notes
from jax_ser_darts.rundir.progress import duration
from jax_ser_darts.search_space.genotype import BETAS, strengths

_TEMPLATE = "page.html.j2"


def write(
    folder: pathlib.Path,
    summary: Mapping[str, Any],
    *,
    searches: Sequence[Mapping[str, Any]],
    trainings: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    config: Mapping[str, Any],
) -> None:
    """Writes report.html, and its figures into figures/ as SVG and PNG.

    Args:
        folder: where they go.
        summary: see `summary.summarise`.
        searches: see `results.searches`; may be empty.
        trainings: method -> of each network the lines of its metrics.jsonl.
        config: the run's.
    """
    with style.settings():
        shutil.rmtree(folder / "figures", ignore_errors=True)  # an earlier report may have had other folds
        pictures = _pictures(folder / "figures", summary, searches, trainings)
        chosen = [choices(folder / "figures", search) for search in searches]
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template(_TEMPLATE)
    page = template.render(
        summary=summary,
        headline=headline(summary),
        tiles=tiles(summary),
        tables={
            name: getattr(tables, name)(summary)
            for name in ("scores", "seeds", "tests", "variances", "costs", "agreement")
        },
        notes=notes(summary),
        pictures=pictures,
        chosen=chosen,
        best=tables.ranked(summary)[0],
        alphas=alphas(searches),
        config=json.dumps(config, indent=2, default=list),
        duration=duration,
    )
    write_alone(folder / "report.html", page)


def headline(summary: Mapping[str, Any]) -> str:
    """What came out, in a sentence that claims no more than the tests do."""
    names, alpha = tables.ranked(summary), 1 - summary["level"]
    best = summary["methods"][names[0]]["ua"]["value"]
    sure = [test for test in summary["tests"] if test["differs"]]
    if len(names) == 1:
        return f"{names[0]} has UA {best:.3f}; it is the only method."
    first = f"{names[0]} has the highest UA of {len(names)} methods on these test speakers, {best:.3f}"
    tests = len(summary["tests"])
    if not sure:
        return f"{first}, but no two methods differ by corrected test and interval, in {tests} pairs."
    beaten = [test["b"] for test in sure if test["a"] == names[0]]
    if not beaten:
        return f"{first}; {len(sure)} of {tests} pairs differ by corrected test and interval, none of them with it."
    return f"{first}, above {' and '.join(beaten)} at a corrected p of at most {alpha:.2g}."


def tiles(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(number, what it is, more of it) of what to see first."""
    names = tables.ranked(summary)
    best = summary["methods"][names[0]]
    seeds = sum(method["searches"] * method["trainings"] for method in summary["methods"].values())
    networks = seeds * len(summary["folds"])
    sure = sum(test["differs"] for test in summary["tests"])
    level = f"{100 * summary['level']:g} %"
    numbers = [
        (
            f"{best['ua']['value']:.3f}",
            f"UA of {names[0]}",
            f"{level}: {best['ua']['low']:.3f} to {best['ua']['high']:.3f}",
        ),
        (
            f"{sure} of {len(summary['tests'])}",
            "pairs that differ",
            f"corrected p at most {1 - summary['level']:.2g}",
        ),
        (
            str(networks),
            "networks trained",
            f"{len(summary['folds'])} folds, {len(summary['speakers'])} test speakers",
        ),
        (duration(summary["wall_seconds"]), "of work", "over all processes"),
    ]
    searched = [
        name for name in names if summary["methods"][name]["searched"] and summary["methods"][name]["ri"]
    ]
    if searched:
        ri, over = (summary["methods"][searched[0]][key] for key in ("ri", "over"))
        more = f"over {over}; {ri['low']:+.1f} to {ri['high']:+.1f}"
        numbers.insert(1, (f"{ri['value']:+.1f} %", f"RI of {searched[0]}", more))
    return numbers


def _pictures(
    folder: pathlib.Path,
    summary: Mapping[str, Any],
    searches: Sequence[Mapping[str, Any]],
    trainings: Mapping[str, Any],
) -> dict[str, Any]:
    drawn: dict[str, Figure | None] = {"accuracy": figures.accuracy(summary), "cost": figures.cost(summary)}
    if summary["tests"]:
        drawn["differences"] = figures.differences(summary)
    if searches:
        drawn["search_curves"] = figures.search_curves(summary, searches)
        drawn["collapse"] = figures.collapse(summary, searches)
        drawn["eigenvalue"] = figures.eigenvalue(summary, searches)
        drawn["agreement"] = figures.orders(summary, searches)
    if trainings:
        drawn["training_curves"] = figures.training_curves(summary, trainings)
    pictures: dict[str, Any] = {
        name: style.save(figure, folder, name) for name, figure in drawn.items() if figure is not None
    }
    colours = style.colours(summary["methods"])
    pictures["confusions"] = {
        method: style.save(
            figures.confusion(summary["classes"], summary["methods"][method]["confusion"], colours[method]),
            folder,
            f"confusion_{method}",
        )
        for method in tables.ranked(summary)
    }
    return pictures


def choices(folder: pathlib.Path, search: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a search as drawings, and what ended it; its alphas then, with its choices framed, go to files."""
    name = f"{search['method']}_seed_{search['seed']}_fold_{search['fold']}"
    drawings = {
        kind: style.save(cells.draw(cell), folder, f"cell_{name}_{kind}")
        for kind, cell in search["genotype"].items()
    }
    (taken,) = (line for line in search["epochs"] if line["epoch"] == search["genotype_epoch"])
    for kind, values in taken["alphas"].items():
        cell = search["genotype"].get(kind, ())
        names = Names.of(values, cell, search["operations"][kind])
        heat_map = figures.heat_map(
            _strengths(taken, kind),
            rows=names.edges,
            columns=names.operations,
            chosen=set(names.chosen(cell)),
        )
        style.save(heat_map, folder, f"alphas_{name}_{kind}")
    origin = {key: search[key] for key in ("method", "seed", "fold")}
    return {**origin, "drawings": drawings, "ending": ending(search)}


def ending(search: Mapping[str, Any]) -> str:
    """When and why a rule stopped a search, and where its cells are from, if not the last epoch. Counts from 1."""
    stop, epoch = search["stopped"], search["genotype_epoch"]
    sentences = [f"Stopped early, after epoch {stop['epoch'] + 1}: {stop['reason']}."] if stop else []
    if search["by_perturbation"]:
        sentences.append("The cells were then chosen by perturbation of the supernet, not by the alphas.")
    elif stop:
        which = "this epoch" if epoch == stop["epoch"] else f"epoch {epoch + 1}"
        sentences.append(f"The cells are those of {which}.")
    return " ".join(sentences)


def _strengths(line, kind):
    return strengths(line["alphas"][kind], line.get(BETAS, {}).get(kind))


@dataclasses.dataclass(frozen=True)
class Names:
    """What rows and columns of a cell's alphas `[edges, operations]` are called, whatever the kind of cell.

    Attributes:
        inputs: of the cell: an edge of node i comes from one of them, or of the i nodes before it.
        edges, operations: the names.
    """

    inputs: int
    edges: Sequence[str]
    operations: Sequence[str]

    @classmethod
    def of(cls, alphas: Sequence, cell: Sequence, operations: Sequence[str]) -> "Names":
        """From a kind's alphas, a cell that they stood for, and the names of their columns."""
        rows, nodes = len(alphas), len(cell)
        inputs, rest = divmod(rows - nodes * (nodes - 1) // 2, nodes) if nodes else (0, 1)
        if rest or inputs < 1:
            edges = [f"edge {i}" for i in range(rows)]
        else:
            first = cells.INPUTS if inputs == len(cells.INPUTS) else [f"in {i}" for i in range(inputs)]
            sources = [*first, *map(str, range(nodes))]
            edges = [
                f"{sources[s]} \N{RIGHTWARDS ARROW} {i}" for i in range(nodes) for s in range(inputs + i)
            ]
        return cls(inputs, edges, list(operations))

    def chosen(self, cell: Sequence[Sequence[tuple[str, int]]]) -> list[tuple[int, int]]:
        """(row, column) of what a cell has chosen."""
        places, first = [], 0
        for i, node in enumerate(cell):
            places += [
                (first + source, self.operations.index(operation))
                for operation, source in node
                if operation in self.operations
            ]
            first += self.inputs + i
        return places


def alphas(searches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For the page's slider: of each search and kind of cell, each epoch's strengths in thousandths; which is taken.

    `read_off` is false where the cells were chosen by perturbation after the epoch that is taken.
    """
    sliders = []
    for search in searches:
        kinds, epochs = {}, search["epochs"]
        for kind, values in epochs[0]["alphas"].items():
            names = Names.of(values, search["genotype"].get(kind, ()), search["operations"][kind])
            kinds[kind] = {
                "edges": names.edges,
                "operations": names.operations,
                "weights": [np.rint(1000 * _strengths(line, kind)).astype(int).tolist() for line in epochs],
                "chosen": [names.chosen(line["genotype"].get(kind, ())) for line in epochs],
            }
        name = f"{search['method']}, seed {search['seed']}, fold {search['fold']}"
        (taken,) = (i for i, line in enumerate(epochs) if line["epoch"] == search["genotype_epoch"])
        read_off = not search["by_perturbation"]
        sliders.append({"name": name, "kinds": kinds, "taken": taken, "read_off": read_off})
    return sliders
