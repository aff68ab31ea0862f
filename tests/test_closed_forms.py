"""Closed forms (P21-Eqs 12-14, Lemma 1, Eq 16) against the fixed points, which share no code with their formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _oracles import relative
from _problems import EXAMPLES, LOSSES, orthogonal, solve, solve_cells
from _tolerances import assert_close

import gsdyn as gs
from gsdyn import closed_forms as forms

NAMES = {"cross-entropy": True, "first-order": False}
both = pytest.mark.parametrize(("name", "exact"), NAMES.items())
DELTA = 0.1 / 2.0 ** np.arange(7)


@partial(jax.jit, static_argnames="exact")
def lemma_1(delta, exact):
    """Lemma 1 at the cells of THEORY's table: s = 3, 2, lam = 0.1."""
    return jax.vmap(lambda d: forms.perturbed(gs.FeatureBasis.rotation(3.0, 2.0, d), 0.1, exact=exact))(delta)


@both
def test_equal_strengths_are_the_fixed_point_of_any_basis(name, exact):
    U = orthogonal(np.random.default_rng(0), 5)
    s, lam = np.array([1e-3, 0.1, 1.0, 30.0, 1e3]), np.array([1.0, 1.0, 0.02, 1e-6, 1e-6])
    got = solve(U, np.repeat(s[:, None], EXAMPLES, 1), LOSSES[name], [gs.WeightDecay(x) for x in lam], quick=True)
    for i in range(5):
        form = forms.equal_strengths(s[i], lam[i], U[i], exact=exact)
        assert_close(form.alpha, got.alpha[i], 300)
        assert_close(form.z, got.z[i], 300, scale=np.max(np.abs(got.z[i])))
        one = forms.equal_strengths(s[i], lam[i], exact=exact)
        assert_close(form.z, float(one.z) * np.sum(U[i], axis=0), 100, scale=float(one.z) * EXAMPLES)


@both
def test_permutation_is_the_fixed_point_without_overlap(name, exact):
    U = np.stack([np.eye(EXAMPLES)[np.random.default_rng(k).permutation(EXAMPLES)] for k in range(3)])
    s, lams = 10 ** np.random.default_rng(1).uniform(-2, 2, (3, EXAMPLES)), np.array([1e-5, 0.1, 10.0])
    got = solve(U, s, LOSSES[name], [gs.WeightDecay(lam) for lam in lams], quick=True)
    form = forms.permutation(s, lams[:, None] * np.ones_like(s), exact=exact)
    assert_close(form.z, got.z, 100)
    # alpha[j] belongs to the example that feature j lives in
    assert_close(form.alpha, np.einsum("bij,bi->bj", U, got.alpha), 2000)
    np.testing.assert_array_equal(got.G * (1 - np.eye(EXAMPLES)), 0)


def test_formulas_meet_mpmath_over_the_whole_range():
    s, lam = (x.reshape(-1) for x in np.meshgrid(np.logspace(-6, 6, 7), np.logspace(-12, 6, 7)))
    first, exact = forms.permutation(s, lam), forms.permutation(s, lam, exact=True)
    with mp.workdps(60):
        for i in range(len(s)):
            c = mp.mpf(float(s[i])) ** 2 / mp.mpf(float(lam[i]))
            alpha = mp.lambertw(c + 1).real / (c + 1)
            assert relative(first.alpha[i], alpha) < 1e-14
            assert relative(first.z[i], c * alpha) < 1e-14
            # x e^x + x = c, to first order in the error of x
            x = mp.mpf(float(exact.z[i]))
            off = (x * mp.exp(x) + x - c) / (mp.exp(x) * (1 + x) + 1)
            assert abs(off) <= 1e-14 * x
            assert relative(exact.alpha[i], 1 / (1 + mp.exp(x - off))) < 1e-13


def test_first_order_form_is_off_by_13_percent_or_by_nothing():
    """THEORY section 2: wrong by 13% at s = 0.1, lam = 1 and indistinguishable at s = 30, lam = 1e-6."""
    for s, lam, off in ((0.1, 1.0, 0.13), (30.0, 1e-6, 0.0)):
        first, exact = (float(forms.permutation(s, lam, exact=e).z) for e in (False, True))
        assert first / exact - 1 == pytest.approx(off, abs=5e-3 if off else 1e-9)


def test_zero_strength_and_broadcasting():
    for exact in (False, True):
        assert forms.permutation(0.0, 1.0, exact=exact).z == 0
        form = forms.permutation(np.ones((2, 1)), np.ones((1, 3)), exact=exact)
        assert form.z.shape == form.alpha.shape == (2, 3)
        slope = jax.grad(lambda s, exact=exact: forms.permutation(s, 1.0, exact=exact).z)(0.0)
        assert slope == 0
    assert forms.permutation(0.0, 1.0, exact=True).alpha == 0.5


@pytest.mark.slow
@both
def test_lemma_1_has_an_error_of_second_order(name, exact):
    """With delta halved each time."""
    got, form = solve_cells(name, 3.0, 2.0, DELTA, 0.1), lemma_1(DELTA, exact)
    alpha_error = np.max(np.abs(np.asarray(form.alpha) - got.alpha), axis=1)
    z_error = np.max(np.abs(np.asarray(form.z) - got.z), axis=1)
    for error in (alpha_error, z_error):
        slopes = np.diff(np.log(error)) / np.diff(np.log(DELTA))
        assert slopes[-1] == pytest.approx(2, abs=0.05)
        assert np.all(np.abs(slopes - 2) < 0.3)


def test_lemma_1_reference_errors():
    got, form = solve_cells("first-order", 3.0, 2.0, DELTA, 0.1), lemma_1(DELTA, False)
    error = np.max(np.abs(np.asarray(form.alpha) - got.alpha), axis=1)
    assert error[:3] == pytest.approx([2.5e-5, 5.7e-6, 1.5e-6], rel=0.05)


@both
def test_lemma_1_is_the_printed_linear_system(name, exact):
    """`[A + diag(1/alpha_0)] alpha = 1 - log alpha_0` (Eq. 14), solved by NumPy, at a permuted and perturbed basis."""
    rng = np.random.default_rng(2)
    order = rng.permutation(4)
    skew = 0.02 * rng.standard_normal((4, 4))
    U = np.linalg.qr(np.eye(4) + skew - skew.T)[0][:, order]
    U *= np.sign(np.sum(U, axis=0))
    s, lam = np.array([3.0, 2.0, 1.0, 0.5]), 0.1
    form = forms.perturbed(gs.FeatureBasis(U, s), lam, exact=exact)
    own = np.argsort(order)
    alone = forms.permutation(s[own], lam, exact=exact)
    alpha0, f0 = np.asarray(alone.alpha), np.asarray(alone.z)
    K = U @ np.diag(s**2 / lam) @ U.T
    if exact:
        D0 = 1 / (alpha0 * (1 - alpha0))
        expected = np.linalg.solve(K + np.diag(D0), f0 + D0 * alpha0)
    else:
        expected = np.linalg.solve(K + np.eye(4) + np.diag(1 / alpha0), 1 - np.log(alpha0))
    assert_close(form.alpha, expected, 2000)
    assert_close(form.z, s**2 / lam * (U.T @ expected), 2000, scale=np.max(np.abs(form.z)))


@both
def test_small_overlap_formula_is_the_limit_of_the_matrix(name, exact):
    rng = np.random.default_rng(3)
    s1, s2 = 10 ** rng.uniform(-1, 1, (2, 200))
    lam = 10 ** rng.uniform(-4, 1, 200)
    ratio = []
    for delta in (1e-4, 1e-6):
        got = solve_cells(name, s1, s2, delta, lam).G[:, 1, 0]
        form = np.asarray(forms.small_overlap_starvation(s1, s2, np.full(200, delta), lam, exact=exact))
        np.testing.assert_array_equal(np.sign(form), np.sign(got))
        ratio.append(np.abs(form / got - 1))
    # the relative error is of first order in delta, times whatever the strengths' ratio and 1/lam make of it
    assert np.median(ratio[0]) < 1e-3
    assert np.median(ratio[1]) < 1e-5
    assert np.all(ratio[1] < 0.02 * ratio[0] + 1e-9)


def newton(c):
    """The root of `x e^x + x = c`, from above: the function is convex."""
    x = mp.log1p(c)
    for _ in range(60):
        x -= (x * mp.exp(x) + x - c) / (mp.exp(x) * (1 + x) + 1)
    return x


def theorem_2(s1, s2, delta, lam, exact):
    """`-delta (D_1 - D_2) c_2 alpha_1 / (lam (D_1 + c_1)(D_2 + c_2))` from mpmath's fixed points at delta = 0."""
    s1, s2, delta, lam = (mp.mpf(float(x)) for x in (s1, s2, delta, lam))
    c = [s1**2 / lam, s2**2 / lam]
    if exact:
        f = [newton(k) for k in c]
        alpha = [1 / (1 + mp.exp(x)) for x in f]
        D = [1 / a + 1 / (1 - a) for a in alpha]
    else:
        alpha = [mp.lambertw(k + 1).real / (k + 1) for k in c]
        D = [1 + 1 / a for a in alpha]
    return -delta * (D[0] - D[1]) * c[1] * alpha[0] / (lam * (D[0] + c[0]) * (D[1] + c[1]))


@both
def test_small_overlap_formula_is_theorem_2(name, exact):
    rng = np.random.default_rng(4)
    s1, s2 = 10 ** rng.uniform(-2, 2, (2, 60))
    apart = 10.0 ** rng.uniform(-10, -1, 30)
    s2[30:] = s1[30:] * (1 - apart)
    lam = 10 ** rng.uniform(-8, 2, 60)
    form = forms.small_overlap_starvation(s1, s2, np.full(60, 0.01), lam, exact=exact)
    with mp.workdps(40):
        expected = [theorem_2(s1[i], s2[i], 0.01, lam[i], exact) for i in range(60)]
        error = np.array([relative(x, e) for x, e in zip(form, expected, strict=True)])
    # the difference of two margins, however small it is: their own rounding is all that is lost
    assert np.max(error[:30]) < 1e-13
    assert np.max(error[30:] * apart) < 1e-14


def test_equal_strengths_starve_nothing():
    assert forms.small_overlap_starvation(2.0, 2.0, 0.1, 0.1) == 0


@pytest.mark.slow
def test_float32_traced_and_mapped():

    @partial(jax.jit, static_argnames="exact")
    def every_form(s, small, exact):
        one = forms.permutation(s, 0.1, exact=exact), forms.equal_strengths(s, 0.1, exact=exact)
        basis = gs.FeatureBasis.rotation(s, 10 * small, small)
        other = forms.small_overlap_starvation(s, 1.0, 0.1, 0.1, exact=exact)
        return one, (other, forms.perturbed(basis, 0.1, exact=exact).z)

    for exact in (False, True):
        narrow, others = every_form(jnp.float32(2), jnp.float32(0.1), exact)
        for form in narrow:
            assert form.alpha.dtype == form.z.dtype == jnp.float32
            assert_close(form.z, float(forms.permutation(2.0, 0.1, exact=exact).z), 8)
        assert all(x.dtype == jnp.float32 for x in others)
    lams = jnp.asarray([0.1, 1.0])
    mapped = jax.jit(jax.vmap(lambda lam: forms.equal_strengths(2.0, lam, np.eye(2)).z))(lams)
    assert_close(mapped[:, 0], forms.permutation(2.0, lams).z, 8)


@both
def test_closed_forms_differentiate_like_fixed_points(name, exact):
    """`d z/d(s^2)` of one feature alone: the diagonal of the starvation matrix."""
    s, lam = np.array([0.1, 1.0, 10.0]), np.array([1.0, 0.01, 1e-6])
    slope = jax.vmap(jax.grad(lambda s2, lam: forms.permutation(jnp.sqrt(s2), lam, exact=exact).z))(s**2, lam)
    assert_close(slope, solve_cells(name, s, 2.0, 0.0, lam).G[:, 0, 0], 200)
