"""The same recording twice: found by its decoded sound, whatever its name, its folder or its lossless coding.

Two utterances are one recording when their difference is silent: copies that were rounded or dithered anew count. A
copy that was coded with losses meanwhile (an MP3 of a WAV), resampled, amplified or cut is another sound here.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import spatial

from data_prep import audio
from data_prep.corpora.base import CorpusError, Utterance
from data_prep.facts import SILENT_PEAK, Facts

Recording = tuple[Utterance, Facts]
SHOWN = 20  # groups in an error


class DuplicatesError(CorpusError):
    """One recording has two speakers, or two classes; the message lists them."""


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Groups of utterances that are one recording, each sorted by id; their first is the one that stays.

    Attributes:
        agreeing: groups of one speaker and one class.
        conflicting: the others.
    """

    agreeing: tuple[tuple[Utterance, ...], ...]
    conflicting: tuple[tuple[Utterance, ...], ...]

    def left_out(self, on_duplicate: str) -> frozenset[str]:
        """The ids that do not become records by this `data.on_duplicate`."""
        if on_duplicate == "keep":
            return frozenset()
        groups = self.agreeing + (self.conflicting if on_duplicate == "keep_one" else ())
        return frozenset(utterance.id for group in groups for utterance in group[1:])

    def refuse(self, on_duplicate: str, *, emotions: Mapping[str, str]) -> None:
        """Raises DuplicatesError where `data.on_duplicate` is "error" and speakers or classes conflict."""
        if not self.conflicting or on_duplicate != "error":
            return
        lines = [
            " = ".join(f"{u.path} ({u.speaker or 'unknown'}, {emotions[u.emotion]})" for u in group)
            for group in self.conflicting
        ]
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise DuplicatesError(
            f"{len(lines)} recording(s) come under two speakers or two classes, so folds would share them or the "
            "labels contradict each other:\n"
            + "\n".join(f"  {line}" for line in [*lines[:SHOWN], *more])
            + "\nCorrect the labels or take the wrong ones out; or --config.data.on_duplicate=keep_one takes the first "
            "of each, =keep takes all"
        )


def find(recordings: Sequence[Recording], *, emotions: Mapping[str, str]) -> Duplicates:
    """The recordings that come more than once.

    Few files are read again: only those that facts cannot tell apart.

    Args:
        recordings: in any order.
        emotions: the corpus's emotion -> class.
    """
    recordings = sorted(recordings, key=lambda recording: recording[0].id)
    first = list(range(len(recordings)))  # of the group of each
    for i, j in sorted(_candidates(recordings)):
        (one, of_one), (other, of_other) = recordings[i], recordings[j]
        if first[i] != first[j] and (of_one.whole == of_other.whole or same_sound(one, other)):
            low, high = sorted((first[i], first[j]))
            first = [low if group == high else group for group in first]
    groups = collections.defaultdict(list)
    for group, (utterance, _) in zip(first, recordings, strict=True):
        groups[group].append(utterance)
    agreeing: list[tuple[Utterance, ...]] = []
    conflicting: list[tuple[Utterance, ...]] = []
    for members in groups.values():
        if len(members) > 1:
            one_label = len({(member.speaker, emotions[member.emotion]) for member in members}) == 1
            (agreeing if one_label else conflicting).append(tuple(members))
    return Duplicates(tuple(agreeing), tuple(conflicting))


def same_sound(one: Utterance, other: Utterance) -> bool:
    """Whether two utterances are one recording.

    It is of one length and rate, nowhere SILENT_PEAK apart, and the difference is 20 dB weaker than the sound.

    Raises:
        AudioError: one cannot be decoded.
    """
    (a, rate_of_a), (b, rate_of_b) = audio.decoded(one), audio.decoded(other)
    if rate_of_a != rate_of_b or len(a) != len(b):
        return False
    difference = a - b
    weak = float(np.dot(difference, difference)) <= 0.01 * float(np.dot(a, a))
    return weak and float(np.abs(difference).max()) < SILENT_PEAK


def _candidates(recordings: Sequence[Recording]) -> Iterator[tuple[int, int]]:
    """Pairs of indices that may be one recording: no two levels of such can lie SILENT_PEAK apart."""
    alike = collections.defaultdict(list)
    for index, (_, facts) in enumerate(recordings):
        alike[facts.rate, facts.seconds].append(index)
    for indices in alike.values():
        if len(indices) > 1:
            levels = [(facts.peak, *facts.levels) for facts in (recordings[index][1] for index in indices)]
            for i, j in spatial.cKDTree(levels).query_pairs(SILENT_PEAK, p=np.inf):
                yield indices[i], indices[j]
