"""Which extra of the package brings a library that is not installed.

`pip install jax_ser_darts` brings what a bundle's predictions need, and no more. Everything else is imported where it
is used, and what is missing is one line that says what to install.
"""

import contextlib
import importlib.util
from collections.abc import Iterator

from jax_ser_darts.errors import UserError

# Module -> the extra of setup.cfg that installs it.
EXTRAS = {
    "apache_beam": "beam",
    "espeakng_loader": "train",
    "gradio": "page",
    "jax2onnx": "onnx",
    "librosa": "train",
    "matplotlib": "page",
    "onnxruntime": "onnx",
    "opensmile": "baselines",
    "optax": "train",
    "orbax": "train",
    "sklearn": "train",
    "tensorboard": "train",
    "tensorflow": "train",
    "tensorflow_datasets": "train",
}


class MissingExtraError(UserError):
    """A library of an extra is not installed; the message says what to install."""


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Names the extra of a library whose import fails inside.

    Raises:
        MissingExtraError: in the place of the ModuleNotFoundError of a library of an extra; others pass as they are.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise _missing(library) from error


def check_installed(*libraries: str) -> None:
    """Whether libraries of extras are there; nothing is imported.

    Raises:
        MissingExtraError: one is not.
    """
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise _missing(library)


def _missing(library):
    return MissingExtraError(f"{library} is not installed: pip install 'jax_ser_darts[{EXTRAS[library]}]'")
