"""Scores: figures are scikit-learn's, intervals hold what they promise, every utterance counts once."""

import dataclasses
import json
import time

import numpy as np
import pytest
from sklearn import metrics

from jax_ser_darts.scoring.scores import (
    Predictions,
    ScoreError,
    Scores,
    Spread,
    confusion_table,
    over_folds,
    over_means,
    pool,
    score,
    table,
)

CLASSES = ("angry", "happy", "neutral", "sad")


def make_predictions(
    seed: int, *, n: int = 200, speakers: int = 12, right: float = 0.5, prefix: str = "u"
) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, size=n, p=[0.1, 0.2, 0.3, 0.4])
    labels[:4] = range(4)
    return Predictions(
        ids=[f"{prefix}{i}" for i in range(n)],
        labels=labels,
        predictions=np.where(rng.random(n) < right, labels, rng.integers(4, size=n)),
        speakers=[f"speaker{i}" for i in rng.integers(speakers, size=n)],
        classes=CLASSES,
    )


def change(answers: Predictions, **columns) -> Predictions:
    return dataclasses.replace(answers, **columns)


@pytest.mark.parametrize("seed", range(20))
def test_the_figures_are_those_of_scikit_learn(seed):
    answers = make_predictions(seed, n=20 + 20 * seed, right=seed / 20)
    scores = score(answers)
    truth, answered = answers.labels, answers.predictions
    assert scores.n == len(truth)
    assert scores.ua.value == pytest.approx(metrics.recall_score(truth, answered, average="macro"))
    assert scores.wa.value == pytest.approx(metrics.accuracy_score(truth, answered))
    assert scores.f1.value == pytest.approx(metrics.f1_score(truth, answered, average="macro"))
    assert np.array_equal(scores.confusion, metrics.confusion_matrix(truth, answered))
    shares = [[cell.value for cell in row] for row in scores.shares]
    assert np.allclose(shares, metrics.confusion_matrix(truth, answered, normalize="true"))


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_intervals_hold_the_value_and_stay_between_0_and_1(unit):
    scores = score(make_predictions(3), unit=unit)
    cells = [cell for row in scores.shares for cell in row]
    for estimate in (scores.ua, scores.wa, scores.f1, *cells):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert scores.wa.low < scores.wa.high


def test_the_utterance_bootstrap_is_the_one_that_draws_utterances():
    answers = make_predictions(1, n=150)
    rng = np.random.default_rng(9)
    drawn = [rng.integers(150, size=150) for _ in range(2000)]
    truth, answered = np.asarray(answers.labels), np.asarray(answers.predictions)
    wa = [np.mean(truth[rows] == answered[rows]) for rows in drawn]
    ua = [
        np.mean(
            [np.mean(answered[rows][truth[rows] == k] == k) for k in range(4) if (truth[rows] == k).any()]
        )
        for rows in drawn
    ]
    scores = score(answers, resamples=20_000)
    for by_hand, estimate in ((wa, scores.wa), (ua, scores.ua)):
        assert np.quantile(by_hand, [0.025, 0.975]) == pytest.approx([estimate.low, estimate.high], abs=0.01)


def test_the_speaker_bootstrap_is_the_one_that_draws_speakers():
    answers = make_predictions(1, n=150)
    of_speaker = np.asarray([int(name.removeprefix("speaker")) for name in answers.speakers])
    right = np.asarray(answers.labels) == np.asarray(answers.predictions)
    rng = np.random.default_rng(9)
    wa = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(of_speaker == s) for s in rng.integers(12, size=12)])
        wa.append(right[rows].mean())
    scores = score(answers, unit="speaker", resamples=20_000)
    assert np.quantile(wa, [0.025, 0.975]) == pytest.approx([scores.wa.low, scores.wa.high], abs=0.01)


def test_intervals_cover_the_truth_as_often_as_they_say():
    right, runs = 0.6, 200
    hits = 0
    for seed in range(runs):
        scores = score(make_predictions(seed, n=300, right=right), resamples=500, level=0.9)
        hits += scores.wa.low <= right + (1 - right) / 4 <= scores.wa.high
    assert 0.84 < hits / runs < 0.96


def test_speakers_who_differ_widen_the_speaker_interval():
    answers = make_predictions(0, n=600)
    good = np.array([name in ("speaker0", "speaker1", "speaker2") for name in answers.speakers])
    answers = change(answers, predictions=np.where(good, answers.labels, (answers.labels + 1) % 4))
    by_utterance, by_speaker = score(answers, unit="utterance"), score(answers, unit="speaker")
    assert by_utterance.wa.value == by_speaker.wa.value
    assert by_speaker.wa.high - by_speaker.wa.low > 2 * (by_utterance.wa.high - by_utterance.wa.low)


def test_a_seed_gives_the_same_scores_and_the_order_of_utterances_does_not_matter():
    answers = make_predictions(5)
    order = np.random.default_rng(0).permutation(200)
    shuffled = change(
        answers,
        **{c: [getattr(answers, c)[i] for i in order] for c in ("ids", "labels", "predictions", "speakers")},
    )
    for unit in ("utterance", "speaker"):
        assert score(answers, unit=unit) == score(shuffled, unit=unit)
    assert score(answers, seed=1).ua != score(answers, seed=2).ua


def test_a_class_without_utterances_is_left_out_of_ua_and_said_so():
    answers = make_predictions(2)
    kept = np.flatnonzero(answers.labels != 1)
    part = change(
        answers,
        **{c: [getattr(answers, c)[i] for i in kept] for c in ("ids", "labels", "predictions", "speakers")},
    )
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
    assert "happy" in table({"part": scores})
    assert " - " in confusion_table(scores)
    assert score(answers).warnings == ()


def test_all_right_and_all_wrong_are_certain():
    answers = make_predictions(0)
    perfect = score(change(answers, predictions=answers.labels))
    wrong = score(change(answers, predictions=(answers.labels + 1) % 4))
    for figure in ("ua", "wa", "f1"):
        assert dataclasses.astuple(getattr(perfect, figure)) == (1, 1, 1)
        assert dataclasses.astuple(getattr(wrong, figure)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("columns", "said"),
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
def test_answers_that_cannot_be_scored_are_refused_by_name(columns, said):
    good = Predictions(["a", "b", "c"], [0, 1, 2], [0, 1, 1], ["x", "x", "y"], CLASSES)
    with pytest.raises(ScoreError, match=said):
        change(good, **columns)


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


def test_pooling_names_the_utterances_that_two_folds_tested():
    one, other = make_predictions(0, n=20, prefix="a"), make_predictions(1, n=20, prefix="b")
    other = change(other, ids=["a7", "a9", *other.ids[2:]])
    with pytest.raises(ScoreError, match=r"2 utterance\(s\): a7, a9: counted more than once"):
        pool([one, other])
    with pytest.raises(ScoreError, match="different classes"):
        pool([one, change(make_predictions(1, prefix="b"), classes=("a", "b", "c", "d"))])
    with pytest.raises(ScoreError, match="no fold"):
        pool([])


def test_few_speakers_are_warned_about():
    assert "2 speaker" in pool([make_predictions(0, speakers=2)]).warnings[0]
    assert pool([make_predictions(0, speakers=12)]).warnings == ()


def test_mean_and_deviation_over_folds():
    folds = [score(make_predictions(seed)) for seed in range(4)]
    spread = over_folds(folds)
    assert set(spread) == {"ua", "wa", "f1"}
    assert spread["ua"].mean == pytest.approx(np.mean([fold.ua.value for fold in folds]))
    assert spread["ua"].std == pytest.approx(np.std([fold.ua.value for fold in folds], ddof=1))
    assert over_folds(folds[:1])["wa"] == Spread(folds[0].wa.value, None)
    with pytest.raises(ScoreError, match="no fold"):
        over_folds([])


def test_draws_count_once_each_however_many_trainings_they_have():
    a, b, c = (score(make_predictions(seed)) for seed in range(3))
    spread = over_means([[a, b], [c]])["ua"]
    of_draws = [(a.ua.value + b.ua.value) / 2, c.ua.value]
    assert spread.mean == pytest.approx(np.mean(of_draws))
    assert spread.std == pytest.approx(np.std(of_draws, ddof=1))
    assert over_means([[a, b]])["f1"].std is None


def test_the_table_takes_averages_and_columns():
    scores = {name: score(make_predictions(seed)) for seed, name in enumerate("ab")}
    averages = {"mean": over_means([[of] for of in scores.values()])}
    lines = table(scores, averages=averages, columns={"seconds": {"a": "12", "b": "7"}}).splitlines()
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[0].endswith("seconds")
    assert lines[2].endswith(" 12")
    spread = averages["mean"]["ua"]
    assert f"{spread.mean:.3f} ({spread.std:.3f})" in lines[4]
    assert lines[4].startswith("mean")


def test_a_warning_stands_once_in_the_table_whomever_it_is_for():
    few = [pool([make_predictions(seed, speakers=3)]) for seed in range(3)]
    many = pool([make_predictions(3)])
    shared = table({"a": few[0], "b": few[1], "c": few[2]}).splitlines()
    assert [line for line in shared if "too narrow" in line] == [f"all: {few[0].warnings[0]}"]
    some = table({"a": few[0], "b": few[1], "c": many}).splitlines()
    assert [line for line in some if "too narrow" in line] == [f"a, b: {few[0].warnings[0]}"]


def test_scores_and_answers_survive_json():
    answers = make_predictions(0)
    scores = pool([answers])
    assert Scores.from_json(json.loads(json.dumps(scores.to_json()))) == scores
    again = Predictions.from_json(json.loads(json.dumps(answers.to_json(), allow_nan=False)))
    assert pool([again]) == scores


def test_the_table_is_aligned_and_says_how_the_intervals_were_made():
    scores = score(make_predictions(0))
    lines = table({"a": scores, "a longer name": scores}).splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    assert f"{scores.ua.value:.3f} [{scores.ua.low:.3f}, {scores.ua.high:.3f}]" in lines[2]
    assert lines[-1] == "[95 % intervals: bootstrap over utterances, 2000 resamples]"
    lines = confusion_table(scores).splitlines()
    assert len({len(line) for line in lines[:6]}) == 1
    assert all(name in lines[0] for name in CLASSES)
    assert f"{100 * scores.shares[3][0].value:.0f} [" in lines[5]


def test_a_bootstrap_of_2000_takes_well_under_a_second():
    answers = make_predictions(0, n=720)
    begin = time.thread_time()
    score(answers)
    assert time.thread_time() - begin < 0.5
