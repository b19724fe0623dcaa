"""The tables of a comparison: as rows of text, which become aligned text, LaTeX, or the page's.

A table is a list of rows of strings, the first of them its head. What is unknown is "-".
"""

import collections
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jax_ser_darts.rundir.progress import duration

Table = list[list[str]]
UNKNOWN = "-"
FEW_SPEAKERS, FEW_SEEDS = 10, 5  # below, the reader is warned


# The questions that a comparison is made for; they hang on no result. Each is corrected for its own pairs alone: in one
# family of all pairs, baselines beside baselines would cost the searches their power.
SEARCHES = "search or search"
SEARCH_OR_RANDOM = "search or random"
SEARCH_OR_DESIGN = "search or baseline"
OTHERS = "others"
FAMILIES = (SEARCHES, SEARCH_OR_RANDOM, SEARCH_OR_DESIGN, OTHERS)


def interval(estimate: Mapping[str, float] | None, digits: int = 3, sign: str = "") -> str:
    """0.512 [0.430, 0.594]."""
    if estimate is None:
        return UNKNOWN
    show = lambda name: f"{estimate[name]:{sign}.{digits}f}"
    return f"{show('value')} [{show('low')}, {show('high')}]"


def _with(value: float | None, show: str, scale: float = 1.0) -> str:
    return UNKNOWN if value is None else f"{value / scale:{show}}"


def ranked(summary: Mapping[str, Any]) -> list[str]:
    """The methods, the highest UA first."""
    return sorted(summary["methods"], key=lambda name: -summary["methods"][name]["ua"]["value"])


def scores(summary: Mapping[str, Any]) -> Table:
    """UA, WA, F1 and RI of each method, and how many networks they are of."""
    head = ["method", "networks", "UA", "WA", "macro F1", "RI %"]
    rows = []
    for name in ranked(summary):
        of = summary["methods"][name]
        networks = of["searches"] * of["trainings"] * len(summary["folds"])
        figures = [interval(of[figure]) for figure in ("ua", "wa", "f1")]
        rows.append([name, str(networks), *figures, interval(of["ri"], 1, "+")])
    return [head, *rows]


def costs(summary: Mapping[str, Any]) -> Table:
    """Size and arithmetic of the networks, seconds and memory of finding and training one."""
    head = [
        "method",
        "parameters",
        "MFLOP",
        "search s",
        "compiling s (most)",
        "search GB",
        "training s",
        "training GB",
    ]
    rows = []
    for name in ranked(summary):
        of = summary["methods"][name]
        rows.append(
            [
                name,
                _with(of["parameters"], ",.0f"),
                _with(of["flops"], ",.1f", 1e6),
                _with(of["search_seconds"], ",.0f"),
                _with(of["search_compiling"], ",.0f"),
                _with(of["search_memory"], ".2f", 1e9),
                _with(of["train_seconds"], ",.1f"),
                _with(of["train_memory"], ".2f", 1e9),
            ]
        )
    return [head, *rows]


def p_text(p: float) -> str:
    """A p-value; none is 0."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def tests(summary: Mapping[str, Any]) -> Table:
    """The difference of every two methods, the surest first, with the question it answers."""
    head = ["question", "a", "b", "UA of a - b", "p", "p (Holm)"]
    rows = [
        [of["family"], of["a"], of["b"], interval(of, 3, "+"), p_text(of["p"]), p_text(of["p_holm"])]
        for of in sorted(summary["tests"], key=lambda of: (of["p"], -abs(of["value"])))
    ]
    return [head, *rows]


def variances(summary: Mapping[str, Any]) -> Table:
    """Standard deviations of a fold's UA that are due to the fold, the search and the training."""
    head = ["method", "between folds", "between searches", "between trainings"]
    rows = [
        [
            name,
            *(
                "not above 0"
                if summary["methods"][name]["variance"][part] == 0
                else _with(summary["methods"][name]["variance"][part], ".3f")
                for part in ("fold", "search", "training")
            ),
        ]
        for name in ranked(summary)
    ]
    return [head, *rows]


def agreement(summary: Mapping[str, Any]) -> Table:
    """How far the two orders agree along the search, and how large the second-order term is."""
    head = [
        "method",
        "cosine, first epoch",
        "lowest",
        "mean",
        "term / direct, first epoch",
        "highest",
        "mean",
    ]
    rows = []
    for name, of in summary["agreement"].items():
        curves = ((of["cosine"], min), (of["term_share"], max))
        rows.append(
            [name, *(f"{x:.3f}" for c, worst in curves for x in (c[0], worst(c), statistics.fmean(c)))]
        )
    return [head, *rows]


def _spaces(summary: Mapping[str, Any]) -> str:
    """Which random architectures RI is of, where there are several spaces."""
    over = {}
    for name, of in summary["methods"].items():
        if of["ri"]:
            over.setdefault(of["over"], []).append(name)
    if len(over) < 2:
        return " of the same space"
    return " of the same space: " + "; ".join(
        f"{', '.join(names)} over {base}" for base, names in over.items()
    )


def missing(left_out: Mapping[str, Any]) -> str:
    """Of a method that is left out, why."""
    error = left_out["error"]  # the first line: XLA's have many
    why = f" ({error.strip().splitlines()[0]})" if error else ""
    return "{method}: {done} of {jobs} jobs are done, and not {first}".format(**left_out) + why


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What a reader has to know, a sentence or two each."""
    return [
        *about_scores(summary),
        *(about_tests(summary) if summary["tests"] else []),
        *about_variances(summary),
        *(about_agreement() if summary["agreement"] else []),
        *about_costs(),
    ]


def about_scores(summary: Mapping[str, Any]) -> list[str]:
    """What the figures are of, and how far they can be trusted."""
    level, speakers, folds = 100 * summary["level"], len(summary["speakers"]), len(summary["folds"])
    kind = "SYNTHETIC speech, which says nothing about people" if summary["synthetic"] else "real speech"
    found = [
        f"Corpus {summary['corpus']} ({kind}): {folds} speaker-independent fold(s), {speakers} test speakers, "
        f"chance UA {1 / len(summary['classes']):.3f}; {duration(summary['wall_seconds'])} of work.",
        f"Figures are means over all networks of a method, of the pooled folds. Intervals ({level:g} %): bootstrap, "
        f"{summary['resamples']} resamples, of speakers, search seeds and training seeds; what there is one of is not "
        "drawn.",
        "RI is the relative improvement of the UA over that of random architectures"
        f"{_spaces(summary)}; networks that were not searched are compared with the same.",
    ]
    if summary["left_out"]:
        found.insert(1, f"NOT the whole grid. Left out: {'; '.join(map(missing, summary['left_out']))}.")
    if speakers < FEW_SPEAKERS:
        found.append(f"Only {speakers} test speakers: the intervals are too narrow.")
    few = [name for name in ranked(summary) if 1 < summary["methods"][name]["searches"] < FEW_SEEDS]
    if few:
        found.append(
            f"Fewer than {FEW_SEEDS} searches, or draws of random architectures, of each of {', '.join(few)}: "
            "their spread is hardly known, nor is the interval of a figure or an RI that rests on it."
        )
    return found


def about_tests(summary: Mapping[str, Any]) -> list[str]:
    """What was tested, and what no test can say."""
    test, alpha = summary["test"], 1 - summary["level"]
    speakers, folds = len(summary["speakers"]), len(summary["folds"])
    count = collections.Counter(of["family"] for of in summary["tests"])
    families = {name: count[name] for name in FAMILIES if name in count}
    sizes = ", ".join(f"{name} ({pairs})" for name, pairs in families.items())
    found = [
        f"Tests: two-sided sign-flip permutation of the paired differences in UA of {test['clusters']} "
        f"{test['cluster']}s, averaged over seeds; no p can be below {test['smallest_p']:.2g}. Holm's correction is "
        f"for the pairs of one question: {sizes}. A difference in the table is one of pooled UA: where "
        f"{test['cluster']}s have unequal numbers of utterances it is not quite the mean that is tested.",
        "A p-value is of the networks that were trained, and not of other searches, trainings or draws of random "
        "architectures. So two methods are said to differ only where the interval, which draws those too, leaves out 0 "
        "as well.",
    ]
    if test["cluster"] == "speaker" and speakers > folds:
        found.append(
            "The test takes speakers as independent, but those of one fold are heard by the same networks; "
            "config.compare.cluster='fold' does not, and needs many folds."
        )
    hopeless = [name for name, pairs in families.items() if test["smallest_p"] * pairs > alpha]
    if hopeless:
        found.append(
            f"With {test['clusters']} {test['cluster']}s no difference can reach a corrected p of {alpha:.2g}, "
            f"however large, in: {', '.join(hopeless)}."
        )
    return found


def about_variances(summary: Mapping[str, Any]) -> list[str]:
    """How to read the standard deviations."""
    found = [
        "Standard deviations are of a fold's UA on this test set, by mean squares of nested fold, search (or draw) and "
        "training; those of few seeds are rough. -: there was one alone, whose share is in the column before."
    ]
    # An SVM has no such number, and is trained once however many seeds there are.
    networks = [of for of in summary["methods"].values() if of["parameters"] is not None]
    if any(of["trainings"] == 1 for of in networks):
        found.append(
            "With one training seed, what trainings differ by is in the search's share, or the fold's."
        )
    return found


def about_agreement() -> list[str]:
    """How to read the agreement of the orders."""
    return [
        "The cosine is of one batch an epoch, the second-order term of all its steps. The term is proportional to the "
        "learning rate of the weights: where that falls over the search, the orders agree more and more for that alone."
    ]


def about_costs() -> list[str]:
    """What the costs hold."""
    return [
        "Cost: medians of seconds, those of the training with its compilation, those of the search without; compiling "
        "is the most that one took, as later ones of a process find it done. Memory is the peak of the fullest GPU or "
        "TPU; on CPUs of the process, which does one method's searches or trainings, compiles, and keeps what it frees."
        " MFLOP: one forward pass of the corpus's longest utterance, convolutions and matrix products alone."
    ]


def aligned(table: Table) -> str:
    """As text: the first column to the left, the others to the right, a line below the head."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def text(summary: Mapping[str, Any]) -> str:
    """All tables and notes, to print."""
    parts = [
        aligned(scores(summary)),
        "Paired differences:\n" + aligned(tests(summary)) if summary["tests"] else "",
        "Standard deviation of a fold's UA:\n" + aligned(variances(summary)),
        "Gradients of the two orders:\n" + aligned(agreement(summary)) if summary["agreement"] else "",
        "Cost, a network:\n" + aligned(costs(summary)),
        "\n".join(notes(summary)),
    ]
    return "\n\n".join(part for part in parts if part)


def latex(summary: Mapping[str, Any]) -> str:
    """All tables, the notes as their captions, in LaTeX with the package booktabs."""
    best = ranked(summary)[0]
    of_tests = " ".join(["Paired differences in UA.", *about_tests(summary)])
    of_variances = " ".join(["Standard deviations of a fold's UA.", *about_variances(summary)])
    of_agreement = " ".join(["Gradients of the two orders.", *about_agreement()])
    agreed = [_tabular(agreement(summary), caption=of_agreement, label="tab:agreement")]
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            _tabular(
                scores(summary), caption=" ".join(about_scores(summary)), label="tab:comparison", bold=best
            ),
            _tabular(tests(summary), caption=of_tests, label="tab:tests"),
            _tabular(variances(summary), caption=of_variances, label="tab:variances"),
            *(agreed if summary["agreement"] else []),
            _tabular(costs(summary), caption=" ".join(about_costs()), label="tab:costs"),
            "",
        ]
    )


def _tabular(table: Table, *, caption: str, label: str, bold: str = "") -> str:
    lines = [" & ".join(map(_escaped, row)) + r" \\" for row in table]
    lines = [
        lines[0],
        r"\midrule",
        *(
            " & ".join(rf"\textbf{{{_escaped(cell)}}}" for cell in row) + r" \\" if row[0] == bold else line
            for row, line in zip(table[1:], lines[1:], strict=True)
        ),
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table[0]) - 1)}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


_SPECIAL: Sequence[tuple[str, str]] = [
    ("\\", r"\textbackslash{}"),
    ("~", r"\textasciitilde{}"),
    ("^", r"\textasciicircum{}"),
    *((c, "\\" + c) for c in "&%$#_{}"),
]


def _escaped(cell: str) -> str:
    replaced = {ord(character): with_ for character, with_ in _SPECIAL}
    return cell.translate(replaced)
