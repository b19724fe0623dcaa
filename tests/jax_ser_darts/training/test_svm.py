"""The SVM baseline: it learns from the training speakers alone, and validation speakers choose its C."""

import numpy as np
import pytest
from changes import changed
from random_corpora import random_corpus
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from jax_ser_darts.data.records import subset
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import set_up
from jax_ser_darts.scoring.scores import score
from jax_ser_darts.settings import Settings
from jax_ser_darts.settings.convert import replaced
from jax_ser_darts.training import svm

LEAVE_ONE_OUT = {"folds.count": 0, "folds.validation_groups": 1, "baselines.svm_c": (0.01, 1.0)}


@pytest.fixture
def experiment(tmp_path):
    """Five groups or more, each a fold's test; C to be chosen."""
    seed = next(seed for seed in range(100) if len(random_corpus(seed).groups) >= 5)
    return set_up(replaced(Settings(), LEAVE_ONE_OUT), tmp_path, random_corpus(seed))


def learnable(corpus, noise=0.3):
    """Functionals `[N, 3]` that tell the class, on a scale that an SVM cannot use as it is."""
    rng = np.random.default_rng(0)
    values = np.eye(3)[corpus.label] + noise * rng.standard_normal((len(corpus), 3))
    return (values * [1e-4, 1.0, 1e4] + 100).astype(np.float64)


def test_it_learns_what_there_is_to_learn(experiment):
    values = learnable(experiment.corpus)
    for fold in experiment.folds:
        predictions = svm.evaluate(experiment, values, fold)
        test = subset(experiment.corpus, fold.test)
        assert list(predictions.ids) == experiment.corpus.id[test.indices].tolist()
        assert list(predictions.labels) == test.labels.tolist()
        assert score(predictions, resamples=2).ua.value > 0.8


def test_nothing_but_the_training_speakers_matters_to_it(experiment):
    """Other sound of the test and validation speakers changes neither scale nor model."""
    fold = experiment.folds[0]
    values = learnable(experiment.corpus)
    train, test = (subset(experiment.corpus, part) for part in (fold.train, fold.test))
    others = np.full_like(values, 1e6)
    others[train.indices] = values[train.indices]
    scores = [
        svm.fit(sound, train, 1.0).decision_function(values[test.indices]) for sound in (values, others)
    ]
    np.testing.assert_array_equal(*scores)


def test_it_is_fitted_to_each_folds_training_part(experiment, monkeypatch):
    fitted, fit = [], svm.fit

    def recording_fit(values, data, c):
        fitted.append(set(data.corpus.group[data.indices].tolist()))
        return fit(values, data, c)

    monkeypatch.setattr(svm, "fit", recording_fit)
    for fold in experiment.folds:
        fitted.clear()
        svm.evaluate(experiment, learnable(experiment.corpus), fold)
        assert len(fitted) == 4, "each C, the chosen one, and once more for the predictions"
        assert all(groups == set(fold.train) for groups in fitted)


def test_the_validation_speakers_choose_c(experiment):
    fold = experiment.folds[0]
    values = learnable(experiment.corpus)
    summary = svm.train(experiment, values, fold)
    ua = dict(map(tuple, summary["validation_ua"]))
    assert set(ua) == {0.01, 1.0}
    assert summary["c"] == max(ua, key=ua.get) == 1.0
    assert ua[1.0] > ua[0.01], "or this test shows nothing"


def test_a_single_c_is_taken_as_it_is(experiment):
    experiment = changed(experiment, {"baselines.svm_c": (0.5,)})
    summary = svm.train(experiment, learnable(experiment.corpus), experiment.folds[0])
    assert (summary["c"], summary["validation_ua"]) == (0.5, [])


def test_what_is_done_is_not_done_again(experiment, monkeypatch):
    values, fold = learnable(experiment.corpus), experiment.folds[0]
    summary, predictions = svm.train(experiment, values, fold), svm.evaluate(experiment, values, fold)
    monkeypatch.setattr(svm, "fit", None)
    assert svm.train(experiment, values, fold) == summary
    assert svm.evaluate(experiment, values, fold) == predictions


def test_another_c_in_the_place_of_a_finished_svm_is_an_error(experiment):
    values, fold = learnable(experiment.corpus), experiment.folds[0]
    svm.train(experiment, values, fold)
    with pytest.raises(ConfigError, match="another setup"):
        svm.train(changed(experiment, {"baselines.svm_c": (3.0,)}), values, fold)


def test_rare_classes_count_as_much(experiment):
    """Where classes overlap, the rarest is predicted more often than by an SVM that weighs each utterance alike."""
    train = subset(experiment.corpus, experiment.folds[0].train)
    rarest = np.argmin(np.bincount(train.labels))
    values = learnable(experiment.corpus, noise=1.0)
    balanced = svm.fit(values, train, 1.0).predict(values)
    plain = (
        make_pipeline(StandardScaler(), SVC(C=1.0)).fit(values[train.indices], train.labels).predict(values)
    )
    assert np.sum(balanced == rarest) > np.sum(plain == rarest)
