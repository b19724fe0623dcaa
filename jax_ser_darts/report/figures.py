"""The figures of a report, each a function of its results; see summary.py and results.py for what these hold."""

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Locator, LogLocator, MaxNLocator, NullLocator

from jax_ser_darts.report import style
from jax_ser_darts.report.summary import FAMILIES, OTHERS
from jax_ser_darts.report.tables import p_text, ranked

WIDTH = 8.4  # inches


def _figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def accuracy(summary: Mapping[str, Any]) -> Figure:
    """UA of each method with its interval; a small mark a network and fold."""
    names, colours = ranked(summary), style.colours(summary["methods"])
    figure, axes = _figure(0.9 + 0.42 * len(names))
    for row, name in enumerate(names):
        method = summary["methods"][name]
        networks = np.ravel(method["ua_of_networks"])
        spread = np.linspace(-0.22, 0.22, len(networks)) if len(networks) > 1 else np.zeros(1)
        axes.scatter(networks, row + spread, s=13, color=colours[name], alpha=0.45, lw=0, zorder=2)
        ua = method["ua"]
        axes.plot([ua["low"], ua["high"]], [row, row], color=colours[name], lw=3, zorder=3)
        axes.plot(ua["value"], row, "o", ms=8.5, color=colours[name], zorder=4)
    chance = 1 / len(summary["classes"])
    axes.axvline(chance, color=style.MUTED, lw=1, ls="--")
    axes.text(chance, -0.75, " chance", color=style.MUTED, fontsize=9, va="center")
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -1), xlabel="UA")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    return figure


def differences(summary: Mapping[str, Any]) -> Figure:
    """The paired difference of two methods, with its interval, question by question; coloured where the two differ.

    Pairs that answer none of the named questions are drawn where there are no others: the table has them all.
    """
    asked = [test for test in summary["tests"] if test["family"] != OTHERS] or summary["tests"]
    families = [family for family in FAMILIES if any(test["family"] == family for test in asked)]
    tests = sorted(asked, key=lambda test: (families.index(test["family"]), -test["value"]))
    rows = [
        row + 1 + families.index(test["family"]) for row, test in enumerate(tests)
    ]  # a row for each heading
    figure, axes = _figure(0.8 + 0.3 * (len(tests) + len(families)))
    for row, test in zip(rows, tests, strict=True):
        colour = style.ACCENT if test["differs"] else style.MUTED
        axes.plot([test["low"], test["high"]], [row, row], color=colour, lw=2.5)
        axes.plot(test["value"], row, "o", ms=6.5, color=colour)
    axes.axvline(0, color=style.MUTED, lw=1)
    for family in families if families != [OTHERS] else ():
        row = next(row for row, test in zip(rows, tests, strict=True) if test["family"] == family)
        axes.text(0, row - 1, f"{family}?", transform=axes.get_yaxis_transform(), va="center", weight="bold")
    labels = [f"{test['a']} - {test['b']}" for test in tests]
    axes.set(yticks=rows, yticklabels=labels, ylim=(rows[-1] + 0.5, -0.5), xlabel="difference in UA")
    axes.grid(axis="y", visible=False)
    right = axes.secondary_yaxis("right")
    right.set_yticks(
        rows,
        [f"p {p if p.startswith('<') else '= ' + p}" for p in (p_text(test["p_holm"]) for test in tests)],
    )
    for side in (axes, right):
        side.tick_params(axis="y", length=0, labelsize=8.5)
    right.spines["right"].set_visible(False)
    return figure


def cost(summary: Mapping[str, Any]) -> Figure:
    """UA against what a network costs: seconds to find and train it, parameters, arithmetic."""
    colours, markers = style.colours(summary["methods"]), style.markers(summary["methods"])
    panels = {
        "seconds to find and train one": lambda method: (
            (method["search_seconds"] or 0) + method["train_seconds"]
        ),
        "parameters": lambda method: method["parameters"],
        "MFLOP, forward": lambda method: method["flops"] and method["flops"] / 1e6,
    }
    figure, all_axes = _figure(3.3, 1, len(panels), sharey=True)
    for axes, (label, value) in zip(all_axes, panels.items(), strict=True):
        for name, method in summary["methods"].items():
            if (x := value(method)) is None:
                continue
            ua = method["ua"]
            axes.plot([x, x], [ua["low"], ua["high"]], color=colours[name], lw=1.5, alpha=0.6)
            axes.plot(x, ua["value"], markers[name], color=colours[name], ms=8, label=name)
        axes.set(xscale="log", xlabel=label)
        low, high = axes.get_xlim()
        low, high = axes.set_xlim(low / 1.5, high * 1.5)
        axes.xaxis.set_major_locator(_ticks(high / low))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(NullLocator())
    all_axes[0].set_ylabel("UA")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=9)
    return figure


def _ticks(ratio: float) -> Locator:
    """Few enough for their labels, of a logarithmic axis whose ends have this ratio."""
    if ratio < 5:
        return MaxNLocator(4)
    return LogLocator(subs=(1, 2, 5) if ratio < 100 else (1,), numticks=8)


def _groups(searches: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups = collections.defaultdict(list)
    for search in searches:
        groups[search["method"]].append(search)
    return dict(groups)


def _curves(
    axes: Axes, runs: Sequence[Sequence[float]], colour: str, label: str | None, ls: str = "-"
) -> None:
    """Each run thin, their mean thick; runs that ended sooner count where they are."""
    longest = max(map(len, runs))
    padded = np.array([[*run, *[np.nan] * (longest - len(run))] for run in runs], float)
    epochs = np.arange(1, longest + 1)
    if len(runs) <= 20:
        for run in padded:
            axes.plot(epochs, run, color=colour, lw=0.7, alpha=0.3, ls=ls)
    axes.plot(epochs, np.nanmean(padded, axis=0), color=colour, lw=2.2, label=label, ls=ls)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _along(line: Mapping[str, Any], *path: str) -> float:
    for key in path:
        line = line.get(key, {}) if isinstance(line, Mapping) else {}
    return line if isinstance(line, int | float) else np.nan


def search_curves(summary: Mapping[str, Any], searches: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and accuracy of the supernet on both halves of the search data."""
    colours = style.colours(summary["methods"])
    figure, all_axes = _figure(3.1, 1, 2)
    for axes, metric in zip(all_axes, ("loss", "accuracy"), strict=True):
        for method, group in _groups(searches).items():
            for part, ls in (("train", "-"), ("val", ":")):
                runs = [[_along(line, part, metric) for line in search["epochs"]] for search in group]
                label = f"{method}, {'weights' if part == 'train' else 'alphas'}"
                _curves(axes, runs, colours[method], label, ls)
        axes.set(xlabel="epoch of the search", title=f"{metric} of the supernet")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=8.5)
    return figure


def collapse(summary: Mapping[str, Any], searches: Sequence[Mapping[str, Any]]) -> Figure:
    """Share of skip connections and entropy of the mixtures: signs of a search that collapses."""
    colours = style.colours(summary["methods"])
    kinds_of = lambda search: list(search["epochs"][0]["alphas"])  # methods may differ in what they search
    kinds = list(dict.fromkeys(kind for search in searches for kind in kinds_of(search)))
    figure, all_axes = _figure(0.6 + 2.3 * len(kinds), len(kinds), 2, squeeze=False, sharex=True)
    for (row, kind), (column, measure) in itertools.product(
        enumerate(kinds), enumerate(("skip_share", "entropy"))
    ):
        axes = all_axes[row, column]
        for method, group in _groups([search for search in searches if kind in kinds_of(search)]).items():
            runs = [[_along(line, measure, kind) for line in search["epochs"]] for search in group]
            _curves(axes, runs, colours[method], method)
        title = {"skip_share": "skip connections", "entropy": "entropy, nats"}[measure]
        axes.set(title=f"{kind} cell: {title}")
        if measure == "skip_share":
            axes.set_ylim(-0.04, 1.04)
        if row == len(kinds) - 1:
            axes.set_xlabel("epoch of the search")
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=9)
    return figure


def eigenvalue(summary: Mapping[str, Any], searches: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Magnitude of the dominant eigenvalue along each search, a dot where its genotype was taken; None without one.

    No mean: it would fall where a search of fast growth was stopped.
    """
    measured = [search for search in searches if any("eigenvalue" in line for line in search["epochs"])]
    if not measured:
        return None
    colours = style.colours(summary["methods"])
    figure, axes = _figure(3.1)
    for method, group in _groups(measured).items():
        for i, search in enumerate(group):
            run = {line["epoch"] + 1: abs(_along(line, "eigenvalue")) for line in search["epochs"]}
            label, taken = method if i == 0 else None, search["genotype_epoch"] + 1
            axes.plot([*run], [*run.values()], color=colours[method], lw=1.6, alpha=0.8, label=label)
            axes.plot(taken, run[taken], "o", ms=7, color=colours[method], mec="white", zorder=4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set(yscale="log", xlabel="epoch of the search", title="magnitude of the dominant eigenvalue")
    figure.legend(loc="outside upper left", ncols=4, fontsize=9)
    return figure


def orders(summary: Mapping[str, Any], searches: Sequence[Mapping[str, Any]]) -> Figure | None:
    """How far the two orders' gradients agree, how large the second-order term is and the rate that it is
    proportional to; None without second order."""
    second = [search for search in searches if any("agreement" in line for line in search["epochs"])]
    if not second:
        return None
    colours = style.colours(summary["methods"])
    figure, (left, right) = _figure(2.9, 1, 2)
    for method, group in _groups(second).items():
        cosines = [[_along(line, "agreement", "cosine") for line in search["epochs"]] for search in group]
        ratios = [[term_share(line) for line in search["epochs"]] for search in group]
        _curves(left, cosines, colours[method], method)
        _curves(right, ratios, colours[method], method)
    left.set(xlabel="epoch of the search", title="cosine of the two orders' gradients")
    right.set(xlabel="epoch of the search", title="second-order term / direct part, norms")
    rates = [_along(line, "learning_rate") for line in max((search["epochs"] for search in second), key=len)]
    if np.isfinite(rates).any():  # not in all archives
        axes = right.twinx()
        epochs, name = range(1, len(rates) + 1), "learning rate of the weights (right)"
        axes.plot(epochs, rates, "--", color=style.MUTED, lw=1.5, label=name)
        axes.set(ylim=(0, None))
        axes.grid(visible=False)
    legends = [axes.get_legend_handles_labels() for axes in figure.axes if axes is not right]
    handles, labels = (list(itertools.chain(*parts)) for parts in zip(*legends, strict=True))
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=9)
    return figure


def term_share(line: Mapping[str, Any]) -> float:
    """Norm of the second-order term over that of the direct part, of one epoch."""
    direct = _along(line, "val", "direct")
    return _along(line, "val", "correction") / direct if direct else np.nan


def training_curves(
    summary: Mapping[str, Any], trainings: Mapping[str, Sequence[Sequence[Mapping]]]
) -> Figure:
    """Loss on the training speakers and UA on the validation speakers, from scratch."""
    colours = style.colours(summary["methods"])
    figure, (left, right) = _figure(3.1, 1, 2)
    for method, runs in trainings.items():
        losses = [[_along(line, "train", "loss") for line in run] for run in runs]
        _curves(left, losses, colours[method], method)
        ua = [[_along(line, "validation", "ua") for line in run] for run in runs]
        if np.isfinite(np.concatenate(ua)).any():
            _curves(right, ua, colours[method], method)
    left.set(xlabel="epoch", title="training loss")
    right.set(xlabel="epoch", title="UA of the validation speakers")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=9)
    return figure


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]], colour: str) -> Figure:
    """A confusion matrix, per cent of the true class."""
    table = np.asarray(counts)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    size = 1.25 + 0.58 * len(classes)
    figure = Figure(figsize=(size + 0.3, size), layout="constrained")
    axes = figure.subplots()
    for (i, j), share in np.ndenumerate(shares):
        axes.fill(
            [j - 0.48, j + 0.48, j + 0.48, j - 0.48],
            [i - 0.48, i - 0.48, i + 0.48, i + 0.48],
            color=(*to_rgb(colour), 0.06 + 0.84 * share),
            lw=0,
        )
        axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=10)
    places = range(len(classes))
    axes.set(xticks=places, yticks=places, xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5))
    names = list(map(style.plain, classes))
    axes.set_xticklabels(names, rotation=35, ha="right")
    axes.set_yticklabels(names)
    axes.set(xlabel="prediction", ylabel="truth")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def heat_map(weights: np.ndarray, *, rows: Sequence[str], columns: Sequence[str], chosen: set) -> Figure:
    """Softmax weights of a cell's candidates `[edges, operations]`; `chosen` (row, column) pairs are framed."""
    figure = Figure(figsize=(1.3 + 0.66 * len(columns), 1.25 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    low, high = weights.min(), weights.max()
    for (i, j), weight in np.ndenumerate(weights):
        depth = (weight - low) / max(high - low, 1e-9)
        axes.fill(
            [j - 0.47, j + 0.47, j + 0.47, j - 0.47],
            [i - 0.45, i - 0.45, i + 0.45, i + 0.45],
            color=(*to_rgb(style.ACCENT), 0.05 + 0.85 * depth),
            lw=0,
        )
        if (i, j) in chosen:
            axes.plot(
                [j - 0.46, j + 0.46, j + 0.46, j - 0.46, j - 0.46],
                [i - 0.44, i - 0.44, i + 0.44, i + 0.44, i - 0.44],
                color=style.TEXT,
                lw=1.4,
            )
        axes.text(j, i, f"{weight:.2f}", ha="center", va="center", fontsize=8)
    axes.set(xticks=range(len(columns)), yticks=range(len(rows)))
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_xticklabels(columns, rotation=35, ha="right", fontsize=8.5)
    axes.set_yticklabels(rows, fontsize=8.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
