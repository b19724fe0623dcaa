"""The parts of an experiment: speakers that never meet, statistics of the training alone."""

import dataclasses

import numpy as np
import pytest
from random_corpora import random_corpus

from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import set_up
from jax_ser_darts.settings import Settings
from jax_ser_darts.settings.convert import replaced

LEAVE_ONE_OUT = replaced(Settings(), {"folds.count": 0, "folds.validation_groups": 1})


@pytest.fixture(params=range(6))
def experiment(request, tmp_path):
    for seed in range(100 * request.param, 100 * request.param + 100):
        corpus = random_corpus(seed)
        try:
            if len(corpus.groups) >= 5:
                return set_up(LEAVE_ONE_OUT, tmp_path, corpus)
        except ConfigError:  # a class that the training part lacks
            continue
    raise AssertionError("no usable random corpus")


def speakers(part):
    return set(part.data.corpus.speaker[part.data.indices].tolist())


def test_a_search_uses_no_test_speaker_and_its_halves_share_none(experiment):
    for fold in experiment.folds:
        weights, alphas = experiment.search_parts(fold)
        tested = {s for group in fold.test for s in experiment.corpus.groups[group]}
        assert speakers(weights)
        assert speakers(alphas)
        assert not speakers(weights) & speakers(alphas)
        assert not (speakers(weights) | speakers(alphas)) & tested


def test_both_halves_are_normalised_by_the_weights_half(experiment):
    for fold in experiment.folds:
        weights, alphas = experiment.search_parts(fold)
        expected = Normalisation.of(weights.data)
        for part in (weights, alphas):
            np.testing.assert_array_equal(part.normalisation.mean, expected.mean)


def test_training_uses_training_speakers_alone(experiment):
    for fold in experiment.folds:
        part = experiment.train_part(fold)
        assert set(part.data.corpus.group[part.data.indices].tolist()) <= set(fold.train)


def test_a_choice_of_folds_leaves_all_of_them_known(experiment):
    """What folds share, such as the length of the schedule, must not depend on which of them run."""
    chosen = set_up(replaced(experiment.config, {"folds.run": (1,)}), experiment.workdir, experiment.corpus)
    assert chosen.all_folds == experiment.all_folds
    assert chosen.folds == (experiment.folds[1],)


def test_a_fold_that_does_not_exist_is_named(experiment):
    settings = replaced(experiment.config, {"folds.run": (0, 9999)})
    with pytest.raises(ConfigError, match="no fold 9999"):
        set_up(settings, experiment.workdir, experiment.corpus)


def test_a_class_that_a_half_of_the_search_lacks_is_named_before_the_search(experiment):
    """Only where the config searches: what is trained from a genotype needs no halves."""
    corpus, fold = experiment.corpus, experiment.folds[0]
    alone = corpus.groups[experiment.search_groups(fold)[0][0]]
    elsewhere = (corpus.label == 0) & ~np.isin(corpus.speaker, alone)
    rare = dataclasses.replace(corpus, label=np.where(elsewhere, 1, corpus.label))
    settings = replaced(experiment.config, {"train.class_weights": False})
    with pytest.raises(
        ConfigError, match=rf"fold \d+, a half of the search's speakers: .* {corpus.classes[0]}"
    ):
        set_up(settings, experiment.workdir, rare)
    set_up(replaced(settings, {"train.genotype": "genotype.json"}), experiment.workdir, rare)


def test_one_class_alone_is_refused_in_the_corpus_and_among_the_tested(experiment):
    corpus = experiment.corpus
    one = dataclasses.replace(corpus, classes=corpus.classes[:1], label=np.zeros_like(corpus.label))
    with pytest.raises(ConfigError, match=r"^the corpus: every utterance is of one class, class_0"):
        set_up(experiment.config, experiment.workdir, one)
    (test,) = experiment.folds[0].test
    tested_alike = dataclasses.replace(corpus, label=np.where(corpus.group == test, 1, corpus.label))
    first_alone = replaced(experiment.config, {"folds.run": (0,)})
    with pytest.raises(ConfigError, match=r"^the test speakers: every utterance is of one class, class_1"):
        set_up(first_alone, experiment.workdir, tested_alike)


def test_setting_up_looks_at_no_frame(experiment, monkeypatch):
    """Folds are checked by their labels: the statistics of each part are taken when it is used."""
    monkeypatch.setattr(Normalisation, "of", lambda _: pytest.fail("all frames of a fold were read"))
    set_up(experiment.config, experiment.workdir, experiment.corpus)
