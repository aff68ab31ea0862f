"""Features of large kernels by Lanczos, and what truncating them can change: bounds against the whole problem."""

import dataclasses

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn import features
from gsdyn.data import digits
from gsdyn.kernels import infinite_ntk, ntk_product
from gsdyn.networks import FullyConnected

LOSSES = [gs.CrossEntropy(), gs.FirstOrderCrossEntropy(), gs.SquaredError()]


def kernel(rng, n, decay):
    u = np.linalg.qr(rng.standard_normal((n, n)))[0]
    s2 = 10 ** rng.uniform(-1, 3) * np.arange(1, n + 1) ** -decay
    theta = (u * s2) @ u.T
    return (theta + theta.T) / 2, rng.choice([-1.0, 1.0], n)


@pytest.fixture(scope="module")
def digits_kernel():
    x, y, digit = digits()
    return infinite_ntk(FullyConnected(3), x[:300]), y[:300], digit[:300]


def lanczos(monkeypatch):
    monkeypatch.setattr(features, "EXACT", 10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lanczos_features_are_eigenvectors(digits_kernel, monkeypatch, dtype):
    theta, y, _ = digits_kernel
    theta = theta.astype(dtype)
    whole = gs.FeatureBasis.from_kernel(theta, y)
    lanczos(monkeypatch)
    basis = gs.FeatureBasis.from_kernel(theta, y, rank=12)
    assert basis.U.shape == (300, 12)
    assert basis.U.dtype == basis.s.dtype == dtype
    eps = np.finfo(dtype).eps
    top = float(whole.s[0]) ** 2
    np.testing.assert_allclose(basis.s**2, whole.s[:12] ** 2, atol=200 * eps * top)
    signed = np.float64(y)[:, None] * np.float64(theta) * np.float64(y)[None, :]
    u, s2 = np.float64(basis.U), np.float64(basis.s) ** 2
    assert np.max(np.linalg.norm(signed @ u - u * s2[None, :], axis=0)) <= 8 * 300**0.5 * eps * top
    np.testing.assert_allclose(u.T @ u, np.eye(12), atol=100 * eps)
    assert np.all(u.sum(axis=0) >= 0)
    again = gs.FeatureBasis.from_kernel(theta, y, rank=12)
    np.testing.assert_array_equal(again.U, basis.U)


def test_lanczos_is_not_used_inside_jit(monkeypatch):
    lanczos(monkeypatch)
    theta, y = kernel(np.random.default_rng(0), 40, 1.0)
    inside = jax.jit(lambda theta: gs.FeatureBasis.from_kernel(theta, y, rank=2).s)(theta)
    np.testing.assert_allclose(inside, gs.FeatureBasis.from_kernel(theta, y, rank=2).s, rtol=1e-13)


def test_features_from_products_never_form_the_kernel():
    net = FullyConnected(2, 32)
    params, x = net.init(jax.random.key(0), 4), np.random.default_rng(1).standard_normal((60, 4))
    y = np.where(np.arange(60) % 3, 1.0, -1.0)
    whole = gs.FeatureBasis.from_ntrf(gs.kernels.ntrf(net, params, x), y)
    product = ntk_product(net, params, x)
    basis = gs.FeatureBasis.from_product(product, y, 5, examples=60)
    np.testing.assert_allclose(basis.s, whole.s[:5], rtol=1e-12)
    np.testing.assert_allclose(basis.U, whole.U[:, :5], atol=1e-9)
    with pytest.raises(ValueError, match=r"v must have shape \(60, b\), got \(60,\)"):
        product(np.ones(60))
    with pytest.raises(ValueError, match="net must have one output, got 2"):
        ntk_product(FullyConnected(1, outputs=2), FullyConnected(1, outputs=2).init(jax.random.key(0), 4), x)


def test_bad_input_of_lanczos_is_named(monkeypatch):
    def same(v):
        return v

    with pytest.raises(ValueError, match=r"rank must be in 1\.\.6, got 7"):
        gs.FeatureBasis.from_product(same, None, 7, examples=60)
    with pytest.raises(ValueError, match="y must have one label for each of 60 examples, got shape"):
        gs.FeatureBasis.from_product(same, np.ones(5), 3, examples=60)
    with pytest.raises(ValueError, match="theta must be positive semi-definite"):
        gs.FeatureBasis.from_product(lambda v: -v, None, 3, examples=60)
    with pytest.raises(ValueError, match="rank must be one whose features converge, got 3"):
        gs.FeatureBasis.from_product(lambda v: np.cos(v * 50), None, 3, examples=60)
    lanczos(monkeypatch)
    with pytest.raises(ValueError, match="theta must be positive semi-definite"):
        gs.FeatureBasis.from_kernel(-np.diag(np.arange(1.0, 41)), rank=2)


def check(whole, basis, fp, theta, y, newton):
    """The bounds at `fp`, after checking them against the whole problem; the tightness of those of z."""
    bound = gs.truncation_bound(basis, fp, theta, y, newton=newton)
    alpha = np.linalg.norm(np.asarray(whole.alpha - fp.alpha))
    z = np.abs(np.asarray(basis.U.T @ whole.margins - fp.z))
    rounding = 1e-11 * (1 + np.max(np.abs(np.asarray(whole.margins))))
    assert alpha <= bound.alpha + rounding
    assert np.all(z <= bound.z + rounding)
    return float(np.median(np.asarray(bound.z)) / (np.median(z) + rounding))


@pytest.mark.parametrize("loss", [LOSSES[0], pytest.param(LOSSES[1], marks=pytest.mark.slow), LOSSES[2]])
def test_bounds_hold_on_random_problems(loss):
    rng = np.random.default_rng(LOSSES.index(loss))
    for draw in range(24):
        theta, y = kernel(rng, 30, rng.uniform(0.3, 4))
        lam = 10 ** rng.uniform(-4, 3)
        # half of them weight decay, in the form that compiles with the others
        penalty = gs.Mixed(lam, 0.0 if draw % 2 else 10 ** rng.uniform(-4, 1))
        whole = gs.fixed_point(gs.FeatureBasis.from_kernel(theta, y), loss, penalty)
        basis = gs.FeatureBasis.from_kernel(theta, y, rank=6)
        check(whole, basis, gs.fixed_point(basis, loss, penalty), theta, y, newton=4 * (draw % 4 > 1))


def test_bounds_hold_for_wrong_features_and_unfinished_optima():
    rng = np.random.default_rng(5)
    theta, y = kernel(rng, 30, 1.0)
    loss, penalty = gs.CrossEntropy(), gs.Mixed(0.1, 0.0)
    whole = gs.fixed_point(gs.FeatureBasis.from_kernel(theta, y), loss, penalty)
    basis = gs.FeatureBasis.from_kernel(theta, y, rank=6)
    off = np.linalg.qr(np.asarray(basis.U) + 1e-3 * rng.standard_normal((30, 6)))[0]
    wrong = gs.FeatureBasis(off, basis.s * 1.01)
    check(whole, wrong, gs.fixed_point(wrong, loss, penalty), theta, y, newton=4)
    check(whole, basis, gs.fixed_point(basis, loss, penalty, max_iterations=1), theta, y, newton=0)


@pytest.mark.slow
def test_bounds_hold_for_classes(digits_kernel):
    theta, _, digit = digits_kernel
    loss, penalty = gs.Softmax(digit, 10), gs.WeightDecay(1.0)
    whole = gs.fixed_point(gs.FeatureBasis.from_kernel(theta), loss, penalty)
    basis = gs.FeatureBasis.from_kernel(theta, rank=30)
    assert check(whole, basis, gs.fixed_point(basis, loss, penalty), theta, None, newton=4) < 1.5


@pytest.mark.slow
def test_bounds_are_tight_on_the_digits(digits_kernel):
    theta, y, _ = digits_kernel
    exact = gs.FeatureBasis.from_kernel(theta, y)
    basis = gs.FeatureBasis.from_kernel(theta, y, rank=60)
    for lam, ratio in ((1e-2, 40), (1.0, 1.1), (100.0, 1.1)):
        whole = gs.fixed_point(exact, gs.CrossEntropy(), gs.WeightDecay(lam))
        fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam))
        assert check(whole, basis, fp, theta, y, newton=4) < ratio
    # and all features leave nothing but rounding
    bound = gs.truncation_bound(exact, whole, theta, y)
    assert bound.alpha < 1e-10
    assert np.max(bound.z) < 1e-10
    assert bound.residual < 1e-11


def test_what_cannot_be_bounded_is_refused():
    theta, y = kernel(np.random.default_rng(6), 30, 1.0)
    basis = gs.FeatureBasis.from_kernel(theta, y, rank=6)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.Mixed(1.0, 0.0))
    for change, message in (
        ({"penalty": gs.SpectralDecoupling(1.0)}, "fp must be under weight decay, alone or mixed, got Spectral"),
        ({"loss": gs.Hinge()}, "fp must have a smooth loss of known curvature, got Hinge"),
    ):
        with pytest.raises(ValueError, match=message):
            gs.truncation_bound(basis, dataclasses.replace(fp, **change), theta, y)
    with pytest.raises(ValueError, match=r"theta and fp must belong to 30 examples, got \(4, 4\) and \(30,\)"):
        gs.truncation_bound(basis, fp, jnp.eye(4), y)


def optimum(K, lam, lam2):
    """Margins and duals of `f = K a/lam`, `a = sigma(-f) - lam2 f`, by Newton's method in the coefficients."""
    n = K.rows
    K, lam2, beta = K / mp.mpf(float(lam)), mp.mpf(float(lam2)), mp.matrix(K.rows, 1)

    def dual(f):
        return mp.matrix([1 / (1 + mp.exp(t)) for t in f])

    def objective(beta):
        f = K * beta
        return mp.fsum(mp.log(1 + mp.exp(-t)) + lam2 * t * t / 2 for t in f) + (beta.T * f)[0] / 2

    while True:
        f = K * beta
        a = dual(f)
        r = a - lam2 * f - beta
        if mp.norm(r) < mp.mpf(10) ** -30:
            return f, a
        system = mp.eye(n) + mp.matrix(n, n)
        for i in range(n):
            for j in range(n):
                system[i, j] += (lam2 + a[i] * (1 - a[i])) * K[i, j]
        step, t, now = mp.lu_solve(system, r), mp.mpf(1), objective(beta)
        while objective(beta + t * step) > now and t > mp.mpf(2) ** -40:
            t /= 2
        beta = beta + t * step


def test_bounds_include_all_rounding():
    """Nothing is left out when all features are kept: then the whole difference is rounding, against 40 digits."""
    rng = np.random.default_rng(3)
    for draw in range(6):
        theta, y = kernel(rng, 5, rng.uniform(0.3, 4))
        lam, lam2 = 10 ** rng.uniform(-4, 3), 0.0 if draw % 2 else 10 ** rng.uniform(-4, 1)
        for dtype in (np.float64, np.float32):
            given = theta.astype(dtype)
            penalty = gs.Mixed(dtype(lam), dtype(lam2))
            with mp.workdps(40):
                signed = np.float64(given) * y[:, None] * y[None, :]
                margins, dual = optimum(mp.matrix(signed.tolist()), dtype(lam), dtype(lam2))
                basis = gs.FeatureBasis.from_kernel(given, y)
                fp = gs.fixed_point(basis, gs.CrossEntropy(), penalty)
                bound = gs.truncation_bound(basis, fp, given, y, newton=0 if draw < 3 else 4)
                assert bound.alpha.dtype == bound.z.dtype == dtype
                alpha = mp.matrix(np.float64(fp.alpha).tolist())
                z = mp.matrix(np.float64(basis.U).T.tolist()) * margins - mp.matrix(np.float64(fp.z).tolist())
                assert mp.norm(dual - alpha) <= float(bound.alpha)
                assert all(abs(z[j]) <= float(bound.z[j]) for j in range(5))


def test_precisions_may_differ_and_no_kernel_has_no_bounds():
    theta, y = kernel(np.random.default_rng(7), 5, 1.0)
    basis = gs.FeatureBasis.from_kernel(theta.astype(np.float32), y, rank=2)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.Mixed(np.float32(1), np.float32(0)))
    bound = gs.truncation_bound(basis, fp, theta, y)
    assert bound.z.dtype == jnp.float64
    assert np.isfinite(bound.z).all()
    off = theta - 2 * theta[0, 0] * np.eye(5)
    with pytest.raises(ValueError, match="theta must be positive semi-definite"):
        gs.truncation_bound(basis, fp, off, y)
    traced = jax.jit(lambda theta: gs.truncation_bound(basis, fp, theta, y))
    assert np.isfinite(traced(theta).alpha)
    assert np.isinf(traced(off).alpha)
    assert np.isinf(traced(off).z).all()
