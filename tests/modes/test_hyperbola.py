"""The path through the weights against mpmath's hyperbolic functions, C18-Eq19 as the paper writes it."""

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from gsdyn.modes.hyperbola import Hyperbola, angle_between


def path(norm, y0, z0):
    return Hyperbola.through(*jnp.broadcast_arrays(*(jnp.asarray(v, float) for v in (norm, y0, z0))))


def paper(norm, y0, z0, angle):
    """`(y, z)` at `theta_0 + angle` by C18-Eq19, with the sign of theta_0 that its arccosh drops."""
    with mp.workdps(40):
        r, y0, z0, angle = (mp.mpf(float(v)) for v in (norm, y0, z0, angle))
        constant = y0**2 - r**2 * z0**2
        c = abs(constant)
        # arccosh gives theta_0 >= 0; it is negative left of z = 0 (c > 0) or below y = 0 (c < 0)
        theta = mp.sign(z0 if constant > 0 else y0) * mp.acosh((y0**2 + r**2 * z0**2) / c)
        theta = theta + angle if constant > 0 or z0 > 0 else theta - angle
        even, odd = mp.sqrt(c) * mp.cosh(theta / 2), mp.sqrt(c) * mp.sinh(theta / 2)
        if constant > 0:
            return float(even), float(odd / r)
        return float(odd), float(mp.sign(z0) * even / r)


STARTS = [
    (1.3, 0.5, 0.2),
    (1.3, 0.2, 0.5),
    (0.7, 0.9, -0.4),
    (0.7, 0.2, -0.8),
    (1e-3, 90.0, 1e-5),
    (1e3, 1e-5, 2.0),
]


def test_weights_and_logit():
    hyperbola = path(*zip(*STARTS, strict=True))
    for part in (0.0, 0.02, 0.5, 0.9):
        angle = part * jnp.minimum(hyperbola.end, 6.0)
        y, z = hyperbola.weights(angle)
        exact = [paper(*start, a) for start, a in zip(STARTS, angle, strict=True)]
        np.testing.assert_allclose(jnp.stack([y, z], axis=1), exact, rtol=2e-14)
        np.testing.assert_allclose(hyperbola.logit(angle), y * z, rtol=1e-13)


def test_arccosh_alone_starts_at_the_wrong_logit():
    # C18-Eq21 as printed: theta_0 = arccosh(...) >= 0 gives u(0) = +0.5 for a start at u_0 = -0.5
    norm, y0, z0 = 1.0, 1.0, -0.5
    c = y0**2 - z0**2
    printed = c / 2 * np.sinh(np.arccosh((y0**2 + z0**2) / c))
    assert printed == pytest.approx(0.5)
    assert float(path(norm, y0, z0).logit(jnp.asarray(0.0))) == -0.5


@pytest.mark.parametrize("u0", [-200.0, -1.0, -1e-9, 0.0, 1e-200, 1e-3, 2.0])
@pytest.mark.parametrize("kappa", [1e-8, 0.3, 1e6])
def test_angle_between(u0, kappa):
    speed = np.hypot(u0, kappa)
    growing, shrinking = (kappa**2 / (speed - u0), speed - u0) if u0 < 0 else (speed + u0, kappa**2 / (speed + u0))
    for rise in (1e-9, 0.1, 30.0, 600.0):
        u = u0 + rise
        with mp.workdps(60):
            # kappa^2 and u0 as the two halves define them
            g, k = mp.mpf(growing), mp.mpf(shrinking)
            root = mp.sqrt(g * k)
            exact = mp.asinh(u / root) - mp.asinh((g - k) / 2 / root)
        found = angle_between(*(jnp.asarray(v) for v in (u0, u, growing, shrinking)))
        # the halves fix u0 only to their own rounding
        slack = 4e-16 * max(growing, shrinking) / np.hypot(min(abs(u0), abs(u)) if u0 * u > 0 else 0, kappa)
        assert float(found) == pytest.approx(float(exact), rel=1e-14, abs=slack)


def test_angle_of_the_degenerate_hyperbola_is_a_logarithm():
    growing = jnp.asarray(2e-250)
    found = angle_between(jnp.asarray(1e-250), jnp.asarray(700.0), growing, jnp.zeros(()))
    assert float(found) == pytest.approx(np.log(700.0) - np.log(1e-250), rel=1e-15)


def test_angle_and_logit_are_inverse():
    rng = np.random.default_rng(1)
    norm, y0 = 10 ** rng.uniform(-3, 3, 500), 10 ** rng.uniform(-6, 3, 500)
    z0 = np.where(rng.random(500) < 0.5, 1, -1) * 10 ** rng.uniform(-6, 3, 500)
    hyperbola = path(norm, y0, z0)
    top = jnp.where(hyperbola.plus > 0, 700.0, 0.0)
    u = hyperbola.u0 + (top - hyperbola.u0) * rng.uniform(0, 1, 500)
    u = jnp.maximum(u, hyperbola.u0)
    back = hyperbola.logit(hyperbola.angle(u))
    assert float(jnp.max(jnp.abs(back - u) / jnp.maximum(jnp.abs(u), jnp.abs(hyperbola.u0)))) < 1e-13


def test_what_is_never_reached():
    hyperbola = path([1.0, 1.0, 1.0], [0.5, 0.5, -0.5], [-0.8, -0.5, 0.3])  # dies, decays, frozen
    assert (hyperbola.angle(jnp.array([0.1, 0.0, 0.1])) == jnp.inf).all()
    assert hyperbola.end[1] == jnp.inf
    assert (hyperbola.logit(jnp.array([50.0, 50.0, 50.0])) == jnp.array([0.0, -0.25 * np.exp(-50.0), 0.0])).all()


def test_end_keeps_its_digits_however_short_the_path_is():
    """`log((r|z_0| + y_0)/(r|z_0| - y_0))`, tiny for a tiny `y_0`, large beside the separatrix."""
    share = np.array([1e-300, 1e-17, 1e-9, 1e-3, 0.5, 0.999, 1 - 2.0**-30])
    norm, z0 = np.resize([1.0, 2.0, 0.25], 7), -np.resize([1.0, 0.5, 8.0, 2.0], 7)
    end = path(norm, share * norm * -z0, z0).end
    with mp.workdps(40):
        exact = [float(2 * mp.atanh(mp.mpf(float(x)))) for x in share]
    np.testing.assert_allclose(end, exact, rtol=1e-15)
