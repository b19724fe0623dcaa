"""The form of provenance.json. People, cards and comparisons read it, and anybody may have written it."""

import math
from collections.abc import Sequence
from typing import Any

from jax_ser_darts.serving.reading import BundleError

_ESTIMATE = {"value": float, "low": float, "high": float}
_SCORES = {
    "classes": [str],
    "ua": _ESTIMATE,
    "wa": _ESTIMATE,
    "f1": _ESTIMATE,
    "confusion": [[int]],
    "shares": [[(_ESTIMATE, None)]],
    "speakers": int,
    "unit": str,
    "level": float,
    "resamples": int,
    "seed": int,
    "warnings": [str],
}
# A type; (one, None): may be null; [of each]; {str: of each}; {name: of that entry, ...}, and others beside these.
_FORM = {
    "corpus": {
        "name": str,
        "synthetic": bool,
        "licence": str,
        "utterances": int,
        "speakers": int,
        "counts": {str: int},
        "emotions": {str: str},
        "target": bool,
    },
    "training": {
        "method": str,
        "fold": int,
        "seed": int,
        "chosen": str,
        "speakers": {"train": [str], "validation": [str], "test": [str]},
        "epoch": int,
        "validation_ua": (float, None),
        "parameters": int,
    },
    "scores": {"exported": _SCORES, "method": _SCORES, "method_folds": [int], "sexes": {str: _SCORES}},
    "config": {},  # for people
    "versions": {"jax_ser_darts": str},
}
_TYPES = {str: "a printable text", int: "a whole number", float: "a number", bool: "true or false"}


def check(provenance: Any, *, classes: Sequence[str], where: str) -> None:
    """Whether an object has the form of provenance.json.

    Args:
        provenance: parsed JSON.
        classes: of the bundle; the scores are of these.
        where: the file, for messages.

    Raises:
        BundleError: the message names the entry.
    """
    _check(provenance, _FORM, where)
    scores = provenance["scores"]
    named = [(name, scores[name]) for name in ("exported", "method")]
    for name, of in [*named, *scores["sexes"].items()]:
        square = [len(classes)] * len(classes)
        tables = (of["confusion"], of["shares"])
        if of["classes"] != list(classes) or any(list(map(len, table)) != square for table in tables):
            raise BundleError(f"{where}: the scores {name!r} are not of the bundle's {len(classes)} classes")
        if set(of) != set(_SCORES):
            raise BundleError(f"{where}: the scores {name!r} have other entries than {', '.join(_SCORES)}")


def _check(value: Any, form: Any, where: str) -> None:
    if isinstance(form, tuple):
        if value is not None:
            _check(value, form[0], where)
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise BundleError(f"{where} must be a list")
        for place, one in enumerate(value):
            _check(one, form[0], f"{where}[{place}]")
    elif isinstance(form, dict):
        if not isinstance(value, dict):
            raise BundleError(f"{where} must be an object")
        names = value if str in form else form
        for name in names:
            _check(name, str, f"{where}: the name {name!r}")
            if name not in value:
                raise BundleError(f"{where} lacks {name!r}: export the bundle again")
            _check(value[name], form[str] if str in form else form[name], f"{where}: {name}")
    elif not _is(value, form):
        raise BundleError(f"{where} = {_short(value)} must be {_TYPES[form]}")


def _is(value: Any, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str) and value.isprintable()
    if kind is float:
        return type(value) in (int, float) and abs(value) < math.inf
    return type(value) is kind


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:100]}..."
