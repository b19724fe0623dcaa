"""The parts of an experiment: speakers that never meet, statistics of the training alone."""

import dataclasses

import numpy as np
import pytest
from random_corpora import random_corpus

from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import digest, set_up
from jax_ser_darts.settings import default_config, resolve


@pytest.fixture(params=range(6))
def experiment(request, tmp_path):
    for seed in range(100 * request.param, 100 * request.param + 100):
        corpus = random_corpus(seed)
        c = default_config()
        c.folds.count = 0
        c.folds.validation_groups = 1
        try:
            if len(corpus.groups) >= 5:
                return set_up(resolve(c), tmp_path, corpus)
        except ConfigError:  # a class that the training part lacks
            continue
    raise AssertionError("no usable random corpus")


def speakers(part):
    return set(part.data.corpus.speaker[part.data.indices].tolist())


def test_a_search_hears_no_test_speaker_and_its_halves_share_none(experiment):
    experiment.config.search.class_weights = False
    for fold in experiment.folds:
        weights, alphas = experiment.search_parts(fold)
        tested = {s for group in fold.test for s in experiment.corpus.groups[group]}
        assert not speakers(weights) & speakers(alphas)
        assert not (speakers(weights) | speakers(alphas)) & tested


def test_both_halves_are_normalised_by_the_weights_half(experiment):
    experiment.config.search.class_weights = False
    for fold in experiment.folds:
        weights, alphas = experiment.search_parts(fold)
        expected = Normalisation.of(weights.data)
        for part in (weights, alphas):
            np.testing.assert_array_equal(part.normalisation.mean, expected.mean)


def test_training_hears_training_speakers_alone(experiment):
    for fold in experiment.folds:
        part = experiment.train_part(fold)
        assert set(part.data.corpus.group[part.data.indices].tolist()) <= set(fold.train)


def test_a_choice_of_folds_leaves_all_of_them_known(experiment):
    """What folds share, such as the length of the schedule, must not depend on which of them run."""
    experiment.config.folds.run = (1,)
    chosen = set_up(experiment.config, experiment.workdir, experiment.corpus)
    assert chosen.all_folds == experiment.all_folds
    assert chosen.folds == (experiment.folds[1],)


def test_a_fold_that_does_not_exist_is_named(experiment):
    experiment.config.folds.run = (0, 9999)
    with pytest.raises(ConfigError, match="no fold 9999"):
        set_up(experiment.config, experiment.workdir, experiment.corpus)


def test_a_class_that_a_half_of_the_search_lacks_is_named_before_the_search(experiment):
    """Where one is asked for: what is trained from a genotype needs no halves."""
    corpus, fold = experiment.corpus, experiment.folds[0]
    alone = corpus.groups[experiment.search_groups(fold)[0][0]]
    elsewhere = corpus.label == 0
    elsewhere &= ~np.isin(corpus.speaker, alone)
    rare = dataclasses.replace(corpus, label=np.where(elsewhere, 1, corpus.label))
    c = experiment.config.copy_and_resolve_references()
    c.train.class_weights = False
    with pytest.raises(
        ConfigError, match=rf"fold \d+, a half of the search's speakers: .* {corpus.classes[0]}"
    ):
        set_up(c, experiment.workdir, rare)
    c.train.genotype = "genotype.json"
    set_up(c, experiment.workdir, rare)


def test_the_digest_knows_a_corpus_again():
    assert digest(random_corpus(3)) == digest(random_corpus(3))
    assert digest(random_corpus(3)) != digest(random_corpus(4))
