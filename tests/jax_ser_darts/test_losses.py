"""The loss of a batch is that of its utterances: weighted, without padding, however it falls on devices."""

import jax
import numpy as np
import pytest

from jax_ser_darts.losses import classification_loss

CLASSES = 3


@pytest.fixture
def batch():
    """Eight places, the last three of them padding."""
    rng = np.random.default_rng(0)
    weight = np.append(rng.uniform(0.5, 2, 5), np.zeros(3)).astype(np.float32)
    label = np.append(rng.integers(CLASSES, size=5), np.zeros(3, int)).astype(np.int32)
    return rng.standard_normal((8, CLASSES)).astype(np.float32), {"weight": weight, "label": label}


def test_it_is_the_weighted_mean_over_the_utterances(batch):
    logits, about = batch
    loss, figures = classification_loss(logits, about, None)
    likelihood = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    nll = -np.log(likelihood[np.arange(8), about["label"]])[:5]
    np.testing.assert_allclose(loss, np.average(nll, weights=about["weight"][:5]), rtol=1e-5)
    np.testing.assert_allclose(figures["loss"], loss)
    right = (logits.argmax(axis=-1) == about["label"])[:5]
    np.testing.assert_allclose(figures["accuracy"], right.mean(), rtol=1e-6)


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_devices_average_to_the_loss_of_the_whole_batch(batch, devices):
    """With 4 or 8 of them, some have padding alone."""
    whole = classification_loss(*batch, None)[1]
    divided = jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), batch)
    each = jax.vmap(lambda logits, about: classification_loss(logits, about, "d")[1], axis_name="d")(*divided)
    for name, values in each.items():
        np.testing.assert_allclose(values.mean(), whole[name], rtol=1e-5)


def test_a_batch_of_padding_alone_has_no_loss(batch):
    logits, about = batch
    loss, _ = classification_loss(logits, about | {"weight": np.zeros(8, np.float32)}, None)
    assert loss == 0
