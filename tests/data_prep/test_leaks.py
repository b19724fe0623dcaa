"""Facts that tell the class: warned of when they do, on speakers that the classifier has not seen, and not else."""

import numpy as np
import pytest
from sounds import facts

from data_prep import leaks

CLASSES, SPEAKERS, TAKES = ("angry", "happy", "neutral", "sad"), 8, 6


def measure(of=lambda rng, label, speaker: {}):
    """A corpus whose length and level vary by chance, but for what `of` (rng, label, speaker) says."""
    rng = np.random.default_rng(0)
    rows = [(label, speaker) for label in range(4) for speaker in range(SPEAKERS) for _ in range(TAKES)]
    made = [
        facts(**({"seconds": rng.uniform(1, 3), "rms": rng.uniform(0.05, 0.2)} | of(rng, *row)))
        for row in rows
    ]
    return leaks.measure(made, [CLASSES[label] for label, _ in rows], [f"s{speaker}" for _, speaker in rows])


def by_name(found):
    return {leak.fact: leak for leak in found.leaks}


def test_chance_is_no_leak():
    found = measure()
    assert (found.chance, found.utterances) == (0.25, 4 * SPEAKERS * TAKES)
    assert {leak.fact for leak in found.leaks} == {"clip length", "level (RMS)", leaks.ALL}
    for leak in found.leaks:
        assert not leak.warned
        assert leak.low <= leak.ua <= leak.high
        assert 0.1 < leak.ua < 0.4


@pytest.mark.parametrize(
    ("fact", "of"),
    [
        ("clip length", lambda rng, label, speaker: {"seconds": 2 + label / 2}),
        ("level (RMS)", lambda rng, label, speaker: {"rms": 0.01 * 2**label}),
        ("digital silence at the end", lambda rng, label, speaker: {"trailing": label / 9}),
        ("digital silence at the start", lambda rng, label, speaker: {"leading": label / 9}),
        ("sampling rate", lambda rng, label, speaker: {"rate": 8_000 if label < 2 else 16_000}),
        ("file size", lambda rng, label, speaker: {"bytes": 9_000 + label}),
        ("coding", lambda rng, label, speaker: {"coding": "WAV PCM_24" if label == 3 else "WAV PCM_16"}),
        ("channels", lambda rng, label, speaker: {"channels": 2 if label == 1 else 1}),
        ("clipping", lambda rng, label, speaker: {"clipped": 0.1 * (label == 0)}),
    ],
)
def test_what_tells_the_class_is_warned_of(fact, of):
    """Two rates for four classes reach UA 0.5; a value a class reaches 1."""
    found = by_name(measure(of))
    warned = {name for name, leak in found.items() if leak.warned} - {leaks.ALL}
    assert warned == {fact}
    whole = fact in ("clip length", "level (RMS)", "file size") or "silence" in fact
    assert found[fact].ua == pytest.approx(1.0 if whole else 0.5, abs=0.01)
    assert found[leaks.ALL].ua > 0.4


def test_what_tells_the_speaker_alone_is_no_leak():
    """Each speaker has a microphone, and classes in other shares: a split that shared speakers would find a leak."""
    rng = np.random.default_rng(1)
    speakers = np.repeat(np.arange(20), 20)
    usual = rng.permutation(np.repeat(np.arange(4), 5))
    labels = np.where(rng.random(400) < 0.8, usual[speakers], rng.integers(0, 4, 400))
    made = [facts(rms=0.01 + 0.005 * speaker) for speaker in speakers]
    found = leaks.measure(made, [CLASSES[label] for label in labels], [f"s{speaker}" for speaker in speakers])
    assert not by_name(found)["level (RMS)"].warned
    assert by_name(found)["level (RMS)"].ua < 0.4


def test_angry_speech_that_is_louder_is_told_but_not_warned_of():
    found = by_name(
        measure(lambda rng, label, speaker: {"rms": rng.uniform(0.05, 0.2) * (1.6 if label == 0 else 1)})
    )
    assert found["level (RMS)"].low > 0.25
    assert not found["level (RMS)"].warned


@pytest.mark.parametrize(("classes", "speakers"), [("aaaa", "stst"), ("abab", "ssss"), ("", "")])
def test_one_class_or_one_speaker_has_nothing_to_test(classes, speakers):
    made = [facts(seconds=1 + i) for i in range(len(classes))]
    assert leaks.measure(made, list(classes), list(speakers)).leaks == ()


def test_of_many_utterances_some_are_drawn(monkeypatch):
    monkeypatch.setattr(leaks, "MOST", 100)
    found = measure(lambda rng, label, speaker: {"seconds": 2 + label / 2})
    assert found.utterances == 100
    assert by_name(found)["clip length"].ua > 0.9


@pytest.mark.parametrize(("of_others", "warned"), [(0.4, False), (0.9, True)])
def test_what_holds_of_one_speaker_alone_is_not_warned_of(monkeypatch, of_others, warned):
    """UA is 0.7, far above the chance of 0.5; but half of the speakers may have been drawn for the other half."""
    label, speaker = np.tile([0, 1], 40), np.repeat([0, 1], 40)
    share = np.where(speaker == 0, 1.0, of_others)
    right = (np.arange(80) // 2 % 20) < 20 * share
    monkeypatch.setattr(leaks, "_predict", lambda *_: np.where(right, label, 1 - label))
    made = [facts(rate=8_000 * (1 + i % 2)) for i in range(80)]
    found = by_name(leaks.measure(made, [CLASSES[i] for i in label], [f"s{i}" for i in speaker]))
    assert found["sampling rate"].ua == pytest.approx((1 + of_others) / 2)
    assert found["sampling rate"].warned == warned
