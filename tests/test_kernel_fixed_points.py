"""Fixed points from a kernel alone, against those of its features, which share no solver with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn._numerics import psd

LOSSES = {"cross-entropy": gs.CrossEntropy(), "first order": gs.FirstOrderCrossEntropy(), "squared": gs.SquaredError()}
CE = gs.CrossEntropy()


def _kernel(n, seed=0, decay=2.0):
    """Eigenvalues that fall like those of an NTK, up to 100."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    theta = (q * (100.0 / np.arange(1, n + 1) ** decay)) @ q.T
    return (theta + theta.T) / 2, np.where(rng.random(n) < 0.5, -1.0, 1.0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("lam", [1e-3, pytest.param(1.0, marks=pytest.mark.slow)])
def test_it_is_the_fixed_point_of_the_features(name, lam):
    theta, y = _kernel(60)
    exact = gs.fixed_point(gs.FeatureBasis.from_kernel(theta, y), LOSSES[name], gs.WeightDecay(lam))
    for rtol in (1e-6, 1e-12):
        fp = gs.kernel_fixed_point(theta, y, LOSSES[name], gs.WeightDecay(lam), rtol=rtol)
        assert fp.converged
        assert fp.gap <= rtol * fp.objective
        # the objective is off by no more than the gap, alpha by no more than the bound
        assert abs(fp.objective - exact.objective) <= fp.gap + 1e-12 * exact.objective
        assert jnp.linalg.norm(fp.alpha - exact.alpha) <= fp.error_bound + exact.error_bound
        np.testing.assert_allclose(fp.margins, y * (theta @ (y * fp.alpha)) / lam, atol=2e3 * rtol**0.5 / lam)


@pytest.mark.parametrize("lam", [1e-12, 1e-6, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_decays(lam, dtype):
    theta, y = (x.astype(dtype) for x in _kernel(20))
    fp = gs.kernel_fixed_point(theta, y, CE, gs.WeightDecay(lam), rtol=1e-4)
    exact = gs.fixed_point(gs.FeatureBasis.from_kernel(theta.astype(float), y.astype(float)), CE, gs.WeightDecay(lam))
    assert fp.alpha.dtype == dtype
    assert np.isfinite([fp.gap, fp.error_bound, fp.objective]).all()
    assert jnp.linalg.norm(fp.alpha.astype(float) - exact.alpha) <= fp.error_bound.astype(float) + exact.error_bound


def test_one_example_and_no_kernel():
    one = gs.kernel_fixed_point(np.array([[4.0]]), None, CE, gs.WeightDecay(2.0), rtol=1e-14)
    np.testing.assert_allclose(one.alpha, gs.closed_forms.permutation(np.array([2.0]), 2.0, exact=True)[0], rtol=1e-7)
    none = gs.kernel_fixed_point(np.zeros((3, 3)), None, CE, gs.WeightDecay(1.0))
    np.testing.assert_allclose(none.alpha, 0.5)
    np.testing.assert_allclose(none.objective, 3 * np.log(2))


def test_a_neighbour_is_a_good_start_and_lam_may_be_traced():
    theta, y = _kernel(60)

    @jax.jit
    def solve(lam, start):
        return gs.kernel_fixed_point(theta, y, CE, gs.WeightDecay(lam), start=start)

    cold = solve(1e-3, jnp.zeros(60))
    warm = solve(1e-3, solve(1.1e-3, jnp.zeros(60)).alpha)
    assert warm.converged
    assert 2 * int(warm.iterations) <= int(cold.iterations)


@pytest.mark.slow
def test_single_precision_helps_where_it_can_and_is_left_where_it_cannot():
    # at the smaller decay a product in single precision is off by more than the residuals asked for
    theta, y = _kernel(200, decay=1.0)
    for lam, rtol in ((1e-2, 1e-12), (1e-9, 1e-10)):
        exact = gs.fixed_point(gs.FeatureBasis.from_kernel(theta, y), CE, gs.WeightDecay(lam))
        fp = gs.kernel_fixed_point(theta, y, CE, gs.WeightDecay(lam), rtol=rtol)
        assert fp.converged
        assert jnp.linalg.norm(fp.alpha - exact.alpha) <= fp.error_bound + exact.error_bound


@pytest.mark.parametrize(
    ("falls", "top", "lam", "near"), [(0.84, 4e2, 3.5e-8, 2e-2), (2.6, 1e4, 7e-7, 1e-3), (4.4, 6e5, 1e-7, 1)]
)
def test_ill_conditioned_kernels_are_left_to_double_precision(falls, top, lam, near):
    # eigenvalues over tens of decades: the gap cannot always be had, its bounds hold all the same; `near` is some three
    # times what the error comes to when the kernel moves by its rounding
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(80, 80)))[0]
    theta = (q * (top * np.exp(-falls * np.arange(80)))) @ q.T
    theta, y = (theta + theta.T) / 2, np.where(rng.random(80) < 0.5, -1.0, 1.0)
    fp = gs.kernel_fixed_point(theta, y, CE, gs.WeightDecay(lam))
    exact = gs.fixed_point(gs.FeatureBasis.from_kernel(theta, y), CE, gs.WeightDecay(lam))
    error = jnp.linalg.norm(fp.alpha - exact.alpha)
    assert error <= fp.error_bound + exact.error_bound
    assert error < near
    assert fp.converged == (fp.gap <= 1e-8 * fp.objective)


def test_it_stops_where_rounding_leaves_nothing_to_gain():
    theta, y = _kernel(60, decay=4.0)
    fp = gs.kernel_fixed_point(theta, y, CE, gs.WeightDecay(1e-9), rtol=1e-15)
    assert not fp.converged
    assert fp.gap < 1e-2 * fp.objective
    assert fp.iterations < 50


PATHS = [
    ("cross-entropy", np.logspace(1, -4, 12)),
    ("cross-entropy", [1e-6, 10.0, 1e5]),
    ("squared", [0.3]),
    pytest.param("first order", np.logspace(-4, 1, 5), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "decays"), PATHS)
def test_a_path_is_its_decays_one_by_one(name, decays):
    theta, y = _kernel(60)
    path = gs.kernel_path(theta, y, LOSSES[name], decays)
    basis = gs.FeatureBasis.from_kernel(theta, y)
    assert path.alpha.shape == path.margins.shape == (len(decays), 60)
    assert path.converged.all()
    assert (path.gap <= 1e-8 * path.objective).all()
    for i, lam in enumerate(decays):
        exact = gs.fixed_point(basis, LOSSES[name], gs.WeightDecay(lam))
        assert jnp.linalg.norm(path.alpha[i] - exact.alpha) <= path.error_bound[i] + exact.error_bound


def test_a_path_foresees_its_next_decay():
    theta, y = _kernel(60)
    decays = np.logspace(0, -4, 40)
    path = gs.kernel_path(theta, y, CE, decays)
    alone = sum(int(gs.kernel_fixed_point(theta, y, CE, gs.WeightDecay(lam)).iterations) for lam in decays[::8]) / 5
    assert 3 * path.iterations[5:].mean() < alone


@pytest.mark.parametrize("doubles", [True, False])
def test_single_precision_converges_with_or_without_doubles_in_jax(doubles):
    theta, y = (x.astype(np.float32) for x in _kernel(60))
    decays = np.float32([1, 1e-2, 1e-4])
    exact = [
        gs.fixed_point(gs.FeatureBasis.from_kernel(theta.astype(float), y), CE, gs.WeightDecay(float(lam)))
        for lam in decays
    ]
    with jax.enable_x64(doubles):

        def solve(lam, theta):
            return gs.kernel_fixed_point(theta, y, CE, gs.WeightDecay(lam))

        # under a batch, too, whose operations JAX writes anew where doubles are off
        batch = jax.jit(jax.vmap(jax.jit(solve), in_axes=(0, None)))(decays, theta)
        for i, lam in enumerate(decays):
            fp = solve(lam, theta)
            assert fp.alpha.dtype == fp.margins.dtype == fp.error_bound.dtype == jnp.float32
            assert fp.converged
            assert fp.error_bound < 1e-2
            error = np.linalg.norm(np.float64(fp.alpha) - np.asarray(exact[i].alpha))
            assert error <= float(fp.error_bound) + float(exact[i].error_bound)
            assert batch.converged[i]
            np.testing.assert_allclose(batch.alpha[i], fp.alpha, atol=2e-3)


def test_penalties_of_a_path_may_be_given_in_three_ways():
    theta, y = _kernel(60)
    decays = np.logspace(1, -4, 12)
    paths = [
        gs.kernel_path(theta, y, CE, decays),
        gs.kernel_path(theta, y, CE, lams=decays),
        gs.kernel_path(theta, y, CE, [gs.WeightDecay(lam) for lam in decays]),
        gs.kernel_path(theta, y, CE, jax.vmap(gs.WeightDecay)(decays)),
    ]
    for path in paths[1:]:
        np.testing.assert_array_equal(path.alpha, paths[0].alpha)


INDEFINITE = np.array([[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.25, 1.0]], [[1.0, np.nan], [np.nan, 1.0]]])


def test_what_is_no_kernel_carries_no_certificate():
    def solve(theta):
        return gs.kernel_fixed_point(theta, None, CE, gs.WeightDecay(1.0))

    for theta, message in zip(INDEFINITE, ("positive semi-definite, got", "symmetric", "finite"), strict=True):
        with pytest.raises(ValueError, match=f"theta must be {message}") as error:
            solve(theta)
        assert "\n" not in str(error.value)
    good = np.array([[[1.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 2.0]]])
    traced = jax.jit(jax.vmap(solve))(np.concatenate([INDEFINITE, good]))
    np.testing.assert_array_equal(traced.converged, [False, False, False, True, True])
    assert np.all(np.isinf(traced.error_bound[:3]) & np.isinf(traced.gap[:3]))
    path = jax.jit(lambda theta: gs.kernel_path(theta, None, CE, [1.0, 0.5]))(INDEFINITE[0])
    assert not path.converged.any()


def test_large_kernels_are_checked_by_lanczos(monkeypatch):
    monkeypatch.setattr(psd, "EXACT", 10)
    theta, _ = _kernel(60)
    v = np.random.default_rng(3).standard_normal(60)
    psd.slack(jnp.asarray(theta), 0.0, told=True)
    with pytest.raises(ValueError, match=r"semi-definite, got an eigenvalue -0\.\d+ beside a largest one of \d+"):
        psd.slack(jnp.asarray(theta - v[:, None] * v[None, :] / (v @ v)), 1e-3, told=True)


def test_bounds_hold_for_the_kernel_whose_negative_eigenvalues_are_zero():
    theta, y = _kernel(60)
    w, u = np.linalg.eigh(theta)
    noisy = (u * np.where(np.arange(60) < 30, -w, w)) @ u.T  # as inaccurate as its 30 lowest are large
    noisy, clipped = (noisy + noisy.T) / 2, (u * np.where(np.arange(60) < 30, 0, w)) @ u.T
    basis = gs.FeatureBasis.from_kernel((clipped + clipped.T) / 2, y)
    for lam in (10.0, 1.0):
        with pytest.raises(ValueError, match="tolerance says how accurate it is"):
            gs.kernel_fixed_point(noisy, y, CE, gs.WeightDecay(lam))
        fp = gs.kernel_fixed_point(noisy, y, CE, gs.WeightDecay(lam), tolerance=2e-3)
        exact = gs.fixed_point(basis, CE, gs.WeightDecay(lam))
        assert jnp.linalg.norm(fp.alpha - exact.alpha) <= fp.error_bound + exact.error_bound
        assert fp.error_bound < 1


BAD_PATHS = {
    "penalties must be a vector of positive numbers": {"penalties": [1.0, 0.0]},
    "lams must be strictly increasing or strictly decreasing": {"lams": [1.0, 0.1, 0.1]},
    "lams must have 1 dimensions": {"lams": 1.0},
    "lams must hold at least one decay, got none": {"lams": []},
    "penalties must be given, or lams": {},
    "penalties must be a WeightDecay": {"penalties": gs.SpectralDecoupling(1.0)},
    "each of penalties must be a WeightDecay": {"penalties": [gs.WeightDecay(1.0), gs.Mixed(1.0, 1.0)]},
}


@pytest.mark.parametrize("message", BAD_PATHS)
def test_bad_decays_are_named(message):
    theta, y = _kernel(8)
    with pytest.raises(ValueError, match=message):
        gs.kernel_path(theta, y, CE, **BAD_PATHS[message])


BAD = {
    "theta must be symmetric": lambda theta, y: {"theta": theta + np.triu(np.ones((8, 8)), 1)},
    "theta must be positive semi-definite": lambda theta, y: {"theta": theta - 60 * np.eye(8)},
    "finite": lambda theta, y: {"theta": np.where(np.eye(8) > 0, np.nan, theta)},
    "theta must be square": lambda theta, y: {"theta": theta[:5]},
    "y must be a vector of -1": lambda theta, y: {"y": y * 2},
    "y must have as many rows": lambda theta, y: {"y": y[:5]},
    "loss must be smooth": lambda theta, y: {"loss": gs.Hinge()},
    "penalty must be a WeightDecay": lambda theta, y: {"penalty": gs.SpectralDecoupling(1.0)},
    "rtol must be a number in": lambda theta, y: {"rtol": 0.0},
    "start must have as many rows": lambda theta, y: {"start": y[:5]},
    "max_iterations must be": lambda theta, y: {"max_iterations": 0},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    theta, y = _kernel(8)
    good = {"theta": theta, "y": y, "loss": CE, "penalty": gs.WeightDecay(0.1)}
    with pytest.raises(ValueError, match=message):
        gs.kernel_fixed_point(**good | BAD[message](theta, y))


def test_derivatives_are_refused():
    theta, y = _kernel(8)
    with pytest.raises(ValueError, match="differentiate fixed_point"):
        jax.grad(lambda lam: gs.kernel_fixed_point(theta, y, CE, gs.WeightDecay(lam)).objective)(0.1)


def test_a_kernel_that_is_solved_many_times_is_checked_once(monkeypatch):
    checks, slack = [], psd.slack
    monkeypatch.setattr(psd, "slack", lambda *a, **k: checks.append(1) or slack(*a, **k))
    theta = jnp.eye(3) + 0.125
    for _ in range(3):
        gs.kernel_fixed_point(theta, [1, -1, 1], gs.CrossEntropy(), gs.WeightDecay(0.5))
    assert len(checks) == 1
    gs.kernel_fixed_point(2 * theta, [1, -1, 1], gs.CrossEntropy(), gs.WeightDecay(0.5))
    assert len(checks) == 2
