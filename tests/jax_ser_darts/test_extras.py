"""Libraries of extras: the table is setup.cfg's, and a missing one is a line that says what to install."""

import configparser
import importlib.metadata
import pathlib
import re

import pytest

from jax_ser_darts import extras

SETUP = configparser.ConfigParser()
SETUP.read(pathlib.Path(__file__).parents[2] / "setup.cfg")


def requirements(text: str) -> set[str]:
    """The distributions of a list of requirements, as their names are compared."""
    return {
        re.split(r"[\[<>=]", line)[0].strip().replace("-", "_").lower() for line in text.split("\n") if line
    }


def test_every_library_of_the_table_is_in_its_extra_and_not_in_the_light_set():
    distributions = importlib.metadata.packages_distributions()
    light = requirements(SETUP["options"]["install_requires"])
    for library, extra in extras.EXTRAS.items():
        if library not in distributions and library not in ("apache_beam", "opensmile", "gradio"):
            continue  # not installed here
        names = {name.replace("-", "_").lower() for name in distributions.get(library, [library])}
        assert not names & light, library
        installs = requirements(SETUP["options.extras_require"][extra])
        assert names & installs or library == "onnxruntime", f"{library} is not in the extra {extra}"


def test_a_missing_library_names_its_extra():
    message = r"^tensorflow is not installed: pip install 'jax_ser_darts\[train\]'$"
    with pytest.raises(extras.MissingExtraError, match=message), extras.explained():
        raise ModuleNotFoundError("No module named 'tensorflow.io'", name="tensorflow.io")


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("no", name="nowhere"), ModuleNotFoundError("no"), OSError("no")]
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, extras.explained():
        raise error
    assert caught.value is error


def test_a_library_is_looked_for_without_being_imported(monkeypatch):
    extras.check_installed("pathlib")
    monkeypatch.setitem(extras.EXTRAS, "nowhere", "page")
    with pytest.raises(extras.MissingExtraError, match=r"nowhere is not installed.*\[page\]"):
        extras.check_installed("nowhere")
