"""Oracles for the modes: mpmath quadrature of the paper's one-dimensional equations, and SciPy on its systems."""

import mpmath as mp
import numpy as np
from scipy.integrate import solve_ivp

DIGITS = 30
SIZE = 24


def fill(values):
    """`values` repeated to one length for all tests, so that every function compiles once."""
    values = np.atleast_1d(np.asarray(values, float))
    return np.resize(values, SIZE)


def relative(value, reference):
    """The largest relative error of `value`."""
    reference = np.asarray(reference, float)
    return float(np.max(np.abs(np.asarray(value, float) - reference) / np.abs(reference)))


def hyperbola_time(norm, y0, z0, u):
    """The time to logit `u` at rate 1, `int du (1 + e^u)/(y^2 + r^2 z^2)`, with C18-Eq20's substitution."""
    with mp.workdps(DIGITS):
        r, y0, z0, u = (mp.mpf(float(v)) for v in (norm, y0, z0, u))
        kappa = abs((y0 - r * z0) * (y0 + r * z0)) / (2 * r)
        angle = [mp.asinh(v / kappa) for v in (y0 * z0, u)]
        # nodes where the integrand turns, for it grows doubly exponentially
        turns = [mp.asinh((u - d) / kappa) for d in (40, 20, 10, 5, 2, 1) if u - d > y0 * z0]
        nodes = sorted([*mp.linspace(*angle, 25), *turns])
        return float(mp.quad(lambda s: 1 + mp.exp(kappa * mp.sinh(s)), nodes) / (2 * r))


def depth_time(norm, depth, u0, u):
    """The time to logit `u` at rate 1 from a balanced start, the quadrature of C18-Eq4."""
    with mp.workdps(DIGITS):
        r, n, u0, u = (mp.mpf(float(v)) for v in (norm, depth, u0, u))
        turns = [u - d for d in (60, 30, 15, 7, 3, 1) if u - d > u0]
        nodes = sorted({*(u0 * (u / u0) ** (mp.mpf(k) / 12) for k in range(13)), *turns})
        total = mp.quad(lambda x: x ** (2 / n - 2) * (1 + mp.exp(x)), nodes)
        return float(total / (n * r ** (2 / n)))


def integrate(field, state, ts, **options):
    """SciPy's solution of `state' = field(state)` at the times `ts`, one row a time."""
    ts = np.asarray(ts, float)
    settings = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-13, **options}
    solution = solve_ivp(lambda _, s: field(s), (0, ts[-1]), state, t_eval=ts, **settings)
    assert solution.success
    return solution.y.T


def pull(u):
    """`1/(1 + e^u)`."""
    return 1 / (1 + np.exp(u))


def central(function, x, step=1e-6):
    """The derivative of a function of one number."""
    return (float(function(x + step)) - float(function(x - step))) / (2 * step)
