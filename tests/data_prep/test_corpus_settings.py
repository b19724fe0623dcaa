"""The settings of a corpus are checked when they are made."""

import pytest

from data_prep.corpus_settings import CorpusSettings
from jax_ser_darts.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [("group_by", "sex"), ("on_bad_file", "ignore"), ("workers", -1), ("parts", "improvised")],
)
def test_an_impossible_setting_is_named(name, value):
    with pytest.raises(ConfigError, match=f"{name} = .* must be"):
        CorpusSettings(**{name: value})


def test_the_default_is_a_manifest_of_every_emotion():
    assert (CorpusSettings().corpus, CorpusSettings().emotions) == ("manifest", {})
