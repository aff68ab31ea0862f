"""Lambert W, r-Lambert and log + Ei against mpmath and the reference table, to the last digits, in both precisions."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _special_oracles import DTYPES, at_all, exact, log_plus_ei, logspace, ulps

from gsdyn import special

TABLE = json.loads((Path(__file__).parent / "data" / "special.json").read_text())
ALLOWED_ULP = 4
ALLOWED_SLOPE_ULP = 16
BRANCH_POINT = -0.36787944117144233  # the float nearest to -1/e, which lies just below it


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(40):
        yield


# name: (forward map, its derivative, lowest and highest root by dtype). The roots are chosen first; then c is
# rounded to a float, and the root follows it to first order, far beyond the digits that count.
INVERSES = {
    "lambertw": (lambda w: w * mp.exp(w), lambda w: (1 + w) * mp.exp(w), (1e-300, 703.2), (1e-37, 84.2)),
    "r_lambertw": (
        lambda x: x * mp.exp(x) + x,
        lambda x: (1 + x) * mp.exp(x) + 1,
        (1e-300, 703.2),
        (1e-37, 84.2),
    ),
    "wright_omega": (lambda w: w + mp.log(w), lambda w: 1 + 1 / w, (1e-300, 1e300), (1e-36, 1e37)),
    "r_wright_omega": (
        lambda w: mp.log(w) + mp.log1p(mp.exp(w)) if w < 1e4 else w + mp.log(w),
        lambda w: 1 / w + 1 / (1 + mp.exp(-w)),
        (1e-300, 1e300),
        (1e-36, 1e37),
    ),
    "inverse_log_ei": (log_plus_ei, lambda u: (1 + mp.exp(u)) / u, (1e-300, 716.3), (1e-37, 92.3)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", INVERSES)
def test_inverses_to_the_last_digits(name, dtype):
    forward, slope, *ranges = INVERSES[name]
    low, high = ranges[DTYPES.index(dtype)]
    roots = np.concatenate([logspace(np.log10(low), np.log10(high), 200, 1), logspace(-4, 2, 300, 2).clip(0, high)])
    roots = [exact(r) for r in roots]
    with np.errstate(all="raise"):
        arguments = np.array([float(forward(r)) for r in roots]).astype(dtype)
    references = [r + (exact(c) - forward(r)) / slope(r) for r, c in zip(roots, arguments, strict=True)]
    values = getattr(special, name)(arguments)
    assert values.dtype == dtype
    assert ulps(values, references) <= ALLOWED_ULP
    slopes = at_all(jax.grad(getattr(special, name)))(arguments)
    references = [1 / slope(r) for r in references]
    known = [i for i, r in enumerate(references) if r > 4 * exact(np.finfo(dtype).tiny)]
    assert ulps(np.asarray(slopes)[known], [references[i] for i in known]) <= ALLOWED_SLOPE_ULP


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["lambertw", "r_lambertw"])
def test_reference_table(name, dtype):
    rows = [row for row in TABLE if float(row["c"]) < float(np.finfo(dtype).max)]
    assert len(rows) == (60 if dtype == np.float64 else 12)
    c = np.array([float(row["c"]) for row in rows], dtype)
    values = getattr(special, name)(c)
    # the table's c has more digits than a float: the root follows what rounding took away
    slope = INVERSES[name][1]
    exact_c, roots = ([mp.mpf(row[key]) for row in rows] for key in ("c", name))
    references = [w + (exact(v) - e) / slope(w) for v, e, w in zip(c, exact_c, roots, strict=True)]
    assert ulps(values, references) <= ALLOWED_ULP


@pytest.mark.parametrize("dtype", DTYPES)
def test_lambertw_between_the_branch_point_and_zero(dtype):
    gaps = logspace(-17 if dtype == np.float64 else -8, -0.44, 250, 3)
    c = np.concatenate([BRANCH_POINT + gaps, -logspace(-30, -0.5, 100, 4)]).astype(dtype)
    c = c[[exact(v) > -1 / mp.e for v in c]]
    references = [mp.lambertw(exact(v)).real for v in c]
    assert ulps(special.lambertw(c), references) <= ALLOWED_ULP
    with jax.disable_jit():  # each operation compiled by itself
        assert ulps(special.lambertw(c[:9]), references[:9]) <= ALLOWED_ULP
    slopes = at_all(jax.grad(special.lambertw))(c)
    assert ulps(slopes, [mp.exp(-w) / (1 + w) for w in references]) <= ALLOWED_SLOPE_ULP


def test_lambertw_at_and_below_the_branch_point():
    assert special.lambertw(BRANCH_POINT) == -1
    assert special.lambertw(np.float32(BRANCH_POINT)) == -1
    assert jnp.isinf(jax.grad(special.lambertw)(BRANCH_POINT))
    assert jnp.isnan(special.lambertw(np.array([-0.368, -1.0, -np.inf]))).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_r_lambertw_of_negative_numbers(dtype):
    roots = [-exact(x) for x in np.concatenate([logspace(-30, 30, 300, 5), logspace(-1, 1.5, 300, 6)])]
    forward, slope, *_ = INVERSES["r_lambertw"]
    c = np.array([float(forward(r)) for r in roots]).astype(dtype)
    references = [r + (exact(v) - forward(r)) / slope(r) for r, v in zip(roots, c, strict=True)]
    assert ulps(special.r_lambertw(c), references) <= ALLOWED_ULP


def test_ends_of_the_float_range():
    inf = jnp.inf
    for function in (special.lambertw, special.r_lambertw):
        assert function(0.0) == 0
        assert function(inf) == inf
        assert function(1.79e308) == pytest.approx(703.2226, abs=1e-3)
    assert special.r_lambertw(-inf) == -inf
    assert special.r_lambertw(-1.79e308) == -1.79e308
    for function in (special.wright_omega, special.r_wright_omega, special.inverse_log_ei):
        assert function(-1.7e308) == 0
        assert function(inf) == inf
    assert special.wright_omega(1.7e308) == 1.7e308
    assert special.r_wright_omega(1.7e308) == 1.7e308
    assert special.inverse_log_ei(1.79e308) == pytest.approx(716.3512, abs=1e-3)
    assert special.log_plus_ei(0.0) == -inf
    assert special.log_plus_ei(inf) == inf
    assert special.log_plus_ei(720.0) == inf


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", INVERSES)
def test_the_smallest_results_go_to_zero_without_a_gap(name, dtype):
    tiny = float(np.finfo(dtype).tiny)
    logs = np.log(tiny) + np.linspace(-30, 7, 500)
    scale = {"wright_omega": 1, "r_wright_omega": 1, "inverse_log_ei": 2}.get(name)
    values = getattr(special, name)((scale * logs if scale else np.exp(logs)).astype(dtype))
    assert (np.diff(values) >= 0).all()
    assert values[0] <= tiny
    assert (values[logs > np.log(tiny) + 3] >= tiny).all()


@pytest.mark.parametrize("name", [*INVERSES, "log_plus_ei"])
def test_nan_and_the_outside_of_the_domain_give_nan(name):
    assert jnp.isnan(getattr(special, name)(jnp.nan))
    assert jnp.isnan(special.log_plus_ei(-1.0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_plus_ei(dtype):
    low, high = (-300, 716.3) if dtype == np.float64 else (-37, 92.3)
    u = np.concatenate([logspace(low, 0, 50, 7), logspace(-1, np.log10(high), 200, 8)]).astype(dtype)
    u = np.append(u, np.array([24, 48], dtype))  # where the expansions meet
    values = special.log_plus_ei(u)
    assert values.dtype == dtype
    references = [log_plus_ei(exact(x)) for x in u]
    errors = [abs(exact(v) - r) / max(1, abs(r)) for v, r in zip(values, references, strict=True)]
    assert max(errors) <= 8 * np.finfo(dtype).eps


# name: the derivative as a function of the value, and where to take it
DERIVATIVES = {
    "lambertw": (lambda y: mp.exp(-y) / (1 + y), [1e-300, 1e-5, 0.3, 5.0, 1e5, 1e100, 1e300, -0.2, -0.36]),
    "r_lambertw": (
        lambda y: 1 / ((1 + y) * mp.exp(y) + 1),
        [1e-300, 0.3, 5.0, 1e100, 1e300, -1e-5, -2.0, -40.0, -1e300],
    ),
    "wright_omega": (lambda y: y / (1 + y), [-700.0, -30.0, -1.0, 0.0, 1.0, 40.0, 1e3, 1e100, 1e300]),
    "r_wright_omega": (
        lambda y: y / (1 + y / (1 + mp.exp(-y))),
        [-700.0, -30.0, -1.0, 0.0, 1.0, 40.0, 1e3, 1e100, 1e300],
    ),
    "inverse_log_ei": (
        lambda y: y / (1 + mp.exp(y)),
        [-1300.0, -30.0, -1.0, 0.0, 1.0, 3.3, 100.0, 1e100, 1e300],
    ),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_forward_reverse_and_second(name):
    slope, points = DERIVATIVES[name]
    function, points = getattr(special, name), jnp.array(points)
    forward, back, *_ = INVERSES[name]
    values = [exact(v) for v in function(points)]
    # the root itself: what rounding took of a large one counts in an exponential
    values = [v + (exact(c) - forward(v)) / back(v) if v else v for v, c in zip(values, points, strict=True)]
    first = np.array([float(slope(y)) for y in values])
    with mp.workdps(700):
        second = np.array([float(slope(y) * mp.diff(slope, y, h=mp.mpf(10) ** -330)) for y in values])
    np.testing.assert_allclose(at_all(jax.grad(function))(points), first, rtol=5e-15)
    np.testing.assert_allclose(at_all(jax.jacfwd(function))(points), first, rtol=5e-15)
    # below the smallest normal float XLA gives 0
    got = at_all(jax.jacfwd(jax.grad(function)))(points)
    np.testing.assert_allclose(got, second, rtol=2e-13, atol=1e-307)


def test_second_derivatives_at_zero():
    assert jax.grad(jax.grad(special.lambertw))(0.0) == -2  # W = c - c^2 + ...
    assert jax.grad(jax.grad(special.r_lambertw))(0.0) == -0.25  # c/2 - c^2/8 + ...


def test_derivatives_of_log_plus_ei():
    u = jnp.array([1e-12, 1e-3, 0.6, 5.0, 48.0, 300.0, 709.0])
    first = [float((1 + mp.exp(exact(x))) / exact(x)) for x in u]
    second = [float(mp.exp(x) / x - (1 + mp.exp(x)) / x**2) for x in map(exact, u)]
    np.testing.assert_allclose(at_all(jax.grad(special.log_plus_ei))(u), first, rtol=5e-15)
    np.testing.assert_allclose(at_all(jax.jacfwd(special.log_plus_ei))(u), first, rtol=5e-15)
    np.testing.assert_allclose(at_all(jax.grad(jax.grad(special.log_plus_ei)))(u), second, rtol=1e-13)


@pytest.mark.parametrize("name", [*INVERSES, "log_plus_ei"])
def test_shapes_and_dtypes(name):
    function = getattr(special, name)
    x = jnp.linspace(0.5, 30, 6, dtype=jnp.float32).reshape(2, 3)
    values, gradient = jax.jit(jax.value_and_grad(lambda x: function(x).sum()))(x)
    assert values.dtype == gradient.dtype == jnp.float32
    assert gradient.shape == function(x).shape == x.shape


def test_integers_count_as_the_default_float():
    assert special.lambertw(1).dtype == jnp.float64
    assert special.lambertw(np.arange(3)).dtype == jnp.float64
    assert special.time_integral(1, 2, 0) == special.time_integral(1.0, 2.0, 0.0)


def test_derivatives_at_both_ends():
    """Values and slopes at infinity, and the slope of what overflows."""
    ends = jnp.array([-jnp.inf, jnp.inf])
    expected = {
        "lambertw": [np.nan, 0],
        "r_lambertw": [1, 0],
        "wright_omega": [0, 1],
        "r_wright_omega": [0, 1],
        "inverse_log_ei": [0, 0],
        "log_plus_ei": [np.nan, np.inf],
    }
    for name, slopes in expected.items():
        np.testing.assert_array_equal(at_all(jax.grad(getattr(special, name)))(ends), slopes, err_msg=name)
    second = at_all(jax.grad(jax.grad(special.log_plus_ei)))(jnp.array([0.0, 800.0, 3e4]))
    np.testing.assert_array_equal(second, [-np.inf, np.inf, np.inf])


BAD = ["x", None, object(), 1j, [1, [2]], np.array(["a"])]


@pytest.mark.parametrize("bad", BAD)
def test_bad_arguments_are_refused_in_one_line(bad):
    one = {"c": special.lambertw, "x": special.wright_omega}
    calls = {f"{name} must (be|hold)": lambda x, f=f: f(x) for name, f in one.items()}
    calls["u must (be|hold)"] = special.log_plus_ei
    calls["u0 must (be|hold)"] = lambda x: special.time_integral(x, 1.0, 0.0)
    calls["time must (be|hold)"] = lambda x: special.inverse_time_integral(1.0, x, 0.0)
    calls["a must (be|hold)"] = lambda x: special.depth_primitive(1.0, x)
    for message, call in calls.items():
        with pytest.raises(ValueError, match=message) as error:
            call(bad)
        assert "\n" not in str(error.value)


def test_the_power_must_be_that_of_a_depth():
    for call in (special.time_integral, special.inverse_time_integral):
        with pytest.raises(ValueError, match=r"^a must be in \[-1, 0\], got 0\.5$"):
            call(1.0, 2.0, 0.5)
    with pytest.raises(ValueError, match=r"^u0, u, a must have shapes that broadcast"):
        special.time_integral(np.ones(2), np.ones(3), 0.0)
