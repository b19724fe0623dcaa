"""The predictor: one prediction for a sound however it comes, silence that is no emotion, nothing compiled twice."""

import dataclasses
import logging

import jax
import numpy as np
import pytest
import soundfile
from small_bundles import BASELINE, CLASSES, direct, make_bundle, speech

import jax_ser_darts
from data_prep.audio import AudioError
from jax_ser_darts.serving.bundle import BundleError, write_bundle
from jax_ser_darts.serving.predictor import Predictor


@pytest.fixture(scope="module")
def predictor():
    return Predictor(make_bundle())


def numbers(span) -> np.ndarray:
    return np.array(list(span.probabilities.values()))


def test_a_bundle_on_disk_is_loaded_by_the_package_alone(tmp_path, predictor):
    write_bundle(tmp_path / "b", predictor.bundle, card="", versions={})
    loaded = jax_ser_darts.load(tmp_path / "b", silence=-50.0)
    assert loaded.silence == -50
    assert loaded.classes == CLASSES
    assert loaded.predict(speech(0.5), 16_000) == predictor.predict(speech(0.5), 16_000)


@pytest.mark.parametrize("network", [{}, {"network": BASELINE}], ids=["genotype", "baseline"])
def test_a_short_sound_gets_the_networks_probabilities(network):
    bundle = make_bundle(**network)
    predictor = Predictor(bundle)
    for seconds in (0.025, 0.3, 1.0):
        prediction = predictor.predict(speech(seconds), 16_000)
        assert prediction.timeline == (prediction.whole,)
        assert prediction.whole.end == pytest.approx(seconds)
        np.testing.assert_allclose(numbers(prediction.whole), direct(bundle, [speech(seconds)])[0], atol=1e-5)
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert prediction.emotion == CLASSES[np.argmax(numbers(prediction.whole))]


def test_predictions_differ_between_sounds(predictor):
    """Or the tests here would compare constants."""
    predicted = [numbers(predictor.predict(speech(0.8, seed=seed), 16_000).whole) for seed in range(4)]
    assert np.ptp(predicted, axis=0).max() > 1e-3


def test_a_long_recording_is_the_mean_of_its_windows(predictor):
    waveform = speech(3.3)
    prediction = predictor.predict(waveform, 16_000)
    starts = [0.0, 0.5, 1.0, 1.5, 2.0, 2.3]
    assert [span.start for span in prediction.timeline] == pytest.approx(starts)
    for span in prediction.timeline:
        first = round(span.start * 16_000)
        alone = predictor.predict(waveform[first : first + 16_000], 16_000)
        np.testing.assert_allclose(numbers(span), numbers(alone.whole), atol=1e-6)
    mean = np.mean([numbers(span) for span in prediction.timeline], axis=0)
    np.testing.assert_allclose(numbers(prediction.whole), mean)
    assert prediction.whole.end == pytest.approx(3.3)


def test_many_windows_at_once_are_one_at_a_time(predictor):
    many = Predictor(predictor.bundle)
    many._batches = (4, 1)
    mine, whole = (one.predict(speech(4.2), 16_000) for one in (many, predictor))
    assert len(whole.timeline) > 4
    for a, b in zip(mine.timeline, whole.timeline, strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), atol=1e-5)


@pytest.mark.parametrize("overlap", [0.0, 0.75])
def test_the_overlap_can_be_chosen(predictor, overlap):
    spans = Predictor(predictor.bundle, overlap=overlap).predict(speech(2.5), 16_000).timeline
    assert spans[1].start == pytest.approx(1 - overlap)


def test_stereo_integers_and_a_file_are_the_same_sound(predictor, tmp_path):
    waveform = np.round(speech(1.7) * 2**15).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", waveform, 16_000)
    expected = predictor.predict(waveform / 2**15, 16_000)
    with (tmp_path / "a.flac").open("rb") as file:
        of_open_file = predictor.predict_file(file)
    for prediction in (
        predictor.predict(waveform, 16_000),
        predictor.predict(np.stack([waveform, waveform], axis=1), 16_000),
        predictor.predict_file(tmp_path / "a.flac"),
        of_open_file,
    ):
        for one, other in zip(prediction.timeline, expected.timeline, strict=True):
            np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-6)


def test_another_rate_is_nearly_the_same_sound(predictor):
    t = np.arange(48_000) / 48_000
    tone = 0.3 * np.sin(2 * np.pi * 300 * t)
    fast, slow = predictor.predict(tone, 48_000), predictor.predict(tone[::3], 16_000)
    np.testing.assert_allclose(numbers(fast.whole), numbers(slow.whole), atol=0.05)


def test_silence_is_no_emotion(predictor):
    for quiet in (np.zeros(16_000), 1e-4 * speech(1)):
        prediction = predictor.predict(quiet, 16_000)
        assert prediction.emotion is None
        assert prediction.probabilities is None
        assert prediction.to_json()["silence"] is True
    assert predictor.predict(0.1 * speech(1), 16_000).emotion in CLASSES


def test_silence_counts_nothing_in_a_long_recording(predictor):
    waveform = np.concatenate([speech(1), np.zeros(32_000, np.float32)])
    prediction = predictor.predict(waveform, 16_000)
    silent = [span.probabilities is None for span in prediction.timeline]
    assert silent == [False, False, True, True, True]
    mean = np.mean([numbers(span) for span in prediction.timeline[:2]], axis=0)
    np.testing.assert_allclose(numbers(prediction.whole), mean)


def test_nothing_is_compiled_after_the_first_prediction(predictor, caplog):
    with jax.log_compiles(), caplog.at_level(logging.DEBUG, logger="jax"):
        for seconds in (0.1, 0.7, 1.0, 5.3, 11.0):
            predictor.predict(speech(seconds), 16_000)
    assert not [record for record in caplog.records if "Compiling" in record.getMessage()]


def test_a_network_that_predicts_otherwise_than_at_the_export_is_refused(predictor):
    other = dataclasses.replace(predictor.bundle, probe=(0.2, 0.2, 0.6))
    with pytest.raises(BundleError, match="computes something else"):
        Predictor(other)


@pytest.mark.parametrize("options", [{"overlap": 1.0}, {"overlap": float("nan")}, {"silence": 3.0}])
def test_settings_out_of_range(predictor, options):
    with pytest.raises(BundleError, match="must be a number"):
        Predictor(predictor.bundle, **options)


def test_unusable_sound_is_an_error(predictor):
    for waveform, rate in ((np.zeros(0), 16_000), (np.full(16_000, np.inf), 16_000), (speech(1), 3)):
        with pytest.raises(AudioError):
            predictor.predict(waveform, rate)


@pytest.mark.parametrize("rate", ["16000", None, True, [16_000], 16_000j])
def test_a_rate_that_is_no_number_is_told(rate):
    with pytest.raises(AudioError, match="a sampling rate is a number in Hz, and not"):
        Predictor(make_bundle()).predict(speech(0.5), rate)


def test_the_first_window_alone_is_that_of_all_windows():
    bundle, sound = make_bundle(), speech(2.6)
    whole, first = (
        Predictor(bundle).predict(sound, 16_000),
        Predictor(bundle, first=True).predict(sound, 16_000),
    )
    assert len(whole.timeline) > 1
    assert first.timeline == whole.timeline[:1]
    assert first.probabilities == whole.timeline[0].probabilities
    short = speech(0.6)
    assert Predictor(bundle, first=True).predict(short, 16_000) == Predictor(bundle).predict(short, 16_000)
