"""Corpora of random size and content, in memory."""

import numpy as np

from jax_ser_darts.data.records import Corpus, Subset, subset

SETTINGS = {"kind": "logmel", "coefficients": 5, "n_mels": 5}


def random_corpus(seed: int, *, classes: int = 3, largest_group: int = 25, longest: int = 20) -> Corpus:
    """2 to 6 groups of 1 to 3 speakers; every class in every group; coefficients of different scales."""
    rng = np.random.default_rng(seed)
    groups, group, speaker, label = {}, [], [], []
    for g in range(rng.integers(2, 7)):
        groups[f"g{g}"] = tuple(f"s{g}{i}" for i in range(rng.integers(1, 4)))
        size = int(rng.integers(classes, largest_group + 1))
        group += [f"g{g}"] * size
        speaker += rng.choice(groups[f"g{g}"], size).tolist()
        label += [*range(classes), *rng.choice(classes, size - classes, p=_skewed(classes)).tolist()]
    num_frames = rng.integers(1, longest + 1, len(label)).astype(np.int32)
    scale, offset = 10.0 ** rng.uniform(-3, 3, 5), rng.uniform(-100, 100, 5)
    return Corpus(
        classes=tuple(f"class_{k}" for k in range(classes)),
        groups=groups,
        features=tuple(
            (rng.standard_normal((frames, 5)) * scale + offset).astype(np.float32) for frames in num_frames
        ),
        num_frames=num_frames,
        label=np.array(label, np.int32),
        id=np.array([f"u{i}" for i in range(len(label))]),
        speaker=np.array(speaker),
        group=np.array(group),
        sex=np.array([""] * len(label)),
        metadata={"features": SETTINGS, "content": str(seed)},
    )


def random_subset(seed: int, **arguments) -> Subset:
    """All but one group of a random corpus, so that places in the corpus and in the subset differ."""
    corpus = random_corpus(seed, **arguments)
    return subset(corpus, list(corpus.groups)[1:])


def _skewed(classes: int) -> np.ndarray:
    share = 0.5 ** np.arange(classes)
    return share / share.sum()
