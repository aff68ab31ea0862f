"""What is made of optima over filters of every size: coefficients, their derivatives, starvation and its errors."""

import _wide_oracles as oracles
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _problems import orthogonal
from _programs import QUICK
from _tolerances import assert_close

import gsdyn as gs

COUNT = 30


def draw(kind):
    """Strengths 1e-6..1e6, in every other problem within a factor of 30, and decays 1e-12..1e6."""
    rng = np.random.default_rng(1)
    s = 10 ** rng.uniform(-6, 6, (COUNT, 3))
    s[::2] = 10 ** rng.uniform(-6, 5, (COUNT // 2, 1)) * 10 ** rng.uniform(0, 1.5, (COUNT // 2, 3))
    s[1::5] = s[1::5, :1]
    lam = 10 ** rng.uniform(-12, 6, (COUNT, 2))
    lam[::3, 1] = 0  # weight decay alone
    lam[0], lam[1], s[0], s[1] = (1e-12, 0), (1e-12, 1e6), 1e6, 1e6
    return [x.astype(kind) for x in (orthogonal(rng, COUNT, 3), s, lam)]


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_least_squares_in_closed_form(kind):
    """`beta = U t/(lam_1 + (lam_2 + 1) s^2)`, `t = U^T 1`: nothing couples features, and derivatives do not cancel."""

    def answers(U, s, lam):
        def solved(lam):
            basis = gs.FeatureBasis(U, s)
            return basis, gs.fixed_point(basis, gs.SquaredError(), gs.Mixed(lam[0], lam[1]))

        basis, fp = solved(lam)
        beta, slope = jax.jvp(lambda x: gs.coefficients(*solved(jnp.stack([x, lam[1]]))), (lam[0],), (lam[0],))
        gap = jax.grad(lambda lam: gs.margin_gap(basis, solved(lam)[1].z, np.array([0, 1, 1])).total)(lam)
        return beta, slope, gap, gs.starvation_matrix(basis, fp), gs.starvation_error(basis, fp), fp.converged

    U, s, lam = draw(kind)
    beta, slope, gap, G, error, converged = jax.jit(jax.vmap(answers), compiler_options=QUICK)(U, s, lam)
    U, s, lam, G, error = (np.float64(x) for x in (U, s, lam, G, error))
    t, total = U.sum(axis=1), lam[:, :1] + (lam[:, 1:] + 1) * s**2

    def outward(part):
        """`U part`, and the size of its terms."""
        return np.einsum("bij,bj->bi", U, part), np.max(np.abs(part), axis=1, keepdims=True)

    for found, (expected, size) in ((beta, outward(t / total)), (slope, outward(-lam[:, :1] * t / total**2))):
        assert_close(found, expected, 64, scale=size + np.finfo(np.float32).tiny)
    assert np.isfinite(gap).all()
    exact = np.eye(3) * (lam[:, :1] * t / total**2)[:, :, None]
    assert np.all(np.abs(G - exact)[converged] <= error[converged])
    # and errors say that nothing is known exactly where the optimum is not
    np.testing.assert_array_equal(np.isfinite(error).all(axis=(1, 2)), converged)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_coefficients_of_hinge_optima_in_few_features(kind):
    """Examples on the hinge hold the features, and `U^T alpha` of many strong ones cancels: not so `z/s^2`."""
    rng = np.random.default_rng(0)
    U = np.stack([np.linalg.qr(rng.standard_normal((4, 4)))[0][:, :2] for _ in range(12)])
    s = 10 ** rng.uniform(-5, 5, (12, 1)) * 10 ** rng.uniform(0, 1, (12, 2))
    lam = 10 ** rng.uniform(-10, 3, 12)
    # the dual variables are known to ten digits here, U z = 1 no better, and that is no other basis
    U[0] = [[-0.04638549, 0.30749478], [0.87069503, -0.27522199], [0.48258819, 0.38453097], [-0.08274777, -0.82573346]]
    s[0], lam[0] = (359.68603071, 399.03240596), 3.30130184e-09
    U = np.stack([np.linalg.qr(u)[0] for u in U])
    U, s, lam = (x.astype(kind) for x in (U, s, lam))

    def answers(U, s, lam):
        basis = gs.FeatureBasis(U, s)
        fp = gs.fixed_point(basis, gs.Hinge(), gs.WeightDecay(lam))
        return gs.coefficients(basis, fp), fp.converged, gs.starvation_matrix(basis, fp)

    beta, converged, G = jax.jit(jax.vmap(answers), compiler_options=QUICK)(U, s, lam)
    assert np.all(converged)
    assert np.isfinite(G).all()
    for i in range(12):
        _, z, _ = oracles.hinge(U[i], oracles.filters(s[i], lam[i]))
        part = [x / mp.mpf(float(y)) ** 2 for x, y in zip(z, s[i], strict=True)]
        exact = np.float64(U[i]) @ np.array(part, float)
        size = float(max(abs(x) for x in part))
        assert_close(beta[i], exact, 64 if i else 1e6, scale=size)


def test_an_unfinished_optimum_has_no_certain_starvation():
    basis = gs.FeatureBasis.rotation(4.0, 2.0, 0.3)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(1e-4), max_iterations=1)
    assert not fp.converged
    error = gs.starvation_error(basis, fp)
    assert np.isinf(error).all()
    assert not gs.starves(gs.starvation_matrix(basis, fp), error).any()


@pytest.mark.parametrize("lams", [[1e12, 3e-7, 1e-12], [1e-2, 1e4, 1e9]])
def test_margins_from_a_kernel_have_digits_at_every_decay(lams):
    """Examples apart: `f (1 + e^f) = k/lam`, also where margins are so small that no loss tells them from 0."""
    k = np.array([1e-6, 0.5, 20.0])
    path = gs.kernel_path(np.diag(k), None, gs.CrossEntropy(), lams)
    with mp.workdps(40):
        exact = [[_root(mp.mpf(x) / mp.mpf(lam)) for x in k] for lam in lams]
    exact = np.array(exact, float)
    assert np.all(path.converged)
    np.testing.assert_allclose(path.margins, exact, rtol=1e-3)
    np.testing.assert_allclose(path.coefficients, exact / k, rtol=1e-3)


def _root(c):
    f = mp.log1p(c) if c > 1 else c / 2
    for _ in range(100):
        f -= (f * (1 + mp.exp(f)) - c) / (1 + mp.exp(f) * (1 + f))
    assert abs(f * (1 + mp.exp(f)) - c) < mp.mpf(10) ** -30 * c
    return f
