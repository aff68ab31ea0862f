"""The hinge loss (P21 Table 4): its box QP against SciPy, its certificate, its active set's derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.optimize
from _problems import EXAMPLES, LABELS, LOSSES, PENALTIES, central_difference, orthogonal, solve
from _programs import QUICK
from _tolerances import assert_close, units

import gsdyn as gs
from gsdyn._fixed_points import sides

HINGE = LOSSES["hinge"]


def problems(count, seed=0):
    rng = np.random.default_rng(seed)
    return orthogonal(rng, count), 10 ** rng.uniform(-1, 1, (count, EXAMPLES))


def box_qp(U, c):
    """`max 1^T a - a^T U c U^T a / 2` on [0, 1]: least squares `|A a - b|` with `A = c^(1/2) U^T`, `A^T b = 1`."""
    A = np.sqrt(c)[:, None] * U.T
    b = np.linalg.lstsq(A.T, np.ones(len(U)), rcond=None)[0]
    return scipy.optimize.lsq_linear(A, b, bounds=(0, 1), method="bvls", tol=1e-15, max_iter=500).x


LAMS = np.array([1e-4, 1e-2, 0.1, 1.0, 10.0, 1e3])


@pytest.mark.parametrize("name", ["decay", "decoupling"])
def test_dual_variables_solve_the_box_qp(name):
    U, s = problems(len(LAMS))
    got = solve(U, s, HINGE, [PENALTIES[name](lam) for lam in LAMS], quick=True)
    assert np.all(got.converged)
    for i, lam in enumerate(LAMS):
        c = s[i] ** 2 / lam if name == "decay" else np.full(EXAMPLES, 1 / lam)
        expected = box_qp(U[i], c)
        assert_close(got.alpha[i], expected, 1e-9 / units(1.0, 1), scale=1)
        assert_close(got.z[i], c * (U[i].T @ got.alpha[i]), 100, scale=np.max(c))
        assert np.linalg.norm(got.alpha[i] - expected) <= got.error_bound[i] + 1e-9
    # all kinds of examples occur: at each end of the box and inside
    assert np.any(got.alpha == 0) or name == "decoupling"
    assert np.any(got.alpha == 1)
    assert np.any((got.alpha > 0) & (got.alpha < 1))


def test_class_wise_targets_satisfy_kkt():
    U, s = problems(len(LAMS), seed=1)
    lam, gamma = (0.3, 0.9), (0.4, -0.3)
    penalty = gs.SpectralDecoupling.by_class(LABELS, lam, gamma)
    got = solve(U, s, HINGE, [penalty] * len(LAMS), quick=True)
    lam, gamma = np.where(LABELS > 0, lam[1], lam[0]), np.where(LABELS > 0, gamma[1], gamma[0])
    # every example for itself: a = lam (f - gamma) clipped to the box
    f = got.margins
    assert_close(got.alpha, lam * (f - gamma), 500, scale=1)
    assert np.all((got.alpha <= 1e-14) | (f <= 1 + 1e-12))
    assert np.all((got.alpha >= 1 - 1e-14) | (f >= 1 - 1e-12))


def test_margins_and_weights_are_complementary():
    U, s = problems(len(LAMS), seed=2)
    got = solve(U, s, HINGE, [gs.WeightDecay(lam) for lam in LAMS], quick=True)
    size = np.max(np.abs(got.z), axis=1, keepdims=True)
    noise = units(size, 1e4) * (1 + size)
    assert np.all((got.alpha == 0) | (got.margins <= 1 + noise))
    assert np.all((got.alpha == 1) | (got.margins >= 1 - noise))


@pytest.mark.parametrize("lam", [1e-3, 0.3])
def test_matrix_is_the_derivative_on_the_active_set(lam):
    rng = np.random.default_rng(3)
    U, s = orthogonal(rng, 1)[0], 10 ** rng.uniform(-0.5, 0.5, EXAMPLES)
    h = 1e-3 * s**2
    moved = [np.sqrt(s**2 + k * np.diag(h)[i]) for k in (0, -2, -1, 1, 2) for i in range(EXAMPLES)]
    got = solve(
        np.repeat(U[None], len(moved), 0), np.stack(moved), HINGE, [gs.WeightDecay(lam)] * len(moved), quick=True
    )
    sides = np.sign(got.alpha - 0.5) * ((got.alpha == 0) | (got.alpha == 1))
    assert np.all(sides == sides[0]), "an example changes sides: the differences cross a kink"
    slope = central_difference(got.z[EXAMPLES:].reshape(4, EXAMPLES, EXAMPLES), h[:, None]).T
    assert np.max(np.abs(got.G[0] - slope)) <= 1e-9 * np.max(np.abs(slope)) + 1e-11


def test_matrix_is_the_closed_form_of_the_active_set():
    U, s = problems(4, seed=4)
    lam = 0.05
    got = solve(U, s, HINGE, [gs.WeightDecay(lam)] * 4, quick=True)
    for i in range(4):
        inside = (got.alpha[i] > 0) & (got.alpha[i] < 1)
        assert np.any(inside)
        Q, p = U[i] @ np.diag(s[i] ** 2 / lam) @ U[i].T, U[i].T @ got.alpha[i]
        # Q_II da_I = -(dQ a)_I,  dz = dc U^T a + c U^T da,  dQ = u_j u_j^T / lam
        expected = np.diag(p / lam)
        for j in range(EXAMPLES):
            da = np.zeros(EXAMPLES)
            da[inside] = np.linalg.solve(Q[np.ix_(inside, inside)], -(U[i][:, j] * p[j] / lam)[inside])
            expected[:, j] += s[i] ** 2 / lam * (U[i].T @ da)
        assert_close(got.G[i], expected, 1e-9 / units(1.0, 1), scale=np.max(np.abs(expected)))


def test_extremes():
    U, s = problems(6, seed=5)
    s[0], s[1, 4:], s[2] = 2.0, 0.0, 10 ** np.linspace(-6, 6, EXAMPLES)
    lams = np.array([0.1, 0.1, 1.0, 1e-12, 1e6, 1e-3])
    got = solve(U, s, HINGE, [gs.WeightDecay(lam) for lam in lams], quick=True)
    assert all(np.all(np.isfinite(x)) for x in got)
    assert np.all((got.alpha >= 0) & (got.alpha <= 1))
    # equal strengths: every example alone, clipped
    assert_close(got.alpha[0], np.full(EXAMPLES, min(1.0, 0.1 / 4)), 100)
    # strong decay: nothing is learnt, every example pulls with all its weight
    np.testing.assert_array_equal(got.alpha[4], 1)
    np.testing.assert_array_equal(got.z[1, 4:], 0)
    assert np.all(got.gap >= 0)


def test_one_example():
    def alone(s, lam):
        fp = gs.fixed_point(gs.FeatureBasis(jnp.ones((1, 1)), s[None]), gs.Hinge(), gs.WeightDecay(lam))
        return fp.alpha[0], fp.z[0]

    s, lam = np.array([0.0, 1.0, 2.0, 1e3]), np.array([1.0, 2.0, 1.0, 1.0])
    alpha, z = jax.jit(jax.vmap(alone))(s, lam)
    expected = np.minimum(1, lam / np.maximum(s, 1e-9) ** 2)
    assert_close(alpha, expected, 8)
    assert_close(z, s**2 / lam * expected, 8)


def test_too_few_steps_show_and_the_gap_still_holds():
    U, s = problems(4, seed=6)
    lam = 1e-3

    def hurried(U, s):
        fp = gs.fixed_point(gs.FeatureBasis(U, s), HINGE, gs.WeightDecay(lam), max_iterations=1)
        return fp.alpha, fp.gap, fp.error_bound, fp.converged

    alpha, gap, bound, converged = jax.jit(jax.vmap(hurried))(U, 30.0 * s)
    assert not np.all(converged)
    for i in range(4):
        Q = U[i] @ np.diag((30 * s[i]) ** 2 / lam) @ U[i].T
        a, best = np.asarray(alpha[i]), box_qp(U[i], (30 * s[i]) ** 2 / lam)
        short = np.sum(best) - best @ Q @ best / 2 - (np.sum(a) - a @ Q @ a / 2)
        assert short <= gap[i]
        assert np.linalg.norm(a - best) <= bound[i] + 1e-12


def test_more_examples_than_features():
    rng = np.random.default_rng(7)
    U, s, lam = np.linalg.qr(rng.standard_normal((12, 3)))[0], np.array([3.0, 2.0, 1.0]), 0.5
    fp = eqx.filter_jit(gs.fixed_point)(gs.FeatureBasis(U, s), HINGE, gs.WeightDecay(lam))
    assert fp.converged
    a = np.asarray(fp.alpha)

    def primal(z):
        return np.sum(np.maximum(0, 1 - U @ z)) + lam * np.sum(z**2 / s**2) / 2

    z = s**2 / lam * (U.T @ a)
    assert_close(fp.z, z, 100, scale=np.max(np.abs(z)))
    value = np.sum(a) - np.sum(s**2 / lam * (U.T @ a) ** 2) / 2
    assert primal(np.asarray(fp.z)) - value <= fp.gap + units(1.0, 1e3)
    assert primal(np.asarray(fp.z)) - value < 1e-9


def test_float32():
    U, s = problems(len(LAMS))
    wide = solve(U, s, HINGE, [gs.WeightDecay(lam) for lam in LAMS], quick=True)
    single = solve(np.float32(U), np.float32(s), HINGE, [gs.WeightDecay(lam) for lam in np.float32(LAMS)], quick=True)
    assert {x.dtype for x in (single.alpha, single.z, single.G, single.gap)} == {np.dtype(np.float32)}
    moderate = LAMS >= 1e-2
    assert np.all(single.converged)
    assert_close(single.alpha[moderate], wide.alpha[moderate], 5e-3 / units(np.float32(1), 1), scale=1)


def test_reverse_derivatives_in_the_strengths_alone():
    U, s = (x[0] for x in problems(1))
    h, weights = 1e-4, np.arange(1.0, EXAMPLES + 1)

    def total(s):
        return gs.fixed_point(gs.FeatureBasis(U, s), HINGE, gs.WeightDecay(0.5)).z @ weights

    moved = s + h * np.array([0.0, -2.0, -1.0, 1.0, 2.0])[:, None, None] * np.eye(EXAMPLES)
    values, slopes = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(total))))(moved)
    expected = central_difference(values[1:], h)
    assert_close(slopes[0, 0], expected, 1e-9 / units(1.0, 1), scale=np.max(np.abs(expected)))


def test_ordinary_problems_of_a_batch_need_no_whole_systems():
    U, s = problems(40)
    lam = np.resize(10.0 ** np.arange(-3.0, 2.0), 40)
    found = jax.jit(lambda U, c: sides.optima(U, c, HINGE, 200), compiler_options=QUICK)(U, s**2 / lam[:, None])
    assert np.mean(found.strict) > 0.9
    for i in np.flatnonzero(found.strict)[::4]:
        expected = box_qp(U[i], s[i] ** 2 / lam[i])
        assert np.max(np.abs(found.alpha[i] - expected)) <= np.max(found.alpha_error[i]) + 1e-9


def test_a_batch_is_solved_as_each_alone():
    U, s = problems(4, seed=8)
    s[1, 2:], s[2], s[3] = 0.0, 10 ** np.linspace(-6, 6, EXAMPLES), 1.0  # singular, of every size, and all tied

    def alone(problem):
        U, s = problem
        basis = gs.FeatureBasis(U, s)
        fp = gs.fixed_point(basis, HINGE, gs.WeightDecay(1.0))
        return fp.alpha, fp.z, fp.error_bound, fp.converged, gs.starvation_matrix(basis, fp)

    batch = jax.jit(jax.vmap(alone), compiler_options=QUICK)((U, s))
    each = jax.jit(lambda problems: jax.lax.map(alone, problems), compiler_options=QUICK)((U, s))
    assert np.all(batch[3])
    assert np.all(each[3])
    assert np.all(np.linalg.norm(batch[0] - each[0], axis=1) <= batch[2] + each[2])
    for i in range(4):
        assert_close(batch[1][i], each[1][i], 1e3, scale=np.max(np.abs(each[1][i])))
        assert_close(batch[4][i], each[4][i], 1e3, scale=np.max(np.abs(each[4][i])))


def exact_starvation(U, s, lam, alpha):
    """The derivative on the support of `alpha` with 50 digits: `U_S dz = 0`, `dz = c U^T da + source`."""
    n, lam = len(s), mp.mpf(float(lam))
    U, c = mp.matrix(U.tolist()), [mp.mpf(float(x)) ** 2 / lam for x in s]
    K = U * mp.diag(c) * U.T
    inside, above = (np.flatnonzero(which).tolist() for which in ((alpha > 0) & (alpha < 1), alpha == 1))
    A = mp.matrix([[K[i, j] for j in inside] for i in inside])
    a = mp.matrix(n, 1)
    right = mp.matrix([1 - mp.fsum(K[i, j] for j in above) for i in inside])
    for i, value in zip([*inside, *above], [*mp.lu_solve(A, right), *[1] * len(above)], strict=True):
        a[i] = value
    source = U.T * a / lam
    columns = [mp.lu_solve(A, mp.matrix([-U[i, t] * source[t] for i in inside])) for t in range(n)]
    return [
        [(source[t] if j == t else 0) + c[j] * mp.fsum(U[i, j] * columns[t][r] for r, i in enumerate(inside))
         for t in range(n)] for j in range(n)
    ]  # fmt: skip


def test_errors_of_the_starvation_matrix_hold_where_strengths_are_far_apart():
    n, count = 13, 12
    rng = np.random.default_rng(13)
    U = np.stack([np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(count)])
    s, lam = 10 ** rng.uniform(-3, 1, (count, n)), 10 ** rng.uniform(-3, 0, count)

    def answer(U, s, lam):
        basis = gs.FeatureBasis(U, s)
        fp = gs.fixed_point(basis, HINGE, gs.WeightDecay(lam))
        return fp.alpha, fp.converged, gs.starvation_matrix(basis, fp), gs.starvation_error(basis, fp)

    alpha, converged, G, error = map(np.asarray, jax.jit(jax.vmap(answer), compiler_options=QUICK)(U, s, lam))
    assert converged.all()
    assert np.median(error / np.abs(G)) < 1e-11
    with mp.workdps(50):
        for i in range(count):
            exact = exact_starvation(U[i], s[i], lam[i], alpha[i])
            off = [[abs(float(mp.mpf(float(G[i, j, t])) - exact[j][t])) for t in range(n)] for j in range(n)]
            assert np.all(np.array(off) <= error[i])
