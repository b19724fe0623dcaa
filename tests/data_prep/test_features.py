"""Features: librosa's numbers, on the frames that hold speech, whatever the padding."""

import dataclasses
import json

import librosa
import numpy as np
import pytest
import soundfile

from data_prep.features import PUBLISHED, FeatureSettings, SettingsError, extract

SEED = PUBLISHED  # 128 MFCC of 128 mels, 32,750 Hz, 8 s, n_fft 2048, hop 512, max-pooled by 4
SMALL = FeatureSettings(
    kind="mfcc",
    sampling_rate=8_000,
    seconds=2.0,
    n_fft=512,
    hop=200,
    coefficients=13,
    n_mels=26,
    fmin=50.0,
    pool_kind="max",
)
TOLERANCE = 1e-3  # librosa transforms in float64, we in float32; the numbers are decibels, up to about 1,000


def speechlike(samples: int, *, seed: int = 0) -> np.ndarray:
    """Noise with a slow random loudness of 60 dB range."""
    rng = np.random.default_rng(seed)
    loudness = np.interp(np.arange(samples), np.linspace(0, samples, 9), rng.uniform(-60, 0, 9))
    return (0.1 * rng.standard_normal(samples) * 10 ** (loudness / 20)).astype(np.float32)


def reference(waveform: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """librosa on the waveform padded with zeros to the full length: [all frames, F], not pooled."""
    padded = np.zeros(settings.max_samples, np.float32)
    padded[: len(waveform)] = waveform[: settings.max_samples]
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
        return librosa.feature.mfcc(n_mfcc=settings.coefficients, **arguments).T
    return librosa.power_to_db(librosa.feature.melspectrogram(**arguments)).T


def pooled(frames: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    reduce = {"max": np.max, "mean": np.mean}[settings.pool_kind]
    starts = range(0, len(frames), settings.pool)
    return np.stack([reduce(frames[i : i + settings.pool], axis=0) for i in starts])


def check(waveform: np.ndarray, settings: FeatureSettings) -> None:
    true_frames = 1 + min(len(waveform), settings.max_samples) // settings.hop
    features = extract(waveform, settings=settings)
    assert features.dtype == np.float32
    assert features.shape == (settings.num_frames(len(waveform)), settings.coefficients)
    expected = pooled(reference(waveform, settings)[:true_frames], settings)
    np.testing.assert_allclose(features, expected, atol=TOLERANCE, rtol=0)


def test_the_seed_setting_equals_librosa_on_real_speech(ravdess):
    for path in sorted(ravdess.rglob("*.flac"))[::480]:
        speech, rate = soundfile.read(path, dtype="float32")
        check(librosa.resample(speech, orig_sr=rate, target_sr=SEED.sampling_rate), SEED)


def test_the_seed_setting_pools_eight_seconds_to_the_published_128_by_128():
    assert SEED.num_frames(10**9) == 128
    check(speechlike(9 * 32_750), SEED)


@pytest.mark.parametrize("kind", ["mfcc", "logmel"])
@pytest.mark.parametrize("pool_kind", ["max", "mean"])
@pytest.mark.parametrize("pool", [1, 3])
@pytest.mark.parametrize("samples", [1, 199, 200, 5_000, 15_999, 16_000, 16_001, 20_000])
def test_features_equal_librosa_whatever_the_length(kind, pool_kind, pool, samples):
    settings = dataclasses.replace(SMALL, kind=kind, pool=pool, pool_kind=pool_kind)
    check(speechlike(samples, seed=samples), settings)


@pytest.mark.parametrize(("n_fft", "hop"), [(512, 512), (400, 160), (513, 100), (4096, 64)])
def test_features_equal_librosa_whatever_the_frames(n_fft, hop):
    check(speechlike(7_001), dataclasses.replace(SMALL, n_fft=n_fft, hop=hop))


def test_the_range_of_80_decibels_hangs_on_the_loudest_frame_even_beyond_the_last():
    """A click on the last sample is loudest in a frame centred after the end."""
    waveform = 1e-5 * speechlike(4_999)
    waveform[-1] = 1.0
    assert 4_999 % SMALL.hop == SMALL.hop - 1
    check(waveform, dataclasses.replace(SMALL, kind="logmel", coefficients=26, pool=1))


@pytest.mark.parametrize("zeros", [1, 777, 6_000])
def test_padding_with_zeros_changes_no_number(zeros):
    settings = dataclasses.replace(SMALL, pool=1)
    waveform = speechlike(5_000)
    alone = extract(waveform, settings=settings)
    longer = extract(np.pad(waveform, (0, zeros)), settings=settings)
    np.testing.assert_allclose(longer[: len(alone)], alone, atol=TOLERANCE, rtol=0)


def test_sound_after_the_cut_changes_no_number():
    waveform = speechlike(SMALL.max_samples + 4_000)
    np.testing.assert_array_equal(
        extract(waveform, settings=SMALL), extract(waveform[: SMALL.max_samples], settings=SMALL)
    )


def test_a_waveform_is_left_as_it_was():
    waveform = speechlike(5_000)
    before = waveform.copy()
    extract(waveform, settings=SMALL)
    np.testing.assert_array_equal(waveform, before)


def test_absurdly_loud_sound_gives_no_warning_but_numbers_that_are_not_finite():
    with np.errstate(over="ignore"):
        waveform = speechlike(5_000) * np.float32(1e25)
    assert not np.isfinite(extract(waveform, settings=SMALL)).all()


@pytest.mark.parametrize("shape", [(0,), (2, 100), ()])
def test_what_is_no_waveform_is_refused(shape):
    with pytest.raises(ValueError, match="one-dimensional and not empty"):
        extract(np.zeros(shape, np.float32), settings=SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool_kind": "median"}, "pool_kind must be"),
        ({"pool": 0}, "pool must be a whole number above 0, not 0"),
        ({"hop": 160.0}, "hop must be a whole number"),
        ({"n_fft": True}, "n_fft must be a whole number"),
        ({"n_fft": 1, "hop": 1}, "n_fft must be at least 2"),
        ({"hop": 513}, r"hop must be at most n_fft \(512\), not 513"),
        ({"seconds": 0}, "seconds must be above 0"),
        ({"seconds": "8"}, "seconds must be a number, not '8'"),
        ({"seconds": float("nan")}, "seconds must be above 0"),
        ({"coefficients": 27}, r"coefficients must be at most n_mels \(26\), not 27"),
        ({"kind": "logmel", "coefficients": 258}, r"at most the frequencies of n_fft \(257\), not 258"),
        ({"fmax": 4_001.0}, r"0 <= fmin < fmax <= 4000, half the sampling rate, not \(50.0, 4001.0\)"),
        ({"fmin": 4_000.0}, "fmin < fmax"),
        ({"fmin": -1.0}, "0 <= fmin"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(SettingsError, match=message):
        dataclasses.replace(SMALL, **change)


def test_mel_bands_too_narrow_for_the_transform_are_refused():
    settings = dataclasses.replace(SMALL, n_fft=128, hop=64, n_mels=100)
    with pytest.raises(SettingsError, match="of 100 mel bands hold no frequency"):
        extract(speechlike(5_000), settings=settings)


def test_settings_survive_json():
    assert FeatureSettings.from_mapping(json.loads(json.dumps(dataclasses.asdict(SMALL)))) == SMALL


def test_no_highest_frequency_means_half_the_rate():
    assert dataclasses.replace(SMALL, fmax=0).highest == 4_000.0
    assert dataclasses.replace(SMALL, fmax=3_000).highest == 3_000.0


def test_unknown_settings_are_refused():
    with pytest.raises(SettingsError, match=r"unknown feature settings \['hops'\]; there are \['coef"):
        FeatureSettings.from_mapping({"hops": 3})


def test_a_file_on_disk_and_its_waveform_give_the_same_features(tmp_path):
    soundfile.write(tmp_path / "a.wav", speechlike(9_000), 8_000, subtype="FLOAT")
    read, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    np.testing.assert_array_equal(extract(read, settings=SMALL), extract(speechlike(9_000), settings=SMALL))
