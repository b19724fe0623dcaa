"""Normalisation: NumPy's statistics over valid training frames, and nothing on padding."""

import json

import numpy as np
import pytest
from random_corpora import random_subset

from jax_ser_darts.data.normalisation import Normalisation

SEEDS = range(20)


def padded(features: list[np.ndarray], *, frames: int, filling: float) -> tuple[np.ndarray, np.ndarray]:
    out = np.full((len(features), frames, features[0].shape[1]), filling, np.float32)
    for row, one in zip(out, features, strict=True):
        row[: len(one)] = one
    return out, np.array([len(one) for one in features], np.int32)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_numpys_over_the_valid_frames_of_the_subset_only(seed):
    part = random_subset(seed)
    every_frame = np.concatenate([part.corpus.features[i] for i in part.indices]).astype(np.float64)
    normalisation = Normalisation.of(part)
    np.testing.assert_allclose(normalisation.mean, every_frame.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(normalisation.std, every_frame.std(axis=0), rtol=1e-6)
    assert normalisation.mean.dtype == normalisation.std.dtype == np.float32


@pytest.mark.parametrize("filling", [0.0, 1e30, np.inf, np.nan])
def test_valid_frames_become_standard_and_padding_zero_whatever_it_held(filling):
    rng = np.random.default_rng(0)
    features = [(50 + 3 * rng.standard_normal((n, 4))).astype(np.float32) for n in (7, 1, 12, 30)]
    normalisation = Normalisation.of_features(features)
    out = normalisation.apply(*padded(features, frames=32, filling=filling))
    assert out.dtype == np.float32
    for row, one in zip(out, features, strict=True):
        assert not row[len(one) :].any()
    valid = np.concatenate([row[: len(one)] for row, one in zip(out, features, strict=True)])
    np.testing.assert_allclose(valid.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(valid.std(axis=0), 1, rtol=1e-5)


def test_one_utterance_is_normalised_as_in_a_batch():
    part = random_subset(0)
    normalisation = Normalisation.of(part)
    features, num_frames = padded(list(part.corpus.features[:5]), frames=20, filling=0)
    batch = normalisation.apply(features, num_frames)
    for i in range(5):
        np.testing.assert_array_equal(normalisation.apply(features[i], num_frames[i]), batch[i])


def test_a_place_without_utterance_stays_zero():
    normalisation = Normalisation.of(random_subset(0))
    assert not normalisation.apply(np.zeros((2, 8, 5), np.float32), np.array([0, 0])).any()


@pytest.mark.parametrize("value", [0.0, -80.0, 0.1, 12345.678])
def test_a_constant_coefficient_becomes_zero(value):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((1000, 3)).astype(np.float32)
    features[:, 1] = value
    normalisation = Normalisation.of_features([features[:300], features[300:]])
    assert normalisation.std[1] == 1
    np.testing.assert_allclose(normalisation.apply(features, np.array(1000))[:, 1], 0, atol=1e-6)


def test_a_wobble_in_the_last_digit_counts_as_constant():
    value = np.float32(-80)
    features = np.where(np.arange(1000)[:, None] % 2, value, np.nextafter(value, np.float32(0)))
    assert Normalisation.of_features([features]).std == 1


def test_a_quiet_coefficient_is_not_taken_for_a_constant():
    rng = np.random.default_rng(0)
    features = (1e-12 * rng.standard_normal((1000, 2))).astype(np.float32)
    np.testing.assert_allclose(Normalisation.of_features([features]).std, 1e-12, rtol=0.1)


def test_many_frames_far_from_zero_lose_no_digits():
    rng = np.random.default_rng(0)
    features = [(1e4 + 0.1 * rng.standard_normal((1000, 1))).astype(np.float32) for _ in range(300)]
    every_frame = np.concatenate(features).astype(np.float64)
    np.testing.assert_allclose(Normalisation.of_features(features).std, every_frame.std(axis=0), rtol=1e-6)


def test_json_gives_the_same_numbers_back():
    normalisation = Normalisation.of(random_subset(3))
    back = Normalisation.from_json(json.loads(json.dumps(normalisation.to_json())))
    np.testing.assert_array_equal(back.mean, normalisation.mean)
    np.testing.assert_array_equal(back.std, normalisation.std)
    assert back.mean.dtype == back.std.dtype == np.float32


@pytest.mark.parametrize(
    "saved",
    [
        {},
        [],
        {"mean": [0.0]},
        {"mean": ["a"], "std": [1.0]},
        {"mean": [0.0, 1.0], "std": [1.0]},
        {"mean": [0.0], "std": [0.0]},
        {"mean": [float("nan")], "std": [1.0]},
        {"mean": [0.0], "std": [float("nan")]},
        {"mean": [0.0], "std": [float("inf")]},
    ],
)
def test_what_is_no_normalisation_is_refused(saved):
    with pytest.raises(ValueError, match="normalisation"):
        Normalisation.from_json(saved)


def test_no_frame_is_told():
    with pytest.raises(ValueError, match="the training part is empty"):
        Normalisation.of_features([])
