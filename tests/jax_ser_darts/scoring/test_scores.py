"""Scores of one system: intervals hold what they promise, every utterance counts once."""

import dataclasses
import json
import time

import numpy as np
import pytest
from made_up import make_predictions
from sklearn import metrics

from jax_ser_darts.scoring.predictions import COLUMNS, Predictions
from jax_ser_darts.scoring.scores import Scores, pool, score


def subset(predictions: Predictions, rows) -> Predictions:
    columns = {name: [getattr(predictions, name)[i] for i in rows] for name in COLUMNS}
    return dataclasses.replace(predictions, **columns)


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_intervals_hold_the_value_and_stay_between_0_and_1(unit):
    scores = score(make_predictions(3), unit=unit)
    cells = [cell for row in scores.shares for cell in row]
    for estimate in (scores.ua, scores.wa, scores.f1, *cells):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert scores.wa.low < scores.wa.high


def test_intervals_cover_the_truth_as_often_as_they_say():
    right, runs = 0.6, 200
    hits = 0
    for seed in range(runs):
        scores = score(make_predictions(seed, n=300, right=right), resamples=500, level=0.9)
        hits += scores.wa.low <= right + (1 - right) / 4 <= scores.wa.high
    assert 0.84 < hits / runs < 0.96


def test_speakers_who_differ_widen_the_speaker_interval():
    predictions = make_predictions(0, n=600)
    good = np.array([name in ("speaker0", "speaker1", "speaker2") for name in predictions.speakers])
    predictions = dataclasses.replace(
        predictions, predictions=np.where(good, predictions.labels, (predictions.labels + 1) % 4)
    )
    by_utterance, by_speaker = score(predictions, unit="utterance"), score(predictions, unit="speaker")
    assert by_utterance.wa.value == by_speaker.wa.value
    assert by_speaker.wa.high - by_speaker.wa.low > 2 * (by_utterance.wa.high - by_utterance.wa.low)


def test_a_seed_gives_the_same_scores_and_the_order_of_utterances_does_not_matter():
    predictions = make_predictions(5)
    order = np.random.default_rng(0).permutation(200)
    shuffled = subset(predictions, order)
    for unit in ("utterance", "speaker"):
        assert score(predictions, unit=unit) == score(shuffled, unit=unit)
    assert score(predictions, seed=1).ua != score(predictions, seed=2).ua


def test_a_class_without_utterances_is_left_out_of_ua_with_a_warning():
    predictions = make_predictions(2)
    part = subset(predictions, np.flatnonzero(predictions.labels != 1))
    scores = score(part)
    present = [0, 2, 3]
    assert scores.ua.value == pytest.approx(
        metrics.recall_score(part.labels, part.predictions, labels=present, average="macro")
    )
    assert scores.f1.value == pytest.approx(
        metrics.f1_score(part.labels, part.predictions, labels=present, average="macro")
    )
    assert scores.shares[1] == (None,) * 4
    assert "happy" in scores.warnings[0]
    assert score(predictions).warnings == ()


def test_all_right_and_all_wrong_are_certain():
    predictions = make_predictions(0)
    perfect = score(dataclasses.replace(predictions, predictions=predictions.labels))
    wrong = score(dataclasses.replace(predictions, predictions=(predictions.labels + 1) % 4))
    for metric in ("ua", "wa", "f1"):
        assert dataclasses.astuple(getattr(perfect, metric)) == (1, 1, 1)
        assert dataclasses.astuple(getattr(wrong, metric)) == (0, 0, 0)


def test_an_unknown_unit_is_refused():
    with pytest.raises(ValueError, match="'session'"):
        score(make_predictions(0), unit="session")


def test_pooling_counts_each_utterance_of_all_folds_once():
    folds = [make_predictions(seed, n=40 + seed, prefix=f"fold{seed}_") for seed in range(5)]
    pooled = pool(folds, unit="utterance")
    assert pooled.n == sum(len(fold.ids) for fold in folds)
    assert np.array_equal(pooled.confusion, np.sum([score(fold).confusion for fold in folds], axis=0))
    assert pool(folds).unit == "speaker"
    assert pool(folds[:1], unit="utterance", seed=3) == score(folds[0], seed=3)


def test_few_speakers_are_warned_about():
    assert "2 speaker" in pool([make_predictions(0, speakers=2)]).warnings[0]
    assert pool([make_predictions(0, speakers=12)]).warnings == ()


def test_scores_survive_json():
    predictions = make_predictions(0)
    scores = pool([predictions])
    assert Scores.from_json(json.loads(json.dumps(scores.to_json()))) == scores


def test_a_bootstrap_of_2000_takes_well_under_a_second():
    predictions = make_predictions(0, n=720)
    begin = time.thread_time()
    score(predictions)
    assert time.thread_time() - begin < 0.5
