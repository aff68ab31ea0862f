"""Hard margins of linear models, whose kernels are singular: as many dimensions as examples, or fewer."""

import numpy as np
import pytest
from scipy.optimize import linprog

import gsdyn as gs


def signed(seed, n, d, gap):
    """Points that the first coordinate separates by `gap`, among coordinates of noise."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, 1.0, -1.0)
    return np.column_stack([y * (gap + np.abs(rng.normal(size=n))), rng.normal(size=(n, d - 1))]), y


@pytest.mark.parametrize(
    ("n", "d", "gap"), [(40, 2, 0.1), (60, 10, 1.0), (150, 20, 0.3), (30, 29, 0.01), (200, 3, 1e-3)]
)
def test_weights_are_optimal(n, d, gap):
    """The conditions of Karush, Kuhn and Tucker, which are enough: w = X^T Y beta, margins >= 1, beta >= 0, and 0 where
    a margin exceeds 1."""
    for seed in range(3):
        x, y = signed(seed, n, d, gap)
        found = gs.hard_margin(x @ x.T, y)
        beta = np.asarray(found.coefficients)
        w = x.T @ (y * beta)
        margins = y * (x @ w)
        assert bool(found.converged)
        assert (beta > 0).sum() <= d
        assert margins.min() >= 1 - 1e-9
        assert beta.min() >= 0
        assert beta @ (margins - 1) <= 1e-9 * (w @ w)


def test_copies_of_an_example_change_nothing():
    x, y = signed(5, 12, 3, 0.5)
    once, twice = (gs.hard_margin(np.tile(x, (k, 1)) @ np.tile(x, (k, 1)).T, np.tile(y, k)) for k in (1, 2))
    np.testing.assert_allclose(
        x.T @ (y * once.coefficients), np.tile(x, (2, 1)).T @ (np.tile(y, 2) * twice.coefficients)
    )


def test_what_no_line_separates_is_refused():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), np.where(np.arange(20) % 2, 1.0, -1.0)
    assert linprog(np.zeros(3), -y[:, None] * x, -np.ones(20), bounds=(None, None)).status == 2
    with pytest.raises(ValueError, match="theta must let all examples have margin 1, got one in which they cannot"):
        gs.hard_margin(x @ x.T, y)
    with pytest.raises(ValueError, match="they cannot"):
        gs.hard_margin(np.ones((2, 2)), [-1, 1])
    for theta in (np.ones((3, 3)), np.eye(3)[[0, 0, 1]][:, [0, 0, 1]], np.zeros((3, 3))):
        with pytest.raises(ValueError, match="they cannot"):
            gs.hard_margin(theta, [1, -1, 1])


def test_an_example_whose_share_is_nothing_leaves():
    """The optimum is one of the last two alone; with one of the first three beside it that one's share is 0."""
    x, y = np.array([[-1, 1], [-1, 1], [-1, 1], [0, -1], [0, -1.0]]), np.array([1.0, 1, 1, -1, -1])
    found = gs.hard_margin(x @ x.T, y)
    assert found.converged
    np.testing.assert_allclose(x.T @ (y * found.coefficients), [0, 1], atol=1e-15)


@pytest.mark.parametrize("size", [1e-300, 1e-38, 1e38, 1e300])
def test_kernels_of_every_size(size):
    found = gs.hard_margin(size * np.array([[2, 0.5], [0.5, 1]]), [1, -1])
    assert found.converged
    np.testing.assert_allclose(np.asarray(found.coefficients) * size, [6 / 7, 10 / 7], rtol=1e-14)


def test_what_is_no_kernel_is_refused():
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="theta must be positive semi-definite, got an eigenvalue -1 beside a largest"):
        gs.hard_margin(indefinite, None)
    with pytest.raises(ValueError, match="tolerance must be a number in"):
        gs.hard_margin(np.eye(2), None, tolerance=1.0)
    with pytest.raises(ValueError, match="theta must be large enough for coefficients that float64 holds, got a larg"):
        gs.hard_margin(1e-310 * np.eye(2), None)
    with pytest.raises(ValueError, match="theta must be large enough for coefficients that float32 holds, got a larg"):
        gs.hard_margin((1e-42 * np.eye(2)).astype(np.float32), None)
