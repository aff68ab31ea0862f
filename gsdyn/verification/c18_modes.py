"""One mode of learning under cross-entropy, in closed form (C18 section 3, A.3, A.5, A.7, B)."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.special import expi, expit, logit

from gsdyn import modes
from gsdyn.modes import Outcome
from gsdyn.verification import _oracles
from gsdyn.verification._problems import log_uniform
from gsdyn.verification._registry import Group, Trials

GROUP = Group("C18 one mode")
COUNT = 24
SHARES = np.array([0.1, 0.4, 1.0, 2.5, 6.0])  # of 1/(2 r p), the time scale of a mode
DOPRI = "SciPy's DOP853 of the differential equation as the paper writes it"


def balanced(random: Generator, count: int) -> tuple[np.ndarray, ...]:
    """`r`, `p`, `u_0` of starts with c = 0."""
    return log_uniform(random, 0.1, 10, count), random.uniform(0.05, 0.95, count), log_uniform(random, 1e-2, 3, count)


def times(r: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Times that span the learning of every mode, shape (5, count)."""
    return SHARES[:, None] / (2 * r * p)[None, :]


def integrated(r: float, p: float, y0: float, z0: float, ts: np.ndarray) -> np.ndarray:
    """`(y, z)` of C18-Eq1 at `ts`, with rate p."""

    def field(state: np.ndarray) -> list[float]:
        y, z = state
        g = p * _oracles.pull(y * z)
        return [r * r * z * g, y * g]

    return _oracles.ode(field, [y0, z0], ts)


def passage(r: float, p: float, u0: float, u: float) -> float:
    """The time from `u0` to `u` by C18-Eq14, by quadrature in `log u`."""
    return _oracles.quadrature(lambda x: 1 + np.exp(np.exp(x)), np.log(u0), np.log(u)) / (2 * r * p)


@GROUP.check(
    "C18-Eq1",
    "the invariant y^2 - r^2 z^2",
    "y' = r^2 z/(1 + e^(yz)), z' = y/(1 + e^(yz)) keep y^2 - r^2 z^2",
    f"{DOPRI}, and Mode.weights; random starts with y, z > 0",
    "relative drift",
    samples=COUNT,
    tolerance=1e-10,
)
def invariant(random: Generator, count: int) -> Trials:
    r, p, _ = balanced(random, count)
    y0, z0 = log_uniform(random, 0.1, 2, (2, count))
    ts = times(r, p)
    y, z = (np.asarray(v) for v in modes.Mode(r, rate=p, y0=y0, z0=z0).weights(ts))
    true = np.stack([integrated(r[i], p[i], y0[i], z0[i], ts[:, i]) for i in range(count)], axis=2)
    errors = []
    for a, b in ((y, z), true):
        scale = a**2 + (r * b) ** 2
        errors.append((a**2 - (r * b) ** 2 - (y0**2 - (r * z0) ** 2)) / scale)
    return Trials(np.abs(np.concatenate(errors)).T, {"r": r, "y0": y0, "z0": z0})


@GROUP.check(
    "C18-Eq13",
    "c = 0: u' = 2 r u/(1 + e^u)",
    "on the degenerate hyperbola y = r z the logit u = y z obeys one equation of its own",
    "SciPy's DOP853 of Eq. 1 and of Eq. 13",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def degenerate(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    ts, errors = times(r, p), []
    for i in range(count):
        y, z = integrated(r[i], p[i], np.sqrt(r[i] * u0[i]), np.sqrt(u0[i] / r[i]), ts[:, i])
        pace = 2 * r[i] * p[i]
        u = _oracles.ode(lambda s, pace=pace: [pace * s[0] * _oracles.pull(s[0])], [u0[i]], ts[:, i])[0]
        errors.append(y * z / u - 1)
    return Trials(np.abs(errors), {"r": r, "u0": u0})


@GROUP.check(
    "C18-Eq2",
    "u = (log + Ei)^<-1>(2 r t + log u_0 + Ei(u_0)) (Thm 3.2)",
    "the logit of a mode with c = 0, at rate p with t -> p t, in closed form",
    f"{DOPRI} (Eq. 1)",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def closed_form(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    ts = times(r, p)
    u = np.asarray(modes.Mode(r, rate=p, u0=u0).logit(ts))
    true = np.stack([_path(r[i], p[i], u0[i], ts[:, i]) for i in range(count)], axis=1)
    return Trials(np.abs(u / true - 1).T, {"r": r, "p": p, "u0": u0})


def _path(r: float, p: float, u0: float, ts: np.ndarray) -> np.ndarray:
    return np.prod(integrated(r, p, np.sqrt(r * u0), np.sqrt(u0 / r), ts), axis=0)


@GROUP.check(
    "C18-Eq14",
    "time to a logit, up to 700",
    "t = [log(u/u_0) + Ei(u) - Ei(u_0)]/(2 r p)",
    "SciPy's quadrature of (1 + e^y)/y, and its Ei, against Mode.time_to for u from 1e-6 to 700",
    "relative error",
    samples=COUNT,
    tolerance=1e-11,
)
def time_to_logit(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    u0 = u0 * 1e-4
    u = u0 + log_uniform(random, 1e-2, 690, count)
    t = np.asarray(modes.Mode(r, rate=p, u0=u0).time_to(u))
    quadrature = np.array([passage(*values) for values in zip(r, p, u0, u, strict=True)])
    stated = (np.log(u / u0) + expi(u) - expi(u0)) / (2 * r * p)
    return Trials(np.abs(np.stack([t / quadrature, t / stated], axis=1) - 1), {"r": r, "u0": u0, "u": u})


@GROUP.check(
    "C18-Thm3.2",
    "speed proportional to frequency and to norm",
    "from the same u_0 with c = 0, u(t) depends on t, r and p only through r p t",
    f"{DOPRI} (Eq. 1) with r and p changed and t rescaled",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def speed(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    ts, errors = times(r, p), []
    for i in range(count):
        unit = _path(1.0, 1.0, u0[i], r[i] * p[i] * ts[:, i])
        errors.append(_path(r[i], p[i], u0[i], ts[:, i]) / unit - 1)
    return Trials(np.abs(errors), {"r": r, "p": p, "u0": u0})


@GROUP.check(
    "C18-Eq18",
    "u(t) <= 2 log(r t + e^(u_0/2))",
    "an upper bound of the logit at all times",
    "Mode.log_bound and its formula in NumPy above SciPy's DOP853 (Eq. 1), and above Mode.logit up to t = 1e200",
    "of its bound",
    samples=COUNT,
    tolerance=1 + 1e-9,
)
def log_bound(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    mode, ts = modes.Mode(r, rate=p, u0=u0), times(r, p)
    true = np.stack([_path(r[i], p[i], u0[i], ts[:, i]) for i in range(count)], axis=1)
    bound = 2 * np.log(r * p * ts + np.exp(u0 / 2))
    late = np.broadcast_to(np.geomspace(1e3, 1e200, 5)[:, None], (5, count))
    ratios = [true / bound, true / mode.log_bound(ts), np.asarray(mode.logit(late)) / mode.log_bound(late)]
    return Trials(np.concatenate(ratios).T, {"r": r, "u0": u0})


@GROUP.check(
    "C18-Eq18-rate",
    "convergence is slower than log(t)",
    "the logit grows no faster than log(t) (after Theorem 3.2): u(t) - log(t) stays bounded above",
    "u at t = 1e6 and 1e200 from Mode.logit, each confirmed by SciPy's Ei in Eq. 14",
    "growth",
    samples=COUNT,
    tolerance=0.1,
    instead="u(t) = log(2 r p t) + log log(2 r p t) + o(1): above log t by a term that grows without bound, so that "
    "u/log(t) -> 1 from above; the 2 of Eq. 18 is not tight",
)
def slower_than_log(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    late = np.broadcast_to(np.geomspace(1e6, 1e200, 5)[:, None], (5, count))
    u = np.asarray(modes.Mode(r, rate=p, u0=u0).logit(late))
    confirmed = (np.log(u / u0) + expi(u) - expi(u0)) / (2 * r * p) / late
    above = u - np.log(late)
    growth = np.where(np.max(np.abs(confirmed - 1), axis=0) < 1e-9, above[-1] - above[0], np.nan)
    place = {"r": r, "u0": u0, "u - log t at 1e6": above[0], "at 1e200": above[-1]}
    asymptote = np.log(2 * r * p * late[-1])
    off = u[-1] - asymptote - np.log(asymptote)
    return Trials(growth, place, {"worst of u - log(2rpt) - log log(2rpt) at 1e200": np.max(np.abs(off))})


@GROUP.check(
    "C18-Eq3",
    "both classes: P_t = sigma(u(r_k p_k t))",
    "P_t(x in D_1) = sigma(u(r_1 p t)) on class 1, and the mirrored one with 1 - p on class 2",
    "SciPy's DOP853 of the two-neuron network with signed outputs, against TwoClasses.logits",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def both_classes(random: Generator, count: int) -> Trials:
    r1, p, u1 = balanced(random, count)
    r2, _, u2 = balanced(random, count)
    ts = times(np.sqrt(r1 * r2), p)
    both = modes.TwoClasses(p, (r1, r2), u0=(u1, u2))
    logits = np.stack([np.asarray(v) for v in both.logits(ts)])
    true = []
    for i in range(count):

        def field(s: np.ndarray, i: int = i) -> list[float]:
            # neuron 1 sees class 1 alone, neuron 2 class 2 alone (Lemma 3.1); the label of class 2 turns its pull
            one, two = p[i] * expit(-s[0] * s[1]), -(1 - p[i]) * expit(s[2] * s[3])
            return [r1[i] ** 2 * s[1] * one, s[0] * one, r2[i] ** 2 * s[3] * two, s[2] * two]

        y1, y2 = np.sqrt(r1[i] * u1[i]), np.sqrt(r2[i] * u2[i])
        s = _oracles.ode(field, [y1, u1[i] / y1, y2, -u2[i] / y2], ts[:, i])
        true.append([s[0] * s[1], s[2] * s[3]])
    errors = np.abs(logits / np.moveaxis(np.array(true), 0, 2) - 1)
    return Trials(np.moveaxis(errors, 2, 0), {"r1": r1, "r2": r2, "p": p, "u0": u1, "v0": u2})


@GROUP.check(
    "C18-Eq19",
    "c != 0: hyperbolic angle and quadrature (Eqs. 19-21)",
    "y, z = sqrt(c) cosh, sinh (or swapped) of theta/2, u = (c/2r) sinh theta, theta' = 2 r/(1 + e^u), "
    "theta_0 = arccosh((y_0^2 + r^2 z_0^2)/c)",
    f"{DOPRI} (Eq. 1) against Mode.logit and .weights, and theta(t) from (y^2 + r^2 z^2)/c; both hyperbolas",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def hyperbolas(random: Generator, count: int) -> Trials:
    r, p, _ = balanced(random, count)
    y0, z0 = log_uniform(random, 0.1, 2, (2, count))
    mode, ts = modes.Mode(r, rate=p, y0=y0, z0=z0), times(r, p)
    u, (y, z) = np.asarray(mode.logit(ts)), (np.asarray(v) for v in mode.weights(ts))
    true = np.stack([integrated(r[i], p[i], y0[i], z0[i], ts[:, i]) for i in range(count)], axis=2)
    c = np.abs(y0**2 - (r * z0) ** 2)
    theta = np.arccosh((true[0] ** 2 + (r * true[1]) ** 2) / c)
    stated = c / (2 * r) * np.sinh(theta)
    errors = [u / np.prod(true, axis=0) - 1, y / true[0] - 1, z / true[1] - 1, stated / np.prod(true, axis=0) - 1]
    return Trials(np.abs(np.concatenate(errors)).T, {"r": r, "y0": y0, "z0": z0})


def two_starts(random: Generator, count: int, *, matched: bool) -> tuple[np.ndarray, ...]:
    """`r_1`, `r_2`, `p`, `u_0`, `|v_0|` of two classes."""
    r1, p, u0 = balanced(random, count)
    r2, _, v0 = balanced(random, count)
    return r1, r2, p, u0, (u0 if matched else v0)


@GROUP.check(
    "C18-Cor3.3",
    "t_1/t_2 = r_2(1-p)/(r_1 p) at finite confidence",
    "the times to one confidence are in the ratio t_1/t_2 = (r_2 (1-p))/(r_1 p), at P = 0.9 and from any starts",
    "SciPy's quadrature of Eq. 14, which TwoClasses.time_ratio has to agree with; u_0 and |v_0| drawn apart",
    "relative error",
    samples=COUNT,
    tolerance=0.01,
    instead="it is exact at every confidence from equal starts (C18-Cor3.3-equal), and from others only a limit as "
    "P -> 1 (C18-Cor3.3-limit)",
)
def finite_confidence(random: Generator, count: int) -> Trials:
    r1, r2, p, u0, v0 = two_starts(random, count, matched=False)
    low = float(logit(0.9))
    u0[0], v0[0] = 0.01, 1.9
    u0, v0 = np.minimum(u0, 0.9 * low), np.minimum(v0, 0.9 * low)
    ratio = np.asarray(modes.TwoClasses(p, (r1, r2), u0=(u0, v0)).time_ratio(0.9))
    true = np.array(
        [passage(a, q, u, low) / passage(b, 1 - q, v, low) for a, b, q, u, v in zip(r1, r2, p, u0, v0, strict=True)]
    )
    stated = r2 * (1 - p) / (r1 * p)
    off = np.where(np.abs(ratio / true - 1) < 1e-9, np.abs(true / stated - 1), np.nan)
    return Trials(off, {"r1": r1, "r2": r2, "p": p, "u0": u0, "v0": v0, "true ratio": true, "stated": stated})


@GROUP.check(
    "C18-Cor3.3-equal",
    "the ratio is exact from equal starts",
    "from u_0 = |v_0| the times to any confidence are in the ratio r_2(1-p)/(r_1 p) (beyond)",
    "SciPy's quadrature of Eq. 14, and TwoClasses.time_ratio, at P = 0.96, 0.99 and 0.9999",
    "relative error",
    samples=COUNT,
    tolerance=1e-10,
)
def equal_starts(random: Generator, count: int) -> Trials:
    r1, r2, p, u0, v0 = two_starts(random, count, matched=True)
    both, stated, errors = modes.TwoClasses(p, (r1, r2), u0=(u0, v0)), r2 * (1 - p) / (r1 * p), []
    for confidence in (0.96, 0.99, 0.9999):
        u = float(logit(confidence))
        true = [passage(a, q, s, u) / passage(b, 1 - q, s, u) for a, b, q, s in zip(r1, r2, p, u0, strict=True)]
        errors += [np.array(true) / stated - 1, np.asarray(both.time_ratio(confidence)) / stated - 1]
    return Trials(np.abs(errors).T, {"r1": r1, "r2": r2, "p": p, "u0": u0})


@GROUP.check(
    "C18-Cor3.3-limit",
    "the ratio is a limit as P -> 1",
    "from any starts t_1/t_2 -> r_2(1-p)/(r_1 p) as the confidence tends to 1",
    "SciPy's quadrature of Eq. 14 at P = 1 - 1e-11, and TwoClasses.ratio_limit",
    "relative error",
    samples=COUNT,
    tolerance=1e-7,
)
def limit(random: Generator, count: int) -> Trials:
    r1, r2, p, u0, v0 = two_starts(random, count, matched=False)
    both, stated = modes.TwoClasses(p, (r1, r2), u0=(u0, v0)), r2 * (1 - p) / (r1 * p)
    u = float(logit(1 - 1e-11))
    true = [passage(a, q, x, u) / passage(b, 1 - q, v, u) for a, b, q, x, v in zip(r1, r2, p, u0, v0, strict=True)]
    errors = [np.array(true) / stated - 1, np.asarray(both.ratio_limit) / stated - 1]
    return Trials(np.abs(errors).T, {"r1": r1, "r2": r2, "p": p, "u0": u0, "v0": v0})


@GROUP.check(
    "C18-3.3",
    "the phase plane: solves, dies, decays, frozen",
    "y_0 <= 0 is frozen; y_0 > -r z_0 solves; 0 < y_0 < -r z_0 dies as y reaches 0; y_0 = -r z_0 decays to the origin",
    "SciPy's DOP853 of Eq. 1 with a stop at y = 0, against classify and Mode.death_time",
    "relative error",
    samples=40,
    tolerance=1e-8,
)
def phase_plane(random: Generator, count: int) -> Trials:
    r = 2.0 ** random.integers(-2, 3, count)  # exact, so that y_0 = -r z_0 can be met
    z0, y0 = random.uniform(-2, 2, count), random.uniform(-1, 2, count)
    near = np.abs(y0 + r * z0) < 0.05
    y0 = np.where(near, -r * z0, y0)
    y0[::5] = (-r * z0)[::5]
    fates = np.asarray(modes.classify(r, y0, z0))
    death = np.asarray(modes.Mode(r, y0=y0, z0=z0).death_time)
    errors = [_fate_error(*values) for values in zip(r, y0, z0, fates, death, strict=True)]
    return Trials(errors, {"r": r, "y0": y0, "z0": z0, "fate": fates})


def _fate_error(r: float, y0: float, z0: float, fate: int, death: float) -> float:
    if y0 <= 0:
        return float(fate != Outcome.FROZEN or death != 0)

    def field(s: np.ndarray) -> list[float]:
        g = _oracles.pull(s[0] * s[1])
        return [r * r * s[1] * g, s[0] * g, 1.0]

    if y0 == -r * z0:
        # the line y = -r z is unstable: an integrator leaves it in the end, so it is followed for a while only
        y, z, _ = _oracles.ode(field, [y0, z0, 0.0], [4 / r])[:, -1]
        decays = 0 < y < 0.9 * y0 and abs(y + r * z) < 1e-8 * y0
        return float(fate != Outcome.DECAYS or death != np.inf or not decays)
    end = 200 / r
    y, z, t = _oracles.ode(field, [y0, z0, 0.0], [end], stop=lambda s: s[0])[:, -1]
    if t < end:
        return abs(death / t - 1) if fate == Outcome.DIES else 1.0
    return float(fate != Outcome.SOLVES or death != np.inf or y * z < 1)


@GROUP.check(
    "C18-A.7",
    "y_0 = -r z_0 decays: u' = -2 r u/(1 + e^u)",
    "the logit rises to 0 and never gets there: t = [log(u_0/u) + E_1(-u) - E_1(-u_0)]/(2 r)",
    "SciPy's DOP853 of the equation of log(-u), against Mode.decaying",
    "relative error",
    samples=COUNT,
    tolerance=1e-10,
)
def decay(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    ts = times(r, p)
    u = np.asarray(modes.Mode.decaying(r, -u0, p).logit(ts))
    true = []
    for i in range(count):

        def field(s: np.ndarray, pace: float = 2 * r[i] * p[i]) -> list[float]:
            return [-pace * _oracles.pull(-np.exp(s[0]))]

        true.append(-np.exp(_oracles.ode(field, [np.log(u0[i])], ts[:, i])[0]))
    return Trials(np.abs(u.T / np.array(true) - 1), {"r": r, "u0": -u0})
