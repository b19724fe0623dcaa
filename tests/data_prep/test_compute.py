"""Computing features: in the order of the utterances, and the same whoever computes them."""

import numpy as np
import pytest
import soundfile

from data_prep import compute
from data_prep.corpora.base import Utterance
from data_prep.features import FeatureSettings

RATE = 8_000
SETTINGS = FeatureSettings(
    kind="mfcc", sampling_rate=RATE, n_fft=256, hop=80, coefficients=13, n_mels=26, pool=1
)


@pytest.fixture
def utterances(tmp_path) -> list[Utterance]:
    """Forty, of growing length; every seventh is no sound."""
    made = []
    for i in range(40):
        path = tmp_path / f"{i:02d}.wav"
        if i % 7 == 3:
            path.write_text("no sound")
        else:
            soundfile.write(path, 0.1 * np.random.default_rng(i).standard_normal(400 + 80 * i), RATE)
        made.append(Utterance(id=f"u{i:02d}", path=path, speaker="s", emotion="angry"))
    return made


@pytest.mark.parametrize("workers", [1, 3])
def test_results_are_in_order_and_whole(utterances, tmp_path, workers):
    scratch = tmp_path / "scratch"
    called = []
    done, bad_files = compute.compute(
        utterances, settings=SETTINGS, workers=workers, scratch=scratch, meanwhile=lambda: called.append(1)
    )
    assert called == [1]
    assert [one.utterance.id for one in done] == [one.id for i, one in enumerate(utterances) if i % 7 != 3]
    assert [bad.path for bad in bad_files] == [str(one.path) for one in utterances[3::7]]
    rows = compute.rows(scratch, settings=SETTINGS)
    assert len(rows) == sum(one.frames for one in done)
    for one in done:
        seconds, sound, facts, features = compute.compute_one(one.utterance, SETTINGS)
        assert (one.sound, one.facts) == (sound, facts)
        assert one.seconds == seconds
        np.testing.assert_array_equal(rows[one.first : one.first + one.frames], features)


def sound_of(path, samples, **options) -> str:
    soundfile.write(path, samples, options.pop("rate", RATE), **options)
    _, sound, *_ = compute.compute_one(Utterance(id="u", path=path, speaker="s", emotion="angry"), SETTINGS)
    return sound


def test_the_digest_of_the_sound_is_of_its_samples_alone(tmp_path):
    noise = (np.random.default_rng(0).integers(-9_000, 9_000, 4_000) / 2**15).astype(np.float32)
    same = sound_of(tmp_path / "a.wav", noise, subtype="PCM_16")
    assert len(same) == 32
    assert sound_of(tmp_path / "other_name.flac", noise, subtype="PCM_24") == same
    assert sound_of(tmp_path / "stereo.wav", np.stack([noise, noise], axis=1), subtype="FLOAT") == same
    assert sound_of(tmp_path / "one_step.wav", noise + np.eye(1, 4_000, 7)[0] / 2**15) != same
    assert sound_of(tmp_path / "shorter.wav", noise[:-1]) != same
    assert sound_of(tmp_path / "rate.wav", noise, rate=2 * RATE) != same
