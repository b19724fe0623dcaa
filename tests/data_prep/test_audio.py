"""Reading sound: what is decoded is what was recorded, and every unusable sound says why."""

import contextlib
import pathlib

import librosa
import numpy as np
import pytest
import soundfile

from data_prep import audio
from data_prep.corpora.base import Utterance
from jax_ser_darts.serving import sound

RATE = 16_000


def tone(seconds: float = 0.5, *, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def utterance(path: pathlib.Path, **fields) -> Utterance:
    return Utterance(id="one", path=path, speaker="s", emotion="angry", **fields)


def written(folder: pathlib.Path, samples: np.ndarray, *, name: str = "a.wav", **options) -> pathlib.Path:
    soundfile.write(folder / name, samples, options.pop("rate", RATE), **options)
    return folder / name


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_U8", 1e-2),
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.flac", "PCM_16", 1e-4),
        ("a.flac", "PCM_24", 1e-6),
    ],
)
def test_every_coding_gives_the_waveform(tmp_path, name, subtype, error):
    path = written(tmp_path, tone(), name=name, subtype=subtype)
    waveform = audio.read(utterance(path), sampling_rate=RATE)
    assert waveform.dtype == np.float32
    assert waveform.flags.c_contiguous
    np.testing.assert_allclose(waveform, tone(), atol=error)


def test_channels_are_averaged(tmp_path):
    left, right = tone(hertz=300), tone(hertz=500)
    path = written(tmp_path, np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(audio.read(utterance(path), sampling_rate=RATE), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8_000, 22_050, 32_750, 48_000])
def test_the_rate_is_changed_as_librosa_does(tmp_path, rate):
    path = written(tmp_path, tone(), subtype="FLOAT")
    waveform = audio.read(utterance(path), sampling_rate=rate)
    np.testing.assert_array_equal(waveform, librosa.resample(tone(), orig_sr=RATE, target_sr=rate))
    inside = slice(rate // 20, -rate // 20)  # the filter rings at the ends
    np.testing.assert_allclose(waveform[inside], tone(rate=rate)[inside], atol=1e-3)


def test_a_segment_is_the_same_as_a_file_cut_there(tmp_path):
    path = written(tmp_path, tone(hertz=123), subtype="FLOAT")
    waveform = audio.read(utterance(path, start=0.1, end=0.35), sampling_rate=RATE)
    np.testing.assert_array_equal(waveform, tone(hertz=123)[1600:5600])


def test_no_more_than_the_wanted_seconds_are_read(tmp_path):
    path = written(tmp_path, tone(hertz=123), subtype="FLOAT")
    waveform = audio.read(utterance(path, start=0.1), sampling_rate=RATE, seconds=0.2)
    np.testing.assert_array_equal(waveform, tone(hertz=123)[1600:4800])


def test_an_end_rounded_beyond_the_file_is_its_end(tmp_path):
    path = written(tmp_path, tone())
    assert len(audio.read(utterance(path, end=0.51), sampling_rate=RATE)) == RATE // 2


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"start": 0.5}, "starts at 0.5 s, outside the file's 0.500 s"),
        ({"start": -0.1}, "starts at -0.1 s"),
        ({"end": 9.0}, "ends at 9 s, beyond the file's 0.500 s"),
        ({"start": 0.3, "end": 0.3}, "ends at 0.3 s, not after its start"),
        ({"start": 0.1, "end": 0.11}, "0.0100 s long, shorter than"),
        ({"start": float("nan")}, "starts at nan s"),
        ({"end": float("nan")}, "ends at nan s"),
    ],
)
def test_a_segment_outside_its_file_is_refused(tmp_path, span, reason):
    path = written(tmp_path, tone())
    with pytest.raises(audio.AudioError, match=reason):
        audio.read(utterance(path, **span), sampling_rate=RATE)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(RATE), "silent"),
        (tone() * 1e-4, "silent"),
        (np.stack([tone(), -tone()], axis=1), "silent: its channels cancel out"),
        (np.full(RATE, 0.1), "silent: a constant 0.1 of full scale"),
        (np.full(RATE, 0.1) + 1e-4 * tone(1), "silent: a constant"),
        (tone() * 300, "samples reach 150 times full scale: floats must have full scale at 1"),
        (np.where(np.arange(RATE) == 99, np.nan, 0.1), "NaN or infinite"),
        (np.where(np.arange(RATE) == 99, np.inf, 0.1), "NaN or infinite"),
        (tone(0.02), "0.0200 s long, shorter than 0.025 s"),
        (np.zeros(0), "holds no sound"),
    ],
)
def test_unusable_samples_are_refused(tmp_path, samples, reason):
    path = written(tmp_path, samples.astype(np.float32), subtype="FLOAT")
    with pytest.raises(audio.AudioError, match=reason):
        audio.read(utterance(path), sampling_rate=RATE)


def test_silence_is_judged_by_the_whole_and_by_what_is_used(tmp_path):
    late = np.concatenate([np.zeros(RATE), tone()]).astype(np.float32)
    path = written(tmp_path, late, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(utterance(path), sampling_rate=RATE), late)
    np.testing.assert_array_equal(
        audio.read(utterance(path), sampling_rate=RATE, seconds=1.2), late[: 6 * RATE // 5]
    )
    with pytest.raises(audio.AudioError, match=r"silent in its first 0.5 s.*sound begins at 1.00 s: cut"):
        audio.read(utterance(path), sampling_rate=RATE, seconds=0.5)


@pytest.mark.parametrize(("gain", "refused"), [(199, False), (201, True)])
def test_what_is_refused_here_for_its_scale_is_what_predict_refuses(tmp_path, gain, refused):
    path = written(tmp_path, tone() * gain, subtype="FLOAT")

    def outcome():
        return (
            pytest.raises(audio.AudioError, match="times full scale") if refused else contextlib.nullcontext()
        )

    with outcome():
        audio.read(utterance(path), sampling_rate=RATE)
    with outcome():
        list(sound.mono(sound.decode(path)[0], rate=RATE, to=RATE))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.wav", b"I am no sound\n" * 99, "cannot be decoded"),
        ("header.wav", b"RIFF", "cannot be decoded"),
        ("headerless.raw", b"\0\1" * 999, "cannot be decoded"),
        ("empty.wav", b"", "empty file"),
        ("missing.wav", None, "no such file"),
    ],
)
def test_a_file_that_is_no_sound_is_refused(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(audio.AudioError, match=reason) as error:
        audio.read(utterance(tmp_path / name), sampling_rate=RATE)
    assert name not in str(error.value)  # whoever reports it names the file


def gsm(path: pathlib.Path) -> pathlib.Path:
    """libsndfile cannot seek in it."""
    return written(path.parent, tone(rate=8_000), name=path.name, rate=8_000, subtype="GSM610")


def streamed_flac(path: pathlib.Path) -> pathlib.Path:
    """As an encoder writes it to a pipe: the header does not say how many samples there are."""
    written(path.parent, tone(rate=8_000), name=path.name, rate=8_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # 36 bits of the block STREAMINFO
    content[22:26] = bytes(4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("make", "name"), [(gsm, "a.wav"), (streamed_flac, "a.flac")])
def test_a_file_in_which_nobody_can_seek_is_read_and_so_are_its_parts(tmp_path, make, name, monkeypatch):
    one = utterance(make(tmp_path / name))
    audio.check(one)
    whole = audio.read(one, sampling_rate=8_000)
    assert abs(len(whole) - 4_000) < 500  # GSM is in blocks of 320 samples
    assert np.corrcoef(whole[:4_000], tone(rate=8_000)[: len(whole)])[0, 1] > 0.9
    monkeypatch.setattr(audio, "_BLOCK", 700)  # several blocks
    part = audio.read(utterance(one.path, start=0.1, end=0.35), sampling_rate=8_000)
    np.testing.assert_array_equal(part, whole[800:2_800])
    np.testing.assert_array_equal(audio.read(one, sampling_rate=8_000, seconds=0.2), whole[:1_600])
    for refuse in (audio.check, lambda beyond: audio.read(beyond, sampling_rate=8_000)):
        with pytest.raises(audio.AudioError, match=r"ends at 9 s, beyond the file's 0\.5"):
            refuse(utterance(one.path, end=9.0))


def test_sound_of_unknown_length_is_not_read_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "LONGEST_UNKNOWN_SECONDS", 0.25)
    with pytest.raises(
        audio.AudioError, match=r"longer than 0.25 s by a header that does not say how long; .*ffmpeg"
    ):
        audio.check(utterance(streamed_flac(tmp_path / "a.flac")))


@pytest.mark.parametrize(
    ("span", "samples"),
    [({"start": 0.5}, tone()), ({"end": 9.0}, tone()), ({}, tone(0.02)), ({}, np.zeros(0))],
)
def test_what_the_header_shows_is_refused_as_it_is_when_read(tmp_path, span, samples):
    one = utterance(written(tmp_path, samples), **span)
    with pytest.raises(audio.AudioError) as shown:
        audio.check(one)
    with pytest.raises(audio.AudioError) as read:
        audio.read(one, sampling_rate=RATE)
    assert str(shown.value) == str(read.value)


@pytest.mark.parametrize("rate", [10, 999, 2_000_000])
def test_a_rate_that_no_recording_has_is_refused(tmp_path, rate):
    """A damaged header: to resample from 10 Hz would take 1,600 times the memory."""
    path = written(tmp_path, tone(), rate=rate)
    with pytest.raises(audio.AudioError, match=f"a sampling rate of {rate} Hz"):
        audio.read(utterance(path), sampling_rate=RATE)
