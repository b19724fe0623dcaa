"""Utterances -> batches of one shape, for training and for evaluation.

A batch is a dict of NumPy arrays:
    features: float32 [B, T, F], normalised, 0 on padding.
    num_frames: int32 [B], 0 where no utterance is.
    label: int32 [B], 0 where no utterance is.
    weight: float32 [B], the weight of the utterance's class; 0 where no utterance is, and only there.
    index: int32 [B], the utterance's place in the corpus; -1 where no utterance is.

A training batch depends on the seed and its number alone: training that starts again at step k sees what it
would have seen without a stop.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from jax_ser_darts.data.augment import Augmentation, augment, decibel
from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.data.records import Corpus, Subset

Batch = dict[str, np.ndarray]

_ORDER, _AUGMENT = 0, 1  # two streams of random numbers, so that neither changes the other


def class_weights(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Weights by inverse frequency, so that each class weighs the same in all.

    Args:
        labels: int [n], of the training utterances.
        classes: names of all classes.

    Returns:
        float32 [classes]; their mean over the utterances is 1.

    Raises:
        ValueError: a class without utterances, which training could not learn.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if absent := [name for name, count in zip(classes, counts, strict=True) if not count]:
        raise ValueError(
            f"no training utterance of {', '.join(absent)}: nothing could learn it. Train on more groups, or "
            "leave the class out of data.emotions"
        )
    return (len(labels) / (len(classes) * counts)).astype(np.float32)


def steps_per_epoch(subset: Subset, *, batch_size: int) -> int:
    """Batches of `train_batches` in an epoch."""
    return -(-len(subset) // batch_size)


def train_batches(
    subset: Subset,
    *,
    normalisation: Normalisation,
    batch_size: int,
    frames: int,
    seed: int,
    step: int = 0,
    weights: np.ndarray | None = None,
    augmentation: Augmentation | None = None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Full, shuffled batches without end, from number `step` on.

    Epoch e has the batches e * steps_per_epoch ... (e + 1) * steps_per_epoch - 1. It takes each utterance
    once, in an order drawn from (seed, e); to fill its last batch it takes some once more, by another draw,
    first those that this batch does not hold yet. So each epoch has every utterance, and none is dropped.

    Args:
        subset: what to train on.
        normalisation: of the training part.
        batch_size: B, over all devices.
        frames: T; longer utterances are an error. See `Corpus.frames`.
        seed: 0 or more.
        step: number of the first batch; a resumed run gives its global step.
        weights: of the classes, see `class_weights`; None is 1 for each.
        augmentation: what to do to the features, drawn from (seed, epoch, step).
        share: (which, of how many): the batches hold this part of each batch's utterances alone, in their order.

    Raises:
        ValueError: an empty subset, an utterance longer than `frames`, a negative seed or step, gain on
            features of an unknown kind.
    """
    _check(subset, batch_size=batch_size, frames=frames)
    if seed < 0 or step < 0:
        raise ValueError(f"seed is {seed}, step is {step}; both must be 0 or more")
    steps = steps_per_epoch(subset, batch_size=batch_size)
    gain = None
    if augmentation is not None and augmentation.gain:
        gain = decibel(subset.corpus.metadata.get("features", {})) / normalisation.std

    def batches() -> Iterator[Batch]:
        order = None
        for number in itertools.count(step):
            epoch, here = divmod(number, steps)
            if order is None or here == 0:
                order = _order(subset, batch_size=batch_size, seed=seed, epoch=epoch)
            indices = order[here * batch_size : (here + 1) * batch_size]
            if augmentation is None:  # whose numbers are drawn for the whole batch at once
                indices = _share(indices, share)
            batch = _batch(
                subset.corpus, indices, normalisation=normalisation, frames=frames, weights=weights
            )
            if augmentation is not None:
                rng = np.random.default_rng((_AUGMENT, seed, epoch, here))
                batch["features"] = augment(
                    batch["features"], batch["num_frames"], settings=augmentation, rng=rng, decibel=gain
                )
                batch = {name: _share(values, share) for name, values in batch.items()}
            yield batch

    return batches()


def eval_batches(
    subset: Subset,
    *,
    normalisation: Normalisation,
    batch_size: int,
    frames: int,
    share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Each utterance exactly once, in order; the last batch is filled with places where no utterance is.

    Arguments and errors as of `train_batches`.
    """
    _check(subset, batch_size=batch_size, frames=frames)
    padding = -len(subset) % batch_size
    indices = np.concatenate([subset.indices, np.full(padding, -1, np.int32)]).reshape(-1, batch_size)
    return (
        _batch(subset.corpus, _share(row, share), normalisation=normalisation, frames=frames)
        for row in indices
    )


def _share(rows: np.ndarray, share: tuple[int, int]) -> np.ndarray:
    """The part of a batch's rows that one of several processes has."""
    which, of = share
    if len(rows) % of:
        raise ValueError(f"a batch of {len(rows)} cannot be divided over {of} processes")
    size = len(rows) // of
    return rows[which * size : (which + 1) * size]


def _order(subset: Subset, *, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """int32 [a multiple of batch_size]: the utterances of one epoch, each at least once."""
    rng = np.random.default_rng((_ORDER, seed, epoch))
    order = rng.permutation(subset.indices)
    missing = -len(order) % batch_size
    if not missing:
        return order
    last = order[len(order) - len(order) % batch_size :]
    again = rng.permutation(subset.indices)
    again = again[np.argsort(np.isin(again, last), kind="stable")]  # those of the last batch come last
    return np.concatenate([order, np.resize(again, missing)])


def _batch(
    corpus: Corpus,
    indices: np.ndarray,
    *,
    normalisation: Normalisation,
    frames: int,
    weights: np.ndarray | None = None,
) -> Batch:
    real = indices >= 0
    raw = np.zeros((len(indices), frames, corpus.coefficients), np.float32)
    for row, index in zip(raw, indices, strict=True):
        if index >= 0:
            row[: corpus.num_frames[index]] = corpus.features[index]
    num_frames = np.where(real, corpus.num_frames[indices], 0).astype(np.int32)
    label = np.where(real, corpus.label[indices], 0).astype(np.int32)
    weight = np.ones(len(indices)) if weights is None else np.asarray(weights)[label]
    return {
        "features": normalisation.apply(raw, num_frames),
        "num_frames": num_frames,
        "label": label,
        "weight": np.where(real, weight, 0).astype(np.float32),
        "index": indices,
    }


def _check(subset: Subset, *, batch_size: int, frames: int) -> None:
    if not len(subset):
        raise ValueError("there is no utterance to make batches of")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be 1 or more")
    longest = int(subset.corpus.num_frames[subset.indices].max())
    if longest > frames:
        raise ValueError(
            f"an utterance of {longest} frames does not fit into {frames}: take Corpus.frames(), or prepare "
            "the corpus with fewer seconds"
        )
