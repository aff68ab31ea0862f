"""Hinge modes against SciPy's system and the printed formulas (C18-Thm4.1, Eq5, C.1, Fig4)."""

import jax.numpy as jnp
import numpy as np
import pytest
from _mode_oracles import SIZE, integrate, relative

import gsdyn as gs
from gsdyn.modes import Mode

HINGE = gs.Hinge()


def test_the_printed_formulas():
    norm, rate = 0.8, 0.6
    t = np.linspace(0, 3, SIZE)
    # c = 0
    u = Mode(norm, rate=rate, u0=np.full(SIZE, 0.1), loss=HINGE).logit(t)
    assert relative(u, np.minimum(1, 0.1 * np.exp(2 * rate * norm * t))) < 1e-13
    # both signs of the invariant
    for y0, z0 in ((0.5, 0.2), (0.1, 0.9)):
        c = abs(y0**2 - (norm * z0) ** 2)
        theta = np.arccosh((y0**2 + (norm * z0) ** 2) / c)
        printed = np.minimum(1, c / (2 * norm) * np.sinh(theta + 2 * rate * norm * t))
        mode = Mode(norm, rate=rate, y0=np.full(SIZE, y0), z0=z0, loss=HINGE)
        assert relative(mode.logit(t), printed) < 1e-13


def test_the_system():
    # free runs, each up to just before its end: SciPy need not find the margin
    norm, rate = 0.8, 0.6
    for y0, z0 in ((0.5, 0.2), (0.5, -0.5), (0.5, -0.62), (0.1, 0.9)):
        mode = Mode(norm, rate=rate, y0=np.full(SIZE, y0), z0=z0, loss=HINGE)
        end = min(float(mode.death_time[0]), float(mode.time_to(1.0)[0]), 5.0)
        t = np.linspace(0, 0.999 * end, SIZE)
        states = integrate(lambda s: rate * np.array([norm**2 * s[1], s[0]]), [y0, z0], t)
        np.testing.assert_allclose(jnp.stack(mode.weights(t), axis=1), states, rtol=1e-9, atol=1e-12)


def test_depth():
    # the scalar equation u' = N r^(2/N) u^(2 - 2/N) has a power for its solution
    norm, depth, u0 = 0.8, 5, 0.1
    mode = Mode(norm, depth, u0=np.full(SIZE, u0), loss=HINGE)
    t = np.linspace(0, 0.99 * float(mode.time_to(1.0)[0]), SIZE)
    states = integrate(lambda u: depth * norm ** (2 / depth) * u ** (2 - 2 / depth), [u0], t)
    assert relative(mode.logit(t), states[:, 0]) < 1e-9
    near_two = Mode(norm, 2 + 1e-9, u0=np.full(SIZE, u0), loss=HINGE).logit(t / 2)
    assert relative(near_two, Mode(norm, 2, u0=np.full(SIZE, u0), loss=HINGE).logit(t / 2)) < 1e-8


@pytest.mark.parametrize("start", [{"u0": 0.1}, {"y0": 0.5, "z0": 0.2}])
def test_it_stops_at_the_margin(start):
    mode = Mode(np.full(SIZE, 0.8), loss=HINGE, **start)
    stop = mode.time_to(1.0)
    assert (mode.logit(stop * (1 + 1e-12)) == 1).all()
    assert (mode.logit(1e300) == 1).all()
    before, after = mode.weights(stop * 2), mode.weights(1e300)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("start", [{"u0": 3.0}, {"y0": 2.0, "z0": 1.5}])
def test_a_start_beyond_the_margin_stays(start):
    # the printed min(1, ...) says 1
    mode = Mode(np.full(SIZE, 0.8), loss=HINGE, **start)
    assert (mode.logit(np.linspace(0, 5, SIZE)) == 3.0).all()
    assert (mode.time_to_confidence(0.9) == 0).all()
    assert (mode.time_to(3.0) == 0).all()


def test_hinge_is_finite_and_cross_entropy_diverges():
    p = 1 - 10.0 ** -np.linspace(0.4, 12, SIZE)
    hinge, entropy = Mode(1.3, u0=np.full(SIZE, 0.01), loss=HINGE), Mode(1.3, u0=np.full(SIZE, 0.01))
    fast, slow = hinge.time_to_confidence(p), entropy.time_to_confidence(p)
    assert (fast < slow).all()
    assert float(fast[-1]) == pytest.approx(np.log(100) / 2.6, rel=1e-9)
    assert float(slow[-1]) > 1e9
    assert relative(hinge.confidence(fast), p) < 1e-13
