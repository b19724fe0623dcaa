"""UA, WA and F1 from confusion matrices: the only place that computes them.

UA (unweighted accuracy) is the mean of the classes' recalls, WA (weighted accuracy) the share of right predictions,
F1 the mean of the classes' F1. All three follow from counts `[truth, prediction]` alone.
"""

from collections.abc import Sequence

import numpy as np

METRICS = ("ua", "wa", "f1")


def confusion_matrix(
    labels: Sequence[int] | np.ndarray, predictions: Sequence[int] | np.ndarray, classes: int
) -> np.ndarray:
    """Counts `[truth, prediction]` of labels `[n]` and predictions `[n]`, both ints in [0, classes)."""
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predictions, np.int64)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def metrics_of(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Confusion matrices `[..., truth, prediction]` -> ua, wa, f1 `[...]`.

    UA and F1 are over the classes that have utterances.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    truths, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    present = truths > 0

    def mean(values: np.ndarray) -> np.ndarray:
        return np.sum(values * present, axis=-1) / np.maximum(present.sum(axis=-1), 1)

    return {
        "ua": mean(right / np.maximum(truths, 1)),
        "wa": right.sum(axis=-1) / np.maximum(truths.sum(axis=-1), 1),
        "f1": mean(2 * right / np.maximum(truths + predicted, 1)),
    }


def shares_of(confusion: np.ndarray) -> np.ndarray:
    """Confusion matrices with each row divided by its sum (the diagonal holds the recalls); NaN in empty rows."""
    truths = confusion.sum(axis=-1, keepdims=True)
    return np.where(truths > 0, confusion / np.maximum(truths, 1), np.nan)


def unweighted_accuracy(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float:
    """The UA of predictions `[n]` over the classes that occur in labels `[n]`."""
    return float(metrics_of(confusion_matrix(labels, predictions, classes))["ua"])
