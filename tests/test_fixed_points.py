"""Fixed points: reference values, stationarity, strong duality, certificates, derivatives, large n, float32."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from _oracles import relative
from _problems import (
    EXAMPLES,
    LABELS,
    LOSSES,
    PAIRS,
    PENALTIES,
    QUICK,
    central_difference,
    orthogonal,
    solve,
    solve_cells,
)
from _tolerances import assert_close, units

import gsdyn as gs
from gsdyn._fixed_points import certificate
from gsdyn._numerics import linear
from gsdyn._problem import Problem

TABLE = json.loads((Path(__file__).parent / "data" / "dual.json").read_text())
SD = gs.SpectralDecoupling


def rows_of(kind, features):
    return [
        [row for row in TABLE if (row["kind"], len(row["s"]), row["first_order"]) == (kind, features, f)]
        for f in (0, 1)
    ]


def check_row(row, got, i):
    alpha = [mp.mpf(x) for x in row["alpha"]]
    assert max(relative(x, e) for x, e in zip(got.alpha[i], alpha, strict=True)) < 1e-13
    assert max(relative(x, mp.mpf(e)) for x, e in zip(got.z[i], row["z"], strict=True)) < 1e-13
    exact = np.array(row["starvation"], dtype=float)
    assert np.max(np.abs(got.G[i] - exact) / np.abs(exact)) < 1e-11
    distance = mp.sqrt(mp.fsum((mp.mpf(float(x)) - e) ** 2 for x, e in zip(got.alpha[i], alpha, strict=True)))
    assert distance <= got.error_bound[i] < 1e-11


@pytest.mark.parametrize("rows", rows_of("rotation", 2), ids=["exact", "first-order"])
def test_reference_values_of_two_features(rows):
    loss = "first-order" if rows[0]["first_order"] else "cross-entropy"
    s1, s2 = np.transpose([row["s"] for row in rows])
    got = solve_cells(loss, s1, s2, *np.transpose([(row["delta"], row["lam"]) for row in rows]))
    assert np.all(got.converged)
    for i, row in enumerate(rows):
        check_row(row, got, i)


@pytest.mark.parametrize("rows", rows_of("dense", 3) + rows_of("dense", 8), ids=lambda rows: f"{len(rows[0]['s'])}")
def test_reference_values_of_dense_bases(rows):
    loss = LOSSES["first-order" if rows[0]["first_order"] else "cross-entropy"]
    penalties = [gs.WeightDecay(row["lam"]) for row in rows]
    U = np.array([row["U"] for row in rows], dtype=float)
    got = solve(U, np.array([row["s"] for row in rows]), loss, penalties, quick=True)
    assert np.all(got.converged)
    for i, row in enumerate(rows):
        check_row(row, got, i)


def random_problems(name, count=4, seed=0):
    rng = np.random.default_rng(seed)
    lams = 10 ** rng.uniform(-2, 0.5, count)
    penalties = [PENALTIES[name](lam) for lam in lams]
    return orthogonal(rng, count), 10 ** rng.uniform(-0.5, 0.7, (count, EXAMPLES)), penalties, rng


def primal(loss, penalty, U, s, z):
    """`sum l(f) + sum z^2/(2 c)`, plus the tilt, in NumPy."""
    c, tilt = np.asarray(penalty.filter(s * s)), penalty.tilt(EXAMPLES)
    f = U @ z
    value = float(loss.value(jnp.asarray(f))) + np.sum(z**2 / (2 * c.reshape(-1, *[1] * (z.ndim - 1))))
    if tilt is not None:
        value += np.sum(np.asarray(tilt.curvature) * f**2 / 2 - np.asarray(tilt.pull) * f)
    return value


def dual(loss, penalty, U, s, alpha):
    """`sum h(alpha) - p^T (1/c + U^T T U)^-1 p / 2`, `p = U^T (alpha + pull)` (P21-Eqs 7-8, 29), in NumPy."""
    c, tilt = np.asarray(penalty.filter(s * s)), penalty.tilt(EXAMPLES)
    pull, stiff = alpha, np.diag(1 / c)
    if isinstance(loss, gs.Softmax):
        pull = np.eye(loss.classes)[np.asarray(loss.labels)] - alpha
    if tilt is not None:
        pull, stiff = pull + np.asarray(tilt.pull), stiff + U.T @ np.diag(tilt.curvature) @ U
    p = U.T @ pull
    return float(loss.conjugate(jnp.asarray(alpha))) - np.sum(p * np.linalg.solve(stiff, p)) / 2


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_strong_duality(pair):
    loss = LOSSES[pair[0]]
    bases, strengths, penalties, rng = random_problems(pair[1])
    solved = solve(bases, strengths, loss, penalties, quick=True)
    assert np.all(solved.converged)
    for i, (U, s, penalty) in enumerate(zip(bases, strengths, penalties, strict=True)):
        z, alpha = solved.z[i], solved.alpha[i]
        best = primal(loss, penalty, U, s, z)
        size = np.abs(best) + np.sum(alpha) + EXAMPLES
        assert_close(solved.objective[i], best, 200, scale=size)
        assert abs(best - dual(loss, penalty, U, s, alpha)) <= units(z, 200) * size
        # the certificate is a rounding of the largest term, or of its square: nothing cancels in a smooth gap
        assert 0 <= solved.gap[i] <= units(z, 1e5) * size
        # weak duality: every other pair is further apart, on both sides of the optimum
        for _ in range(3):
            other = z + rng.standard_normal(z.shape)
            weights = rng.uniform(0, 1, alpha.shape)
            weights /= 1 if z.ndim == 1 else np.sum(weights, axis=1, keepdims=True)
            assert primal(loss, penalty, U, s, other) > best
            assert dual(loss, penalty, U, s, weights) < best


@pytest.mark.parametrize("pair", [p for p in PAIRS if "hinge" not in p.id])
def test_gap_is_primal_minus_dual_at_any_response(pair):
    loss = LOSSES[pair[0]]
    bases, strengths, penalties, rng = random_problems(pair[1], count=1)
    U, s, penalty = bases[0], strengths[0], penalties[0]
    problem = Problem.of(gs.FeatureBasis(U, s), loss, penalty)
    z = rng.standard_normal((EXAMPLES, 3) if pair[0] == "softmax" else EXAMPLES)
    gap, bound = jax.jit(certificate.bounds)(problem, z)
    apart = primal(loss, penalty, U, s, z) - dual(loss, penalty, U, s, np.asarray(loss.dual(jnp.asarray(U @ z))))
    if problem.tilt is None:
        assert float(gap) == pytest.approx(apart, rel=1e-12)
    else:
        # the tilt has a dual variable of its own, best chosen in `dual`
        assert apart < float(gap)
    best = solve(bases, strengths, loss, penalties, quick=True).alpha[0]
    assert np.linalg.norm(np.asarray(loss.dual(jnp.asarray(U @ z))) - best) <= float(bound)


@pytest.mark.parametrize("pair", [p for p in PAIRS if "hinge" not in p.id])
def test_response_and_weight_are_each_others(pair):
    loss = LOSSES[pair[0]]
    bases, strengths, penalties, _ = random_problems(pair[1])
    solved = solve(bases, strengths, loss, penalties, quick=True)
    for i, (U, s, penalty) in enumerate(zip(bases, strengths, penalties, strict=True)):
        z, f = solved.z[i], solved.margins[i]
        assert_close(f, U @ z, 32, scale=np.sum(np.abs(z)))
        a = np.asarray(loss.weight(jnp.asarray(f)))
        tilt = penalty.tilt(EXAMPLES)
        pull = a if tilt is None else a - tilt.curvature * f + tilt.pull
        c = np.asarray(penalty.filter(s * s)).reshape(-1, *[1] * (z.ndim - 1))
        assert_close(z, c * (U.T @ pull), 200, scale=np.max(c) * np.sum(np.abs(pull)))


def test_class_wise_decoupling_settles_where_the_paper_says():
    bases, strengths, _, _ = random_problems("by-class")
    lam, gamma = (0.05, 0.3), (0.4, -0.3)
    penalties = [SD.by_class(LABELS, lam, gamma)] * len(bases)
    f = solve(bases, strengths, gs.CrossEntropy(), penalties, quick=True).margins
    positive = LABELS > 0
    lam, gamma = np.where(positive, lam[1], lam[0]), np.where(positive, gamma[1], gamma[0])
    assert_close(1 / (1 + np.exp(f)), lam * (f - gamma), 100)
    # one scalar equation an example: the answer is neither the basis's nor the strengths'
    assert_close(f, np.broadcast_to(f[0], f.shape), 100)


def test_decoupling_margin_is_the_r_lambert_function():
    bases, strengths, _, _ = random_problems("decoupling")
    lams = np.array([1e-6, 0.01, 0.5, 30.0])
    f = solve(bases, strengths, gs.CrossEntropy(), [SD(lam) for lam in lams], quick=True).margins
    expected = np.asarray(gs.special.r_lambertw(1 / lams))
    assert_close(f, np.repeat(expected[:, None], EXAMPLES, axis=1), 100)
    assert_close(expected * np.exp(expected) + expected, 1 / lams, 100)


def test_mixed_penalty_satisfies_its_equation_and_its_limits():
    bases, strengths, _, _ = random_problems("mixed")
    lams = np.array([[0.1, 0.2], [1e-3, 2.0], [0.3, 0.0], [0.0, 0.3]])
    solved = solve(bases, strengths, gs.CrossEntropy(), [gs.Mixed(*lam) for lam in lams], quick=True)
    for U, s, (lam1, lam2), f in zip(bases, strengths, lams, solved.margins, strict=True):
        K = U @ np.diag(s * s) @ U.T
        residual = K @ (1 / (1 + np.exp(f)) - lam2 * f) - lam1 * f
        assert np.max(np.abs(residual)) <= units(f, 500) * np.max(s) ** 2
    decay = solve(bases[2:3], strengths[2:3], gs.CrossEntropy(), [gs.WeightDecay(0.3)], quick=True)
    assert_close(solved.z[2], decay.z[0], 100, scale=np.max(np.abs(decay.z)))
    assert_close(solved.G[2], decay.G[0], 1000, scale=np.max(np.abs(decay.G)))
    decoupled = solve(bases[3:], strengths[3:], gs.CrossEntropy(), [SD(0.3)], quick=True)
    assert_close(solved.z[3], decoupled.z[0], 100, scale=np.max(np.abs(decoupled.z)))


def test_optimum_is_the_one_scipy_finds_over_the_parameters():
    rng = np.random.default_rng(4)
    phi, y, lam = rng.standard_normal((EXAMPLES, 12)), LABELS, 0.3

    def objective(theta):
        return np.sum(np.logaddexp(0, -y * (phi @ theta))) + lam / 2 * theta @ theta

    def gradient(theta):
        a = 1 / (1 + np.exp(y * (phi @ theta)))
        return lam * theta - phi.T @ (y * a), lam * np.eye(12) + (phi.T * (a * (1 - a))) @ phi

    best = scipy.optimize.root(gradient, np.zeros(12), jac=True, tol=1e-14)
    basis = gs.FeatureBasis.from_ntrf(phi, y)
    got = solve(basis.U[None], basis.s[None], gs.CrossEntropy(), [gs.WeightDecay(lam)], quick=True)
    assert_close(got.margins[0], y * (phi @ best.x), 1e-8 / units(1.0, 1), scale=1)
    assert float(got.objective[0]) == pytest.approx(objective(best.x), rel=1e-12)


def unconverged(iterations, basis, penalty):
    fp = gs.fixed_point(basis, gs.CrossEntropy(), penalty, max_iterations=iterations)
    return fp.converged, fp.iterations, fp.gap, fp.error_bound, fp.alpha


def test_too_few_iterations_show_and_the_certificate_still_holds():
    bases, strengths, _, _ = random_problems("decay")
    basis, penalty = gs.FeatureBasis(bases[0], 30 * strengths[0]), gs.WeightDecay(1e-4)
    alpha = solve(bases[:1], 30 * strengths[:1], gs.CrossEntropy(), [penalty], quick=True).alpha[0]
    for iterations in (1, 3):
        converged, steps, gap, bound, rough = unconverged(iterations, basis, penalty)
        assert not converged
        assert steps == iterations
        assert gap > 1e-10
        assert np.linalg.norm(rough - alpha) <= bound


def test_low_rank_and_zero_strengths():
    rng = np.random.default_rng(7)
    U, s = orthogonal(rng, 1)[0], np.array([3.0, 2.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0])
    got = solve(U[None], s[None], gs.CrossEntropy(), [gs.WeightDecay(0.1)], quick=True)
    np.testing.assert_array_equal(got.z[0, 4:], 0)
    # a feature of no strength still has a slope: the first step of strength wakes it
    pull = U.T @ got.alpha[0]
    W = got.alpha[0] * (1 - got.alpha[0])
    woken = np.linalg.solve(np.eye(8) + np.diag(s**2 / 0.1) @ U.T @ np.diag(W) @ U, np.diag(pull / 0.1))
    assert_close(got.G[0], woken, 1000, scale=np.max(np.abs(woken)))
    fp = eqx.filter_jit(gs.fixed_point)(gs.FeatureBasis(U[:, :4], s[:4]), gs.CrossEntropy(), gs.WeightDecay(0.1))
    assert_close(fp.z, got.z[0, :4], 100, scale=np.max(np.abs(fp.z)))
    assert_close(fp.alpha, got.alpha[0], 100)


def test_equal_strengths_make_the_basis_irrelevant():
    bases, _, _, _ = random_problems("decay")
    got = solve(bases, np.full((4, EXAMPLES), 2.0), gs.CrossEntropy(), [gs.WeightDecay(0.1)] * 4, quick=True)
    assert_close(got.margins, np.full((4, EXAMPLES), float(gs.special.r_lambertw(40.0))), 100)
    off = got.G[:, ~np.eye(EXAMPLES, dtype=bool)]
    assert np.max(np.abs(off)) <= units(off, 1000) * np.max(np.abs(got.G))


def unpack(p):
    """A three-feature problem from eleven numbers: strengths, rotations, and lam and gamma of every example."""
    s, angles, lam, gamma = p[:3], p[3:5], jnp.exp(p[5:8]), p[8:]
    (c1, c2), (s1, s2) = jnp.cos(angles), jnp.sin(angles)
    one, zero = jnp.ones(()), jnp.zeros(())
    first = jnp.stack([jnp.stack([c1, -s1, zero]), jnp.stack([s1, c1, zero]), jnp.stack([zero, zero, one])])
    second = jnp.stack([jnp.stack([one, zero, zero]), jnp.stack([zero, c2, -s2]), jnp.stack([zero, s2, c2])])
    return gs.FeatureBasis(first @ second, s), lam, gamma


def responses(p, kind):
    basis, lam, gamma = unpack(p)
    penalty = gs.WeightDecay(lam[0]) if kind == "decay" else SD(lam, gamma)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), penalty)
    return fp.z if kind == "decay" else fp.margins


POINT = np.array([1.5, 0.8, 2.5, 0.3, -0.5, -1.5, -1.0, -2.0, 0.3, -0.2, 0.5])
OFFSETS = np.array([-2, -1, 1, 2])


@pytest.mark.parametrize("kind", ["decay", pytest.param("by-class", marks=pytest.mark.slow)])
def test_derivatives_of_first_and_second_order(kind):
    """With respect to strengths, basis, lam and gamma, against differences of values and of first derivatives."""
    h = 2e-3
    points = POINT + h * (OFFSETS[:, None, None] * np.eye(len(POINT))).reshape(-1, len(POINT))

    def some(p):
        z, pullback = jax.vjp(lambda p: responses(p, kind), p)
        return z, jax.vmap(pullback)(jnp.eye(len(z)))[0]

    z, rows = jax.jit(jax.vmap(some), compiler_options=QUICK)(np.concatenate([POINT[None], points]))
    reverse = np.asarray(rows[0])
    scale = np.max(np.abs(reverse))
    slope = central_difference(np.asarray(z[1:]).reshape(4, len(POINT), 3), h).T
    assert np.max(np.abs(reverse - slope)) <= 1e-9 * scale
    forward, second = jax.jit(jax.jacfwd(lambda p: (responses(p, kind), jax.jacrev(lambda p: responses(p, kind))(p))))(
        POINT
    )
    assert_close(forward, reverse, 1000, scale=scale)
    bend = central_difference(np.asarray(rows[1:]).reshape(4, len(POINT), 3, len(POINT)), h)
    assert np.max(np.abs(second - np.moveaxis(bend, 0, -1))) <= 1e-9 * np.max(np.abs(second))
    assert_close(second, np.swapaxes(second, 1, 2), 1000, scale=np.max(np.abs(second)))


def test_objective_changes_as_the_envelope_theorem_says():
    U, s = orthogonal(np.random.default_rng(8), 1, 3)[0], jnp.array([2.0, 1.0, 0.0])

    def value(lam, s):
        fp = gs.fixed_point(gs.FeatureBasis(U, s), gs.CrossEntropy(), gs.WeightDecay(lam))
        return fp.objective, (fp.z, fp.alpha)

    by_lam, by_s, (z, alpha) = _envelope(value, 0.2, s)
    # d/d lam = |theta|^2/2 = sum z^2/(2 s^2),  d/ds = -s (U^T alpha)^2 / lam
    assert_close(by_lam, float(np.sum(np.asarray(z)[:2] ** 2 / (2 * np.asarray(s)[:2] ** 2))), 100)
    assert_close(by_s, -np.asarray(s) * (U.T @ np.asarray(alpha)) ** 2 / 0.2, 100, scale=np.max(np.abs(by_s)))


def _envelope(value, lam, s):
    (by_lam, by_s), aux = jax.jit(jax.grad(value, (0, 1), has_aux=True))(lam, s)
    return by_lam, by_s, aux


def test_zero_strength_has_finite_derivatives_of_every_kind():
    U = orthogonal(np.random.default_rng(11), 1, 3)[0]

    def value(lam, s):
        return gs.fixed_point(gs.FeatureBasis(U, s), gs.CrossEntropy(), gs.Mixed(lam, lam)).z

    by_lam, by_s = jax.jit(jax.jacrev(value, (0, 1)))(jnp.asarray(0.2), jnp.array([2.0, 0.0, 1.0]))
    assert np.all(np.isfinite(by_lam))
    assert np.all(np.isfinite(by_s))
    # z is even in each strength
    np.testing.assert_array_equal(by_s[:, 1], 0)
    assert by_lam[1] == 0


@pytest.mark.parametrize("lam", [1e-9, 1.0])
def test_least_squares_keep_the_digits_of_what_is_left_of_the_labels(lam):
    """`(I + K/lam) alpha = 1`, and half of `1^T alpha` is the objective: not what is left of `1 - f` by rounding."""
    s, delta = np.array([30.0, 7.0]), 0.3
    U = np.array([[(1 - delta**2) ** 0.5, -delta], [delta, (1 - delta**2) ** 0.5]])
    fp = gs.fixed_point(gs.FeatureBasis(U, s), gs.SquaredError(), gs.WeightDecay(lam))
    alpha = U @ ((U.T @ np.ones(2)) / (1 + s**2 / lam))
    np.testing.assert_allclose(fp.alpha, alpha, rtol=1e-13)
    np.testing.assert_allclose(fp.objective, alpha.sum() / 2, rtol=1e-12)
    assert fp.error_bound < 1e-7


def test_one_example_is_the_r_lambert_function():
    def solve_one(s, lam):
        fp = gs.fixed_point(gs.FeatureBasis(jnp.ones((1, 1)), s[None]), gs.CrossEntropy(), gs.WeightDecay(lam))
        return fp.z[0], fp.error_bound, fp.converged

    s, lam = np.array([0.0, 1e-6, 1.0, 1e6, 1e6]), np.array([1.0, 1e6, 1.0, 1e-12, 1e6])
    (z, bound, converged), by_s = jax.jit(
        jax.vmap(lambda s, lam: (solve_one(s, lam), jax.grad(lambda s: solve_one(s, lam)[0])(s)))
    )(s, lam)
    assert np.all(converged)
    assert np.all(bound <= 1e-13)
    exact, slope = jax.vmap(jax.value_and_grad(lambda s, lam: gs.special.r_lambertw(s * s / lam)))(s, lam)
    assert_close(z, exact, 8)
    assert_close(by_s, slope, 400)


def test_float32_keeps_its_dtype_and_its_digits():
    bases, strengths, _, _ = random_problems("decay")
    lams = np.array([1e-3, 0.03, 1.0, 20.0])
    wide = solve(bases, strengths, gs.CrossEntropy(), [gs.WeightDecay(lam) for lam in lams], quick=True)
    single = [np.float32(x) for x in (bases, strengths, lams)]
    got = solve(single[0], single[1], gs.CrossEntropy(), [gs.WeightDecay(lam) for lam in single[2]], quick=True)
    assert {x.dtype for x in (got.alpha, got.z, got.margins, got.gap, got.error_bound, got.objective, got.G)} == {
        np.dtype(np.float32)
    }
    assert np.all(got.converged)
    assert_close(got.z, wide.z, 100, scale=np.max(np.abs(wide.z), axis=1, keepdims=True))
    assert_close(got.alpha, wide.alpha, 300)
    assert_close(got.G, wide.G, 300, scale=np.max(np.abs(wide.G), axis=(1, 2), keepdims=True))
    assert np.all(np.linalg.norm(got.alpha - wide.alpha, axis=1) <= got.error_bound + 1e-7)
    assert np.all(got.error_bound < 1e-3)


def test_python_and_traced_strengths_agree():
    basis = gs.FeatureBasis(orthogonal(np.random.default_rng(9), 1, 3)[0], jnp.array([2.0, 1.0, 0.5]))

    def curve(lam):
        return gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam)).z

    concrete, traced, integer = curve(2.0), jax.jit(curve)(2.0), curve(2)
    assert_close(traced, concrete, 16)
    np.testing.assert_array_equal(integer, concrete)


def slow_spectrum(n):
    """A Gaussian kernel on `n` points of five dimensions, and labels that it can learn."""
    rng = np.random.default_rng(10)
    x = rng.standard_normal((n, 5))
    y = np.where(x[:, 0] + x[:, 1] ** 2 / 2 - 0.3 + 0.3 * rng.standard_normal(n) > 0, 1.0, -1.0)
    return np.exp(-np.sum((x[:, None] - x[None]) ** 2, axis=2) / 4), y


def check_large(theta, y, lam):
    basis = gs.FeatureBasis.from_kernel(theta, y)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam))
    assert fp.converged
    assert 0 <= fp.gap <= 1e-10 * fp.objective
    alpha = np.asarray(fp.alpha)
    margins = y * (theta @ (y * alpha)) / lam
    assert_close(fp.margins, margins, 1e-10 / units(1.0, 1), scale=np.max(np.abs(margins)))
    assert_close(fp.alpha, 1 / (1 + np.exp(margins)), 1e-9 / units(1.0, 1))
    return basis, fp


@pytest.mark.slow
def test_conjugate_gradients_solve_600_examples():
    assert linear.DENSE_LIMIT < 600
    theta, y = slow_spectrum(600)
    for lam in (1.0, 1e-4):
        check_large(theta, y, lam)


def test_factors_and_conjugate_gradients_agree_on_100_examples(monkeypatch):
    theta, y = slow_spectrum(100)
    basis, dense = check_large(theta, y, 1e-3)
    monkeypatch.setattr(linear, "DENSE_LIMIT", 50)
    iterative = eqx.filter_jit(_again)(basis)
    assert iterative.converged
    assert_close(iterative.alpha, dense.alpha, 1e-10 / units(1.0, 1))
    assert_close(iterative.z, dense.z, 1e-10 / units(1.0, 1), scale=np.max(np.abs(dense.z)))


def _again(basis):
    return gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(1e-3))


@pytest.mark.parametrize("loss", [gs.CrossEntropy(), gs.SquaredError()])
def test_reverse_derivatives_of_strong_features_in_single_precision(loss):
    """One example: `alpha` falls with `log c` by `alpha f/(1 + f)`, or `alpha` where it is `1/(1 + c)`; by `c` that has
    no float."""
    c = 10.0 ** np.array([3, 15, 20, 25])
    s, lam = (v.astype(np.float32) for v in (np.sqrt(c * 1e-9), np.full(4, 1e-9)))

    def alpha(s, lam):
        return gs.fixed_point(gs.FeatureBasis(jnp.ones((1, 1), s.dtype), s[None]), loss, gs.WeightDecay(lam)).alpha[0]

    by_s, by_lam = jax.jit(jax.vmap(jax.grad(alpha, (0, 1))), compiler_options=QUICK)(s, lam)
    c = s.astype(float) ** 2 / lam.astype(float)
    f = scipy.special.lambertw(c).real
    for _ in range(20):  # of f e^f + f = c
        f = f - (np.log(f) + np.log1p(np.exp(f)) - np.log(c)) / (1 / f + 1 / (1 + np.exp(-f)))
    a = 1 / (1 + np.exp(f))
    fall = a * f * (1 - a) / (1 + f * (1 - a)) if isinstance(loss, gs.CrossEntropy) else c / (1 + c) ** 2
    assert_close(by_lam, fall / lam, 1000)
    assert_close(by_s, -2 * fall / s, 1000)
