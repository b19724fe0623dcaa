"""SpecAugment: what it may change, by how much, how often; and that padding stays padding."""

import dataclasses

import numpy as np
import pytest

from data_prep.features import FeatureSettings, extract
from jax_ser_darts.data.augment import Augmentation, augment, decibel
from jax_ser_darts.errors import ConfigError

EVERYTHING = Augmentation(
    time_masks=2, time_width=9, frequency_masks=2, frequency_width=5, shift=6, gain=3.0, noise=0.2
)
EACH = {
    "time": Augmentation(time_masks=2, time_width=9),
    "frequency": Augmentation(frequency_masks=2, frequency_width=5),
    "shift": Augmentation(shift=6),
    "gain": Augmentation(gain=3.0),
    "noise": Augmentation(noise=0.2),
    "everything": EVERYTHING,
}


def batch(seed: int, *, size: int = 64, frames: int = 40, coefficients: int = 16):
    """Normalised features, nowhere 0 but on padding; some utterances of no frame and of all frames."""
    rng = np.random.default_rng(seed)
    num_frames = rng.integers(0, frames + 1, size).astype(np.int32)
    num_frames[:3] = 0, 1, frames
    valid = np.arange(frames) < num_frames[:, None]
    features = rng.uniform(0.5, 2, (size, frames, coefficients)) * rng.choice(
        [-1, 1], (size, 1, coefficients)
    )
    return (features * valid[..., None]).astype(np.float32), num_frames


def run(features, num_frames, settings: Augmentation, *, seed: int = 0) -> np.ndarray:
    return augment(
        features,
        num_frames,
        settings=settings,
        rng=np.random.default_rng(seed),
        decibel=np.linspace(0.1, 1, features.shape[-1], dtype=np.float32),
    )


def interval(places: np.ndarray) -> bool:
    """Whether the True places are all of first ... last."""
    where = np.flatnonzero(places)
    return not len(where) or len(where) == where[-1] - where[0] + 1


@pytest.mark.parametrize("name", EACH)
def test_padding_stays_zero_the_input_untouched_and_the_seed_decides(name):
    features, num_frames = batch(0)
    before = features.copy()
    out = run(features, num_frames, EACH[name])
    np.testing.assert_array_equal(features, before)
    assert out.dtype == np.float32
    assert out.shape == features.shape
    assert (out != features).any()
    for row, frames in enumerate(num_frames):
        assert not out[row, frames:].any()
    np.testing.assert_array_equal(out, run(features, num_frames, EACH[name]))
    assert (out != run(features, num_frames, EACH[name], seed=1)).any()


def test_nothing_asked_is_nothing_done():
    features, num_frames = batch(1)
    np.testing.assert_array_equal(run(features, num_frames, Augmentation()), features)
    nothing = Augmentation(time_masks=3, time_width=0, frequency_masks=0, frequency_width=9)
    np.testing.assert_array_equal(run(features, num_frames, nothing), features)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_a_time_mask_is_one_stretch_of_whole_valid_frames(share):
    features, num_frames = batch(2)
    settings = Augmentation(time_masks=1, time_width=9, time_share=share)
    widest = 0
    for seed in range(20):
        out = run(features, num_frames, settings, seed=seed)
        for row, frames in enumerate(num_frames):
            masked = (out[row, :frames] == 0).any(axis=1)
            assert (out[row, :frames][masked] == 0).all()
            np.testing.assert_array_equal(out[row, :frames][~masked], features[row, :frames][~masked])
            assert interval(masked)
            assert masked.sum() <= min(9, share * frames)
            widest = max(widest, masked.sum())
    assert widest == min(9, share * 40)


def test_a_frequency_mask_is_one_stretch_of_coefficients_over_the_whole_utterance():
    features, num_frames = batch(3)
    widths = set()
    for seed in range(20):
        out = run(features, num_frames, Augmentation(frequency_masks=1, frequency_width=5), seed=seed)
        for row in np.flatnonzero(num_frames):
            masked = (out[row, : num_frames[row]] == 0).any(axis=0)
            assert (out[row, : num_frames[row], masked] == 0).all()
            assert interval(masked)
            widths.add(int(masked.sum()))
    assert widths == set(range(6))


def test_more_masks_hide_more_and_each_utterance_has_its_own():
    features, num_frames = batch(4)

    def hidden(count: int) -> np.ndarray:
        settings = Augmentation(frequency_masks=count, frequency_width=3)
        return (run(features, num_frames, settings)[num_frames > 0, 0] == 0).sum(axis=1)

    assert 0 < hidden(1).mean() < hidden(3).mean() <= 9
    assert len(set(hidden(3).tolist())) > 2


def test_masks_fall_everywhere():
    """Widths are uniform, and so are the starts: edges are hidden less often than the middle, none never."""
    frames, padding = 20, 30
    features = np.ones((4000, frames + padding, 1), np.float32)
    settings = Augmentation(time_masks=1, time_width=4)
    share = (run(features, np.full(4000, frames), settings)[:, :frames, 0] == 0).mean(axis=0)
    # P(place i is hidden) = mean over widths w of (starts that cover i) / (starts), w = 0 ... 4.
    wanted = [
        np.mean([sum(s <= i < s + w for s in range(frames - w + 1)) / (frames - w + 1) for w in range(5)])
        for i in range(frames)
    ]
    np.testing.assert_allclose(share, wanted, atol=0.025)


def test_a_mask_wider_than_what_is_there_hides_all_of_it_at_most():
    features, num_frames = batch(5)
    settings = Augmentation(time_masks=1, time_width=1000, frequency_masks=1, frequency_width=1000)
    assert run(features, num_frames, settings).shape == features.shape


def test_a_shift_rotates_the_valid_frames():
    features, num_frames = batch(6)
    seen = set()
    for seed in range(20):
        out = run(features, num_frames, Augmentation(shift=6), seed=seed)
        for row, frames in enumerate(num_frames):
            rolled = {by: np.roll(features[row, :frames], by, axis=0) for by in range(-6, 7)}
            fits = [by for by, wanted in rolled.items() if np.array_equal(out[row, :frames], wanted)]
            assert fits
            if frames > 13:
                seen.update(fits)
    assert seen == set(range(-6, 7))


def test_gain_adds_so_many_decibels_to_a_whole_utterance():
    features, num_frames = batch(7)
    unit = np.linspace(0.1, 1, 16, dtype=np.float32)
    out = run(features, num_frames, Augmentation(gain=3.0))
    decibels = [
        (out[row, :frames] - features[row, :frames]) / unit for row, frames in enumerate(num_frames) if frames
    ]
    for one in decibels:
        np.testing.assert_allclose(one, one.mean(), atol=1e-4)
    loudness = np.array([one.mean() for one in decibels])
    assert (abs(loudness) <= 3).all()
    assert loudness.min() < -1.5
    assert loudness.max() > 1.5


def test_noise_is_normal_and_as_strong_as_asked():
    features, num_frames = batch(8)
    valid = np.arange(40) < num_frames[:, None]
    noise = (run(features, num_frames, Augmentation(noise=0.2)) - features)[valid]
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 0.2], atol=0.01)
    np.testing.assert_allclose((abs(noise) < 0.2).mean(), 0.6827, atol=0.01)


@pytest.mark.parametrize("kind", ["logmel", "mfcc"])
@pytest.mark.parametrize("pool_kind", ["max", "mean"])
def test_a_decibel_is_what_the_features_of_louder_sound_show(kind, pool_kind):
    settings = FeatureSettings(
        kind=kind,
        sampling_rate=8000,
        seconds=1,
        n_fft=256,
        hop=80,
        coefficients=13,
        n_mels=26,
        pool_kind=pool_kind,
    )
    sound = 0.1 * np.random.default_rng(0).standard_normal(8000)
    plain, louder = (extract(10 ** (gain / 20) * sound, settings=settings) for gain in (0, 7))
    unit = decibel(dataclasses.asdict(settings))
    np.testing.assert_allclose(louder - plain, np.broadcast_to(7 * unit, plain.shape), atol=1e-3)


@pytest.mark.parametrize("settings", [{}, {"kind": "wav2vec"}])
def test_gain_on_unknown_features_is_refused(settings):
    with pytest.raises(ConfigError, match="set it to 0"):
        decibel(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_masks": -1},
        {"time_width": 2.5},
        {"frequency_masks": True},
        {"frequency_width": -3},
        {"shift": -1},
        {"time_share": 1.5},
        {"time_share": -0.1},
        {"gain": -1.0},
        {"gain": float("inf")},
        {"noise": float("nan")},
        {"noise": "much"},
    ],
)
def test_impossible_settings_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} = .* must be"):
        Augmentation(**wrong)
