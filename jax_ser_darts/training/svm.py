"""A baseline without a network: an SVM with an RBF kernel on functionals of each utterance, under the same folds.

It is fitted to the training speakers alone, as the networks are; validation speakers choose its C where there are
several.
"""

import time

import numpy as np
from absl import logging
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from data_prep.functionals import functionals
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.data.records import Subset, subset
from jax_ser_darts.experiment import Experiment, claim, records_root
from jax_ser_darts.files import write_json
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.checksums import checked, enlist, has, read_object
from jax_ser_darts.scoring.confusion import unweighted_accuracy
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.training.evaluate import make_predictions, read_predictions

METHOD = "svm"
SEED = 0  # nothing is drawn


def functionals_of(experiment: Experiment) -> np.ndarray:
    """The functionals of the whole corpus, `[N, 88]`; computed once, then read from functionals.npz.

    Raises:
        MissingError, CorpusError, OSError: as of `data_prep.functionals.functionals`.
    """
    return functionals(
        data=experiment.config.data,
        records=records_root(experiment.config, experiment.workdir),
        ids=experiment.corpus.id.tolist(),
        fingerprint=experiment.corpus.metadata["fingerprint"],
        path=experiment.workdir / layout.FUNCTIONALS_FILE,
    )


def fit(values: np.ndarray, data: Subset, c: float) -> Pipeline:
    """Standardises by the utterances of `data`, and fits an SVM to them with balanced classes.

    Args:
        values: of all utterances of the corpus, `[N, D]`.
        data: to fit to.
        c: the penalty.
    """
    model = make_pipeline(StandardScaler(), SVC(C=c, kernel="rbf", gamma="scale", class_weight="balanced"))
    return model.fit(values[data.indices], data.labels)


def train(experiment: Experiment, values: np.ndarray, fold: Fold) -> dict:
    """Chooses C; done once, then read from svm.json. The model itself is fitted again where it is needed.

    Returns:
        What svm.json holds: C, the validation UA of each (none where one C is given), support vectors, seconds.

    Raises:
        ConfigError: the folder holds an SVM of another setup.
    """
    folder = experiment.train_folder(METHOD, fold, SEED)
    grid = [float(c) for c in experiment.config.baselines.svm_c]
    claim(folder, "setup", {"c": grid, "values": values.shape[1]})
    path = folder / layout.SVM_FILE
    if path.exists():
        logging.info("The SVM of fold %d is done", fold.index)
        return read_object(checked(path), "c", "seconds")
    started = time.monotonic()
    data = subset(experiment.corpus, fold.train)
    ua = {}
    if len(grid) > 1:
        validation = subset(experiment.corpus, fold.validation)
        for c in grid:
            predictions = fit(values, data, c).predict(values[validation.indices])
            ua[c] = unweighted_accuracy(validation.labels, predictions, len(experiment.corpus.classes))
    chosen = max(grid, key=lambda c: ua.get(c, 0.0))  # the first of equals
    model = fit(values, data, chosen)
    summary = {
        "method": METHOD,
        "c": chosen,
        "validation_ua": [[c, value] for c, value in ua.items()],
        "support_vectors": int(model[-1].n_support_.sum()),
        "seconds": time.monotonic() - started,
    }
    write_json(path, summary)
    return summary


def evaluate(experiment: Experiment, values: np.ndarray, fold: Fold) -> Predictions:
    """The predictions of a trained SVM for the fold's test part; made once, then read from predictions.json."""
    path = experiment.train_folder(METHOD, fold, SEED) / layout.PREDICTIONS_FILE
    if not has(path):
        c = train(experiment, values, fold)["c"]
        model = fit(values, subset(experiment.corpus, fold.train), c)
        test = subset(experiment.corpus, fold.test)
        write_json(path, make_predictions(test, model.predict(values[test.indices])).to_json())
        enlist(path)
    return read_predictions(path)
