"""UA, WA and F1 are scikit-learn's, whatever classes occur."""

import numpy as np
import pytest
from made_up import make_predictions
from sklearn import metrics

from jax_ser_darts.scoring.confusion import confusion_matrix, metrics_of, shares_of, unweighted_accuracy


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("absent", [(), (1,), (0, 3)])
def test_the_metrics_are_those_of_scikit_learn(seed, absent):
    made = make_predictions(seed, n=20 + 20 * seed, right=seed / 20)
    present = ~np.isin(made.labels, absent)
    truth, predicted = made.labels[present], made.predictions[present]
    labels = [k for k in range(4) if k not in absent]
    confusion = confusion_matrix(truth, predicted, 4)
    assert np.array_equal(confusion, metrics.confusion_matrix(truth, predicted, labels=range(4)))
    found = metrics_of(confusion)
    macro = {"labels": labels, "average": "macro"}
    assert found["ua"] == pytest.approx(metrics.recall_score(truth, predicted, **macro))
    assert found["wa"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, predicted, **macro))
    assert unweighted_accuracy(truth, predicted, 4) == found["ua"]
    shares = metrics.confusion_matrix(truth, predicted, labels=range(4), normalize="true")
    np.testing.assert_allclose(shares_of(confusion)[labels], shares[labels])
    assert np.isnan(shares_of(confusion)[list(absent)]).all()


def test_many_matrices_are_scored_at_once():
    matrices = np.random.default_rng(0).integers(0, 9, size=(5, 3, 4, 4))
    together = metrics_of(matrices)
    for index in np.ndindex(5, 3):
        for name, value in metrics_of(matrices[index]).items():
            assert together[name][index] == value
