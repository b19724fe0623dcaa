"""The table of settings: each is there once, with its value and where that comes from."""

import pathlib

from jax_ser_darts.fields import all_fields
from jax_ser_darts.settings import Settings
from jax_ser_darts.settings.convert import replaced
from jax_ser_darts.settings.show import markdown, show

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "all_settings.md"


def test_every_setting_is_shown_with_its_source():
    changed = replaced(Settings(), {"search.epochs": 7, "train.epochs": 9})
    text = show(changed, overridden=("search.epochs",))
    assert "search.epochs = 7  [command line]" in text
    assert "train.epochs = 9  [config]" in text
    assert "features.hop = 160  [default]" in text
    for field in all_fields(Settings):
        assert text.count(f"  {field.name} = ") == 1


def test_the_docs_have_the_table_as_it_is():
    """Written by `python -m jax_ser_darts.settings.show > docs/all_settings.md`."""
    assert DOCS.read_text() == markdown()
