"""Baselines of pooled frames: mean and maximum of the valid ones, whatever lies on the padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts.models import baselines
from jax_ser_darts.models.pooled import pooled

LENGTHS = np.array([5, 2, 0], np.int32)
FRAMES = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)


def test_mean_and_maximum_are_of_the_valid_frames():
    expected = [
        np.concatenate([frames[:count].mean(0), frames[:count].max(0)]) if count else np.zeros(8)
        for frames, count in zip(FRAMES, LENGTHS, strict=True)
    ]
    np.testing.assert_allclose(pooled(FRAMES, LENGTHS), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_padding_changes_nothing(name):
    model = baselines.make(name, classes=3, dropout=0.0, momentum=0.9)
    variables = model.init(jax.random.key(0), FRAMES, LENGTHS, train=False)
    spoilt = np.where((np.arange(5) >= LENGTHS[:, None])[..., None], np.float32(np.nan), FRAMES)
    found, auxiliary = model.apply(variables, spoilt, LENGTHS, train=False)
    assert auxiliary is None
    np.testing.assert_array_equal(found, model.apply(variables, FRAMES, LENGTHS, train=False)[0])
    assert jnp.isfinite(found).all()


def test_the_probe_is_linear_and_the_mlp_has_the_width_that_is_asked_for():
    shapes = jax.ShapeDtypeStruct(FRAMES.shape, jnp.float32), jax.ShapeDtypeStruct((3,), jnp.int32)
    size = lambda name, **sizes: baselines.parameters(
        baselines.make(name, classes=3, dropout=0.0, momentum=0.9, **sizes), *shapes
    )
    assert size("linear") == 8 * 3 + 3
    assert size("mlp", width=10) == 8 * 10 + 10 + 10 * 3 + 3
    assert baselines.can_be_matched("mlp")
    assert not baselines.can_be_matched("linear")
