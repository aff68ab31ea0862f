"""The starvation matrix against finite differences, THEORY's M-form, autodiff and the sign law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _problems import EXAMPLES, LABELS, LOSSES, PAIRS, PENALTIES, central_difference, orthogonal, solve
from _programs import QUICK
from _tolerances import assert_close
from sklearn.datasets import load_breast_cancer

import gsdyn as gs

OFFSETS = np.array([-2, -1, 1, 2])
STEP = 2e-3


def stencil(s):
    """`s` and, for every feature, four strengths beside it, shape (1 + 4k, k), and the steps in `s^2`."""
    h = STEP * s**2
    moved = np.stack([np.sqrt(s**2 + offset * np.diag(h)[i]) for offset in OFFSETS for i in range(len(s))])
    return np.concatenate([s[None], moved]), h


@pytest.fixture(scope="module", params=PAIRS)
def problem(request):
    """Two random problems of one loss and penalty, their optima and the derivatives of `z` by differences."""
    loss, penalty = LOSSES[request.param[0]], PENALTIES[request.param[1]]
    rng = np.random.default_rng(3)
    lams, bases = (0.05, 0.6), orthogonal(rng, 2)
    strengths = 10 ** rng.uniform(-0.5, 0.6, (2, EXAMPLES))
    around, steps = zip(*(stencil(s) for s in strengths), strict=True)
    U = np.repeat(bases, len(around[0]), axis=0)
    penalties = [penalty(lam) for lam in lams for _ in around[0]]
    solved = solve(U, np.concatenate(around), loss, penalties, quick=True)
    rows = np.split(np.arange(len(U)), 2)
    slopes = []
    for index, h in zip(rows, steps, strict=True):
        z = solved.z[index[1:]].reshape(4, EXAMPLES, *solved.z.shape[1:])
        h = h.reshape(-1, *[1] * (z.ndim - 2))
        slopes.append(np.moveaxis(central_difference(z, h), 0, -1))
    base = [index[0] for index in rows]
    return loss, [penalty(lam) for lam in lams], bases, strengths, type(solved)(*(x[base] for x in solved)), slopes


def test_matrix_is_the_derivative_of_the_responses(problem):
    *_, solved, slopes = problem
    assert np.all(solved.converged)
    for G, slope in zip(solved.G, slopes, strict=True):
        assert G.shape == slope.shape
        assert np.max(np.abs(G - slope)) <= 1e-9 * np.max(np.abs(slope)) + 1e-10 * np.max(np.abs(solved.z))


def test_matrix_is_the_m_form(problem):
    loss, penalties, bases, strengths, solved, _ = problem
    if isinstance(loss, gs.Hinge | gs.Softmax):
        pytest.skip("no D for each example: the hinge has none, the softmax a matrix")
    for i, (penalty, U, s) in enumerate(zip(penalties, bases, strengths, strict=True)):
        a, f = solved.alpha[i], solved.margins[i]
        D = {gs.CrossEntropy: 1 / a + 1 / (1 - a), gs.FirstOrderCrossEntropy: 1 + 1 / a, gs.SquaredError: 1 + 0 * a}[
            type(loss)
        ]
        c, slope, tilt = penalty.filter(s**2), penalty.filter_slope(s**2), penalty.tilt(EXAMPLES)
        if tilt is not None:
            a, D = a - tilt.curvature * f + tilt.pull, 1 / (1 / D + tilt.curvature)
        M = U.T @ np.diag(D) @ U
        expected = M @ np.linalg.solve(M + np.diag(c), np.diag(slope * (U.T @ a)))
        assert_close(solved.G[i], expected, 1e4, scale=np.max(np.abs(expected)) + 1e-300)


def test_decoupling_starves_nothing_exactly(problem):
    _, penalties, *_, solved, _ = problem
    if not isinstance(penalties[0], gs.SpectralDecoupling):
        pytest.skip("not spectral decoupling")
    np.testing.assert_array_equal(solved.G, 0)


@pytest.mark.parametrize("name", ["decay", "mixed", "by-class"])
def test_matrix_is_autodiff_through_the_fixed_point(name):
    n = 3
    rng = np.random.default_rng(5)
    U, s = jnp.asarray(orthogonal(rng, 1, n)[0]), jnp.asarray(rng.uniform(0.5, 3, n))
    penalty = PENALTIES[name](0.1)
    if name == "by-class":
        penalty = gs.SpectralDecoupling.by_class(LABELS[:n], (0.1, 0.3), (0.5, 1.0))

    def responses(s2):
        return gs.fixed_point(gs.FeatureBasis(U, jnp.sqrt(s2)), gs.CrossEntropy(), penalty).z

    def everything(s2):
        basis = gs.FeatureBasis(U, jnp.sqrt(s2))
        matrix = gs.starvation_matrix(basis, gs.fixed_point(basis, gs.CrossEntropy(), penalty))
        return matrix, jax.jacfwd(responses)(s2), jax.jacrev(responses)(s2)

    matrix, forward, reverse = jax.jit(everything, compiler_options=QUICK)(s * s)
    assert_close(forward, matrix, 100, scale=np.max(np.abs(matrix)))
    assert_close(reverse, matrix, 100, scale=np.max(np.abs(matrix)))


def test_matrix_differentiates():
    U = orthogonal(np.random.default_rng(6), 1, 3)[0]

    def entry(s1, lam):
        basis = gs.FeatureBasis(U, jnp.stack([s1, jnp.asarray(2.0), jnp.asarray(0.7)]))
        return gs.starvation_matrix(basis, gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam)))[1, 0]

    h = 1e-3
    s1, lam = 1.5 + h * np.r_[0, OFFSETS, 0 * OFFSETS], 0.1 * (1 + h * np.r_[0, 0 * OFFSETS, OFFSETS])
    slopes = jax.jit(jax.vmap(jax.value_and_grad(entry, (0, 1))), compiler_options=QUICK)
    value, (by_s1, by_lam) = jax.tree.map(np.asarray, slopes(s1, lam))
    assert by_s1[0] == pytest.approx(central_difference(value[1:5], h), rel=1e-9)
    assert by_lam[0] == pytest.approx(central_difference(value[5:], 0.1 * h), rel=1e-9)


def test_starves_names_negative_entries_off_the_diagonal():
    matrix = jnp.array([[-1.0, -2.0, 0.0], [3.0, 4.0, -1e-300], [-1.0, 1.0, -2.0]])
    np.testing.assert_array_equal(gs.starves(matrix), [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert not np.any(gs.starves(jnp.full((2, 2), jnp.nan)))


@pytest.mark.slow
def test_error_decides_which_signs_are_claimed():
    """Tabular data in single and double precision: half of all pairs starve, and no sign that is claimed differs."""
    x, labels = load_breast_cancer(return_X_y=True)
    x, y = (x - x.mean(0)) / x.std(0), np.where(labels > 0, 1.0, -1.0)
    basis = gs.FeatureBasis.from_ntrf(x, y)
    known = {}
    for kind in (np.float64, np.float32):
        rounded = gs.FeatureBasis(basis.U.astype(kind), basis.s.astype(kind))
        fp = gs.fixed_point(rounded, gs.CrossEntropy(), gs.WeightDecay(kind(1e-3)))
        known[kind] = gs.starvation_matrix(rounded, fp), gs.starvation_error(rounded, fp)
    (G, error), (rough, loose) = ([np.float64(x) for x in pair] for pair in known.values())
    assert np.all(np.abs(G - rough) <= error + loose)
    off = ~np.eye(len(G), dtype=bool)
    claimed = (np.abs(rough) > loose) & off
    np.testing.assert_array_equal(np.sign(G)[claimed], np.sign(rough)[claimed])
    assert np.mean((np.abs(G) > error)[off]) > 0.9
    np.testing.assert_array_equal(gs.starves(G, error), (-error > G) & off)


def test_small_entries_next_to_large_ones_keep_their_sign():
    """`U` a permutation but for rounding: the entries that rounding alone makes are right, and their error says so."""
    U = np.array([[1.0, 1e-17], [-1e-17, 1.0]])

    def solve(s, lam):
        basis = gs.FeatureBasis(U, s)
        fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam))
        return gs.starvation_matrix(basis, fp), gs.starvation_error(basis, fp), fp.margins

    s, lam = np.array([[3.0, 1.0], [0.4, 2.0]]), np.array([5e-10, 1.0])
    G, error, f = jax.jit(jax.vmap(solve))(s, lam)
    w, a = np.exp(-f) / (1 + np.exp(-f)) ** 2, 1 / (1 + np.exp(f))
    c = s**2 / lam[:, None]
    # first order in what is off the diagonal of U
    off = -1e-17 * (w[:, 0] - w[:, 1]) * -1
    expected = -c[:, 1] * off * a[:, 0] / lam / ((1 + c[:, 1] * w[:, 1]) * (1 + c[:, 0] * w[:, 0]))
    np.testing.assert_allclose(np.abs(G[:, 1, 0]), np.abs(expected), rtol=1e-9)
    assert np.all(np.abs(G) > error)


def test_elasticity_is_the_matrix_without_units():
    U, s = jnp.asarray(orthogonal(np.random.default_rng(9), 1, 3)[0]), jnp.asarray([2.0, 0.5, 0.0])
    basis = gs.FeatureBasis(U, s)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(0.1))
    part = np.asarray(gs.elasticity(basis, fp))
    expected = np.asarray(gs.starvation_matrix(basis, fp))[:2, :2] * np.asarray(s**2)[:2] / np.asarray(fp.z)[:2, None]
    assert_close(part[:2, :2], expected, 4)
    np.testing.assert_array_equal(part[2, :2], 0)
    # the other sign of a column is the same feature
    other = gs.FeatureBasis(U * jnp.array([1.0, -1.0, 1.0])[None, :], s)
    flipped = gs.elasticity(other, gs.fixed_point(other, gs.CrossEntropy(), gs.WeightDecay(0.1)))
    assert_close(np.asarray(flipped)[:2, :2], part[:2, :2], 100)


def test_a_fixed_point_belongs_to_its_basis():
    U = orthogonal(np.random.default_rng(10), 2, 3)
    basis = gs.FeatureBasis(U[0], np.array([3.0, 2.0, 1.0]))
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(0.1))
    for other in (gs.FeatureBasis(U[1], basis.s), gs.FeatureBasis(U[0], 1.01 * basis.s)):
        with pytest.raises(ValueError, match="fp must belong to basis"):
            gs.starvation_matrix(other, fp)
        assert np.all(np.isnan(jax.jit(gs.starvation_matrix)(other, fp)))


def test_sign_law_formula():
    s1, s2 = np.array([3.0, 2.0, 2.0, 3.0, 3.0]), np.array([2.0, 3.0, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(gs.sign_law(s1, s2, np.array([0.3, 0.3, 0.3, 0.8, 0.0])), [-1, 1, 0, 1, 0])
    # the float nearest to 1/sqrt(2) lies above it
    assert gs.sign_law(3, 2, 0.5**0.5) == 1
    assert gs.sign_law(3, 2, np.nextafter(0.5**0.5, 0)) == -1
    assert gs.sign_law(np.float32(3), 2, 0.1).dtype == jnp.float32
