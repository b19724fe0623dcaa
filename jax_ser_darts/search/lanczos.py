"""The dominant eigenvalue of a symmetric operator that is known by its products with vectors alone."""

from collections.abc import Callable

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]


def dominant_eigenvalue(
    product: Product, size: int, *, most: int, tolerance: float, seed: int = 0
) -> tuple[float, int]:
    """The eigenvalue of the largest magnitude, with its sign, by Lanczos iteration (Golub and Van Loan, section 10.1).

    Every new vector is orthogonalised twice against all before it, so that rounding makes no ghosts. SciPy's `eigsh`
    goes on until it converges or raises; here the number of products is bounded, as each costs a pass of the supernet.

    Args:
        product: v -> A v, `[size]` both; may be of single precision.
        size: of the operator.
        most: products at most.
        tolerance: it ends sooner where the residual of the eigenpair falls below tolerance * |eigenvalue|.
        seed: of the first vector.

    Returns:
        eigenvalue, products used.
    """
    basis = np.random.default_rng(seed).normal(size=(1, size))
    basis /= np.linalg.norm(basis)
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = np.asarray(product(basis[-1]), np.float64)
        if not np.isfinite(image).all():
            return float("nan"), len(diagonal) + 1
        diagonal.append(basis[-1] @ image)
        rest = image
        for _ in range(2):
            rest = rest - (basis @ rest) @ basis
        length = np.linalg.norm(rest)
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        k = np.abs(values).argmax()
        used = len(diagonal)
        if used >= min(most, size) or length * abs(vectors[-1, k]) <= tolerance * abs(values[k]):
            return float(values[k]), used
        beside.append(float(length))
        basis = np.concatenate([basis, rest[None] / length])
