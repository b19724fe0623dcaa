"""Settings to and from the ml_collections config that users override, and JSON."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import ml_collections

from jax_ser_darts.fields import all_fields, from_mapping
from jax_ser_darts.settings.sections import Settings


def default_config() -> ml_collections.ConfigDict:
    """Every setting at its default: what configs/*.py start from."""
    return to_config(Settings())


def to_config(settings: Settings) -> ml_collections.ConfigDict:
    """The settings as a config, which `--config.SECTION.NAME=VALUE` can override."""
    return ml_collections.ConfigDict(dataclasses.asdict(settings))


def resolve(config: Mapping[str, Any]) -> Settings:
    """The settings of a config, each checked by itself; `checks.check` checks them together.

    Args:
        config: a ConfigDict, or nested mappings; what it lacks has its default.

    Raises:
        ConfigError: an unknown setting, or one of another type or out of range; the message names it.
    """
    values = config.to_dict() if isinstance(config, ml_collections.ConfigDict) else config
    return from_mapping(Settings, values, known=[field.name for field in all_fields(Settings)])


def to_json(settings: Settings) -> dict[str, Any]:
    """The settings as JSON has them: mappings, lists, numbers and texts."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def from_json(saved: Mapping[str, Any]) -> Settings:
    """What `to_json` wrote, before or after JSON; errors as of `resolve`."""
    return resolve(saved)


def flat(settings: Settings) -> dict[str, Any]:
    """Name -> value, as JSON has it: "search.epochs"; a mapping's entries have names of their own."""
    values: dict[str, Any] = {}

    def add(value: Any, name: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                add(inner, f"{name}.{key}" if name else key)
        else:
            values[name] = value

    add(to_json(settings), "")
    return values


def value_of(settings: Settings, name: str) -> Any:
    """The value of a setting by its name, such as "search.epochs"."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def replaced(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some of them changed, by name; errors as of `resolve`."""
    nested: dict[str, Any] = dataclasses.asdict(settings)
    for name, value in changes.items():
        *parts, last = name.split(".")
        inside = nested
        for part in parts:
            inside = inside[part]
        inside[last] = value
    return resolve(nested)
