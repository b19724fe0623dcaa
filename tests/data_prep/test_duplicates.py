"""The same recording twice is found by its sound; one of a speaker and class stays, a contradiction is refused."""

import dataclasses

import numpy as np
import pytest
from sounds import RATE, noise, written

from data_prep import audio, duplicates
from data_prep.duplicates import DuplicatesError

EMOTIONS = {"angry": "a", "sad": "s", "rage": "a"}


def find(*utterances):
    recordings = [(one, audio.examined(one, seconds=1.0)[2]) for one in utterances]
    return duplicates.find(recordings, emotions=EMOTIONS)


def ids(groups):
    return [[utterance.id for utterance in group] for group in groups]


def test_other_sounds_are_no_copies(tmp_path):
    one = noise(2)
    last = one.copy()
    last[-1] += 0.01  # beyond the second that is used
    found = find(
        written(tmp_path / "a.wav", one),
        written(tmp_path / "b.wav", noise(2, seed=1)),
        written(tmp_path / "c.wav", last),
        written(tmp_path / "d.wav", one[:-1]),
        written(tmp_path / "e.wav", 0.9 * one),
        written(tmp_path / "f.wav", one, rate=RATE // 2),
        written(tmp_path / "g.wav", -one),
    )
    assert found == duplicates.Duplicates((), ())


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other.wav"},
        {"name": "x.flac"},
        {"name": "s.wav", "subtype": "PCM_24"},
        {"name": "d.wav", "steps": 2},
    ],
    ids=["same bytes", "flac", "24 bits", "dithered anew"],
)
def test_copies_are_found_whatever_their_file(tmp_path, change):
    dither = (
        np.random.default_rng(5).integers(-change.get("steps", 0), change.get("steps", 0) + 1, 2 * RATE)
        / 2**15
    )
    found = find(
        written(tmp_path / "a.wav", noise(2)),
        written(tmp_path / "between.wav", noise(2, seed=3)),
        written(tmp_path / change["name"], noise(2) + dither, subtype=change.get("subtype")),
    )
    assert ids(found.agreeing) == [["a.wav", change["name"]]]
    assert found.left_out("error") == found.left_out("keep_one") == {change["name"]}
    assert found.left_out("keep") == frozenset()
    found.refuse("error", emotions=EMOTIONS)


def test_quiet_sounds_are_not_copies_for_being_quiet(tmp_path):
    quiet = [
        written(tmp_path / f"{seed}.wav", 5e-4 * noise(1, seed=seed), subtype="FLOAT") for seed in range(4)
    ]
    assert find(*quiet) == duplicates.Duplicates((), ())


def test_recordings_that_share_a_click_and_else_hardly_anything_are_no_copies(tmp_path):
    """Nowhere are they SILENT_PEAK apart; but what tells them apart is as strong as they are."""
    made = []
    for seed in range(2):
        samples = 1.5e-4 * noise(1, seed=seed)  # at most 4.1e-5
        samples[100:102] = 1.5e-4, -1.5e-4
        made.append(written(tmp_path / f"{seed}.wav", samples, subtype="FLOAT"))
    assert find(*made) == duplicates.Duplicates((), ())


@pytest.mark.parametrize("change", [{"speaker": "bob"}, {"emotion": "sad"}])
def test_two_speakers_or_classes_of_one_recording_are_refused(tmp_path, change):
    one, two = written(tmp_path / "a.wav", noise(1)), written(tmp_path / "b.wav", noise(1), **change)
    third = written(tmp_path / "c.wav", noise(1))
    found = find(one, two, third)
    assert (found.agreeing, ids(found.conflicting)) == ((), [["a.wav", "b.wav", "c.wav"]])
    assert found.left_out("error") == frozenset()
    assert found.left_out("keep_one") == {"b.wav", "c.wav"}
    with pytest.raises(DuplicatesError) as error:
        found.refuse("error", emotions=EMOTIONS)
    assert f"{one.path} (ann, a) = {two.path} " in str(error.value)
    assert "data.on_duplicate=keep_one" in str(error.value)
    for allowed in ("keep_one", "keep"):
        found.refuse(allowed, emotions=EMOTIONS)


def test_emotions_of_one_class_do_not_contradict(tmp_path):
    found = find(written(tmp_path / "a.wav", noise(1)), written(tmp_path / "b.wav", noise(1), emotion="rage"))
    assert ids(found.agreeing) == [["a.wav", "b.wav"]]


def test_several_groups_are_told_apart(tmp_path):
    made = [
        written(tmp_path / f"{take}{seed}.wav", noise(1, seed=seed)) for seed in range(3) for take in "ab"
    ]
    found = find(*reversed(made), dataclasses.replace(made[0], id="z"))
    assert ids(found.agreeing) == [["a0.wav", "b0.wav", "z"], ["a1.wav", "b1.wav"], ["a2.wav", "b2.wav"]]
    assert found.left_out("error") == {"b0.wav", "z", "b1.wav", "b2.wav"}
