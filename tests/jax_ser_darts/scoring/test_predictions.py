"""Predictions: what cannot be scored is refused by name, and folds are joined so that each utterance counts once."""

import dataclasses
import json

import pytest
from made_up import CLASSES, make_predictions

from jax_ser_darts.scoring.predictions import Predictions, ScoreError


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"ids": ["a", "b", "a"]}, r"1 utterance\(s\): a: counted more than once"),
        ({"predictions": [0, -1, 1]}, r"b: without a prediction"),
        ({"predictions": [0, None, 1]}, r"b: without a prediction"),
        ({"predictions": [0, 1]}, "different lengths.*'predictions': 2"),
        ({"predictions": [0, 4, 1]}, r"b \(4\): in `predictions` not among the classes 0..3"),
        ({"predictions": [0, 0.5, 1]}, r"b \(0.5\): in `predictions`"),
        ({"labels": [0, 1, -1]}, r"c \(-1\): in `labels`"),
        ({"ids": [], "labels": [], "predictions": [], "speakers": []}, "no utterance"),
    ],
)
def test_predictions_that_cannot_be_scored_are_refused_by_name(columns, message):
    good = Predictions(["a", "b", "c"], [0, 1, 2], [0, 1, 1], ["x", "x", "y"], CLASSES)
    with pytest.raises(ScoreError, match=message):
        dataclasses.replace(good, **columns)


def test_joining_names_the_utterances_that_two_folds_tested():
    first, second = make_predictions(0, n=20, prefix="a"), make_predictions(1, n=20, prefix="b")
    both = Predictions.join([first, second])
    assert list(both.ids) == [*first.ids, *second.ids]
    overlapping = dataclasses.replace(second, ids=["a7", "a9", *second.ids[2:]])
    with pytest.raises(ScoreError, match=r"2 utterance\(s\): a7, a9: counted more than once"):
        Predictions.join([first, overlapping])
    with pytest.raises(ScoreError, match="different classes"):
        Predictions.join([first, dataclasses.replace(second, classes=("a", "b", "c", "d"))])
    with pytest.raises(ScoreError, match="no fold"):
        Predictions.join([])


def test_predictions_survive_json():
    predictions = make_predictions(0)
    again = Predictions.from_json(json.loads(json.dumps(predictions.to_json(), allow_nan=False)))
    assert again.to_json() == predictions.to_json()
