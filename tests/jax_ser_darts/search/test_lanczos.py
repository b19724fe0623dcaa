"""The dominant eigenvalue by products alone, against LAPACK's of the whole matrix."""

import numpy as np
import pytest

from jax_ser_darts.search.lanczos import dominant_eigenvalue


def symmetric(eigenvalues, seed=0):
    """A matrix with these eigenvalues."""
    n = len(eigenvalues)
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    return basis @ np.diag(eigenvalues) @ basis.T


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_largest_magnitude_with_its_sign(sign):
    matrix = sign * symmetric(np.concatenate([[4.0, -3.0], np.linspace(-2, 2, 38)]))
    value, used = dominant_eigenvalue(lambda v: matrix @ v, 40, most=40, tolerance=1e-8)
    assert value == pytest.approx(sign * 4.0, rel=1e-8)
    assert used < 40


def test_a_looser_tolerance_takes_fewer_products():
    matrix = symmetric(np.linspace(0, 1, 200) ** 2)
    runs = [dominant_eigenvalue(lambda v: matrix @ v, 200, most=100, tolerance=t) for t in (1e-1, 1e-6)]
    assert runs[0][1] < runs[1][1]
    assert runs[0][0] == pytest.approx(1, rel=0.1)


def test_no_more_products_than_allowed():
    matrix = symmetric(np.linspace(0.9, 1, 50))
    calls = []

    def product(v):
        calls.append(v)
        return matrix @ v

    value, used = dominant_eigenvalue(product, 50, most=5, tolerance=0.0)
    assert len(calls) == used == 5
    assert 0.9 < value <= 1


@pytest.mark.parametrize("matrix", [np.zeros((6, 6)), symmetric([0, 0, 0, 0, 0, 2.5]), np.full((1, 1), -3.0)])
def test_it_ends_where_there_is_no_further_direction(matrix):
    value, used = dominant_eigenvalue(lambda v: matrix @ v, len(matrix), most=20, tolerance=1e-6)
    expected = np.linalg.eigvalsh(matrix)
    assert value == pytest.approx(expected[np.abs(expected).argmax()], abs=1e-9)
    assert used <= 3


def test_products_of_single_precision_do():
    matrix = symmetric(np.linspace(-1, 3, 60)).astype(np.float32)
    value, _ = dominant_eigenvalue(lambda v: matrix @ v.astype(np.float32), 60, most=60, tolerance=1e-4)
    assert value == pytest.approx(3, rel=1e-4)


def test_a_product_that_is_not_finite_gives_nan():
    value, used = dominant_eigenvalue(lambda v: v * np.nan, 4, most=9, tolerance=0.1)
    assert np.isnan(value)
    assert used == 1
