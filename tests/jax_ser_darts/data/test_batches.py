"""Batches: everyone is seen, in an order that the seed and the step decide alone."""

import collections
import itertools

import numpy as np
import pytest
from random_corpora import random_subset

from jax_ser_darts.data.augment import Augmentation
from jax_ser_darts.data.batches import class_weights, eval_batches, steps_per_epoch, train_batches
from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.data.records import Subset
from jax_ser_darts.errors import ConfigError

SEEDS = range(25)
_ONES = np.ones(100)
AUGMENTATION = Augmentation(
    time_masks=1, time_width=3, frequency_masks=1, frequency_width=2, shift=2, gain=6.0, noise=0.1
)


def batch_size(seed: int) -> int:
    """Smaller than the subset, larger, or its very size."""
    return int(np.random.default_rng(seed).choice([1, 2, 7, 16, 64, 300, len(random_subset(seed))]))


def arguments(part: Subset, seed: int) -> dict:
    return {
        "normalisation": Normalisation.of(part),
        "batch_size": batch_size(seed),
        "frames": part.corpus.frames(multiple=8),
        "weights": class_weights(part.labels, part.corpus.classes),
    }


def check_batch(batch: dict, part: Subset, *, how: dict) -> None:
    """Each row is its utterance, normalised, or nothing at all."""
    size, corpus, normalisation = how["batch_size"], part.corpus, how["normalisation"]
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        "features": ((size, how["frames"], corpus.coefficients), np.float32),
        "num_frames": ((size,), np.int32),
        "label": ((size,), np.int32),
        "weight": ((size,), np.float32),
        "index": ((size,), np.int32),
    }
    for row, index in enumerate(batch["index"]):
        frames = batch["num_frames"][row]
        assert not batch["features"][row, frames:].any()
        if index < 0:
            assert (index, frames, batch["label"][row], batch["weight"][row]) == (-1, 0, 0, 0)
            continue
        assert index in part.indices
        assert frames == corpus.num_frames[index]
        assert batch["label"][row] == corpus.label[index]
        assert batch["weight"][row] == how.get("weights", _ONES)[corpus.label[index]]
        wanted = (corpus.features[index] - normalisation.mean) / normalisation.std
        np.testing.assert_array_equal(batch["features"][row, :frames], wanted)


def assert_same(some: list[dict], others: list[dict]) -> None:
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("seed", SEEDS)
def test_evaluation_has_every_utterance_once_and_in_order(seed):
    part = random_subset(seed)
    how = arguments(part, seed)
    del how["weights"]  # which only a training has
    batches = list(eval_batches(part, **how))
    indices = np.concatenate([batch["index"] for batch in batches])
    np.testing.assert_array_equal(indices[indices >= 0], part.indices)
    assert (indices[: len(part)] >= 0).all(), "padding comes last"
    assert len(batches) == -(-len(part) // how["batch_size"])
    for batch in batches:
        check_batch(batch, part, how=how)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_training_epoch_has_every_utterance_once_and_fills_its_last_batch_with_others(seed):
    part = random_subset(seed)
    how = arguments(part, seed)
    steps = steps_per_epoch(part, batch_size=how["batch_size"])
    assert steps == -(-len(part) // how["batch_size"])
    batches = list(itertools.islice(train_batches(part, **how, seed=seed), 2 * steps))
    for epoch in (batches[:steps], batches[steps:]):
        for batch in epoch:
            assert (batch["index"] >= 0).all()
            check_batch(batch, part, how=how)
        indices = np.concatenate([batch["index"] for batch in epoch])
        np.testing.assert_array_equal(np.sort(indices[: len(part)]), part.indices)
        most_often = max(collections.Counter(epoch[-1]["index"].tolist()).values())
        assert most_often == -(-how["batch_size"] // len(part)), "none is in a batch twice without need"


@pytest.mark.parametrize("seed", SEEDS)
def test_batches_depend_on_seed_and_step_alone_so_training_goes_on_where_it_stopped(seed):
    part = random_subset(seed)
    how = arguments(part, seed) | {"augmentation": AUGMENTATION}
    through = list(itertools.islice(train_batches(part, **how, seed=7), 12))
    for step in (0, 1, 5, 11):
        assert_same(
            list(itertools.islice(train_batches(part, **how, seed=7, step=step), 12 - step)), through[step:]
        )


def test_another_seed_or_epoch_gives_another_order():
    part = random_subset(0)
    how = arguments(part, 0) | {"batch_size": len(part)}
    orders = [
        tuple(batch["index"].tolist())
        for seed in (0, 1)
        for batch in itertools.islice(train_batches(part, **how, seed=seed), 5)
    ]
    assert len(set(orders)) == 10


def test_every_order_is_as_likely():
    """Over many epochs, each utterance is in the first batch, and in the last one, equally often."""
    part = random_subset(2)
    how = arguments(part, 0) | {"batch_size": len(part) - 5}
    first, last = collections.Counter(), collections.Counter()
    epochs = 300
    for number, batch in enumerate(itertools.islice(train_batches(part, **how, seed=0), 2 * epochs)):
        (last if number % 2 else first).update(batch["index"].tolist())
    for counts in (first, last):
        share = how["batch_size"] / len(part)
        spread = 5 * np.sqrt(epochs * share * (1 - share))  # five standard deviations
        assert all(abs(counts[index] - epochs * share) < spread for index in part.indices.tolist())


def test_augmentation_changes_features_and_nothing_else():
    part = random_subset(1)
    how = arguments(part, 3) | {"seed": 0}
    plain = itertools.islice(train_batches(part, **how), 6)
    augmented = itertools.islice(train_batches(part, **how, augmentation=AUGMENTATION), 6)
    for one, other in zip(plain, augmented, strict=True):
        for name in ("num_frames", "label", "weight", "index"):
            np.testing.assert_array_equal(one[name], other[name])
        assert (one["features"] != other["features"]).any()
        assert other["features"].dtype == np.float32
    assert_same(
        list(itertools.islice(train_batches(part, **how), 6)),
        list(itertools.islice(train_batches(part, **how, augmentation=Augmentation()), 6)),
    )
    nothing = Augmentation(time_width=20, frequency_width=8)
    assert (AUGMENTATION.changes, nothing.changes) == (True, False)
    assert all(Augmentation(**{name: 1}).changes for name in ("shift", "gain", "noise"))
    assert all(Augmentation(**{f"{of}_masks": 1, f"{of}_width": 1}).changes for of in ("time", "frequency"))


def test_each_step_is_augmented_by_its_own_draw():
    part = random_subset(1)
    plain = arguments(part, 0) | {"batch_size": (len(part) + 1) // 2, "seed": 0}  # two steps an epoch
    how = plain | {"augmentation": Augmentation(noise=1.0)}
    noise = [
        one["features"][:, 0] - other["features"][:, 0]
        for one, other in itertools.islice(
            zip(train_batches(part, **how), train_batches(part, **plain), strict=True), 4
        )
    ]
    for one, other in itertools.combinations(noise, 2):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.5


def test_gain_is_added_before_normalisation():
    part = random_subset(4)
    how = arguments(part, 0) | {"batch_size": 50, "seed": 0}
    plain = next(train_batches(part, **how))
    louder = next(train_batches(part, **how, augmentation=Augmentation(gain=6.0)))
    for row, frames in enumerate(plain["num_frames"]):
        added = (louder["features"] - plain["features"])[row, :frames] * how["normalisation"].std
        trusted = np.abs(plain["features"][row, :frames]) < 1e4  # float32 has digits left for the difference
        np.testing.assert_allclose(added[trusted], added[trusted].mean(), atol=0.1)
        assert abs(added[trusted].mean()) <= 6.0


def test_gain_needs_to_know_the_features():
    part = random_subset(0)
    part.corpus.metadata.clear()
    with pytest.raises(ConfigError, match="set it to 0"):
        train_batches(part, **arguments(part, 0), seed=0, augmentation=Augmentation(gain=1.0))


def test_weights_are_one_where_none_are_given():
    part = random_subset(0)
    how = arguments(part, 0) | {"batch_size": len(part) + 1}
    del how["weights"]
    assert (next(train_batches(part, **how, seed=0))["weight"] == 1).all()
    np.testing.assert_array_equal(next(eval_batches(part, **how))["weight"], [1] * len(part) + [0])


@pytest.mark.parametrize("seed", SEEDS)
def test_each_class_weighs_the_same_and_utterances_one_on_average(seed):
    part = random_subset(seed, classes=4)
    weights = class_weights(part.labels, part.corpus.classes)
    assert weights.dtype == np.float32
    of_utterances = weights[part.labels]
    np.testing.assert_allclose(of_utterances.mean(), 1, rtol=1e-5)
    in_all = np.bincount(part.labels, weights=of_utterances)
    np.testing.assert_allclose(in_all, in_all.mean(), rtol=1e-5)


def test_a_class_that_nobody_speaks_is_named():
    with pytest.raises(ValueError, match="no training utterance of sad"):
        class_weights(np.array([0, 1, 1]), ("angry", "happy", "sad"))


@pytest.mark.parametrize("make", [train_batches, eval_batches])
def test_what_cannot_be_batched_is_told_at_once(make):
    part = random_subset(0)
    how = arguments(part, 0) | {"seed": 0}
    if make is eval_batches:
        del how["seed"], how["weights"]
    longest = int(part.corpus.num_frames[part.indices].max())
    with pytest.raises(ValueError, match=f"{longest} frames does not fit into {longest - 1}"):
        make(part, **how | {"frames": longest - 1})
    with pytest.raises(ValueError, match="batch_size is 0"):
        make(part, **how | {"batch_size": 0})
    with pytest.raises(ValueError, match="no utterance"):
        make(Subset(part.corpus, part.indices[:0]), **how)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"step": -1}])
def test_a_negative_seed_or_step_is_told_at_once(wrong):
    part = random_subset(0)
    with pytest.raises(ValueError, match=r"is -1.*must be 0 or more"):
        train_batches(part, **{"seed": 0} | arguments(part, 0) | wrong)
