"""The front end in JAX: the numbers that training was fed, which are librosa's, whatever follows the sound."""

import dataclasses

import jax
import librosa
import numpy as np
import pytest
import soundfile

from data_prep import features
from data_prep.features import FeatureSettings, extract
from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.serving import frontend

TOLERANCE = 1e-3  # decibels, and cepstral coefficients of up to 1,000
LOGMEL = FeatureSettings(
    kind="logmel", sampling_rate=16_000, seconds=4.0, n_fft=512, hop=160, coefficients=64, pool_kind="mean"
)
# The original paper's, at the rate of the corpus.
MFCC = FeatureSettings(kind="mfcc", n_fft=2048, hop=512, coefficients=128, n_mels=128, pool_kind="max")
SMALL = FeatureSettings(
    kind="mfcc",
    pool_kind="max",
    sampling_rate=8_000,
    seconds=1.0,
    n_fft=512,
    hop=200,
    coefficients=13,
    n_mels=26,
    fmin=50.0,
    pool=3,
)


def frames_of(settings: FeatureSettings) -> int:
    return -(-settings.num_frames(settings.max_samples) // 4) * 4


def in_jax(settings: FeatureSettings, frames: int | None = None):
    """waveform [n] -> features [T, F]; compiled once for all lengths."""
    frames = frames or frames_of(settings)
    size = frontend.window_samples(settings, frames)
    arrays = features.arrays(settings)
    compute = jax.jit(
        lambda *sound: frontend.features(*sound, arrays=arrays, settings=settings, frames=frames)
    )

    def call(waveform, beyond=0.0):
        padded = np.full((1, size), beyond, np.float32)
        padded[0, : len(waveform)] = waveform[:size]
        values, num_frames = compute(padded, np.array([min(len(waveform), size)], np.int32))
        assert (np.asarray(values[0, num_frames[0] :]) == 0).all()
        return np.asarray(values[0, : num_frames[0]])

    return call


def by_librosa(waveform: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """Nothing of ours: librosa on the zero-padded sound in float64, pooled over the frames of the sound."""
    padded = np.zeros(settings.max_samples)
    padded[: len(waveform)] = waveform
    arguments = {
        "y": padded,
        "sr": settings.sampling_rate,
        "n_fft": settings.n_fft,
        "hop_length": settings.hop,
        "n_mels": settings.mel_bands,
        "fmin": settings.fmin,
        "fmax": settings.highest,
    }
    if settings.kind == "mfcc":
        values = librosa.feature.mfcc(n_mfcc=settings.coefficients, **arguments).T
    else:
        values = librosa.power_to_db(librosa.feature.melspectrogram(**arguments)).T
    values = values[: 1 + len(waveform) // settings.hop]
    reduce = {"max": np.max, "mean": np.mean}[settings.pool_kind]
    return np.stack(
        [reduce(values[i : i + settings.pool], axis=0) for i in range(0, len(values), settings.pool)]
    )


@pytest.mark.parametrize("settings", [LOGMEL, MFCC], ids=["logmel", "mfcc"])
def test_equals_librosa_on_real_speech(ravdess, settings):
    compute = in_jax(settings)
    for path in sorted(ravdess.rglob("*.flac"))[::60]:
        speech, rate = soundfile.read(path, dtype="float32")
        assert rate == settings.sampling_rate
        speech = speech[: settings.max_samples]
        np.testing.assert_allclose(compute(speech), by_librosa(speech, settings), atol=TOLERANCE, rtol=0)


def noise(samples: int) -> np.ndarray:
    rng = np.random.default_rng(samples)
    loudness = np.interp(np.arange(samples), np.linspace(0, samples, 9), rng.uniform(-60, 0, 9))
    return (0.1 * rng.standard_normal(samples) * 10 ** (loudness / 20)).astype(np.float32)


@pytest.mark.parametrize("kind", ["mfcc", "logmel"])
@pytest.mark.parametrize("pool_kind", ["max", "mean"])
def test_equals_what_training_was_fed_whatever_the_length(kind, pool_kind):
    settings = dataclasses.replace(SMALL, kind=kind, pool_kind=pool_kind)
    compute = in_jax(settings)
    for samples in (1, 199, 200, 201, 4_999, 7_999, 8_000):
        expected = extract(noise(samples), settings=settings)
        np.testing.assert_allclose(compute(noise(samples)), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("n_fft", "hop"), [(400, 160), (513, 100), (512, 512)])
def test_equals_what_training_was_fed_whatever_the_frames(n_fft, hop):
    settings = dataclasses.replace(SMALL, n_fft=n_fft, hop=hop)
    np.testing.assert_allclose(
        in_jax(settings)(noise(7_001)), extract(noise(7_001), settings=settings), atol=TOLERANCE, rtol=0
    )


def test_the_range_of_80_decibels_hangs_on_the_loudest_frame_even_beyond_the_last():
    settings = dataclasses.replace(SMALL, kind="logmel", coefficients=26, pool=1)
    waveform = 1e-5 * noise(4_999)
    waveform[-1] = 1.0
    np.testing.assert_allclose(
        in_jax(settings)(waveform), extract(waveform, settings=settings), atol=TOLERANCE, rtol=0
    )


def test_what_lies_after_the_sound_is_ignored():
    compute = in_jax(SMALL)
    np.testing.assert_array_equal(compute(noise(5_000)), compute(noise(5_000), beyond=0.7))


def test_fewer_frames_than_the_settings_allow_take_less_sound():
    """A corpus whose longest utterance is shorter than `seconds`: the network knows no longer input."""
    size = frontend.window_samples(SMALL, 8)
    assert SMALL.num_frames(size) == 8
    assert SMALL.num_frames(size + 1) == 9
    waveform = noise(size)
    np.testing.assert_allclose(
        in_jax(SMALL, 8)(waveform), extract(waveform, settings=SMALL), atol=TOLERANCE, rtol=0
    )


def test_normalisation_is_that_of_training():
    rng = np.random.default_rng(0)
    values, num_frames = rng.standard_normal((2, 5, 3)).astype(np.float32), np.array([2, 5], np.int32)
    normalisation = Normalisation.of_features(list(values))
    ours = frontend.normalised(values, num_frames, mean=normalisation.mean, std=normalisation.std)
    np.testing.assert_allclose(ours, normalisation.apply(values, num_frames), rtol=1e-6, atol=1e-6)
