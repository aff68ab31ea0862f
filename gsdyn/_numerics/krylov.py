"""The largest eigenvalues of a symmetric positive semi-definite matrix known by its products only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]
"""From a block of vectors, shape (n, b), to the matrix times them."""


def tolerance(n: int, dtype: np.dtype) -> float:
    """Residual norms that count as rounding, relative to the largest eigenvalue."""
    return 8 * n**0.5 * float(np.finfo(dtype).eps)


def leading(product: Product, n: int, rank: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The `rank` largest eigenvalues, descending, and their eigenvectors, by ARPACK's restarted Lanczos method.

    Raises `ValueError` where not every residual norm `|K u - s^2 u|` ends within `tolerance` of the largest
    eigenvalue. Reference: Lehoucq, Sorensen and Yang, ARPACK users' guide (1998).
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    operator: Any = LinearOperator  # its __new__ hides the arguments from type checkers
    operator = operator((n, n), matvec=lambda v: product(v.reshape(n, 1))[:, 0], dtype=dtype)
    start = np.random.default_rng(0).standard_normal(n).astype(dtype)
    try:
        values, vectors = eigsh(operator, rank, which="LA", v0=start, tol=0)
    except ArpackError as error:
        raise ValueError(f"rank must be one whose features converge, got {rank}: {error}") from None
    values, vectors = values[::-1], np.ascontiguousarray(vectors[:, ::-1])
    residuals = np.linalg.norm(product(vectors) - vectors * values[None, :], axis=0)
    allowed = tolerance(n, dtype) * float(np.max(np.abs(values)))
    if not np.max(residuals) <= allowed:
        raise ValueError(f"rank must be one whose features converge, got {rank}: a residual of {np.max(residuals):.1e}")
    return values, vectors
