"""The stem that projects: frames of an encoder, searched over time alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import normal, random_params

from jax_ser_darts.models.stem import PROJECT
from jax_ser_darts.models.supernet import Supernet
from jax_ser_darts.ops.backend import CUSTOM, REFERENCE

T, D, B = 9, 5, 3
LENGTHS = np.array([9, 4, 0], np.int32)
OPERATIONS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "dil_conv_5x5", "none")


def supernet(backend):
    return Supernet(
        classes=3,
        operations=OPERATIONS,
        cells=2,
        nodes=1,
        channels=4,
        stem_multiplier=2,
        reductions=frozenset({1}),
        stem=PROJECT,
        project=4,
        hidden=3,
        attention=3,
        dtype=jnp.float64,
        backend=backend,
    )


@pytest.fixture(scope="module")
def problem():
    with jax.enable_x64(True):
        features = normal(0, B, T, D)
        alphas = {kind: normal(1 + i, 2, len(OPERATIONS)) for i, kind in enumerate(("normal", "reduction"))}
        yield features, alphas, random_params(supernet(CUSTOM), features, LENGTHS, alphas, False)


def of(backend, features, alphas, params):
    def loss(params, alphas, features):
        logits = supernet(backend).apply({"params": params}, features, LENGTHS, alphas, False)
        return jnp.sum(jnp.sin(logits[:2])), logits

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(params, alphas, features)


def test_custom_kernels_are_the_reference(problem):
    found, expected = (jax.tree.leaves(of(backend, *problem)) for backend in (CUSTOM, REFERENCE))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10 * max(1, np.abs(b).max()))


def test_every_weight_counts_and_kernels_reach_along_time_alone(problem):
    _, _, params = problem
    (gradient, of_alphas), _ = of(CUSTOM, *problem)
    assert params["stem"]["project"].shape == (D, 8)
    assert params["cell_0"]["dil_conv_5x5_depthwise_0"].shape == (2, 4, 5, 1)
    assert min(np.abs(g).max() for g in jax.tree.leaves((gradient, of_alphas))) > 0
    assert (np.abs(gradient["cell_0"]["dil_conv_5x5_depthwise_0"]) > 0).all()


def test_a_permutation_of_the_values_is_one_of_the_projection(problem):
    """An encoder's values have no order: neighbours among them mean nothing."""
    features, alphas, params = problem
    order = np.array([3, 0, 4, 1, 2])
    turned = {**params, "stem": {"project": params["stem"]["project"][order]}}
    expected = of(CUSTOM, *problem)[1]
    np.testing.assert_allclose(of(CUSTOM, features[..., order], alphas, turned)[1], expected, rtol=1e-9)
