"""One mode of a deeper network (C18 section 3.4, B)."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.special import logit

from gsdyn import modes
from gsdyn.verification import _oracles
from gsdyn.verification._problems import log_uniform
from gsdyn.verification._registry import Group, Trials
from gsdyn.verification.c18_modes import COUNT, SHARES, balanced

GROUP = Group("C18 depth")


@GROUP.check(
    "C18-Eq4",
    "depth N: u' = N r^(2/N) u^(2-2/N)/(1 + e^u) (Eq. 23)",
    "a balanced chain of N - 1 hidden layers obeys one equation for its logit",
    "SciPy's DOP853 of the chain's N weights, N = 2..8, against Mode.logit",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def depth(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    N = 2 + np.arange(count) % 7
    ts = SHARES[:, None] / (N * r ** (2 / N) * u0 ** (1 - 2 / N) * p)
    u = np.asarray(modes.Mode(r, N, p, u0=u0).logit(ts))
    true = [_chain(r[i], p[i], u0[i], int(N[i]), ts[:, i]) for i in range(count)]
    return Trials(np.abs(u.T / np.array(true) - 1), {"r": r, "u0": u0, "N": N})


def _chain(r: float, p: float, u0: float, depth: int, ts: np.ndarray) -> np.ndarray:
    """The logit of N weights, each pulled by the product of the others (before C18-Eq23)."""
    z0 = (u0 / r) ** (1 / depth)

    def field(s: np.ndarray) -> np.ndarray:
        product = np.prod(s)
        g = p * _oracles.pull(product)
        return product / s * g * np.r_[r * r, np.ones(depth - 1)]

    return np.prod(_oracles.ode(field, np.r_[r * z0, np.full(depth - 1, z0)], ts), axis=0)


@GROUP.check(
    "C18-Eq4-closed",
    "every depth in closed form: 1F1",
    "t = [Psi(u) - Psi(u_0)]/(N r^(2/N)), Psi(u) = (u^a/a)(1 + 1F1(a; a+1; u)), a = 2/N - 1, any N > 2 (beyond)",
    "SciPy's quadrature of Eq. 4, N in [2.1, 40], u up to 600, against Mode.time_to",
    "relative error",
    samples=COUNT,
    tolerance=1e-10,
)
def depth_closed(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    N, u = log_uniform(random, 2.1, 40, count), u0 + log_uniform(random, 1e-2, 600, count)
    t = np.asarray(modes.Mode(r, N, p, u0=u0).time_to(u))
    true = [_depth_time(*values) for values in zip(r, p, u0, u, N, strict=True)]
    return Trials(np.abs(t / np.array(true) - 1), {"r": r, "N": N, "u0": u0, "u": u})


def _depth_time(r: float, p: float, u0: float, u: float, N: float) -> float:
    a = 2 / N - 1
    integral = _oracles.quadrature(lambda x: np.exp(a * x) * (1 + np.exp(np.exp(x))), np.log(u0), np.log(u))
    return integral / (N * r ** (2 / N) * p)


@GROUP.check(
    "C18-3.4",
    "the deeper the network, the faster the learning",
    "from the same initial logit the time to a confidence of 0.95 falls with the depth (section 3.4)",
    "SciPy's quadrature of Eq. 4 at N = 2, 3, 4 and 8, which Mode has to meet; r in [0.1, 10], u_0 in [1e-5, 2.5]",
    "slowdown",
    samples=COUNT,
    tolerance=1.0,
    instead="the speed N r^(2/N) u^(2-2/N)/(1 + e^u) falls with N where u < r e^(-N/2), and rises with it beyond: from "
    "a small start, which takes a time of order u_0^-(1-2/N) to leave, deeper is slower",
)
def deeper_is_faster(random: Generator, count: int) -> Trials:
    r, p, _ = balanced(random, count)
    u0, u = log_uniform(random, 1e-5, 2.5, count), float(logit(0.95))
    r[0], u0[0] = 9.0, 1e-4
    depths = np.array([2.0, 3.0, 4.0, 8.0])
    t = np.stack([np.asarray(modes.Mode(r, np.full(count, N), p, u0=u0).time_to(u)) for N in depths])
    true = np.array([[_depth_time(a, q, s, u, N) for a, q, s in zip(r, p, u0, strict=True)] for N in depths])
    slower = np.max(true[1:] / true[:-1], axis=0)
    slower = np.where(np.max(np.abs(t / true - 1), axis=0) < 1e-8, slower, np.nan)
    return Trials(slower, {"r": r, "u0": u0, "times at N = 2, 3, 4, 8": (true * p).T})
