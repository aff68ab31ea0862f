"""Hinge, softmax and squared error over filters of every size, against 80-digit arithmetic: right, or not converged."""

import _wide_oracles as oracles
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _problems import orthogonal
from _programs import FULL, QUICK
from _tolerances import assert_close

import gsdyn as gs

R = np.array([[0.8, -0.6], [0.6, 0.8]])
PLANE = np.stack([np.ones(3) / np.sqrt(3), np.array([1, -1, 0]) / np.sqrt(2)], axis=1)
COUNT = 40


def draw(n, k, seed):
    """Strengths 1e-6..1e6 and decays 1e-12..1e6; in every other problem strengths within a factor of 30."""
    rng = np.random.default_rng(seed)
    s = 10 ** rng.uniform(-6, 6, (COUNT, k))
    near = 10 ** rng.uniform(-6, 5, (COUNT, 1)) * 10 ** rng.uniform(0, 1.5, (COUNT, k))
    s[::2] = near[::2]
    return orthogonal(rng, COUNT, n)[:, :, :k], s, 10 ** rng.uniform(-12, 6, COUNT)


def hinge(U, s, lam):
    fp = gs.fixed_point(gs.FeatureBasis(U, s), gs.Hinge(), gs.WeightDecay(lam))
    return fp.alpha, fp.z, fp.margins, fp.error_bound, fp.converged, fp.objective


def distance(got, exact):
    with mp.workdps(oracles.DIGITS):
        return float(mp.sqrt(mp.fsum((mp.mpf(float(x)) - e) ** 2 for x, e in zip(np.ravel(got), exact, strict=True))))


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 2), (5, 5), (6, 1), (6, 4)])
def test_hinge_has_ten_digits_and_a_bound_that_holds(n, k):
    U, s, lam = draw(n, k, 10 * n + k)
    alpha, z, _, bound, converged, objective = jax.jit(jax.vmap(hinge), compiler_options=QUICK)(U, s, lam)
    assert np.mean(converged) > 0.97
    for i in range(COUNT):
        c = oracles.filters(s[i], lam[i])
        a, best, f = oracles.hinge(U[i], c)
        assert distance(alpha[i], a) <= bound[i]
        if converged[i]:
            largest, pull = float(max(abs(x) for x in best)), float(max(a))
            assert np.max(np.abs(z[i] - oracles.floats(best)[:, 0])) <= 1e-10 * largest
            assert distance(alpha[i], a) <= 1e-10 * pull
            with mp.workdps(oracles.DIGITS):
                value = sum(max(0, 1 - x) for x in f) + sum(x * x / y for x, y in zip(best, c, strict=True)) / 2
            assert float(objective[i]) == pytest.approx(float(value), rel=1e-10)


def test_hinge_in_single_precision_keeps_its_bound():
    U, s, lam = (np.float32(x) for x in draw(5, 5, 7))
    alpha, _, _, bound, converged, _ = jax.jit(jax.vmap(hinge), compiler_options=QUICK)(U, s, lam)
    assert np.mean(converged) > 0.9
    for i in range(COUNT):
        assert distance(alpha[i], oracles.hinge(U[i], oracles.filters(s[i], lam[i]))[0]) <= bound[i]


def by_class(U, s, lam, gamma, loss):
    fp = gs.fixed_point(gs.FeatureBasis(U, s), loss, gs.SpectralDecoupling(lam, gamma))
    return fp.alpha, fp.margins, fp.error_bound, fp.converged


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_decoupling_by_class_with_strengths_far_apart(kind):
    lam, gamma = kind([1e6, 1e-12]), kind([0.85, 0.002])
    solve = jax.jit(by_class, compiler_options=QUICK)
    alpha, margins, bound, converged = solve(kind(R), kind([1.8, 0.07]), lam, gamma, gs.Hinge())
    assert converged
    assert bound < 1e-9
    # every example for itself: a = lam (f - gamma) on the hinge or clipped to [0, 1]
    assert_close(margins, [0.85 + 1e-6, 1.0], 16)
    assert_close(alpha, [1.0, 1e-12 * (1 - 0.002)], 16)
    alpha, margins, bound, converged = solve(kind(R), kind([3, 0.7]), lam, kind([16, 56]), gs.CrossEntropy())
    assert converged
    assert_close(margins, [16 + 1.1253516e-13, 56 + 4.780893e-13], 16)
    assert bound <= 1


def test_decoupling_by_class_in_fewer_features():
    """Two features of three examples bind margins together that lie as far apart as their strengths."""
    lam, gamma = np.array([1e3, 1e-4, 1.0]), np.array([0.5, 0.2, 3.0])
    alpha, margins, bound, converged = by_class(PLANE, np.array([2.0, 1.0]), lam, gamma, gs.Hinge())
    c = [1 / oracles._number(lam.min())] * 2
    a, _, f = oracles.hinge(PLANE, c, lam - lam.min(), lam * gamma)
    assert converged
    assert distance(alpha, a) <= bound
    assert_close(margins, oracles.floats(f)[:, 0], 1e4, scale=np.max(np.abs(margins)))


def softmax(U, s, lam, labels):
    basis, loss = gs.FeatureBasis(U, s), gs.Softmax(labels, 3)
    fp = gs.fixed_point(basis, loss, gs.WeightDecay(lam))
    return fp.alpha, fp.z, fp.margins, fp.error_bound, fp.converged, gs.starvation_matrix(basis, fp)


HARD = [([1e5, 1e-4], 1e-12), ([1e4, 1e-3], 1e-9), ([1e6, 1e-6], 1e-12), ([1e6, 1e6], 1e-12), ([1.0, 0.3], 0.1)]
HARD += [([10.0 ** (3 * i - 6), 10.0 ** (6 - 2 * i)], 10.0 ** (6 - 4 * i)) for i in range(5)]


def test_softmax_of_conflicting_labels():
    s, lam = np.array([x for x, _ in HARD]), np.array([x for _, x in HARD])
    labels = np.array([0, 1, 0])
    solve = jax.jit(jax.vmap(softmax, in_axes=(None, 0, 0, None)), compiler_options=FULL)
    alpha, z, margins, bound, converged, matrix = solve(PLANE, s, lam, labels)
    np.testing.assert_allclose(margins[0, 0], [24.46, 4.59, -29.05], atol=0.01)
    assert np.all(converged[:2])
    for i in np.flatnonzero(converged):
        c = oracles.filters(s[i], lam[i])
        p, best = oracles.softmax(PLANE, c, labels, 3, margins[i])
        size = np.max(np.abs(oracles.floats(best)))
        assert np.max(np.abs(z[i] - oracles.floats(best))) <= 1e-10 * size
        assert distance(alpha[i], list(p)) <= bound[i]
        for j in range(2):
            with mp.workdps(oracles.DIGITS):
                step = c[j] * mp.mpf(10) ** -20
                moved = [x + step * (k == j) for k, x in enumerate(c)]
                after = oracles.softmax(PLANE, moved, labels, 3, margins[i])[1]
                slope = oracles.floats((after - best) / step / oracles._number(lam[i]))
            assert np.max(np.abs(matrix[i, :, :, j] - slope)) <= 1e-9 * np.max(np.abs(slope))


@pytest.mark.parametrize("s", [[764700.0, 764700.0], [4.5, 4.5], [1e3, 1e-3]])
def test_squared_error_of_two_features_in_single_precision(s):
    lam = np.float32(1e-12 if s[0] > 10 else 1e-18)
    fp = gs.fixed_point(gs.FeatureBasis(np.float32(R), np.float32(s)), gs.SquaredError(), gs.WeightDecay(lam))
    # every margin is 1 to rounding
    assert_close(fp.z, R.T @ np.ones(2), 16, scale=1.4)
    assert not fp.converged or fp.error_bound <= 1
    assert np.linalg.norm(fp.alpha) <= fp.error_bound + 1e-6


def test_nothing_converges_on_an_empty_bound():
    s, lam = draw(3, 3, 3)[1:]
    U = orthogonal(np.random.default_rng(4), COUNT, 3)

    def solve(U, s, lam, loss):
        fp = gs.fixed_point(gs.FeatureBasis(U, s), loss, gs.WeightDecay(lam))
        return fp.error_bound, fp.converged

    bound, converged = jax.jit(jax.vmap(solve, in_axes=(0, 0, 0, None)), compiler_options=QUICK)(
        *(np.float32(x) for x in (U, s, lam)), gs.SquaredError()
    )
    assert np.any(bound > 1)
    assert not np.any(converged & (bound > 1))


def gap_and_parts(U, s, lam, loss, penalty):
    fp = gs.fixed_point(gs.FeatureBasis(U, s), loss, penalty(lam))
    return fp.gap, fp.alpha, fp.z, fp.converged


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "n"), [("decoupling", 5), ("decay", 2)])
def test_gap_bounds_the_true_gap_of_what_is_returned(kind, name, n):
    """Primal at `z` minus dual at `alpha`, in 80 digits, of the numbers as they are."""
    rng = np.random.default_rng(5)
    U, s = kind(orthogonal(rng, COUNT, n)), kind(10 ** rng.uniform(-1, 2, (COUNT, n)))
    lam = kind(np.where(np.arange(COUNT) % 2, 1e6, 10 ** rng.uniform(-3, 3, COUNT)))
    penalty = gs.WeightDecay if name == "decay" else gs.SpectralDecoupling
    for loss in (gs.CrossEntropy(), gs.FirstOrderCrossEntropy()):
        run = jax.jit(jax.vmap(lambda U, s, lam: gap_and_parts(U, s, lam, loss, penalty)), compiler_options=QUICK)  # noqa: B023
        gap, alpha, z, converged = run(U, s, lam)
        assert np.mean(converged) > 0.9
        for i in range(20):
            c = oracles.filters(s[i], lam[i]) if name == "decay" else [1 / oracles._number(lam[i])] * n
            assert true_gap(U[i], c, alpha[i], z[i], isinstance(loss, gs.CrossEntropy)) <= gap[i]


def true_gap(U, c, alpha, z, exact):
    with mp.workdps(oracles.DIGITS):
        V, a = mp.matrix(np.asarray(U, float).tolist()), [oracles._number(x) for x in alpha]
        z = mp.matrix([oracles._number(x) for x in z])
        f, p = V * z, V.T * mp.matrix(a)
        if exact:
            loss = sum(mp.log1p(mp.exp(-x)) for x in f)
            conjugate = sum(-x * mp.log(x) - (1 - x) * mp.log(1 - x) if 0 < x < 1 else 0 for x in a)
        else:
            best = [mp.lambertw(mp.exp(-x)).real for x in f]
            loss = sum(x + x * x / 2 for x in best)
            conjugate = sum(x - x * mp.log(x) - x * x / 2 if x > 0 else 0 for x in a)
        quadratic = sum(z[j] ** 2 / c[j] + c[j] * p[j] ** 2 for j in range(len(c))) / 2
        return float(loss - conjugate + quadratic)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "far"), [(np.float64, 900.0), (np.float32, 300.0)])
@pytest.mark.parametrize("loss", [gs.CrossEntropy(), gs.FirstOrderCrossEntropy()], ids=["exact", "first-order"])
def test_curvature_far_out_has_derivatives_of_every_order(kind, far, loss):
    f = kind([0.3, far])

    def curvatures(f):
        return jnp.concatenate([loss.root_curvature(f), *map(jnp.atleast_1d, loss.curvature_spread(f))])

    assert np.all(np.isfinite(jax.jacrev(curvatures)(f)))
    assert np.all(np.isfinite(jax.hessian(loss.value)(f)))


def test_squared_error_of_any_strength_in_single_precision_is_certified():
    """The features bend the dual where they are as many as the examples: bounds that do not grow with `c`."""
    U = np.array([[0.8, -0.6], [0.6, 0.8]], np.float32)
    strengths = np.float32(np.sqrt([[1e8, 1e8], [1e14, 1e14], [1e24, 1e24], [1e24, 1e20]]))

    def cell(s):
        fp = gs.fixed_point(gs.FeatureBasis(U, s), gs.SquaredError(), gs.WeightDecay(np.float32(1e-12)))
        return fp.alpha, fp.z, fp.converged, fp.error_bound

    alpha, z, converged, bound = jax.jit(jax.vmap(cell), compiler_options=QUICK)(strengths)
    assert converged.all()
    np.testing.assert_allclose(z, np.broadcast_to(U.T.sum(1), z.shape), rtol=1e-5)
    with mp.workdps(60):
        basis = mp.matrix(U.astype(float).tolist())
        for a, s, error in zip(np.asarray(alpha, float), strengths, np.asarray(bound), strict=True):
            c = mp.diag([mp.mpf(float(v)) ** 2 / mp.mpf(float(np.float32(1e-12))) for v in s])
            exact = mp.lu_solve(mp.eye(2) + basis * c * basis.T, mp.matrix([1, 1]))
            assert mp.norm(mp.matrix(a.tolist()) - exact) <= float(error) < 1e-3
