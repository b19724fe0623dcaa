"""What tests of the preparation share."""

import pathlib

import pytest
import small_corpus


@pytest.fixture
def corpus(tmp_path) -> pathlib.Path:
    """Three speakers, four emotions (one unused), two utterances each, of 0.3 to 0.7 s; a manifest."""
    return small_corpus.make(tmp_path / "corpus")
