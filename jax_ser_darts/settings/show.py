"""The table of all settings: value, where it comes from, range and meaning."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from jax_ser_darts.commands import print_anything
from jax_ser_darts.fields import Field, all_fields, is_section, meaning_of, own_fields
from jax_ser_darts.settings.convert import value_of
from jax_ser_darts.settings.sections import Settings

DEFAULT, CONFIG, FLAG = "default", "config", "command line"


def show(settings: Settings, *, overridden: Collection[str] = ()) -> str:
    """The settings as text, a line each, section by section.

    Args:
        settings: of a run.
        overridden: names of those that the command line gave.
    """
    lines = []
    for section, fields in _by_section():
        lines.append(f"\n{section}")
        for field in fields:
            value = value_of(settings, field.name)
            source = FLAG if field.name in overridden else DEFAULT if value == field.default else CONFIG
            lines.append(f"  {field.name} = {_shown(value)}  [{source}]")
            lines.append(f"      {_about(field)}")
    return "\n".join(lines).lstrip()


def markdown() -> str:
    """The table of the docs: name, default, meaning; `*` marks what may change in a workdir."""
    lines = [
        "# All settings\n",
        "Each is given as `--config.SECTION.NAME=VALUE`. Those with a `*` may change when a run resumes in its "
        "workdir; the others belong to the workdir. This page is written by `python -m jax_ser_darts.settings.show`.",
    ]
    for section, fields in _by_section():
        lines += [f"\n## {section}\n", "| setting | default | meaning |", "|---|---|---|"]
        for field in fields:
            star = " *" if field.spec.resumable else ""
            meaning = _about(field).replace("|", "\\|")
            lines.append(f"| `{field.name}`{star} | `{_shown(field.default)}` | {meaning} |")
    return "\n".join(lines) + "\n"


def _by_section() -> list[tuple[str, list[Field]]]:
    """A heading and its settings: those of no section first."""
    top = [field for field in all_fields(Settings) if "." not in field.name]
    sections = [("of the run", top)]
    for field, kind in own_fields(Settings):
        if is_section(kind):
            sections.append((f"{field.name}: {meaning_of(field)}", list(all_fields(kind, f"{field.name}."))))
    return sections


def _about(field: Field) -> str:
    parts = [field.spec.meaning]
    if field.choices:
        parts.append("one of " + ", ".join(map(str, field.choices)))
    if field.spec.unit:
        parts.append(field.spec.unit)
    if field.spec.range:
        parts.append(field.spec.range)
    return "; ".join(parts)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            ", ".join(value)
            if value and all(isinstance(v, Mapping) for v in value.values())
            else str(dict(value))
        )
    if dataclasses.is_dataclass(value):
        return type(value).__name__
    return repr(value)


if __name__ == "__main__":
    print_anything()
    print(markdown(), end="")
