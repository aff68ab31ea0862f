"""Starvation along a switch of penalties: against exact values of lone features, SciPy, and finite differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from _flow_oracles import CE, FREE
from scipy.integrate import solve_ivp
from scipy.special import expit

import gsdyn as gs
from gsdyn.starvation_paths import StarvationPath

K = 6  # all of one program: features of zero strength, in examples of their own, fill up


class _Decays(gs.Unregularised):
    """Both decays, either of which may be 0."""

    lam1: jax.Array
    lam2: jax.Array

    def decay(self):
        return self.lam1, self.lam2


def flow(U, s, lam1, lam2):
    k = len(s)
    whole, strengths = np.eye(K), np.zeros(K)
    whole[:k, :k], strengths[:k] = U, s
    return gs.PrimalFlow(gs.FeatureBasis(whole, strengths), CE, _Decays(jnp.asarray(lam1), jnp.asarray(lam2)))


def switched(U, s, first, second, switch, ts, **tolerances):
    """The path of the second phase, cut to the features that there are."""
    k, before = len(s), np.linspace(0.0, switch, len(ts))
    path = gs.starvation_over_time(flow(U, s, *first), before, **tolerances)
    path = gs.starvation_over_time(flow(U, s, *second), ts, after=path, **tolerances)
    assert path.succeeded
    parts = (path.z, path.z_error, path.matrix, path.error)
    return [np.asarray(v)[(slice(None), *[slice(k)] * (v.ndim - 1))] for v in parts]


def alone(s, lam, switch, t):
    """Response and answer of a feature alone, exactly: `tau = s^2 t` along `dz/dtau = v(z)` in each phase."""
    s2, switch, t, lam = (mpmath.mpf(float(v)) for v in (s**2, switch, t, lam))
    tau = s2 * switch + 1
    # z + e^z = tau without a penalty
    first = tau - mpmath.lambertw(mpmath.exp(tau)) if tau < 50 else None
    if first is None:
        first = mpmath.findroot(lambda z: z + mpmath.exp(z) - tau, mpmath.log(tau))

    def pull(z):
        return 1 / (1 + mpmath.exp(z)) - lam * z

    rest = mpmath.findroot(pull, min(first, -mpmath.log(lam)) if lam < 0.1 else 0.1)  # where it comes to rest
    # with w = log|z - rest| the way there is smooth
    sign, near = mpmath.sign(first - rest), mpmath.log(abs(first - rest))

    def passage(w):
        return mpmath.quad(
            lambda v: sign * mpmath.exp(v) / pull(rest + sign * mpmath.exp(v)), mpmath.linspace(near, w, 4)
        )

    guess = near + s2 * t * pull(first) / (first - rest)
    slope = -(lam + mpmath.exp(rest) / (1 + mpmath.exp(rest)) ** 2)
    w = mpmath.findroot(lambda w: passage(w) - s2 * t, (guess, near + s2 * t * slope), solver="secant")
    z = rest + sign * mpmath.exp(w)
    answer = switch * pull(z) / pull(first) / (1 + mpmath.exp(first)) + t * pull(z)
    return float(z), float(answer)


EXTREMES = np.array([1e-3, 0.03, 1.0, 3.0, 40.0, 1e3])


@pytest.mark.parametrize(("switch", "lam"), [(0.7, 2.0), (1e5, 0.01)])
def test_lone_features_of_all_strengths_to_the_last_digits(switch, lam):
    ts = np.array([0.0, 1e-6, 0.3])
    z, z_error, matrix, error = switched(np.eye(K), EXTREMES, (0.0, 0.0), (0.0, lam), switch, ts, rtol=1e-11)
    with mpmath.workdps(20):
        for j, s in enumerate(EXTREMES):
            for i, t in enumerate(ts):
                if not t or s * s * t * lam > 30:
                    continue  # at rest to all digits
                exact, answer = alone(s, lam, switch, t)
                assert abs(z[i, j] - exact) <= z_error[i, j] <= 1e-7 * abs(z[0, j]), (s, t)
                assert abs(matrix[i, j, j] - answer) <= error[i, j, j] <= 1e-6 * abs(matrix[0, j, j]), (s, t)
    off = matrix[:, ~np.eye(K, dtype=bool)]
    np.testing.assert_array_equal(off, 0)


def integrated(U, s, first, second, switch, ts):
    """Responses and matrix by SciPy."""
    k, s2 = len(s), s**2

    def velocity(lam1, lam2):
        def of(_, y):
            z, G = y[:k], y[k:].reshape(k, k)
            f = U @ z
            a = expit(-f)
            p = U.T @ (a - lam2 * f)
            J = -s2[:, None] * (U.T @ ((a * (1 - a) + lam2)[:, None] * U)) - lam1 * np.eye(k)
            return np.append(s2 * p - lam1 * z, J @ G + np.diag(p))

        return of

    def run(penalty, y, ts):
        return solve_ivp(velocity(*penalty), (0, ts[-1]), y, "LSODA", ts, rtol=1e-12, atol=1e-17).y.T

    y = run(first, np.zeros(k + k * k), [switch])[-1] if switch else np.zeros(k + k * k)
    y = run(second, y, ts)
    return y[:, :k], y[:, k:].reshape(-1, k, k)


CASES = [  # strengths, first, second, switch
    ([2.0, 0.5], (0.0, 0.0), (0.0, 0.5), 3.0),
    ([3.0, 1.0, 0.1], (0.0, 0.0), (0.0, 2.0), 200.0),
    ([0.3, 4.0, 1.0, 2.0], (0.2, 0.0), (0.0, 0.0), 1.0),
    ([10.0, 0.01, 1.0, 0.5, 2.0], (0.0, 0.0), (0.01, 1e-3), 0.0),
    ([1.0, 1.0, 0.2, 3.0, 0.7, 30.0], (0.0, 3.0), (0.05, 0.0), 0.4),
]


@pytest.mark.parametrize(("s", "first", "second", "switch"), CASES)
def test_errors_of_both_phases_hold(s, first, second, switch):
    s, ts = np.array(s), np.array([0.0, 0.2, 5.0])
    U = np.linalg.qr(np.random.default_rng(len(s)).normal(size=(len(s), len(s))))[0]
    expected, answers = integrated(U, s, first, second, switch, ts)
    for rtol in (1e-5, 1e-8):
        z, z_error, matrix, error = switched(U, s, first, second, switch, ts, rtol=rtol)
        known = 1e-10 * np.abs(expected).max(), 1e-10 * np.abs(answers).max(axis=1, keepdims=True)
        assert (np.abs(z - expected) <= z_error + known[0]).all()
        assert (np.abs(matrix - answers) <= error + known[1]).all()
        assert (z_error <= 100 * rtol * np.abs(expected).max()).all()
    largest = np.abs(answers).max() + np.abs(matrix[0]).max()
    assert (error < 1e-3 * largest).all()


def test_a_phase_of_the_same_penalty_changes_nothing_and_a_path_can_be_cut():
    U = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    given = flow(U, np.array([3.0, 1.0, 0.4]), 0.0, 0.3)
    ts = np.array([0.0, 0.5, 2.0])
    whole = gs.starvation_over_time(given, np.array([0.7, 1.2, 2.7]))
    first = gs.starvation_over_time(given, np.array([0.2, 0.7, 9.0]))
    rest = gs.starvation_over_time(given, ts, after=first[:2])
    assert (np.abs(rest.matrix - whole.matrix) <= rest.error + whole.error).all()
    assert (np.abs(rest.z - whole.z) <= rest.z_error + whole.z_error).all()
    np.testing.assert_array_equal(rest.z[0], first.z[1])
    np.testing.assert_array_equal(rest.matrix[0], first.matrix[1])
    assert (rest.error[0] >= first.error[1]).all()
    part = first[1:]
    np.testing.assert_array_equal(part.matrix, first.matrix[1:])
    np.testing.assert_array_equal(part.elasticities(), first.elasticities()[1:])


def test_what_did_not_arrive_does_not_go_on():
    ts = np.array([0.0, 1.0, 3.0])
    given = flow(np.eye(2), np.array([3.0, 1.0]), 0.0, 0.3)
    path = gs.starvation_over_time(given, ts)
    path = eqx.tree_at(lambda path: path.z, path, path.z.at[2].set(jnp.nan))
    assert path[:2].succeeded
    assert not path[1:].succeeded
    after = gs.starvation_over_time(given, ts, after=path)
    assert not after.succeeded
    assert np.isnan(after.matrix).all()
    assert np.isnan(after.error).all()


@pytest.mark.slow
def test_it_is_the_derivative_of_the_responses_and_has_one_itself():
    U = np.array([[0.8, -0.6], [0.6, 0.8]])

    def path(at):
        basis = gs.FeatureBasis(U, jnp.sqrt(at[:2]))
        first = gs.starvation_over_time(gs.PrimalFlow(basis, CE, FREE), at[2:3], rtol=1e-11)
        second = gs.PrimalFlow(basis, CE, gs.SpectralDecoupling(at[3]), eta=2.0)
        return gs.starvation_over_time(second, at[4:], after=first, rtol=1e-11)

    at, step = np.array([4.0, 1.0, 0.6, 0.7, 0.5]), 1e-4

    def told(at):
        found = path(at)
        return found.z[0], found.matrix[0]

    value, (by, bent) = jax.jit(told), jax.jit(jax.jacrev(told))(at)
    np.testing.assert_allclose(by[:, :2], value(at)[1], atol=1e-9)
    for i, unit in enumerate(np.eye(5)):
        (z_up, up), (z_down, down) = value(at + step * unit), value(at - step * unit)
        np.testing.assert_allclose(by[:, i], (z_up - z_down) / (2 * step), atol=1e-7)
        np.testing.assert_allclose(bent[..., i], (up - down) / (2 * step), atol=1e-7)


def test_bad_paths_are_told():
    U = np.eye(2)
    given = gs.PrimalFlow(gs.FeatureBasis(U, np.array([2.0, 1.0])), CE, FREE)
    none = jnp.zeros((1, 2)), jnp.zeros((1, 2, 2))
    path = StarvationPath(
        jnp.ones(1), none[0], none[0], none[1], none[1], jnp.array(True), None, gs.FeatureBasis(U, np.array([2.0, 3.0]))
    )
    with pytest.raises(ValueError, match="after must be the path of an earlier phase, got 3"):
        gs.starvation_over_time(given, [1.0], after=3)
    with pytest.raises(ValueError, match="after must be a path of the features of flow"):
        gs.starvation_over_time(given, [1.0], after=path)
    other = gs.PrimalFlow(gs.FeatureBasis(np.eye(3), np.ones(3)), CE, FREE)
    with pytest.raises(ValueError, match="after must be a path of the 3 features of flow, got one of 2"):
        gs.starvation_over_time(other, [1.0], after=path)
    kernel = gs.KernelFlow(np.eye(2), [1, -1], CE, FREE)
    with pytest.raises(ValueError, match="after must be left out for a KernelFlow"):
        gs.starvation_over_time(kernel, [1.0], leading=1, after=path)
    for which, words in ((0, "must be a slice"), (slice(0), "must hold at least one")):
        with pytest.raises(ValueError, match=f"times {words}"):
            path[which]
