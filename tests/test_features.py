"""Feature bases against numpy's decompositions: signs, ranks, repeated strengths, derivatives."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _problems import central_difference
from _tolerances import assert_close, units
from hypothesis import given, settings
from hypothesis import strategies as st

import gsdyn as gs
from gsdyn.kernels import infinite_ntk
from gsdyn.networks import FullyConnected

SHAPES = [(6, 4), (4, 9), (5, 5), (1, 3), (3, 1)]


def data(n, m, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, m)), rng.choice([-1.0, 1.0], n)


@pytest.mark.parametrize("delta", [0.0, 1e-300, 0.3, 0.5**0.5, 1 - 1e-12])
def test_rotation_is_eq_15(delta):
    basis = gs.FeatureBasis.rotation(4.0, 2.0, delta)
    c = np.sqrt((1 - delta) * (1 + delta))
    assert_close(basis.U, [[c, -delta], [delta, c]], 2)
    assert_close(basis.s, [4, 2], 0)
    assert (basis.examples, basis.features) == (2, 2)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1e6), st.floats(0, 1e6))
def test_rotation_has_orthonormal_columns_and_any_strengths(delta, s1, s2):
    basis = gs.FeatureBasis.rotation(s1, s2, delta)
    u = np.asarray(basis.U)
    assert_close(u.T @ u, np.eye(2), 4, scale=1)
    assert_close(basis.kernel(), u @ np.diag([s1**2, s2**2]) @ u.T, 8, scale=max(s1, s2) ** 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_ntrf_basis_is_the_svd_of_the_signed_matrix(shape):
    phi, y = data(*shape)
    basis = gs.FeatureBasis.from_ntrf(phi, y)
    u, s, _ = np.linalg.svd(y[:, None] * phi, full_matrices=False)
    assert basis.U.shape == u.shape
    assert_close(basis.s, s, 50)
    u = u * np.where(u.sum(axis=0) < 0, -1, 1)
    assert_close(basis.U, u, 200, scale=1)


@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_basis_rebuilds_the_signed_kernel(shape):
    phi, y = data(*shape)
    theta = phi @ phi.T
    basis = gs.FeatureBasis.from_kernel(theta, y)
    assert basis.U.shape == (len(y), len(y))
    u, s = np.asarray(basis.U), np.asarray(basis.s)
    top = np.linalg.norm(theta, 2)
    assert_close(u @ np.diag(s * s) @ u.T, np.diag(y) @ theta @ np.diag(y), 40, scale=top)
    assert_close(basis.kernel(), np.diag(y) @ theta @ np.diag(y), 40, scale=top)
    assert_close(u.T @ u, np.eye(len(y)), 40, scale=1)
    assert np.all(np.diff(s) <= 0)
    assert np.all(u.sum(axis=0) >= 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_rounding_noise_in_the_null_space_is_exactly_zero(shape):
    n, m = shape
    phi, y = data(n, m)
    s = gs.FeatureBasis.from_kernel(phi @ phi.T, y).s
    assert np.count_nonzero(s) == min(n, m)
    s = gs.FeatureBasis.from_ntrf(np.concatenate([phi, phi], axis=0), np.concatenate([y, y])).s
    assert np.count_nonzero(s) == min(n, m)


def test_kernel_and_ntrf_agree_and_rank_keeps_the_strongest():
    phi, y = data(7, 12, seed=3)
    one, two = gs.FeatureBasis.from_ntrf(phi, y), gs.FeatureBasis.from_kernel(phi @ phi.T, y)
    assert_close(one.s, two.s, 500)
    assert_close(one.U, two.U, 5000, scale=1)
    for build, x in ((gs.FeatureBasis.from_ntrf, phi), (gs.FeatureBasis.from_kernel, phi @ phi.T)):
        full, some = build(x, y), build(x, y, rank=3)
        np.testing.assert_array_equal(some.U, full.U[:, :3])
        np.testing.assert_array_equal(some.s, full.s[:3])


def test_labels_sign_the_features_and_none_leaves_them():
    phi, y = data(5, 8, seed=4)
    theta = phi @ phi.T
    signed = gs.FeatureBasis.from_kernel(y[:, None] * theta * y[None, :], np.ones(5))
    assert_close(gs.FeatureBasis.from_kernel(theta, y).U, signed.U, 100, scale=1)
    assert_close(gs.FeatureBasis.from_kernel(theta).kernel(), theta, 100, scale=np.max(theta))
    assert_close(gs.FeatureBasis.from_ntrf(phi).kernel(), theta, 100, scale=np.max(theta))
    # integer labels mean the same
    whole = gs.FeatureBasis.from_kernel(theta, y.astype(int))
    np.testing.assert_array_equal(whole.U, gs.FeatureBasis.from_kernel(theta, y).U)


def test_repeated_strengths_are_told():
    u = np.linalg.qr(np.random.default_rng(5).standard_normal((5, 5)))[0]
    basis = gs.FeatureBasis(u, [3.0, 3.0, 2.0, 1e-9, 1e-10])
    np.testing.assert_array_equal(basis.repeated(), [True, True, False, True, True])
    assert not np.any(gs.FeatureBasis.rotation(2.0, 1.0, 0.1).repeated())
    theta = u @ np.diag([9.0, 9.0, 4.0, 1.0, 0.5]) @ u.T
    found = gs.FeatureBasis.from_kernel((theta + theta.T) / 2)
    np.testing.assert_array_equal(found.repeated(), [True, True, False, False, False])


def test_margins_and_responses_undo_each_other():
    u = np.linalg.qr(np.random.default_rng(6).standard_normal((6, 4)))[0]
    basis = gs.FeatureBasis(u, np.arange(1.0, 5))
    z = np.arange(4.0)
    assert_close(basis.margins(z), u @ z, 20, scale=3)
    assert_close(basis.responses(basis.margins(z)), z, 20, scale=3)


@pytest.mark.slow
def test_strengths_differentiate_like_eigenvalues():
    phi, y = data(4, 9, seed=7)
    theta = phi @ phi.T
    rows = jax.jacrev(lambda t: gs.FeatureBasis.from_kernel(t, y).s ** 2)(theta)
    u = y[:, None] * np.asarray(gs.FeatureBasis.from_kernel(theta, y).U)
    assert_close(rows, np.einsum("ij,kj->jik", u, u), 1e4, scale=1)


def test_jit_vmap_and_float32():
    phi, y = data(5, 8, seed=8)
    theta = phi @ phi.T
    eager = gs.FeatureBasis.from_kernel(theta, y)
    jitted = jax.jit(gs.FeatureBasis.from_kernel)(theta, y)
    assert_close(jitted.s, eager.s, 100)
    many = jax.vmap(gs.FeatureBasis.rotation, in_axes=(0, None, 0))(jnp.arange(1.0, 4), 2.0, jnp.arange(3) / 4)
    assert many.U.shape == (3, 2, 2)
    single = gs.FeatureBasis.from_kernel(theta.astype(np.float32), y)
    assert single.U.dtype == single.s.dtype == jnp.float32
    assert_close(single.s, eager.s, 500, scale=float(eager.s[0]))
    rotation = gs.FeatureBasis.rotation(*np.float32([3, 2, 0.5]))
    assert rotation.U.dtype == rotation.s.dtype == jnp.float32
    assert gs.FeatureBasis.rotation(3, 2, np.float32(0.5)).U.dtype == jnp.float32
    ntrf = gs.FeatureBasis.from_ntrf(phi.astype(np.float32), y)
    assert ntrf.U.dtype == ntrf.s.dtype == jnp.float32


def test_kernel_that_is_indefinite_by_rounding_only_is_accepted():
    phi, y = data(6, 2, seed=9)
    theta = phi @ phi.T
    shift = 2 * units(theta, 6) * np.linalg.norm(theta, 2)
    basis = gs.FeatureBasis.from_kernel(theta - shift * np.eye(6), y)
    np.testing.assert_array_equal(basis.s[2:], 0)


@pytest.mark.traced
def test_traced_indefinite_kernel_fails_when_it_runs():
    build = eqx.filter_jit(gs.FeatureBasis.from_kernel)
    assert np.isfinite(build(jnp.eye(3), jnp.ones(3)).s).all()
    with pytest.raises(eqx.EquinoxRuntimeError, match="theta must be positive semi-definite"):
        jax.block_until_ready(build(jnp.diag(jnp.array([1.0, 1.0, -0.5])), jnp.ones(3)).s)


def test_mixed_precisions_are_taken_to_the_wider():
    basis = gs.FeatureBasis(np.eye(2), np.float32([3, 2]))
    assert basis.U.dtype == basis.s.dtype == jnp.float64
    traj = gs.integrate(gs.PrimalFlow(basis, gs.CrossEntropy(), gs.WeightDecay(0.1)), np.array([0.0, 1.0]))
    assert np.isfinite(traj.z).all()
    assert gs.FeatureBasis(np.float16(np.eye(2)), np.float32([3, 2])).U.dtype == jnp.float32
    assert gs.FeatureBasis.rotation(np.float32(3), np.float64(2), 0.1).U.dtype == jnp.float64
    assert gs.FeatureBasis.from_kernel(jnp.eye(3, dtype=jnp.bfloat16)).U.dtype == jnp.float32


def noisy(size):
    """A kernel of eigenvalues 3, 1, `size/2` and `-size`."""
    u = np.linalg.qr(np.random.default_rng(11).standard_normal((4, 4)))[0]
    theta = u @ np.diag([3.0, 1.0, size / 2, -size]) @ u.T
    return (theta + theta.T) / 2


def test_eigenvalues_below_the_accuracy_of_a_kernel_are_zero():
    with pytest.warns(UserWarning, match=r"theta has an eigenvalue -1e-09 beside a largest one of 3: none up to that"):
        basis = gs.FeatureBasis.from_kernel(noisy(1e-9))
    np.testing.assert_array_equal(basis.s > 0, [True, True, False, False])
    told = gs.FeatureBasis.from_kernel(noisy(1e-5), tolerance=1e-4)
    np.testing.assert_array_equal(told.s > 0, [True, True, False, False])
    with pytest.raises(ValueError, match="eigenvalue -1e-05 beside a largest one of 3: tolerance says how accurate"):
        gs.FeatureBasis.from_kernel(noisy(1e-5))
    with pytest.raises(ValueError, match="tolerance says how accurate"):
        gs.FeatureBasis.from_kernel(noisy(1e-3), tolerance=1e-4)
    # single numbers in doubles are as accurate as single numbers
    phi = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    for theta in (phi @ phi.T, (phi @ phi.T).astype(float)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = gs.FeatureBasis.from_kernel(theta)
        assert np.count_nonzero(np.asarray(found.s) > 1e-3) == 3
    traced = jax.jit(lambda theta: gs.FeatureBasis.from_kernel(theta, tolerance=1e-4).s)(noisy(1e-5))
    np.testing.assert_allclose(traced, told.s, rtol=1e-12)


REPEATED = [[4, 4, 4, 1, 1], [3, 3, 3, 3, 3], [5, 4, 4 * (1 + 1e-10), 2, 1], [9, 4, 3, 2, 1]]
PENALTIES = [
    gs.Mixed(0.3, 0.2),
    pytest.param(gs.WeightDecay(0.3), marks=pytest.mark.slow),
    pytest.param(gs.SpectralDecoupling(0.5), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("penalty", PENALTIES)
def test_what_depends_on_the_kernel_alone_differentiates_where_strengths_repeat(penalty):
    rng = np.random.default_rng(12)
    q, y, w = np.linalg.qr(rng.standard_normal((5, 5)))[0], np.array([1.0, -1, 1, -1, 1]), rng.standard_normal(5)
    change = rng.standard_normal((5, 5))
    change, h = change + change.T, 1e-3

    def answers(t, theta):
        basis = gs.FeatureBasis.from_kernel(theta + t * change, y)
        fp = gs.fixed_point(basis, gs.CrossEntropy(), penalty)
        return jnp.stack([fp.objective, jnp.sum(w * fp.margins), jnp.sum(w * fp.alpha), w @ basis.kernel() @ w])

    kernels = np.stack([(q * np.array(s2)) @ q.T for s2 in REPEATED])
    kernels = (kernels + kernels.swapaxes(1, 2)) / 2
    values = jax.jit(jax.vmap(jax.vmap(answers, (None, 0)), (0, None)))(h * np.array([-2.0, -1, 1, 2]), kernels)
    expected = central_difference(values, h)
    reverse = jax.jit(jax.vmap(lambda theta: jax.jacrev(answers)(0.0, theta)))(kernels)
    np.testing.assert_allclose(reverse, expected, atol=1e-8)


@pytest.mark.parametrize("shape", [(5, 4), pytest.param((4, 6), marks=pytest.mark.slow)])
def test_singular_vectors_differentiate_where_strengths_repeat(shape):
    rng = np.random.default_rng(13)
    u, v = (np.linalg.qr(rng.standard_normal((size, size)))[0][:, :4] for size in shape)
    phi, change, h = (u * np.array([2.0, 2, 2, 1])) @ v.T, rng.standard_normal(shape), 1e-3
    y, w = np.resize([1.0, -1, 1], shape[0]), rng.standard_normal(shape[0])

    def answers(t):
        basis = gs.FeatureBasis.from_ntrf(phi + t * change, y)
        fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(0.3))
        return jnp.stack([fp.objective, jnp.sum(w * fp.margins), w @ basis.kernel() @ w])

    values = jax.jit(jax.vmap(answers))(h * np.array([-2.0, -1, 1, 2]))
    np.testing.assert_allclose(jax.jit(jax.jacrev(answers))(0.0), central_difference(values, h), atol=1e-8)


def test_objective_of_a_kernel_of_equals_has_its_derivative():
    def objective(t):
        theta = infinite_ntk(FullyConnected(3), t * jnp.eye(4))
        basis = gs.FeatureBasis.from_kernel(theta, jnp.array([1.0, -1, 1, -1]))
        return gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(0.1)).objective

    np.testing.assert_allclose(jax.jit(jax.grad(objective))(1.0), -1.0406320806, rtol=1e-9)
