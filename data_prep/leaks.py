"""Do facts of the files tell the class? A classifier on these alone, tested on other speakers, beside chance.

A corpus whose happy clips are all padded to one length, or come from one microphone, teaches a network the padding or
the microphone. Its scores are then high, and mean nothing. Every fact is tried alone, by a shallow decision tree (CART,
Breiman et al. 1984), which finds thresholds and codes alike.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data_prep.facts import Facts

FOLDS = 5  # of speakers
MOST = 20_000  # utterances; of more, so many are drawn
RESAMPLES = 1_000
DEPTH, SMALLEST_LEAF = 4, 5
FLOOR_DB = -100.0

# How people speak has length and level too: angry speech is loud. How a file was made has no business with the class.
OF_SPEECH = ("clip length", "level (RMS)", "peak", "file size")
FACTS: dict[str, Callable[[Facts], float]] = {
    "clip length": lambda facts: facts.seconds,
    "level (RMS)": lambda facts: _decibel(facts.rms),
    "peak": lambda facts: _decibel(facts.peak),
    "file size": lambda facts: facts.bytes,
    "digital silence at the start": lambda facts: facts.leading,
    "digital silence at the end": lambda facts: facts.trailing,
    "sampling rate": lambda facts: facts.rate,
    "channels": lambda facts: facts.channels,
    "clipping": lambda facts: facts.clipped,
}
ALL = "all of these together"
# A warning needs a UA whose interval leaves out chance, and that is this share of the way from chance to 1.
MARGIN_OF_SPEECH, MARGIN = 0.4, 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class Leak:
    """How well one fact alone tells the class.

    Attributes:
        fact: one of FACTS, "coding", or ALL.
        ua: unweighted accuracy of the tree on speakers that it has not seen.
        low, high: 95 % of it, by a bootstrap of speakers.
        warned: whether it is so far above chance that the classes, not the speakers, must differ in it.
    """

    fact: str
    ua: float
    low: float
    high: float
    warned: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Leaks:
    """What `measure` returns: facts that never differ are left out, the others come by falling UA.

    Attributes:
        chance: UA of a guess, 1 / classes.
        utterances: how many were looked at.
        leaks: one a fact, and one of all; empty where there is one speaker or one class.
    """

    chance: float
    utterances: int
    leaks: tuple[Leak, ...]


def measure(facts: Sequence[Facts], classes: Sequence[str], speakers: Sequence[str]) -> Leaks:
    """How well each fact tells the class of speakers that the classifier has not seen.

    Args:
        facts, classes, speakers: of the utterances, in one order.
    """
    names, label = np.unique(classes, return_inverse=True)
    people, speaker = np.unique(speakers, return_inverse=True)
    drawn = np.arange(len(facts))
    if len(drawn) > MOST:
        drawn = np.sort(np.random.default_rng(0).choice(drawn, MOST, replace=False))
    label, speaker = label[drawn], speaker[drawn]
    chance = 1 / max(len(names), 1)
    if len(names) < 2 or len(people) < 2:
        return Leaks(chance, len(drawn), ())
    taken = [facts[index] for index in drawn.tolist()]
    columns = {name: np.array([fact(one) for one in taken], np.float64) for name, fact in FACTS.items()}
    columns["coding"] = np.unique([one.coding for one in taken], return_inverse=True)[1].astype(np.float64)
    columns = {name: values for name, values in columns.items() if np.ptp(values) > 0}
    if len(columns) > 1:
        columns[ALL] = np.stack(list(columns.values()), axis=1)
    leaks = [
        _leak(name, values.reshape(len(taken), -1), label, speaker, n_classes=len(names))
        for name, values in columns.items()
    ]
    return Leaks(chance, len(drawn), tuple(sorted(leaks, key=lambda leak: (leak.fact == ALL, -leak.ua))))


def from_json(saved: Mapping) -> Leaks:
    """Of what `dataclasses.asdict` made of one."""
    return Leaks(saved["chance"], saved["utterances"], tuple(Leak(**leak) for leak in saved["leaks"]))


def _leak(fact: str, values: np.ndarray, label: np.ndarray, speaker: np.ndarray, *, n_classes: int) -> Leak:
    """Of float [n, facts]."""
    right = _predict(values, label, speaker) == label
    shape = (speaker.max() + 1, n_classes)
    counts, hits = np.zeros(shape), np.zeros(shape)
    np.add.at(counts, (speaker, label), 1)
    np.add.at(hits, (speaker, label), right)
    ones = np.ones(len(counts))
    draws = np.random.default_rng(0).multinomial(len(counts), ones / len(counts), size=RESAMPLES)
    ua = float(_ua(ones[None], hits, counts)[0])
    low, high = np.percentile(_ua(draws, hits, counts), [2.5, 97.5]).tolist()
    chance = 1 / n_classes
    margin = MARGIN_OF_SPEECH if fact in (*OF_SPEECH, ALL) else MARGIN
    return Leak(fact, ua, low, high, warned=low > chance and ua > chance + margin * (1 - chance))


def _ua(weights: np.ndarray, hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean recall of [speakers, classes], for each row of weights [draws, speakers]; classes not drawn do not count."""
    drawn = weights @ counts
    recall = np.divide(weights @ hits, drawn, out=np.full(drawn.shape, np.nan), where=drawn > 0)
    return np.nanmean(recall, axis=1)


def _predict(values: np.ndarray, label: np.ndarray, speaker: np.ndarray) -> np.ndarray:
    """Int [n]: the class of each utterance, by a tree that has not seen its speaker."""
    from sklearn import tree  # takes a second: only who computes pays for it

    fold = speaker % FOLDS
    predicted = np.full(len(label), -1)
    for test in np.unique(fold):
        seen = fold != test
        if seen.any():
            model = tree.DecisionTreeClassifier(
                max_depth=DEPTH, min_samples_leaf=SMALLEST_LEAF, class_weight="balanced", random_state=0
            )
            predicted[~seen] = model.fit(values[seen], label[seen]).predict(values[~seen])
    return predicted


def _decibel(amplitude: float) -> float:
    return max(20 * float(np.log10(amplitude)), FLOOR_DB) if amplitude > 0 else FLOOR_DB
