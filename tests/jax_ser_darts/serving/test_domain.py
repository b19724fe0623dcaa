"""A bundle on another corpus: whose classes are whose, and the recall over those that both have."""

import pytest

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.scoring.scores import score
from jax_ser_darts.serving.domain import map_labels, recall_of


def test_classes_are_those_of_the_same_name_or_as_given_and_others_are_left_out():
    labels = map_labels(["joy", "sad", "fear"], {"joy": "happy"}, classes=("happy", "sad"))
    assert labels == {"joy": "happy", "sad": "sad"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "name counterparts"),
        ({"glee": "happy"}, "no class 'glee'"),
        ({"joy": "elated"}, "'elated' is no class of the bundle"),
    ],
)
def test_labels_that_do_not_fit_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        map_labels(["joy"], given, classes=("happy", "sad"))


def test_recall_over_some_classes_is_unknown_where_one_was_not_tested():
    own = score(
        Predictions(
            ids="abcd",
            labels=[0, 0, 1, 1],
            predictions=[0, 1, 1, 1],
            speakers="aabb",
            classes=["x", "y", "z"],
        )
    )
    assert recall_of(own, ["x", "y"]) == 0.75
    assert recall_of(own, ["x"]) == 0.5
    assert recall_of(own, ["x", "z"]) is None
