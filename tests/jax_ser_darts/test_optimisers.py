"""The optimisers do what DARTS's PyTorch settings do."""

import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts import optimisers


def test_cosine_goes_from_start_to_end():
    schedule = optimisers.cosine(start=0.025, end=0.001, steps=10)
    with np.errstate(all="ignore"):
        values = [float(schedule(jnp.asarray(float(step)))) for step in range(11)]
    assert values[0] == pytest.approx(0.025)
    assert values[-1] == pytest.approx(0.001)
    assert values == sorted(values, reverse=True)


def test_sgd_is_clipping_then_decay_then_momentum():
    """w <- w - lr u,  u <- 0.9 u + (clip(g) + decay w)."""
    optimiser = optimisers.sgd(schedule=lambda _: 0.1, momentum=0.9, weight_decay=0.01, clip=1.0)
    w, u = np.array([3.0, -4.0], np.float32), np.zeros(2, np.float32)
    state = optimiser.init(jnp.asarray(w))
    ours = jnp.asarray(w)
    for g in (np.array([3.0, 4.0], np.float32), np.array([0.1, 0.2], np.float32)):
        updates, state = optimiser.update(jnp.asarray(g), state, ours)
        ours = ours + updates
        clipped = g / max(1.0, np.linalg.norm(g))
        u = 0.9 * u + clipped + 0.01 * w
        w = w - 0.1 * u
        np.testing.assert_allclose(ours, w, rtol=1e-6)


def test_the_alphas_decay_is_part_of_adams_gradient():
    """With L2 in the gradient a parameter without other gradient still moves by about the learning rate."""
    optimiser = optimisers.adam_with_l2(learning_rate=0.1, betas=(0.5, 0.999), weight_decay=1e-3)
    alphas = jnp.asarray([1.0, -2.0])
    updates, _ = optimiser.update(jnp.zeros(2), optimiser.init(alphas), alphas)
    np.testing.assert_allclose(updates, [-0.1, 0.1], rtol=1e-3)
