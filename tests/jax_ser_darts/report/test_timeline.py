"""The timeline: overlapping windows become stretches, each the mean of the predictions over it."""

import itertools

import numpy as np
import pytest

from jax_ser_darts.report import style, timeline
from jax_ser_darts.serving.predictor import Span

ANGRY, SAD = {"angry": 0.9, "sad": 0.1}, {"angry": 0.3, "sad": 0.7}
COLOURS = {"angry": "#112233", "sad": "#445566"}
OVERLAPPING = (Span(0.0, 4.0, ANGRY), Span(2.0, 6.0, SAD), Span(4.0, 8.0, None), Span(6.0, 10.0, None))


def test_stretches_follow_one_another_from_start_to_end():
    parts = timeline.stretches(OVERLAPPING)
    assert (parts[0].start, parts[-1].end) == (0.0, 10.0)
    for part, following in itertools.pairwise(parts):
        assert part.start < part.end == following.start


def test_a_stretch_is_the_mean_of_the_windows_over_it_that_are_not_silent():
    first, both, after_silence, *silent = timeline.stretches(OVERLAPPING)
    assert first.probabilities == pytest.approx(ANGRY)
    assert both.probabilities == pytest.approx({"angry": 0.6, "sad": 0.4})
    assert after_silence.probabilities == pytest.approx(SAD)
    assert [first.emotion, both.emotion, after_silence.emotion] == ["angry", "angry", "sad"]
    assert len(silent) == 2
    assert all(part.probabilities is None and part.emotion is None for part in silent)


@pytest.mark.parametrize("samples", [1, 7, 900, 901, 12_345])
def test_an_envelope_holds_every_sample_and_no_others(samples):
    waveform = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    bounds = timeline.envelope(waveform, columns=900)
    assert bounds.shape == (min(samples, 900), 2)
    assert (bounds[:, 0] <= bounds[:, 1]).all()
    assert (bounds[:, 0].min(), bounds[:, 1].max()) == (waveform.min(), waveform.max())


def test_a_drawing_has_the_colours_of_what_was_predicted_and_silence_is_grey():
    waveform = np.sin(np.arange(1_000)).astype(np.float32)
    figure = timeline.draw(waveform, 100, OVERLAPPING, colours=COLOURS)
    loud, shares = figure.axes
    drawn = {tuple(np.round(255 * lines.get_color()[0][:3]).astype(int)) for lines in loud.collections}
    grey = tuple(int(style.MUTED[i : i + 2], 16) for i in (1, 3, 5))
    assert drawn == {(0x11, 0x22, 0x33), (0x44, 0x55, 0x66), grey}
    tops = np.max([area.get_paths()[0].vertices[:, 1].max() for area in shares.collections])
    assert tops == pytest.approx(1)
    assert shares.get_xlim() == (0, 10)
    only_silence = timeline.draw(np.zeros(1, np.float32), 100, (Span(0.0, 0.01, None),), colours=COLOURS)
    assert len(only_silence.axes[0].collections) == 1
