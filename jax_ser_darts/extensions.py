"""Modules of the user, which register what the package does not have: see docs/extending.md."""

import importlib
from collections.abc import Iterable

from jax_ser_darts.errors import UserError


class ExtensionError(UserError):
    """A module of the user cannot be imported; the message names it."""


def load_extensions(names: Iterable[str]) -> None:
    """Imports modules by name, in their order; one that is imported already stays as it is.

    Args:
        names: such as ("my_operations", "my_package.readers"); each must be on Python's path.

    Raises:
        ExtensionError: a module is not there, or fails while it is imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except UserError as error:
            raise ExtensionError(f"config.extensions: {name}: {error}") from error
        except ModuleNotFoundError as error:
            if error.name and f"{name}.".startswith(f"{error.name}."):
                raise ExtensionError(
                    f"config.extensions: there is no module {name!r}: add its folder to PYTHONPATH, or install it"
                ) from None
            raise ExtensionError(
                f"config.extensions: {name} imports {error.name}, which is not there"
            ) from error
        except Exception as error:
            raise ExtensionError(
                f"config.extensions: {name} cannot be imported: {type(error).__name__}: {error}"
            ) from error
