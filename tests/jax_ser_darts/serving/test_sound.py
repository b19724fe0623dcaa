"""Recordings in parts: the same sound whatever the parts, and windows that hold all of it."""

import io
import itertools
import pathlib

import librosa
import numpy as np
import pytest
import soundfile
from small_bundles import speech

from data_prep import audio
from data_prep.audio import AudioError, check_rate
from data_prep.corpora.base import Utterance
from jax_ser_darts.serving import sound


def integers(dtype):
    """16-bit samples in a wider type: taken as full range they would be silence."""
    return np.round(speech(0.1) * 2**15).astype(dtype)


def resampled(waveform, rate, to=16_000):
    return np.concatenate(list(sound.mono(sound.blocks_of(waveform), rate=rate, to=to)))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_the_rate_is_changed_as_for_training(rate):
    waveform = speech(0.7, rate=rate)
    expected = librosa.resample(waveform, orig_sr=rate, target_sr=16_000, res_type="soxr_hq")
    ours = resampled(waveform, rate)
    assert abs(len(ours) - len(expected)) <= 1  # librosa rounds the length up
    np.testing.assert_allclose(ours[: len(expected)], expected[: len(ours)], atol=1e-6)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_size_of_the_blocks_changes_nothing(rate):
    waveform = speech(1.3, rate=rate)
    parts = np.split(waveform[:, None], np.cumsum([1, 5_000, 7, 20_000])[:-1])
    np.testing.assert_allclose(
        np.concatenate(list(sound.mono(parts, rate=rate, to=16_000))), resampled(waveform, rate), atol=1e-6
    )


def test_channels_are_averaged():
    left, right = speech(0.3, seed=1), speech(0.3, seed=2)
    np.testing.assert_allclose(resampled(np.stack([left, right], 1), 16_000), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize(
    ("dtype", "offset", "scale"),
    [(np.int16, 0, 2**15), (np.int32, 0, 2**31), (np.int8, 0, 128), (np.uint8, 128, 128)],
)
def test_integers_are_scaled_by_their_range(dtype, offset, scale):
    floats = speech(0.1)
    integers = np.round(floats.astype(np.float64) * scale + offset).astype(dtype)
    np.testing.assert_allclose(resampled(integers, 16_000), floats, atol=0.6 / scale + 1e-7)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(0), "not empty"),
        (np.zeros((2, 2, 2)), "not empty"),
        (np.zeros((2, 16_000)), "transpose"),
        (np.zeros((1, 16_000)), "transpose"),
        (np.zeros((300, 64)), "64 channels"),
        ([[0.0, 0.1], [0.2]], r"a waveform is \[samples\]"),
        ("speech.wav", "is a path and not a waveform: give it to predict_file"),
        (pathlib.Path("speech.wav"), "is a path"),
        (integers(np.int32), "do not tell their full scale: give .astype"),
        (integers(np.int64), "do not tell their full scale"),
        (integers(np.int64) * 2**40, "do not tell their full scale"),
        (integers(np.int32).tolist(), "int64 samples that reach"),
        (np.zeros(16_000, complex), "not complex"),
        (np.zeros(16_000, bool), "not bool"),
        (np.array(["a"]), "a waveform is of floats"),
        (np.zeros(300), "shorter than 0.025 s"),
        (np.full(16_000, np.nan), "NaN or infinite"),
        (np.full(16_000, 1e300), "NaN or infinite"),
        (speech(1) * 32_768, "times full scale"),
    ],
)
def test_what_is_no_waveform_says_why(waveform, message):
    with pytest.raises(AudioError, match=message):
        resampled(waveform, 16_000)


@pytest.mark.parametrize("rate", [0, -1, 999, 10**7, float("nan"), float("inf")])
def test_a_rate_that_no_recording_has(rate):
    with pytest.raises(AudioError, match="sampling rate"):
        check_rate(rate)


@pytest.mark.parametrize("size", [4, 10])
@pytest.mark.parametrize("hop", [1, 3, 4])
def test_windows_hold_every_sample_and_their_own_place(size, hop):
    for length in range(1, 40):
        whole = np.arange(length, dtype=np.float32)
        cut = [0, *sorted(np.random.default_rng(length).integers(0, length + 1, 3)), length]
        blocks = [whole[a:b] for a, b in itertools.pairwise(cut)]
        found = list(sound.windows(blocks, size=size, hop=hop))
        for window in found:
            np.testing.assert_array_equal(
                window.samples, whole[window.start : window.start + len(window.samples)]
            )
            assert len(window.samples) == min(size, length)
        starts = [window.start for window in found]
        assert starts[0] == 0
        assert starts[-1] == max(length - size, 0)
        steps = np.diff(starts)
        assert (steps[:-1] == hop).all()
        assert (steps > 0).all()
        assert (steps <= hop).all()


def test_the_level_is_that_of_the_loudest_stretch():
    quiet = np.zeros(16_000, np.float32)
    assert sound.level(quiet, rate=16_000) == -200
    quiet[8_000:8_400] = 0.1
    assert sound.level(quiet, rate=16_000) == pytest.approx(-20, abs=0.1)
    assert sound.level(np.full(10, 0.1, np.float32), rate=16_000) == pytest.approx(-20, abs=0.1)


def test_a_file_of_many_channels_is_decoded_in_small_blocks(tmp_path):
    samples = np.tile(speech(0.5)[:, None], (1, 64))
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    blocks, rate = sound.decode(tmp_path / "a.wav")
    blocks = list(blocks)
    assert rate == 16_000
    assert max(block.size for block in blocks) <= 2**18
    np.testing.assert_array_equal(np.concatenate(blocks), samples)


def test_a_header_that_promises_more_than_there_is(tmp_path):
    """As a program that writes to a pipe leaves it: the size of the sound is not known yet."""
    file = io.BytesIO()
    soundfile.write(file, speech(0.5), 16_000, format="WAV", subtype="PCM_16")
    content = bytearray(file.getvalue())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    blocks, _ = sound.decode(io.BytesIO(bytes(content)))
    assert len(np.concatenate(list(blocks))) == 8_000


def test_what_is_no_sound_file_says_why(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    for path, message in (
        (tmp_path / "text.wav", "cannot be decoded"),
        (tmp_path, "not a file"),
        (tmp_path / "x", "no such"),
    ):
        with pytest.raises(AudioError, match=message):
            sound.decode(path)


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "GSM610"), ("a.flac", "PCM_16")])
def test_what_cannot_be_sought_in_is_decoded_as_it_is_for_training(tmp_path, name, subtype):
    """GSM, and FLAC whose header does not say how many samples there are."""
    path = tmp_path / name
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8_000), 8_000, subtype=subtype)
    if name == "a.flac":
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0
        content[22:26] = bytes(4)
        path.write_bytes(content)
    blocks, rate = sound.decode(path)
    utterance = Utterance(id="one", path=path, speaker="s", emotion="angry")
    trained = audio.read(utterance, sampling_rate=rate)
    np.testing.assert_array_equal(np.concatenate([block[:, 0] for block in blocks]), trained)


def test_what_is_no_sound_is_named_for_what_it_is(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(99))
    with pytest.raises(audio.AudioError, match=r"MP4 or M4A .* convert it"):
        sound.decode(tmp_path / "a.wav")


def test_a_list_of_floats_is_a_waveform():
    np.testing.assert_array_equal(resampled(speech(0.1).tolist(), 16_000), speech(0.1))
