"""How a setting is declared: default, meaning, unit, range, and what it may change in a workdir, in one place.

A section of settings is a frozen dataclass whose fields are made by `setting`. Everything else is derived from them:
the ml_collections config that users override, its checks, `--show`, the table in the docs (see `settings/`).
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from jax_ser_darts.errors import ConfigError

_SPEC = "setting"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What is known of a setting besides its name, type and default.

    Attributes:
        meaning: for people, in a few words.
        unit: of a number, such as "Hz"; "" where it has none.
        low, high: the range, both ends included; of a tuple, of each of its numbers.
        above: an end that is not included.
        unique: a tuple names nothing twice.
        filled: a tuple is not empty.
        resumable: a second run may change it in the same workdir: it adds to the results, or changes none of them.
        grid: it spans the grid of jobs, so that two workdirs of one grid can be joined.
    """

    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    unique: bool = False
    filled: bool = False
    resumable: bool = False
    grid: bool = False

    @property
    def range(self) -> str:
        """For people: "0 or more", "from 0 to 1", "above 0"; "" where all values may be."""
        if self.above is not None:
            return f"above {self.above}" + (f", at most {self.high}" if self.high is not None else "")
        if self.low is not None and self.high is not None:
            return f"from {self.low} to {self.high}"
        if self.low is not None:
            return f"{self.low} or more"
        return f"at most {self.high}" if self.high is not None else ""


def setting(default: Any, meaning: str, **spec: Any) -> Any:
    """A field of a section.

    Args:
        default: its value where nobody gives another; a dict is copied for each section.
        meaning: for people.
        **spec: further attributes of `Spec`.
    """
    metadata = {_SPEC: Spec(meaning=meaning, **spec)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def section(cls: type, meaning: str) -> Any:
    """A field that holds a section, at its defaults."""
    return dataclasses.field(default_factory=cls, metadata={_SPEC: Spec(meaning=meaning)})


@dataclasses.dataclass(frozen=True)
class Field:
    """A setting with the name that users give it.

    Attributes:
        name: such as "search.epochs".
        type: what it may hold, as annotated.
        default: where nobody gives another.
        spec: the rest.
    """

    name: str
    type: Any
    default: Any
    spec: Spec

    @property
    def choices(self) -> tuple[Any, ...]:
        """All values that it may have, if they are listed in its type."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()


def is_section(kind: Any) -> bool:
    """Whether a type is a section of settings."""
    return dataclasses.is_dataclass(kind)


def own_fields(cls: type) -> Iterator[tuple[dataclasses.Field, Any]]:
    """Each field of a section with its resolved type."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        yield field, hints[field.name]


def all_fields(cls: type, prefix: str = "") -> Iterator[Field]:
    """Every setting of a section and of the sections in it, in their order."""
    for field, kind in own_fields(cls):
        name = f"{prefix}{field.name}"
        if is_section(kind):
            yield from all_fields(kind, f"{name}.")
        else:
            yield Field(name, kind, default_of(field), field.metadata[_SPEC])


def meaning_of(field: dataclasses.Field) -> str:
    """What a field, or a section, is for."""
    return field.metadata[_SPEC].meaning


def default_of(field: dataclasses.Field) -> Any:
    """The value of a field where nobody gives another."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def checked(field: Field, value: Any) -> Any:
    """A value as the setting's type has it: 1 as 1.0, a list as a tuple.

    Raises:
        ConfigError: it is of another type, out of range, or not one of the choices.
    """
    shown = f"config.{field.name} = {value!r}"
    try:
        value = _as_type(field.type, value)
    except TypeError as error:
        raise ConfigError(f"{shown} must be {error}") from None
    spec = field.spec
    if spec.filled and not value:
        raise ConfigError(f"config.{field.name} is empty: name at least one, e.g. {field.default!r}")
    if spec.unique and len(set(value)) < len(value):
        raise ConfigError(f"{shown} names one twice")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float) and not isinstance(number, bool) and not _in_range(spec, number):
            raise ConfigError(f"{shown} must be {spec.range or 'a finite number'}")
    return value


def from_mapping(cls: type, values: Mapping[str, Any], prefix: str = "", known: Collection[str] = ()) -> Any:
    """A section from the names and values that a user gave, and the sections in it; what is not given has its default.

    Args:
        cls: the section.
        values: nested mappings.
        prefix: of the section's names, such as "search.".
        known: names of settings, of which the nearest is shown beside an unknown one.

    Raises:
        ConfigError: an unknown name, or a value of another type or out of range.
    """
    fields = {field.name: (field, kind) for field, kind in own_fields(cls)}
    for name in values:
        if name not in fields:
            nearest = _nearest(f"{prefix}{name}", known or [f"{prefix}{field}" for field in fields])
            raise ConfigError(f"config.{prefix}{name}: there is no such setting{nearest}")
    checked_values = {}
    for name, (field, kind) in fields.items():
        if is_section(kind):
            checked_values[name] = from_mapping(kind, values.get(name, {}), f"{prefix}{name}.", known)
        else:
            declared = Field(f"{prefix}{name}", kind, default_of(field), field.metadata[_SPEC])
            checked_values[name] = checked(declared, values.get(name, declared.default))
    return cls(**checked_values)


def _nearest(name: str, known: Collection[str]) -> str:
    last = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]]
    close = last or difflib.get_close_matches(name, known)
    return f"; did you mean config.{close[0]}?" if close else "; --show lists them all"


def check_own(instance: Any) -> None:
    """Checks the fields of a section as it is made, for its `__post_init__`; errors as of `checked`."""
    for field, kind in own_fields(type(instance)):
        spec = Field(field.name, kind, default_of(field), field.metadata[_SPEC])
        object.__setattr__(instance, field.name, checked(spec, getattr(instance, field.name)))


def _in_range(spec: Spec, number: float) -> bool:
    return (
        math.isfinite(number)
        and (spec.above is None or number > spec.above)
        and (spec.low is None or number >= spec.low)
        and (spec.high is None or number <= spec.high)
    )


def _as_type(kind: Any, value: Any) -> Any:
    """The value as the type has it; TypeError, whose message ends "must be ...", where it cannot be."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool) != isinstance(arguments[0], bool):
            raise TypeError(f"one of {', '.join(map(str, arguments))}")
        return value
    if origin in (types.UnionType, typing.Union):
        for one in arguments:
            try:
                return _as_type(one, value)
            except TypeError:
                continue
        raise TypeError(" or ".join(_name(one) for one in arguments))
    if origin is tuple:
        return _as_tuple(kind, arguments, value)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError("a mapping, such as {'excited': 'happy'}")
        return {str(key): _plain(inner) for key, inner in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Any or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    raise TypeError(_name(kind))


def _as_tuple(kind, arguments, value):
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise TypeError("a tuple, such as ('a', 'b') or (0, 1)")
    if arguments[-1] is Ellipsis:
        return tuple(_as_type(arguments[0], one) for one in value)
    if len(value) != len(arguments):
        raise TypeError(f"{len(arguments)} values")
    return tuple(_as_type(one, inner) for one, inner in zip(arguments, value, strict=True))


def _plain(value: Any) -> Any:
    """Mappings as dicts, lists as tuples, all the way down."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _name(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
    return names.get(kind, str(kind))
