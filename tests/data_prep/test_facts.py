"""Facts of a sound: each has the value that the sound was made with."""

import numpy as np
import pytest
from sounds import RATE, noise, written

from data_prep import audio
from data_prep.facts import Facts, speech_seconds


def of(path, samples, *, seconds=4.0, **options) -> Facts:
    return audio.examined(written(path, samples, **options), seconds=seconds)[2]


def test_facts_of_a_whole_utterance(tmp_path):
    found = of(tmp_path / "a.wav", noise(2.5))
    assert (found.seconds, found.used, found.rate, found.channels) == (2.5, 2.5, RATE, 1)
    assert (found.coding, found.bytes) == ("WAV PCM_16", 44 + 2 * 2.5 * RATE)
    assert found.peak == np.abs(noise(2.5)).max()
    np.testing.assert_allclose(found.rms, np.sqrt((noise(2.5).astype(float) ** 2).mean()), rtol=1e-5)
    assert (found.missing, found.leading, found.trailing, found.clipped) == (0, 0, 0, 0)
    assert (found.mixed, found.silent_channels, found.speech_beyond) == (1, 0, 0)
    np.testing.assert_allclose(found.levels, found.rms, rtol=0.05)


def test_digital_silence_at_the_ends_is_measured(tmp_path):
    samples = np.concatenate([np.zeros(RATE // 2), noise(1), np.zeros(RATE // 4)])
    found = of(tmp_path / "a.wav", samples)
    assert found.leading == pytest.approx(0.5, abs=1e-3)
    assert found.trailing == pytest.approx(0.25, abs=1e-3)


def test_what_lies_beyond_the_cut_counts_and_is_looked_at_for_speech(tmp_path):
    quiet, loud = 0.001 * noise(2, seed=1), noise(2)
    speaks = of(tmp_path / "a.wav", np.concatenate([loud, quiet, loud]), seconds=3.0)
    assert (speaks.seconds, speaks.used) == (6.0, 3.0)
    assert speaks.speech_beyond == pytest.approx(2.0, abs=0.1)
    ends = of(tmp_path / "b.wav", np.concatenate([loud, quiet, quiet]), seconds=3.0)
    assert ends.speech_beyond == 0


def test_the_threshold_of_speech_is_the_utterances_own():
    samples = np.concatenate([noise(1), 0.01 * noise(1, seed=1)])
    for gain in (1, 1e-3):
        assert speech_seconds((gain * samples).astype(np.float32), RATE, after=0) == pytest.approx(
            1.0, abs=0.05
        )


@pytest.mark.parametrize(("gain", "clipped"), [(1, False), (8, True)])
def test_flat_tops_are_clipped(tmp_path, gain, clipped):
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    found = of(tmp_path / "a.wav", np.clip(gain * tone, -1, 1))
    assert (found.clipped > 0.1) == clipped
    assert clipped or found.clipped == 0


@pytest.mark.parametrize(
    ("right", "mixed", "silent"),
    [(noise(1), 1.0, 0), (noise(1, seed=1), 0.5, 0), (-noise(1), None, 0), (0 * noise(1), 0.5, 1)],
    ids=["same", "another", "opposite", "silent"],
)
def test_channels_that_cancel_or_are_silent(tmp_path, right, mixed, silent):
    right = right.copy()
    right[:8_000:8] += 0.01 * (mixed is None)  # a residue, or nothing would be left
    found = of(tmp_path / "a.wav", np.stack([noise(1), right], axis=1))
    assert found.silent_channels == silent
    if mixed is None:
        assert found.mixed < 1e-3
    else:
        assert found.mixed == pytest.approx(mixed, abs=0.05)


def test_a_file_that_ends_before_its_header_says_misses_that_share(tmp_path):
    whole = written(tmp_path / "a.wav", noise(2))
    content = whole.path.read_bytes()
    whole.path.write_bytes(content[: 44 + 2 * RATE])
    found = audio.examined(whole, seconds=4.0)[2]
    assert found.missing == pytest.approx(0.5, abs=1e-3)
    assert found.seconds == pytest.approx(1.0, abs=1e-3)
    streamed = content[:40] + b"\xff\xff\xff\xff" + content[44:]  # a writer that did not know the length
    whole.path.write_bytes(streamed)
    assert audio.examined(whole, seconds=4.0)[2].missing == 0


def test_the_digest_is_of_the_whole_and_of_no_coding(tmp_path):
    one = of(tmp_path / "a.wav", noise(2), seconds=1.0)
    assert of(tmp_path / "b.flac", noise(2), seconds=1.0).whole == one.whole
    assert of(tmp_path / "c.wav", noise(2)[:-1], seconds=1.0).whole != one.whole


def test_of_a_very_long_utterance_only_the_start_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "EXAMINED_SECONDS", 2.0)
    found = of(tmp_path / "a.wav", np.concatenate([0.1 * noise(2), noise(2)]), seconds=1.0)
    assert (found.seconds, found.used) == (4.0, 1.0)
    assert found.peak < 0.05
