"""Predictions for a fold's test speakers: made once, by a network that never met them."""

import dataclasses
import pathlib

import numpy as np

from jax_ser_darts.data.folds import Fold
from jax_ser_darts.data.records import Subset, subset
from jax_ser_darts.files import write_json
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.checksums import checked, enlist, has, read_object
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.training.train import Trainer, best_variables, check_design, predict


def make_predictions(test: Subset, predictions: np.ndarray) -> Predictions:
    """Predicted classes `[n]` with the utterances of `test`, in its order."""
    return Predictions(
        ids=test.corpus.id[test.indices].tolist(),
        labels=test.labels.tolist(),
        predictions=predictions.tolist(),
        speakers=test.corpus.speaker[test.indices].tolist(),
        classes=test.corpus.classes,
    )


def read_predictions(path: pathlib.Path) -> Predictions:
    """The predictions of a file.

    Raises:
        ConfigError, ScoreError: the file is damaged, or not the one that the job wrote.
    """
    return Predictions.from_json(
        read_object(checked(path), *(field.name for field in dataclasses.fields(Predictions)))
    )


def evaluate(trainer: Trainer, network: str, fold: Fold, seed: int) -> Predictions:
    """The predictions of one trained network; made once, then read from predictions.json.

    Raises:
        ConfigError: the folder holds the training of another design, or a damaged file; or nothing is predicted, and
            the weights are not there.
    """
    experiment = trainer.experiment
    folder = experiment.train_folder(network, fold, seed)
    check_design(folder, trainer.design)
    path = folder / layout.PREDICTIONS_FILE
    if not has(path):
        test = subset(experiment.corpus, fold.test)
        variables = best_variables(trainer, folder, seed)
        probabilities = predict(trainer, variables, test, experiment.train_part(fold))
        write_json(path, make_predictions(test, probabilities.argmax(axis=-1)).to_json())
        enlist(path)
    return read_predictions(path)
