"""A summary as LaTeX tables, with the package booktabs."""

from collections.abc import Mapping, Sequence
from typing import Any

from jax_ser_darts.report import notes, tables
from jax_ser_darts.scoring.text import Table


def latex(summary: Mapping[str, Any]) -> str:
    """All tables, the notes as their captions."""
    parts = [
        "% \\usepackage{booktabs}",
        _tabular(
            tables.scores(summary),
            caption=notes.about_scores(summary),
            label="tab:comparison",
            bold=tables.ranked(summary)[0],
        ),
        _tabular(
            tables.tests(summary),
            caption=["Paired differences in UA.", *notes.about_tests(summary)],
            label="tab:tests",
        ),
        _tabular(
            tables.variances(summary),
            caption=["Standard deviations of a fold's UA.", *notes.about_variances(summary)],
            label="tab:variances",
        ),
    ]
    if summary["agreement"]:
        parts.append(
            _tabular(
                tables.agreement(summary),
                caption=["Gradients of the two orders.", *notes.about_agreement()],
                label="tab:agreement",
            )
        )
    parts.append(_tabular(tables.costs(summary), caption=notes.about_costs(), label="tab:costs"))
    return "\n".join([*parts, ""])


def _tabular(table: Table, *, caption: Sequence[str], label: str, bold: str = "") -> str:
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
            rf"\caption{{{_escaped(' '.join(caption))}}}",
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
    *((character, "\\" + character) for character in "&%$#_{}"),
]


def _escaped(cell: str) -> str:
    replacements = {ord(character): replacement for character, replacement in _SPECIAL}
    return cell.translate(replacements)
