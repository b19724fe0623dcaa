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
        seconds, features = compute.compute_one(one.utterance, SETTINGS)
        assert one.seconds == seconds
        np.testing.assert_array_equal(rows[one.first : one.first + one.frames], features)
