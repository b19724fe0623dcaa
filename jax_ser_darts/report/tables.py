"""The tables of a report as rows of text, which become aligned text, LaTeX, or the page's.

A table is a list of rows of strings, the first of them its head. What is unknown is "-".
"""

import statistics
from collections.abc import Mapping
from typing import Any

from jax_ser_darts.scoring.bootstrap import Estimate
from jax_ser_darts.scoring.confusion import METRICS
from jax_ser_darts.scoring.text import UNKNOWN, Table, confusion_rows
from jax_ser_darts.scoring.text import interval as shown_interval
from jax_ser_darts.training.spaces import is_random

METRIC_NAMES = ("UA", "WA", "macro F1")


def interval(estimate: Mapping[str, float] | None, digits: int = 3, sign: str = "") -> str:
    """0.512 [0.430, 0.594], of an estimate as a summary has it."""
    shown = Estimate(*(estimate[key] for key in ("value", "low", "high"))) if estimate else None
    return shown_interval(shown, digits, sign)


def spread(values: Mapping[str, float | None]) -> str:
    """0.512 (0.031): mean and standard deviation, without brackets where there is no deviation."""
    return f"{values['mean']:.3f}" + ("" if values["std"] is None else f" ({values['std']:.3f})")


def _shown(value: float | None, form: str, scale: float = 1.0) -> str:
    return UNKNOWN if value is None else f"{value / scale:{form}}"


def ranked(summary: Mapping[str, Any]) -> list[str]:
    """The methods, the highest UA first."""
    return sorted(summary["methods"], key=lambda name: -summary["methods"][name]["ua"]["value"])


def scores(summary: Mapping[str, Any]) -> Table:
    """UA, WA, F1 and RI of each method, and how many networks they are of."""
    rows = [["method", "networks", *METRIC_NAMES, "RI %"]]
    for name in ranked(summary):
        method = summary["methods"][name]
        networks = method["searches"] * method["trainings"] * len(summary["folds"])
        metrics = [interval(method[metric]) for metric in METRICS]
        rows.append([name, str(networks), *metrics, interval(method["ri"], 1, "+")])
    return rows


def seeds(summary: Mapping[str, Any]) -> Table:
    """The metrics of each search seed (or draw) and training seed by themselves, and their means, with deviations.

    The last three columns are means over folds, with the deviation between folds.
    """
    rows = [["method", *METRIC_NAMES, *(f"{name} over folds" for name in METRIC_NAMES)]]
    for name in ranked(summary):
        method = summary["methods"][name]
        searched = "draw" if is_random(name) else "search"
        for seed in method["seeds"]:
            parts = [name]
            parts += [f"{searched} {seed['search_seed']}"] if method["searches"] > 1 else []
            parts += [f"seed {seed['train_seed']}"] if method["trainings"] > 1 else []
            metrics = [interval(seed[metric]) for metric in METRICS]
            folds = [spread(seed["over_folds"][metric]) for metric in METRICS]
            rows.append([", ".join(parts), *metrics, *folds])
        if len(method["seeds"]) > 1:
            count = method["searches"] if method["searches"] > 1 else method["trainings"]
            means = [
                spread(method[key][metric]) for key in ("over_seeds", "over_folds") for metric in METRICS
            ]
            rows.append([f"{name}, mean of {count} (deviation)", *means])
    return rows


def confusions(summary: Mapping[str, Any]) -> dict[str, Table]:
    """Method -> its confusion matrix over all of its networks, with intervals."""
    tables = {}
    for name in ranked(summary):
        method = summary["methods"][name]
        shares = [[share and Estimate(**share) for share in row] for row in method["shares"]]
        tables[name] = confusion_rows(summary["classes"], method["confusion"], shares)
    return tables


def costs(summary: Mapping[str, Any]) -> Table:
    """Size and arithmetic of the networks, seconds and memory of finding and training one."""
    columns = {
        "parameters": ("parameters", ",.0f", 1.0),
        "MFLOP": ("flops", ",.1f", 1e6),
        "search s": ("search_seconds", ",.0f", 1.0),
        "compiling s (most)": ("search_compiling", ",.0f", 1.0),
        "search GB": ("search_memory", ".2f", 1e9),
        "training s": ("train_seconds", ",.1f", 1.0),
        "training GB": ("train_memory", ".2f", 1e9),
    }
    rows = [["method", *columns]]
    for name in ranked(summary):
        method = summary["methods"][name]
        rows.append([name, *(_shown(method[key], form, scale) for key, form, scale in columns.values())])
    return rows


def p_text(p: float) -> str:
    """A p-value; none is 0."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def tests(summary: Mapping[str, Any]) -> Table:
    """The difference of every two methods, the surest first, with the question it answers."""
    rows = [["question", "a", "b", "UA of a - b", "p", "p (Holm)"]]
    for test in sorted(summary["tests"], key=lambda test: (test["p"], -abs(test["value"]))):
        p_values = (p_text(test["p"]), p_text(test["p_holm"]))
        rows.append([test["family"], test["a"], test["b"], interval(test, 3, "+"), *p_values])
    return rows


def variances(summary: Mapping[str, Any]) -> Table:
    """Standard deviations of a fold's UA that are due to the fold, the search and the training."""
    rows = [["method", "between folds", "between searches", "between trainings"]]
    for name in ranked(summary):
        variance = summary["methods"][name]["variance"]
        parts = (variance[part] for part in ("fold", "search", "training"))
        rows.append([name, *("not above 0" if value == 0 else _shown(value, ".3f") for value in parts)])
    return rows


def agreement(summary: Mapping[str, Any]) -> Table:
    """How far the two orders agree along the search, and how large the second-order term is."""
    rows = [
        [
            "method",
            "cosine, first epoch",
            "lowest",
            "mean",
            "term / direct, first epoch",
            "highest",
            "mean",
        ]
    ]
    for name, curves in summary["agreement"].items():
        cells = [
            f"{value:.3f}"
            for curve, worst in ((curves["cosine"], min), (curves["term_share"], max))
            for value in (curve[0], worst(curve), statistics.fmean(curve))
        ]
        rows.append([name, *cells])
    return rows
