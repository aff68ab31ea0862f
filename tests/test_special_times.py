"""The clock of a mode at any depth against mpmath: every pair of ends, both precisions, and its inverse."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _programs import QUICK
from _special_oracles import DTYPES, at_all, exact, log_plus_ei
from hypothesis import given, settings
from hypothesis import strategies as st

from gsdyn import special


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(40):
        yield


def depth_primitive(u, a):
    """`Psi(u)`, with a primitive of the same integrand where `Psi` has a pole."""
    if a == 0:
        return log_plus_ei(u)
    if a == -1:
        return mp.ei(u) - (1 + mp.exp(u)) / u
    return u**a / a * (1 + mp.hyp1f1(a, a + 1, u))


def time_integral(u0, u, a):
    # a primitive of size 2/a loses the digits of a
    with mp.extradps(60):
        return depth_primitive(u, a) - depth_primitive(u0, a)


def ends(dtype, n, seed):
    """Random `u0 <= u` and `a`: near and far ends, logits to 709 (float32: 88), every depth from 2 to infinity."""
    rng = np.random.default_rng(seed)
    high = 709 if dtype == np.float64 else 88
    u0 = 10 ** rng.uniform(-12, np.log10(high), n)
    ends = [
        u0 * (1 + 10 ** rng.uniform(-12, 0, n)),
        u0 + 10 ** rng.uniform(-10, 1, n),
        u0 + rng.uniform(0, 1, n) * (high - u0),
        u0 * (high / u0) ** rng.uniform(0, 1, n),
    ]
    u = np.choose(np.arange(n) % 4, ends).clip(0, high)
    a = [
        np.zeros(n),
        -np.ones(n),
        -(10 ** rng.uniform(-20, 0, n)),
        2 / rng.integers(2, 65, n) - 1,
        -rng.uniform(0, 1, n),
    ]
    a = np.choose(rng.integers(0, 5, n), a)
    u0, u, a = (x.astype(dtype) for x in (u0, u, a))
    return u0, np.maximum(u, u0), a


@pytest.mark.parametrize("dtype", DTYPES)
def test_time_integral_keeps_its_digits_for_every_pair_of_ends(dtype):
    u0, u, a = ends(dtype, 400, 9)
    values = special.time_integral(u0, u, a)
    assert values.dtype == dtype
    for v, *point in zip(values, u0, u, a, strict=True):
        reference = time_integral(*map(exact, point))
        assert abs(exact(v) - reference) <= 8 * np.finfo(dtype).eps * reference, point


def test_time_integral_agrees_with_quadrature():
    for u0, u, a in [(0.3, 0.7, -0.4), (2.0, 2.5, 0.0), (46.0, 51.0, -0.75)]:
        reference = mp.quad(lambda x, a=a: x ** (a - 1) * (1 + mp.exp(x)), [u0, u])
        assert special.time_integral(u0, u, a) == pytest.approx(float(reference), rel=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_depth_primitive(dtype):
    u, _, a = ends(dtype, 400, 10)
    inside = (a > -0.99) & (a < -0.01)
    u, a = u[inside], a[inside]
    assert len(u) > 100
    for v, x, b in zip(special.depth_primitive(u, a), u, a, strict=True):
        x, b = exact(x), exact(b)
        reference = depth_primitive(x, b)
        scale = max(abs(reference), 2 * x**b / -b)
        assert abs(exact(v) - reference) <= 8 * np.finfo(dtype).eps * scale, (x, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_inverse_time_integral_gives_back_the_time(dtype):
    """To four units of the time, and to what one unit in the last place of `u` changes in it."""
    u0, u, a = ends(dtype, 20_000, 11)
    time = special.time_integral(u0, u, a)
    again = special.inverse_time_integral(u0, time, a)
    assert again.dtype == dtype
    assert (again >= u0).all()
    error = np.abs(special.time_integral(u0, again, a) - time)
    neighbour = np.nextafter(np.asarray(again), np.inf, dtype=dtype)
    one_unit = special.time_integral(again, neighbour, a)
    assert (error <= 4 * np.finfo(dtype).eps * time + one_unit).all()


def test_inverse_time_integral_gives_back_the_logit():
    u0, u, a = ends(np.float64, 20_000, 12)
    again = special.inverse_time_integral(u0, special.time_integral(u0, u, a), a)
    time_per_logit = special.time_integral(u0, u, a) / (u ** (a - 1) * (1 + np.exp(u))) / u
    tells = time_per_logit < 10  # elsewhere the time itself has not the digits
    assert tells.mean() > 0.6
    np.testing.assert_allclose(again[tells], u[tells], rtol=2e-14)


def test_inverse_time_integral_up_to_the_largest_times():
    u0, a = (x.ravel() for x in np.meshgrid([1e-12, 1e-3, 1.0, 50.0], [0.0, -0.5, -31 / 32]))
    u = special.inverse_time_integral(u0, np.full(12, 1e300), a)
    # one unit in the last place of u is worth 1.1e-13 of the time
    np.testing.assert_allclose(special.time_integral(u0, u, a), 1e300, rtol=2e-13)


def test_ends_of_the_times():
    u = special.inverse_time_integral(0.1, np.array([0.0, np.inf, -1.0, np.nan]), -0.5)
    np.testing.assert_array_equal(u, [0.1, np.inf, np.nan, np.nan])
    assert special.time_integral(0.1, 800.0, -0.5) == np.inf


def test_depth_two_is_log_plus_ei():
    u0, u, zero = np.full(12, 0.05), np.linspace(0.1, 60.0, 12), np.zeros(12)
    clock = special.log_plus_ei(u) - special.log_plus_ei(u0)
    np.testing.assert_allclose(special.time_integral(u0, u, zero), clock, rtol=1e-14)
    np.testing.assert_allclose(special.time_integral(u0, u, zero - 1e-9), clock, rtol=1e-7)
    logits = special.inverse_log_ei(clock + special.log_plus_ei(u0))
    np.testing.assert_allclose(special.inverse_time_integral(u0, clock, zero), logits, rtol=1e-14)


exponents = st.floats(-12, 2.8)


@settings(max_examples=100, deadline=None)
@given(exponents, exponents, exponents, st.floats(-1, 0))
def test_times_add_up(x0, x1, x2, a):
    u0, u1, u2 = sorted(10**x for x in (x0, x1, x2))
    whole = special.time_integral(u0, u2, a)
    parts = special.time_integral(u0, u1, a) + special.time_integral(u1, u2, a)
    assert parts == pytest.approx(float(whole), rel=1e-14)
    assert special.time_integral(u2, u0, a) == -whole


# ends on both sides of the switch at 48, across it, near each other, at depth two
TIMES = [
    (0.1, 2.0, -0.3),
    (1e-6, 5.0, -0.7),
    (30.0, 60.0, -0.5),
    (50.0, 400.0, -0.25),
    (1.0, 1.0001, -0.4),
    (0.1, 48.0, 0.0),
]


def in_a(function, a, order):
    """The derivative of `function` in `a`, with digits to spare."""
    with mp.workdps(100):
        return mp.diff(function, a, order, h=mp.mpf(10) ** -25)


def speed(u, a):
    return u ** (a - 1) * (1 + mp.exp(u))


def test_derivatives_of_times():
    u0, u, a = np.array(TIMES).T
    times = special.time_integral(u0, u, a)
    gradients = at_all(jax.grad(special.time_integral, (0, 1, 2)), QUICK)(u0, u, a)
    inverses = at_all(jax.grad(special.inverse_time_integral, (0, 1, 2)), QUICK)(u0, times, a)
    for i, (u0, u, a) in enumerate(tuple(map(exact, point)) for point in TIMES):
        slope = in_a(lambda a, u0=u0, u=u: time_integral(u0, u, a), a, 1)
        expected = -speed(u0, a), speed(u, a), slope
        np.testing.assert_allclose([g[i] for g in gradients], [float(x) for x in expected], rtol=2e-11)
        expected = speed(u0, a) / speed(u, a), 1 / speed(u, a), -slope / speed(u, a)
        np.testing.assert_allclose([g[i] for g in inverses], [float(x) for x in expected], rtol=2e-11)


def test_derivatives_of_the_depth_primitive():
    u, a = exact(5.0), exact(-0.3)
    expected = [speed(u, a), in_a(lambda a: depth_primitive(u, a), a, 1)]
    gradient = jax.jit(jax.grad(special.depth_primitive, (0, 1)))(5.0, -0.3)
    np.testing.assert_allclose(gradient, [float(x) for x in expected], rtol=1e-14)


def test_second_derivative_of_the_inverse_time():
    u0, u, a = 0.1, 2.0, -0.3
    second = jax.jit(jax.grad(jax.grad(special.inverse_time_integral, 1), 1), compiler_options=QUICK)
    second = second(u0, special.time_integral(u0, u, a), a)
    pace = u ** (1 - a) / (1 + np.exp(u))
    assert second == pytest.approx(pace**2 * ((1 - a) / u - 1 / (1 + np.exp(-u))), rel=1e-12)


@pytest.mark.slow
def test_second_derivatives_in_the_depth():
    second = at_all(jax.hessian(special.time_integral, 2))(*np.array(TIMES).T)
    for value, (u0, u, a) in zip(second, (map(exact, point) for point in TIMES), strict=True):
        expected = in_a(lambda a, u0=u0, u=u: time_integral(u0, u, a), a, 2)
        assert value == pytest.approx(float(expected), rel=1e-7)


@pytest.mark.slow
def test_mixed_derivatives_of_the_inverse_time():
    point = np.array([0.1, float(special.time_integral(0.1, 2.0, -0.3)), -0.3])
    gradient = jax.jit(jax.grad(special.inverse_time_integral, (0, 1, 2)))
    hessian = np.array(jax.jit(jax.hessian(special.inverse_time_integral, (0, 1, 2)))(*point))
    steps = 1e-5 * np.eye(3)
    differences = [(np.array(gradient(*(point + h))) - np.array(gradient(*(point - h)))) / 2e-5 for h in steps]
    np.testing.assert_allclose(hessian, differences, rtol=1e-6)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-12)


def test_times_broadcast_and_follow_the_dtype():
    u0, u = jnp.float32(0.1), jnp.linspace(1, 9, 5, dtype=jnp.float32)
    for function in (special.time_integral, special.inverse_time_integral):
        times = function(u0, u, 0)
        assert times.dtype == jnp.float32
        assert times.shape == (5,)
    depths = jnp.linspace(-1, 0, 5, dtype=jnp.float32)
    mapped = jax.vmap(special.inverse_time_integral, (None, 0, 0))(u0, u, depths)
    np.testing.assert_array_equal(mapped[-1], times[-1])
