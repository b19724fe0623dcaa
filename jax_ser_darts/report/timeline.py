"""A recording with its predictions: its waveform in the colours of the emotions, and their shares below."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from jax_ser_darts.report import style
from jax_ser_darts.serving.predictor import Span

_COLUMNS = 900  # of the waveform: about a pixel each


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording in which no window begins or ends.

    Attributes:
        start, end: seconds.
        probabilities: class -> probability, the mean of the windows that hold it and are not silent; None if all are.
    """

    start: float
    end: float
    probabilities: dict[str, float] | None

    @property
    def emotion(self) -> str | None:
        """The likeliest class; None in silence."""
        return max(self.probabilities, key=self.probabilities.__getitem__) if self.probabilities else None


def stretches(timeline: Sequence[Span]) -> list[Stretch]:
    """Overlapping windows -> stretches one after the other, from the first window's start to the last one's end."""
    times = sorted({time for span in timeline for time in (span.start, span.end)})
    parts = []
    for start, end in itertools.pairwise(times):
        predicted = [
            span.probabilities
            for span in timeline
            if span.probabilities and span.start < end and span.end > start
        ]
        mean = None
        if predicted:
            mean = {
                name: float(np.mean([probabilities[name] for probabilities in predicted]))
                for name in predicted[0]
            }
        parts.append(Stretch(start, end, mean))
    return parts


def envelope(waveform: np.ndarray, columns: int = _COLUMNS) -> np.ndarray:
    """`[n, 2]`, n <= columns: the least and the greatest sample of each of n stretches of a waveform `[samples]`."""
    edges = np.linspace(0, len(waveform), min(columns, len(waveform)) + 1).astype(int)[:-1]
    return np.stack([np.minimum.reduceat(waveform, edges), np.maximum.reduceat(waveform, edges)], axis=1)


def draw(waveform: np.ndarray, rate: int, timeline: Sequence[Span], *, colours: Mapping[str, str]) -> Figure:
    """A figure of a recording.

    Args:
        waveform: `[samples]`, not empty.
        rate: of it, in Hz.
        timeline: see `predictor.Prediction`.
        colours: of the classes; what is silent is grey.
    """
    seconds = len(waveform) / rate
    parts = stretches(timeline)
    figure = Figure(figsize=(9.6, 2.9))
    loud, shares = figure.subplots(2, sharex=True, height_ratios=(1.25, 1))
    figure.subplots_adjust(left=0.055, right=0.995, top=0.985, bottom=0.16, hspace=0.12)

    bounds = envelope(waveform)
    times = (np.arange(len(bounds)) + 0.5) * seconds / len(bounds)
    which = np.clip(np.searchsorted([part.end for part in parts], times), 0, len(parts) - 1)
    peak = max(np.abs(bounds).max(), 1e-4) * 1.05
    colour_of = [colours.get(part.emotion, style.MUTED) if part.emotion else style.MUTED for part in parts]
    for colour in dict.fromkeys(colour_of):
        own = np.array([colour_of[i] == colour for i in which])
        loud.vlines(times[own], bounds[own, 0], bounds[own, 1], colors=colour, lw=0.8)
    loud.set(ylim=(-peak, peak), yticks=[])
    loud.grid(visible=False)
    loud.spines["left"].set_visible(False)
    loud.spines["bottom"].set_visible(False)
    loud.tick_params(bottom=False)

    edges = [*(part.start for part in parts), parts[-1].end]
    floor = np.zeros(len(edges))
    for name, colour in colours.items():
        share = [part.probabilities[name] if part.probabilities else 0.0 for part in parts]
        top = floor + np.array([*share, share[-1]])
        shares.fill_between(edges, floor, top, step="post", color=colour, linewidth=0)
        floor = top
    shares.set(xlim=(0, seconds), ylim=(0, 1), xlabel="seconds")
    shares.set_yticks((0, 0.5, 1), ("0 %", "50 %", "100 %"))
    return figure
