"""Configs by name, from whatever folder: `ravdess:quick` is the packaged config `ravdess` in its variant `quick`."""

import dataclasses
import importlib
import importlib.util
import os
import pathlib
import textwrap
from types import ModuleType

import ml_collections

import jax_ser_darts.configs
from jax_ser_darts.errors import ConfigError

FOLDER = pathlib.Path(jax_ser_darts.configs.__path__[0])


def names() -> list[str]:
    """The packaged configs."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def resolve(given: str) -> str:
    """`NAME[:VARIANT]` or `FILE[:VARIANT]` -> `FILE[:VARIANT]`.

    A name has no folder and no suffix. A file of that name in the current folder goes first.

    Raises:
        ConfigError: there is no such file, or no packaged config of this name.
    """
    name, colon, variant = given.partition(":")
    path = pathlib.Path(name)
    if path.is_file():
        return given
    packaged = ", ".join(names())
    if path.suffix or path.name != name:
        beside = ", ".join(str(file) for file in sorted(path.parent.glob("[!_]*.py"))) or "none"
        raise ConfigError(
            f"there is no config file {path}; in {path.parent} are: {beside}; by name there are: {packaged}"
        )
    if name not in names():
        raise ConfigError(
            f"there is no config {name!r}; by name there are: {packaged}; or give a file's path"
        )
    path = FOLDER / f"{name}.py"
    if path.drive:  # ml_collections takes what follows the first colon for the variant
        path = pathlib.Path(os.path.relpath(path))
    return f"{path}{colon}{variant}"


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a packaged config is.

    Attributes:
        name: for --config=NAME.
        text: the first line of its docstring.
        variants: for --config=NAME:VARIANT.
        choices: what a variant may be followed by: --config=NAME:VARIANT,CHOICE.
    """

    name: str
    text: str
    variants: tuple[str, ...]
    choices: tuple[str, ...]


def summary(name: str) -> Summary:
    """What a packaged config is, from its docstring and its constants VARIANTS and CHOICES."""
    module = _module(name)
    return Summary(
        name, _docstring(module).split("\n")[0], module.VARIANTS, tuple(getattr(module, "CHOICES", ()))
    )


def listing() -> str:
    """All packaged configs, for people."""
    summaries = [summary(name) for name in names()]
    width = max(len(about.name) for about in summaries) + 2
    lines = []
    for about in summaries:
        variants = " ".join([*about.variants, *(f"[,{choice}]" for choice in about.choices)])
        for text, indent in ((f"{about.name:{width}}{about.text}", ""), (variants, " " * (width + 2))):
            lines += textwrap.wrap(text, 118, initial_indent=indent, subsequent_indent=" " * (width + 2))
    return "\n".join(lines)


def load(given: str) -> ml_collections.ConfigDict:
    """The config of `NAME[:VARIANT]` or `FILE[:VARIANT]`, as `--config` takes it.

    Raises:
        ConfigError: there is none, or it has not this variant.
    """
    name, _, variant = resolve(given).partition(":")
    spec = importlib.util.spec_from_file_location(f"jax_ser_darts.configs.{pathlib.Path(name).stem}", name)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.get_config(variant) if variant else module.get_config()
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"jax_ser_darts.configs.{name}")


def _docstring(module: ModuleType) -> str:
    return (module.__doc__ or "").strip()
