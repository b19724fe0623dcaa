"""The model card of a bundle: its README.md, made of what the bundle knows of itself (Mitchell et al., 2019)."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jinja2

from jax_ser_darts.scoring.scores import Scores
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.serving.bundle import Bundle

TEMPLATE = pathlib.Path(__file__).with_name("model_card.md.jinja")


def render(bundle: Bundle) -> str:
    """The card as Markdown."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; `cell` guards its tables
    )
    environment.filters.update(
        cell=_cell, estimate=_estimate, taken_for=_taken_for, thousands=lambda number: f"{number:,}"
    )
    known = bundle.provenance
    figures = known["scores"]
    own, pooled = (Scores.from_json(figures[name]) for name in ("exported", "method"))
    sexes = {sex: Scores.from_json(of) for sex, of in figures["sexes"].items()}
    genotype = bundle.description.get("genotype")
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        corpus={"soundness": [], **known["corpus"], "classes": bundle.classes},
        training=known["training"],
        versions=known["versions"],
        classes=bundle.classes,
        has_onnx=bundle.onnx is not None,
        own=own,
        pooled=pooled,
        sexes=sexes,
        method_folds=figures["method_folds"],
        warnings=_warnings(own, pooled),
        genotype=str(genotypes.from_json(genotype)) if genotype else "",
        features=bundle.settings,
        windowing=bundle.windowing,
        window_samples=bundle.window_samples,
        seconds=bundle.window_samples / bundle.settings.sampling_rate,
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _warnings(own: Scores, pooled: Scores) -> list[str]:
    speakers = pooled.speakers
    few = (
        [
            f"Only {speakers} speakers were tested: how the network does on another speaker may lie far outside "
            "these intervals."
        ]
        if speakers < 10
        else []
    )
    return [
        *few,
        *dict.fromkeys(f"{text[0].upper()}{text[1:]}." for text in (*own.warnings, *pooled.warnings)),
    ]


def _estimate(figure: Any) -> str:
    return "-" if figure is None else f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _taken_for(scores: Scores, row: int) -> str:
    counts: Mapping[int, int] = {k: n for k, n in enumerate(scores.confusion[row]) if k != row}
    most = max(counts, key=counts.__getitem__)
    return f"{scores.classes[most]} ({counts[most]})" if counts[most] else "-"


def _cell(text: Any) -> str:
    """Text that cannot end a table's cell, nor be taken for Markdown or HTML."""
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", " ".join(str(text).split()))
