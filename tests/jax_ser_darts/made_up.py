"""Predictions drawn at random, with a known chance to be right."""

import numpy as np

from jax_ser_darts.scoring.predictions import Predictions

CLASSES = ("angry", "happy", "neutral", "sad")


def make_predictions(
    seed: int, *, n: int = 200, speakers: int = 12, right: float = 0.5, prefix: str = "u"
) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, size=n, p=[0.1, 0.2, 0.3, 0.4])
    labels[:4] = range(4)
    return Predictions(
        ids=[f"{prefix}{i}" for i in range(n)],
        labels=labels,
        predictions=np.where(rng.random(n) < right, labels, rng.integers(4, size=n)),
        speakers=[f"speaker{i}" for i in rng.integers(speakers, size=n)],
        classes=CLASSES,
    )
