"""Many neurons, points and classes, the hinge loss, and assumption H2 relaxed (C18 section 4, A.2-A.8, C)."""

from __future__ import annotations

import jax
import numpy as np
from numpy.random import Generator
from scipy import integrate
from scipy.special import expit, softmax

from gsdyn import modes
from gsdyn.losses import Hinge
from gsdyn.modes.competition import Winner
from gsdyn.verification import _oracles
from gsdyn.verification._problems import log_uniform
from gsdyn.verification._registry import Group, Trials
from gsdyn.verification.c18_modes import COUNT, balanced, passage, times

GROUP = Group("C18 extensions, hinge")
NEURONS, POINTS = 3, 3


@GROUP.check(
    "C18-A.2",
    "many classes: each learns on its own (Lemma A.1)",
    "one neuron of class k under softmax: y' = r^2 (z + v)(C-1) g, z' = (C-1) y g, v' = y g, g = 1/(e^m + C - 1)",
    "SciPy's DOP853 of the C output weights under the softmax itself, C = 2..6, against MultiClassMode.margin",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def many_classes(random: Generator, count: int) -> Trials:
    r, p, _ = balanced(random, count)
    C = 2 + np.arange(count) % 5
    y0, z0, v0 = log_uniform(random, 0.1, 1, (3, count))
    ts = times(r, p)
    m = np.asarray(modes.MultiClassMode(r, C.astype(float), y0, z0, v0, p).margin(ts))
    true = [_softmax_margin(r[i], p[i], int(C[i]), y0[i], z0[i], v0[i], ts[:, i]) for i in range(count)]
    return Trials(np.abs(m.T / np.array(true) - 1), {"r": r, "C": C, "y0": y0, "z0": z0, "v0": v0})


def _softmax_margin(r: float, p: float, C: int, y0: float, z0: float, v0: float, ts: np.ndarray) -> np.ndarray:
    def field(s: np.ndarray) -> np.ndarray:
        y, weights = s[0], s[1:]
        error = p * (np.eye(C)[0] - softmax(weights * y))
        return np.r_[r * r * (weights @ error), y * error]

    s = _oracles.ode(field, np.r_[y0, z0, np.full(C - 1, -v0)], ts)
    return s[0] * (s[1] - s[2])


@GROUP.check(
    "C18-A.4",
    "h neurons with c_i = 0: the sum obeys Eq. 13",
    "each pair (y_i, z_i) keeps its invariant, and with all c_i = 0 the summed logit is the one of a single neuron",
    "SciPy's DOP853 of three neurons, against Mode.logit from the summed start",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def neurons(random: Generator, count: int) -> Trials:
    r, p, _ = balanced(random, count)
    z0 = log_uniform(random, 0.05, 1, (count, NEURONS))
    y0, ts = r[:, None] * z0, times(r, p)
    u = np.asarray(modes.Mode(r, rate=p, u0=np.sum(y0 * z0, axis=1)).logit(ts))
    errors = []
    for i in range(count):
        y, z = _neurons(r[i], p[i], y0[i], z0[i], ts[:, i])
        drift = (y**2 - (r[i] * z) ** 2) / (y**2 + (r[i] * z) ** 2)
        errors.append([*(u[:, i] / np.sum(y * z, axis=0) - 1), *np.ravel(drift)])
    return Trials(np.abs(errors), {"r": r, "z0": z0})


@GROUP.check(
    "C18-A.4-any",
    "h neurons with any invariants learn like one",
    "u = (G e^a - K e^-a)/2 with G, K = sum_i (y_i0 +- r z_i0)^2/2r: one neuron's logit, deaths included (beyond)",
    "SciPy's DOP853 of three neurons with ReLU gates, z_i0 of either sign, against Neurons.logit",
    "relative error",
    samples=COUNT,
    tolerance=1e-6,  # of DOP853 across the kinks where a neuron dies
)
def neurons_any(random: Generator, count: int) -> Trials:
    r, p, _ = balanced(random, count)
    y0, z0 = log_uniform(random, 0.1, 1.5, (count, NEURONS)), random.uniform(-0.5, 1, (count, NEURONS))
    ts, errors = times(r, p), []
    u = _all_neurons(r, y0, z0, p, ts)
    for i in range(count):
        y, z = _neurons(r[i], p[i], y0[i], z0[i], ts[:, i])
        true = np.sum(np.maximum(y, 0) * z, axis=0)
        errors.append((u[i] - true) / (1 + np.abs(true)))
    return Trials(np.abs(errors), {"r": r, "y0": y0, "z0": z0})


def _all_neurons(r: np.ndarray, y0: np.ndarray, z0: np.ndarray, p: np.ndarray, ts: np.ndarray) -> np.ndarray:
    return np.asarray(jax.vmap(lambda *of: modes.Neurons(*of[:4]).logit(of[4]))(r, y0, z0, p, ts.T))


def _neurons(r: float, p: float, y0: np.ndarray, z0: np.ndarray, ts: np.ndarray) -> np.ndarray:
    def field(s: np.ndarray) -> np.ndarray:
        y, z = np.maximum(s[:NEURONS], 0), s[NEURONS:]
        g = p * _oracles.pull(float(y @ z))
        return np.r_[r * r * g * np.where(y > 0, z, 0), g * y]

    return _oracles.ode(field, np.r_[y0, z0], ts).reshape(2, NEURONS, -1)


@GROUP.check(
    "C18-A.6",
    "H2 relaxed: b falls until it reaches 0",
    "one neuron on points of both classes, a, b, z > 0: a rises, b falls until it reaches 0, then class 1 learns alone",
    "SciPy's DOP853 of A.6's equations, stopped where a or b reaches 0; random starts in [0.1, 3]",
    "wrong deaths",
    samples=COUNT,
    tolerance=0.0,
    instead="where b is large enough against a and z, z turns negative first; then a falls and dies, and the neuron "
    "becomes the second class's (C18-A.6-winner)",
)
def wrong_direction_dies(random: Generator, count: int) -> Trials:
    a0, b0, z0 = log_uniform(random, 0.1, 3, (3, count))
    a0[0], b0[0], z0[0] = 0.5, 2.5, 0.2
    ends = np.array([_competition(*start)[1:] for start in zip(a0, b0, z0, strict=True)])
    lost = (ends[:, 0] < ends[:, 1]).astype(float)
    return Trials(lost, {"a0": a0, "b0": b0, "z0": z0, "(a, b, z) at the death": ends})


def _competition(a0: float, b0: float, z0: float) -> tuple[float, float, float, float]:
    """The time at which a direction dies, and `(a, b, z)` then."""

    def field(s: np.ndarray) -> list[float]:
        a, b, z, _ = s
        right, wrong = expit(-z * a), expit(z * b)
        return [z * right, -z * wrong, a * right - b * wrong, 1.0]

    a, b, z, t = _oracles.ode(field, [a0, b0, z0, 0.0], [200.0], stop=lambda s: min(s[0], s[1]))[:, -1]
    return t, a, b, z


@GROUP.check(
    "C18-A.6-winner",
    "H2 relaxed: who wins the neuron, and when",
    "the direction that dies first and the time of its death, integrated; a^2 + b^2 - z^2 never changes (beyond)",
    "SciPy's DOP853 with a stop, against Competition.winner, .death_time and .invariant",
    "relative error",
    samples=COUNT,
    tolerance=1e-7,
)
def winner(random: Generator, count: int) -> Trials:
    a0, b0, z0 = log_uniform(random, 0.1, 3, (3, count))
    competition = modes.Competition(a0, b0, z0)
    t, a, b, z = np.array([_competition(*start) for start in zip(a0, b0, z0, strict=True)]).T
    won = np.where(b < a, Winner.FIRST, Winner.SECOND)
    wrong = np.asarray(competition.winner) != won
    drift = np.asarray(competition.invariant) - (a**2 + b**2 - z**2)
    errors = [wrong, np.asarray(competition.death_time) / t - 1, drift / (a**2 + b**2 + z**2)]
    return Trials(np.abs(errors).T, {"a0": a0, "b0": b0, "z0": z0})


@GROUP.check(
    "C18-A.8",
    "m orthogonal points: u' = 2 sqrt(m) r u/(1 + e^u)",
    "m orthogonal points of equal norm, full batch, keep m y^2 - r^2 z^2 and learn sqrt(m) times as fast per point",
    "SciPy's DOP853 of the m + 1 weights, m = 1..6, against orthogonal_points from starts with c = 0",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def orthogonal(random: Generator, count: int) -> Trials:
    r, _, u0 = balanced(random, count)
    m = 1 + np.arange(count) % 6
    y0 = np.sqrt(u0 * r / np.sqrt(m))
    z0, ts = u0 / y0, times(r, np.sqrt(m))
    u = np.asarray(modes.orthogonal_points(r, m.astype(float), y0, z0).logit(ts))
    errors = []
    for i in range(count):

        def field(s: np.ndarray, r: float = r[i]) -> np.ndarray:
            g = expit(-s[:-1] * s[-1])
            return np.r_[r * r * s[-1] * g, np.sum(s[:-1] * g)]

        s = _oracles.ode(field, np.r_[np.full(m[i], y0[i]), z0[i]], ts[:, i])
        drift = (m[i] * s[0] ** 2 - (r[i] * s[-1]) ** 2) / (m[i] * s[0] ** 2)
        errors.append([*(u[:, i] / (s[0] * s[-1]) - 1), *drift])
    return Trials(np.abs(errors), {"r": r, "m": m, "u0": u0})


@GROUP.check(
    "C18-Thm4.1",
    "hinge: min(1, u_0 e^(2prt)), min(1, c/2r sinh(th_0+2prt))",
    "under hinge the logit grows like an exponential (c = 0) or a hyperbolic sine until it stops at 1 (Eq. 5)",
    "SciPy's DOP853 of y' = p r^2 z, z' = p y with a stop at y z = 1, against Mode.logit, and Eq. 5 in NumPy",
    "relative error",
    samples=COUNT,
    tolerance=1e-9,
)
def hinge(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    u0 = u0 / 4  # below the margin
    y0 = np.sqrt(r * u0) * log_uniform(random, 0.3, 3, count)
    z0, ts = u0 / y0, times(r, p)
    both = modes.Mode(r, rate=p, loss=Hinge(), u0=u0), modes.Mode(r, rate=p, loss=Hinge(), y0=y0, z0=z0)
    found = np.stack([np.asarray(mode.logit(ts)) for mode in both])
    c = np.abs(y0**2 - (r * z0) ** 2)
    angle = np.arccosh((y0**2 + (r * z0) ** 2) / c) + 2 * p * r * ts
    stated = np.stack([u0 * np.exp(2 * p * r * ts), c / (2 * r) * np.sinh(angle)])
    errors = [found / np.minimum(1, stated) - 1]
    for k, start in enumerate((np.sqrt(r * u0), y0)):
        true = [_hinge_path(r[i], p[i], start[i], u0[i] / start[i], ts[:, i]) for i in range(count)]
        errors.append(found[k : k + 1] / np.transpose(true) - 1)
    return Trials(np.abs(np.concatenate(errors)).reshape(-1, count).T, {"r": r, "y0": y0, "z0": z0})


def _hinge_path(r: float, p: float, y0: float, z0: float, ts: np.ndarray) -> np.ndarray:
    s = _oracles.ode(lambda s: [p * r * r * s[1], p * s[0]], [y0, z0], ts, stop=lambda s: s[0] * s[1] - 1)
    u = np.prod(s, axis=0)[: len(ts)]
    return np.append(u, np.ones(len(ts) - len(u)))


@GROUP.check(
    "C18-Fig4",
    "time to confidence: hinge finite, cross-entropy not",
    "hinge meets P = (1 + u)/2 sooner than cross-entropy meets sigma(u): finite as P -> 1, where that diverges",
    "SciPy's quadrature of Eq. 14 and Eq. 5's log(u/u_0)/(2pr), against Mode.time_to_confidence at P up to 1 - 1e-12",
    "ratio of times",
    samples=COUNT,
    tolerance=1.0,
)
def time_to_confidence(random: Generator, count: int) -> Trials:
    r, p, u0 = balanced(random, count)
    u0, ratios, longest = u0 / 10, [], []
    for P in (0.75, 0.99, 1 - 1e-6, 1 - 1e-12):
        smooth = np.asarray(modes.Mode(r, rate=p, u0=u0).time_to_confidence(P))
        hinge = np.asarray(modes.Mode(r, rate=p, loss=Hinge(), u0=u0).time_to_confidence(P))
        u = np.log(P) - np.log1p(-P)
        true = np.array([passage(*v, u) for v in zip(r, p, u0, strict=True)])
        stated = np.log((2 * P - 1) / u0) / (2 * p * r)
        off = np.maximum(np.abs(smooth / true - 1), np.abs(hinge / stated - 1))
        ratios += [hinge / smooth, np.where(off < 1e-9, 0, 2)]
        longest.append(smooth)
    # 1e6 times nearer to 1 takes cross-entropy 5e5 times as long, within the logarithm and what the start took
    ratios.append(1e5 * longest[-2] / longest[-1])
    return Trials(np.transpose(ratios), {"r": r, "p": p, "u0": u0})


def cluster(random: Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Points with positive inner products, `w_0` that sees all of them, and `z_0`."""
    return (
        np.abs(random.normal(size=(POINTS, 4))) + 0.05,
        random.uniform(0.01, 0.1, 4),
        float(random.uniform(0.05, 0.2)),
    )


def hinge_points(points: np.ndarray, w0: np.ndarray, z0: float, ts: np.ndarray) -> tuple[np.ndarray, float]:
    """The margins at `ts`, shape (times, points), each point stopping at its margin; and the first stop."""
    active, state, now, first = np.full(len(points), True), np.r_[w0, z0], 0.0, np.inf
    margins = np.zeros((len(ts), len(points)))
    while active.any():
        total = active.astype(float) @ points

        def field(t: float, s: np.ndarray, total: np.ndarray = total) -> np.ndarray:
            return np.r_[s[-1] * total, s[:-1] @ total]

        def stop(t: float, s: np.ndarray, active: np.ndarray = active) -> float:
            return float(np.max((s[-1] * (points @ s[:-1]))[active]) - 1)

        stop.terminal = True
        span = now, max(float(ts[-1]), now) + 1e-9
        path = integrate.solve_ivp(field, span, state, "DOP853", events=stop, rtol=1e-12, atol=1e-14, dense_output=True)
        here = (ts >= now) & (ts <= path.t[-1])
        if here.any():
            s = path.sol(ts[here])
            margins[here] = (s[-1] * (points @ s[:-1])).T
        state, now = path.y[:, -1], path.t[-1]
        if not path.t_events[0].size:
            return margins, first
        first = min(first, now)
        reached = state[-1] * (points @ state[:-1])
        active = active & (reached < 1 - 1e-9)
    margins[ts > now] = state[-1] * (points @ state[:-1])
    return margins, first


def clusters(random: Generator, count: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Random `points`, `w_0`, `z_0` under H1-H3."""
    return [cluster(random) for _ in range(count)]


@GROUP.check(
    "C18-C.2",
    "hinge, many points: only their sum X matters",
    "P(x) = u <X, x>/|X|^2 + z w_perp.x with (y, z, u) on the hyperbola of one point X, all through training",
    "SciPy's DOP853, each point stopping at its margin, against HingePoints.free_logit at up to 3 times the first stop",
    "absolute error",
    samples=8,
    tolerance=1e-6,
    instead="it holds until the first point reaches its margin and leaves the sum (C18-C.2-before); from there on "
    "another hyperbola does (C18-C.2-chain)",
)
def only_the_sum(random: Generator, count: int) -> Trials:
    errors, firsts = [], []
    for points, w0, z0 in clusters(random, count):
        first = hinge_points(points, w0, z0, np.array([50.0]))[1]
        ts = first * np.array([0.5, 1.5, 3.0])
        true, _ = hinge_points(points, w0, z0, ts)
        free = modes.HingePoints(points, w0, z0).free_logit(points, ts[:, None])
        errors.append(np.max(np.abs(np.asarray(free) - true), axis=1))
        firsts.append(first)
    return Trials(errors, {"first stop": firsts, "error at 0.5, 1.5 and 3 times it": errors})


@GROUP.check(
    "C18-C.2-before",
    "hinge, many points: exact to the first stop",
    "the paper's formula for many points under hinge is exact until a point reaches its margin",
    "SciPy's DOP853 up to the first stop, against HingePoints.free_logit",
    "relative error",
    samples=8,
    tolerance=1e-7,
)
def before_the_first_stop(random: Generator, count: int) -> Trials:
    errors = []
    for points, w0, z0 in clusters(random, count):
        first = hinge_points(points, w0, z0, np.array([50.0]))[1]
        ts = first * np.array([0.2, 0.6, 0.99])
        true, _ = hinge_points(points, w0, z0, ts)
        free = modes.HingePoints(points, w0, z0).free_logit(points, ts[:, None])
        errors.append(np.abs(np.asarray(free) / true - 1))
    return Trials(errors)


@GROUP.check(
    "C18-C.2-chain",
    "hinge, many points: a chain of hyperbolas",
    "each set of points still below their margin has its own sum and hyperbola; points stop one by one (beyond)",
    "SciPy's DOP853, each point stopping at its margin, against HingePoints.margins and .stops",
    "relative error",
    samples=8,
    tolerance=1e-7,
)
def chain(random: Generator, count: int) -> Trials:
    errors = []
    for points, w0, z0 in clusters(random, count):
        first = hinge_points(points, w0, z0, np.array([50.0]))[1]
        ts = first * np.array([0.5, 1.5, 3.0])
        true, _ = hinge_points(points, w0, z0, ts)
        found = modes.HingePoints(points, w0, z0)
        off = np.min(np.asarray(found.stops)) / first - 1
        errors.append([*np.ravel(np.asarray(found.margins(ts)) / true - 1), off])
    return Trials(np.abs(errors))
