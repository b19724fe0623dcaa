"""A search whose right answer is known: the label is a phase that only one candidate lets through.

Each utterance is a stripe of period 3 along the coefficients, and its class is the stripe's phase. A 3x3 pool sees a
whole period wherever it stands, so that its output says nothing of the phase, whatever pointwise layers come before it;
a dilated convolution passes it on. The stripe fades out at both ends, where a pool's window would see a part of a
period, and there is noise: what little a pool lets through is worth less than what the convolution does.
"""

import numpy as np
import pytest
from tiny import tiny_settings

from jax_ser_darts.bilevel import ORDERS
from jax_ser_darts.data.records import Corpus
from jax_ser_darts.experiment import set_up
from jax_ser_darts.rundir.metrics import read
from jax_ser_darts.search.search import search
from jax_ser_darts.search.searcher import make_searchers
from jax_ser_darts.search_space.genotype import num_edges, softmax
from jax_ser_darts.search_space.operations import NONE

PLANTED = "dil_conv_3x3"
OPERATIONS = ("max_pool_3x3", "avg_pool_3x3", PLANTED, NONE)
SPEAKERS, EACH, FRAMES, COEFFICIENTS = 5, 48, 4, 24
KIND = "reduction"  # the only cell of the supernet is one


def striped_corpus(shuffled: bool) -> Corpus:
    """Five speakers; with `shuffled` the labels have nothing to do with the stripes."""
    rng = np.random.default_rng(0)
    size = SPEAKERS * EACH
    label = np.arange(size) % 3
    phase = rng.permutation(label) if shuffled else label
    stripes = np.cos(2 * np.pi * (np.arange(COEFFICIENTS) + phase[:, None]) / 3)[:, None]
    fading = np.sin(np.pi * (np.arange(COEFFICIENTS) + 0.5) / COEFFICIENTS) ** 2
    noise = rng.normal(size=(size, 1, COEFFICIENTS)) + 0.3 * rng.normal(size=(size, FRAMES, COEFFICIENTS))
    features = 1.5 * fading * stripes + noise
    speaker = np.repeat([f"s{i}" for i in range(SPEAKERS)], EACH)
    return Corpus(
        classes=("a", "b", "c"),
        groups={f"s{i}": (f"s{i}",) for i in range(SPEAKERS)},
        features=tuple(features.astype(np.float32)),
        num_frames=np.full(size, FRAMES, np.int32),
        label=label.astype(np.int32),
        id=np.array([f"u{i}" for i in range(size)]),
        speaker=speaker,
        group=speaker,
        sex=np.array([""] * size),
        metadata={"features": {}},
    )


SETTINGS = {
    "devices": 1,
    "folds.count": 0,
    "folds.run": (0,),
    "folds.validation_groups": 0,
    "space.operations": OPERATIONS,
    "search.cells": 1,
    "search.reductions": (0,),
    "search.channels": 4,
    "search.epochs": 14,
    "search.batch_size": 32,
    "search.learning_rate": 0.1,
    "search.alphas_learning_rate": 0.05,
    "search.dropout": 0.0,
}


def strongest(alphas):
    """The candidate with the largest weight in the cell, besides `none`: one edge is enough to read the phase."""
    weights = softmax(np.asarray(alphas))[:, : OPERATIONS.index(NONE)]
    return OPERATIONS[int(weights.max(axis=0).argmax())]


@pytest.fixture(
    scope="module",
    params=[("first", 2, 2), *(pytest.param((order, 5, 3), marks=pytest.mark.slow) for order in ORDERS)],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def winners(request, tmp_path_factory):
    """shuffled -> of each seed, the strongest candidate. An order, so many seeds, and so many with shuffled labels."""
    order, *seeds = request.param
    results = {}
    for shuffled in (False, True):
        workdir = tmp_path_factory.mktemp("planted")
        experiment = set_up(tiny_settings(SETTINGS), workdir, striped_corpus(shuffled))
        searcher_of = make_searchers(experiment)
        (fold,) = experiment.folds
        results[shuffled] = []
        for seed in range(seeds[shuffled]):
            genotype = search(searcher_of(order), order, fold, seed)
            last = read(experiment.search_folder(order, fold, seed) / "metrics.jsonl")[-1]
            results[shuffled].append(strongest(last["alphas"][KIND]))
            assert shuffled or PLANTED in genotype.operations(KIND)
    return results


def test_the_search_finds_what_was_planted_from_every_seed(winners):
    assert set(winners[False]) == {PLANTED}


def test_it_does_so_because_of_the_labels(winners):
    """Without them it has no reason to, and does not."""
    assert set(winners[True]) != {PLANTED}


def test_a_random_ranking_does_not():
    rankings = [
        np.random.default_rng(seed).gumbel(size=(num_edges(1), len(OPERATIONS))) for seed in range(300)
    ]
    hits = [strongest(ranking) == PLANTED for ranking in rankings]
    assert not all(hits[:5])
    assert 0.2 < np.mean(hits) < 0.5, "one in three"
