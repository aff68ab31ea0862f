"""Modes at the ends of what a float holds: values and derivatives against mpmath, or a refusal in one line."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _mode_oracles import pull
from _programs import QUICK
from _tolerances import assert_close
from scipy.integrate import solve_ivp

import gsdyn as gs
from gsdyn.modes import Mode, MultiClassMode, Neurons, RareFeature, classify

HINGE = gs.Hinge()
PLACES = {np.float64: 1400.0, np.float32: 150.0}


def primitive(u, depth):
    """`int^u x^(2/N - 2) (1 + e^x) dx`."""
    u, a = mp.mpf(float(u)), 2 / mp.mpf(float(depth)) - 1
    if a == 0:
        return mp.log(u) + mp.ei(u)
    return u**a / a * (1 + mp.hyp1f1(a, a + 1, u))


def late_logit(norm, depth, u0, t):
    """The logit after a time of any size."""
    with mp.workdps(50):
        pace = mp.mpf(depth) * mp.mpf(norm) ** (2 / mp.mpf(depth))
        target = mp.log(pace * mp.mpf(t) + primitive(u0, depth))
        start = max(target + mp.log(target), u0 + mp.mpf(10) ** -30)
        return float(mp.findroot(lambda u: mp.log(primitive(u, depth)) - target, start, tol=1e-40, verify=False))


def test_times_and_starts_beyond_the_floats():
    # norm, depth, u0, t: the product of time and pace has no float, or the start's own time has none
    rows = [(1, 2, 1, 9e307), (1e6, 2, 1, 1e308), (1e6, 5, 1e-3, 1e308), (1, 2, 650, 1e300), (1, 64, 700, 1e308)]
    norm, depth, u0, t = np.array(rows, float).T
    expected = [late_logit(*row) for row in rows]
    found = Mode(norm, depth, u0=u0).logit(t)
    assert_close(found, expected, 4)
    assert float(found[0]) == pytest.approx(716.36, abs=0.01)
    for start in (1000.0, 1400.0, 1e5):
        mode = Mode(1.0, u0=np.full(5, start))
        np.testing.assert_array_equal(mode.logit(np.array([0, 1, 1e100, 1e300, 1e307])), start)
        np.testing.assert_array_equal(
            mode.time_to(np.array([start, start, 1.1 * start, 2 * start, 1e6])), [0, 0] + 3 * [np.inf]
        )
    # where the time has a float though its integral has none
    with mp.workdps(40):
        exact = float((primitive(720, 2) - primitive(1, 2)) / 2e6)
    assert_close(Mode(1e6, u0=np.ones(5)).time_to(720.0), np.full(5, exact), 8)
    assert_close(Mode(1e6, y0=1e3, z0=1e-3).time_to(720.0), exact, 256)  # of which e^u has 720


def test_the_hyperbola_after_any_time():
    balanced = Mode(np.array([1.0, 1e6, 1e6]), u0=1.0)
    same = Mode(balanced.norm, y0=jnp.sqrt(balanced.norm), z0=1 / jnp.sqrt(balanced.norm))
    t = np.array([9e307, 1e308, 1e303])
    assert_close(same.logit(t), np.asarray(balanced.logit(t)), 4)
    bound = balanced.log_bound(t)
    with mp.workdps(30):
        exact = [
            float(2 * mp.log(mp.mpf(r) * mp.mpf(s) + mp.exp(0.5))) for r, s in zip([1.0, 1e6, 1e6], t, strict=True)
        ]
    assert_close(bound, exact, 4)


@pytest.mark.parametrize("dtype", PLACES)
def test_derivatives_at_extremes(dtype):
    """`dt/du = (1 + e^u) u^(2/N - 2) / pace` and its like, from starts of 1e-12 on, in both precisions."""
    top = np.log(float(np.finfo(dtype).max)) - 5
    u0 = np.array([1e-12, 1e-9, 1e-9, 1e-6, 3.0]).astype(dtype)
    depth = np.array([64, 16, 2, 3, 64]).astype(dtype)
    u = np.array([1.0, 1e-8, top, 40.0, top]).astype(dtype)
    slopes = jax.jit(
        jax.vmap(jax.grad(lambda u0, u, n: Mode(1.0, n, u0=u0).time_to(u), (0, 1))), compiler_options=QUICK
    )
    with mp.workdps(40):
        speed = [
            [float((1 + mp.exp(mp.mpf(float(x)))) * mp.mpf(float(x)) ** (2 / mp.mpf(float(n)) - 2) / n) for x in v]
            for v, n in zip(zip(u0, u, strict=True), depth, strict=True)
        ]
    first, last = np.array(speed).T
    d0, d1 = slopes(u0, u, depth)
    assert_close(d0, -first, 40)
    assert_close(d1, last, 40)


@pytest.mark.parametrize("dtype", PLACES)
def test_a_deep_hinge_mode_keeps_to_the_margin(dtype):
    depth, u0 = np.array([64.0, 64, 16, 3, 2], dtype), np.array([1e-12, 1e-9, 1e-9, 1e-6, 1e-12], dtype)

    def mode(u0):
        return Mode(np.ones(5, dtype), depth, u0=u0, loss=HINGE)

    stop = mode(u0).time_to(dtype(1))
    before = np.nextafter(np.asarray(stop), dtype(0), dtype=dtype)
    value, slope = jax.jit(lambda u0: jax.jvp(lambda x: mode(x).logit(before), (u0,), (u0,)))(u0)
    assert (value <= 1).all()
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(mode(u0).logit(stop), 1)
    # u^-b = 1 + b (t_1 - t) at the float t, whose rounding is all that the logit loses
    with mp.workdps(40):
        left = [mp.mpf(float(s)) - mp.mpf(float(t)) for s, t in zip(stop, before, strict=True)]
        powers = [1 - 2 / mp.mpf(float(n)) for n in depth]
        exact = [
            float((1 + b * n * x) ** (-1 / b)) if b else float(mp.exp(-n * x))
            for b, n, x in zip(powers, map(float, depth), left, strict=True)
        ]
    assert_close(value, exact, 16)
    # the time's derivative is the speed: u0^(2/N - 2) / N
    times = jax.jit(lambda u0: jax.jvp(lambda x: mode(x).time_to(dtype(1)), (u0,), (np.ones(5, dtype),))[1])(u0)
    exact = [float(-(mp.mpf(float(x)) ** (2 / mp.mpf(float(n)) - 2)) / n) for x, n in zip(u0, depth, strict=True)]
    assert_close(times, exact, 40)


@pytest.mark.parametrize("dtype", PLACES)
def test_weights_keep_the_digits_of_a_dying_start(dtype):
    norm, y0, z0 = (np.array(v, dtype) for v in ([1e3, 1e3, 1.0], [1e-6, 1e-3, 1e-3], [-1e3, -2.0, -0.5]))
    y, z = Mode(norm, y0=y0, z0=z0, loss=HINGE).weights(np.zeros(3, dtype))
    assert_close(y, y0, 2)
    assert_close(z, z0, 2)
    y, z = Neurons(norm[0], y0[:2], z0[:2], loss=HINGE).weights(dtype(0))
    assert_close(y, y0[:2], 2)
    assert_close(z, z0[:2], 2)
    # and near its death, where y is what is left of the way
    mode = Mode(norm, y0=y0, z0=z0, loss=HINGE)
    t = np.asarray(mode.death_time) * dtype(0.999)
    y, _ = mode.weights(t)
    with mp.workdps(40):
        exact = [
            float(
                mp.mpf(float(b)) * mp.cosh(mp.mpf(float(r)) * s)
                + mp.mpf(float(r)) * mp.mpf(float(c)) * mp.sinh(mp.mpf(float(r)) * s)
            )
            for r, b, c, s in zip(norm, y0, z0, (mp.mpf(float(x)) for x in t), strict=True)
        ]
    # y falls by a factor of 1000: so many units of the time's rounding
    assert_close(y, exact, 4000)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [gs.CrossEntropy(), HINGE])
def test_small_starts_in_single_precision(loss):
    """Their squares have no float, and derivatives divide by squares: the double answers to float32's digits."""
    norm, y0, z0 = (
        np.array(v)
        for v in ([1.0, 1e3, 0.8, 1e-5, 2.0], [1e-11, 1e-12, 1e-11, 1.0, 1e-12], [0.0, 1e-13, -1e-12, 1e-12, -1e-6])
    )

    def outputs(r, y, z, t):
        mode = Mode(r, y0=y, z0=z, loss=loss)
        late = jnp.maximum(mode.start, 0 * t) + 0.5 * (mode.death_time == jnp.inf).astype(t.dtype)
        values = jnp.stack([mode.logit(t), *mode.weights(t), mode.time_to(late)])
        return values, values

    t = 0.5 / norm
    both = jax.jit(jax.vmap(jax.jacfwd(outputs, (0, 1, 2), has_aux=True)), compiler_options=QUICK)
    narrow, wide = (
        (np.asarray(values), np.stack(slopes, axis=1))
        for slopes, values in (both(*(x.astype(d) for x in (norm, y0, z0, t))) for d in (np.float32, np.float64))
    )
    # a derivative in the units of its quotient: where terms cancel, no more digits are there to be had
    units = np.abs(wide[0])[:, None] / np.maximum(np.abs(np.stack([norm, y0, z0], axis=1)), 1e-30)[:, :, None]
    for found, exact, unit in zip(narrow, wide, (0, units), strict=True):
        assert np.isfinite(found).all()
        assert np.max(np.abs(found - exact) / np.maximum(np.maximum(np.abs(exact), unit), 1e-37)) < 3e-4


def test_starts_whose_squares_have_no_float_are_refused():
    for call in (
        lambda: Mode(1.0, y0=1e200, z0=1e200),
        lambda: Mode(1.0, y0=1e-200, z0=1e-200),
        lambda: Mode(np.float32(1), y0=np.float32(1e30), z0=1.0),
        lambda: classify(1.0, 1e200, 1e200),
        lambda: Neurons(1.0, [1e200], [0.0]),
        lambda: MultiClassMode(1.0, 3, 1e200, 1.0),
    ):
        with pytest.raises(ValueError, match=r"must be such that the squares") as error:
            call()
        assert "\n" not in str(error.value)
    # a frozen neuron moves nowhere, however large
    assert float(Mode(1.0, y0=-1e200, z0=1.0).logit(3.0)) == 0


def test_rare_features_from_small_starts():
    q, a0, z0 = np.full(4, 0.5), np.array([2e-4, 1e-5, 1e-100, 0.1]), np.array([2e-4, 1e-4, 0.0, 0.1])
    stop = RareFeature(q, a0, np.array([0.0, 0.0, 0.0, 0.05]), z0).stop(0.01)
    assert np.isfinite(np.stack([stop.t, stop.a, stop.b, stop.z])).all()
    np.testing.assert_allclose(stop.z * stop.a, np.log(99), rtol=1e-10)

    def left(_, s):
        return s[0] * s[2] - np.log(99)

    def field(_, s):
        a, b, z = s
        both, one = 0.5 * pull(z * (a + b)), 0.5 * pull(z * a)
        return [z * (both + one), z * both, (a + b) * both + a * one]

    left.terminal = True
    for k in (0, 1):
        run = solve_ivp(field, (0, 1e6), [a0[k], 0.0, z0[k]], "DOP853", events=left, rtol=1e-11, atol=1e-16)
        expected = [run.t[-1], *run.y[:, -1]]
        np.testing.assert_allclose([v[k] for v in (stop.t, stop.a, stop.b, stop.z)], expected, rtol=1e-8)
    # however small the start: the path is the one from 0, but for the time
    np.testing.assert_allclose(stop.b[2], stop.b[1], rtol=1e-5)
    assert float(stop.rare[3]) == pytest.approx(0.8427, abs=5e-5)


@pytest.mark.parametrize(("dtype", "derivative"), [(np.float64, jax.grad), (np.float32, jax.jacfwd)])
def test_slopes_of_late_times(dtype, derivative):
    """On `y_0 = r z_0`, where `2 r p T = [log + Ei]_u0^u`: what has no float is infinite, 0 stays 0, nothing is NaN."""
    ends = [30.0, 88.0, 92.0, 700.0, 720.0, 2116.0, 2120.0, 1e5]
    rows = [(r, p, r * z, z, u) for r, p, z in ((1, 1, 1), (2.0**20, 0.5, 2.0**-9), (2.0**-10, 1, 16.0)) for u in ends]
    rows += [(1, 1, z, z, z * z * (1 + step)) for z in (0.5, 1, 8, 27, 46, 1e3) for step in (0, 2.0**-10)]
    rows = np.array(rows, dtype)

    def time(*x):
        return Mode(x[0], rate=x[1], y0=x[2], z0=x[3]).time_to(x[4])

    slopes = jax.jit(jax.vmap(derivative(time, tuple(range(5)))), compiler_options=QUICK)
    found = np.stack(slopes(*rows.T), axis=1).astype(float)

    def exact(r, p, y, z, u):
        u0, pace = y * z, 2 * r * p
        late, early = (1 + mp.exp(u)) / (pace * u), (1 + mp.exp(u0)) / (pace * u0)
        t = (mp.log(u) + mp.ei(u) - mp.log(u0) - mp.ei(u0)) / pace if u > u0 else mp.mpf(0)
        # that of the invariant, which is 0, is 0
        return t, [-t / r, -t / p, -z * early, -y * early, late]

    eps, largest = float(np.finfo(dtype).eps), mp.mpf(float(np.finfo(dtype).max))
    with mp.workdps(30):
        for row, slope in zip(rows, found, strict=True):
            row = [mp.mpf(float(v)) for v in row]
            t, expected = exact(*row)
            for x, value, right in zip(row, slope, expected, strict=True):
                # in the units of the quotient, as large as t's own rounding; e^u has u of it
                slack = 32 * eps * row[4] * max(abs(right), t / abs(x))
                if abs(right) > 1.01 * largest:
                    # beyond the range, with its sign where that is more than rounding
                    assert abs(value) == np.inf if abs(right) < slack else value == np.inf * float(mp.sign(right))
                elif slack < largest:
                    assert abs(mp.mpf(float(value)) - right) <= slack
                else:
                    assert not np.isnan(value)


def test_slopes_of_late_times_of_many_neurons():
    """With all `y_i = r z_i` the sum learns like one mode; what has no float is infinite, and nothing is NaN."""
    r, p, z = 1.25, 0.5, np.array([0.5, 1.0, 2.0])
    us = np.array([30.0, 700.0, 715.0, 2120.0, 1e5])

    def time(r, p, y, z, u):
        return Neurons(r, y, z, p).time_to(u)

    slopes = jax.jit(jax.vmap(jax.value_and_grad(time, tuple(range(5))), (None,) * 4 + (0,)), compiler_options=QUICK)
    t, (by_r, by_p, by_y, by_z, by_u) = slopes(r, p, r * z, z, us)
    for found in (t, by_r, by_p, by_y, by_z, by_u):
        assert not np.isnan(found).any()
    with mp.workdps(30):
        u0 = mp.mpf(r * float(z @ z))
        late = [(1 + mp.exp(mp.mpf(u))) / (2 * r * p * mp.mpf(u)) for u in us]
        exact = [(mp.log(u) + mp.ei(u) - mp.log(u0) - mp.ei(u0)) / (2 * r * p) for u in map(mp.mpf, us)]
    eps = np.finfo(float).eps
    for found, right in ((t, exact), (by_u, late), (-by_r * r, exact), (-by_p * p, exact)):
        np.testing.assert_allclose(found[:3], [float(v) for v in right[:3]], rtol=4e3 * eps)
        np.testing.assert_array_equal(found[3:], np.inf)
    early = float((1 + mp.exp(u0)) / (2 * r * p * u0))
    slack = 4e3 * eps * np.asarray(t)[:, None]
    for found, right in ((by_y, -z * early), (by_z, -r * z * early)):
        assert (np.abs(np.asarray(found)[:3] - right[None]) <= slack[:3] + 1e-12).all()


@pytest.mark.slow
def test_slopes_of_late_times_of_neurons_that_die():
    def several(z, u):
        return Neurons(1.2, jnp.array([0.5, 0.4, 0.3]), z, 0.7).time_to(u)

    dying = np.array([0.2, -0.9, -0.1])
    for derivative in (jax.jacrev, jax.jacfwd):
        by_z, by_u = jax.jit(derivative(several, (0, 1)))(dying, np.array([2.0, 715.0]))
        assert not np.isnan(by_z).any()
        step = 1e-6 * np.eye(3)
        ends = jax.jit(jax.vmap(several, (0, None)))(np.concatenate([dying + step, dying - step]), np.array([2.0]))
        np.testing.assert_allclose(by_z[0], (ends[:3, 0] - ends[3:, 0]) / 2e-6, rtol=1e-6)
        assert by_u[0, 1] == by_u[1, 0] == 0


@pytest.mark.parametrize("derivative", [jax.grad, pytest.param(jax.jacfwd, marks=pytest.mark.slow)])
def test_slopes_of_late_times_at_depth(derivative):
    """Where the time is infinite, that of the start still has its float: `-(1 + e^u0) u0^(2/N - 2) / N`."""
    rows = np.array([(n, u0, u) for n in (2.0, 3, 64) for u0, u in ((1, 800), (1, 5e3), (1000, 1000), (2e3, 2.1e3))])

    def time(depth, u0, u):
        return Mode(1.0, depth, u0=u0).time_to(u)

    slopes = jax.jit(jax.vmap(derivative(time, (0, 1, 2))), compiler_options=QUICK)
    by_depth, by_start, by_end = (np.asarray(v).reshape(3, 4) for v in slopes(*rows.T))
    np.testing.assert_array_equal(by_depth, 3 * [[-np.inf, -np.inf, 0, -np.inf]])
    np.testing.assert_array_equal(by_end, np.inf)
    np.testing.assert_array_equal(by_start[:, 2:], -np.inf)
    exact = -(1 + np.e) / np.array([2.0, 3, 64])
    assert_close(by_start[:, 0], exact, 40)
    assert_close(by_start[:, 1], exact, 40)


@pytest.mark.slow
def test_slopes_of_late_times_of_many_classes():
    rows = np.array([(1.0, 5, 1, 1, 0, u) for u in (30.0, 715, 900, 2e3, 1e5)] + [(1.0, 5, 46, 46, 0, 2116)])

    def time(*x):
        return MultiClassMode(*x[:5]).time_to(x[5])

    value, slopes = jax.jit(jax.vmap(jax.value_and_grad(time, tuple(range(6)))))(*rows.T)
    slopes = np.stack(slopes)
    assert not np.isnan(slopes).any()
    np.testing.assert_array_equal(np.isinf(value), [False, False, True, True, True, False])
    np.testing.assert_array_equal(slopes[5, 2:], np.inf)
    np.testing.assert_array_equal(slopes[0, 2:5], -np.inf)
    assert slopes[0, 5] == 0
