"""Starvation in the whole kernel against finite differences, and against the matrix in the basis of all features."""

import numpy as np
import pytest

import gsdyn as gs
from gsdyn.diagnosis import starving

RNG = np.random.default_rng(1)
N, K, LAM = 14, 3, 0.05


@pytest.fixture(scope="module")
def problem():
    U = np.linalg.qr(RNG.normal(size=(N, N)))[0]
    s = np.sort(RNG.uniform(0.3, 5.0, N))[::-1]
    return U, s


def responses(U, s2, lam):
    """`z*` by bisection-free Newton steps on `v + K sigma(v)/lam = 0`, with nothing of gsdyn's."""
    matrix = U * s2 @ U.T / lam
    v = -np.log1p(np.diagonal(matrix))
    for _ in range(200):
        a = 1 / (1 + np.exp(-v))
        step = np.linalg.solve(np.eye(N) + matrix * (a * (1 - a)), v + matrix @ a)
        v = v - step * min(1.0, 2.0 / np.max(np.abs(step)))
    return U.T @ (matrix @ (1 / (1 + np.exp(-v)))), 1 / (1 + np.exp(-v))


def test_the_matrix_is_that_of_finite_differences_within_its_error(problem):
    U, s = problem
    z, alpha = responses(U, s**2, LAM)
    basis = gs.FeatureBasis(U[:, :K], s[:K])
    # from a rough start: the optimum is finished here
    found = starving.at_optima((U * s**2) @ U.T, basis, np.stack([alpha + 1e-4]), np.array([LAM]))
    np.testing.assert_allclose(found["response"][0], z[:K], rtol=1e-11)
    assert (np.abs(found["response"][0] - z[:K]) <= 2 * found["response_error"][0]).all()
    for i in range(K):
        h = 1e-4 * s[i] ** 2
        moved = [responses(U, s**2 + d * h * (np.arange(N) == i), LAM)[0] for d in (-2, -1, 1, 2)]
        slope = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * h)
        np.testing.assert_allclose(found["matrix"][0][:, i], slope[:K], atol=1e-9 * np.abs(slope).max())
        elastic = s[i] ** 2 * slope[:K] / z[:K]
        np.testing.assert_allclose(found["elasticity"][0][:, i], elastic, atol=1e-8 * np.abs(elastic).max())
    assert (found["error"] < 1e-10 * np.abs(found["matrix"]).max()).all()


def test_it_is_the_matrix_in_the_basis_of_all_features(problem):
    U, s = problem
    _, alpha = responses(U, s**2, LAM)
    whole = gs.FeatureBasis(U, s)
    fp = gs.fixed_point(whole, gs.CrossEntropy(), gs.WeightDecay(LAM))
    expected = np.asarray(gs.starvation_matrix(whole, fp))[:K, :K]
    basis = gs.FeatureBasis(U[:, :K], s[:K])
    found = starving.at_optima((U * s**2) @ U.T, basis, np.stack([alpha]), np.array([LAM]))
    np.testing.assert_allclose(found["matrix"][0], expected, atol=1e-12 * np.abs(expected).max())
    harm = expected * np.sign(np.asarray(fp.z)[:K])[:, None]
    assert (found["starves"][0] == ((harm < 0) & ~np.eye(K, dtype=bool))).all()


def test_no_sign_is_certain_where_nothing_starves():
    # equal strengths and margins: D is the same in all examples
    U = np.eye(4)
    basis = gs.FeatureBasis(U, np.full(4, 2.0))
    found = starving.at_optima(4.0 * np.eye(4), basis, np.full((1, 4), 0.2), np.array([0.1]))
    assert not found["starves"].any()
    off = found["matrix"][0][~np.eye(4, dtype=bool)]
    assert (np.abs(off) <= found["error"][0][~np.eye(4, dtype=bool)]).all()
