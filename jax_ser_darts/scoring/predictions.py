"""The predictions of one system for a set of utterances, checked when made: each utterance has exactly one."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jax_ser_darts.errors import UserError

_MOST_NAMES = 10  # of utterances, in a message


class ScoreError(UserError):
    """These predictions cannot be scored; the message names the utterances."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a system predicted for a set of utterances, in any order; checked when made.

    Attributes:
        ids: names of the utterances, each once.
        labels: the true classes, ints in [0, len(classes)).
        predictions: the predicted classes, ints in [0, len(classes)).
        speakers: who speaks.
        classes: names of the classes.

    Raises:
        ScoreError: no utterance, a repeated id, a missing prediction (None, or negative), a number that is no
            class, or columns of different lengths.
    """

    ids: Sequence[str]
    labels: Sequence[int]
    predictions: Sequence[int]
    speakers: Sequence[str]
    classes: Sequence[str]

    def __post_init__(self):
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            raise ScoreError(
                f"The columns have different lengths: {lengths}; give one of each per utterance."
            )
        if not len(self.ids):
            raise ScoreError("There is nothing to score: no utterance.")
        repeated = [name for name, times in collections.Counter(self.ids).items() if times > 1]
        if repeated:
            raise ScoreError(
                f"{_names(repeated)} counted more than once; score every utterance exactly once."
            )
        predicted = zip(self.ids, self.predictions, strict=True)
        missing = [name for name, prediction in predicted if prediction is None or prediction < 0]
        if missing:
            raise ScoreError(f"{_names(missing)} without a prediction; predict every utterance of the split.")
        known = range(len(self.classes))
        for column in ("labels", "predictions"):
            rows = zip(self.ids, getattr(self, column), strict=True)
            unknown = [f"{name} ({value})" for name, value in rows if value not in known]
            if unknown:
                raise ScoreError(
                    f"{_names(unknown)} in `{column}` not among the classes 0..{len(self.classes) - 1} = "
                    f"{list(self.classes)}."
                )

    def to_json(self) -> dict[str, Any]:
        """A dict that JSON can hold."""
        return {
            "classes": list(self.classes),
            "ids": [str(name) for name in self.ids],
            "labels": [int(label) for label in self.labels],
            "predictions": [int(prediction) for prediction in self.predictions],
            "speakers": [str(speaker) for speaker in self.speakers],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Predictions":
        """What `to_json` wrote; checked again."""
        return cls(**saved)

    @classmethod
    def join(cls, folds: Sequence["Predictions"]) -> "Predictions":
        """The union of several folds' predictions: every utterance has that of the fold that tested it.

        Raises:
            ScoreError: no fold, folds with different classes, or an utterance in two folds.
        """
        if not folds:
            raise ScoreError("There is nothing to score: no fold.")
        classes = {tuple(fold.classes) for fold in folds}
        if len(classes) > 1:
            raise ScoreError(f"The folds have different classes: {sorted(classes)}.")
        columns = {name: [value for fold in folds for value in getattr(fold, name)] for name in COLUMNS}
        return cls(**columns, classes=folds[0].classes)


COLUMNS = tuple(field.name for field in dataclasses.fields(Predictions) if field.name != "classes")


def _names(names: Sequence[Any]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{len(names)} utterance(s): {', '.join(map(str, names[:_MOST_NAMES]))}{more}:"
