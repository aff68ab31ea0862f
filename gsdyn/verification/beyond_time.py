"""Claims of THEORY sections 8 to 11 that go beyond both papers: starvation in time, new inputs, groups, no decay."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.random import Generator
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import expit

from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.flows import PrimalFlow
from gsdyn.groups import margin_gap
from gsdyn.hard_margins import hard_margin
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow
from gsdyn.losses import CrossEntropy
from gsdyn.penalties import Penalty, SpectralDecoupling, Unregularised, WeightDecay
from gsdyn.predictions import coefficients, feature_functions, predict
from gsdyn.starvation import sign_law, starvation_matrix
from gsdyn.starvation_paths import starvation_over_time
from gsdyn.verification import theorem2
from gsdyn.verification._problems import SIZE, dense, log_uniform
from gsdyn.verification._registry import Group, Trials

GROUP = Group("beyond: time, new inputs, groups")
LOSS = CrossEntropy()
BLOCK = 2048  # cells at a time
TIMES = np.geomspace(1e-3, 1.0, 20)  # as parts of the time that the slower feature takes
SLOWEST = 1e4
FADED = 1e-9
NEW = 4
TURNS = 70.0, 0.06, 0.0013, 1e-5  # s_1, s_2, delta, lam: a cell whose sign turns
CHECKED = 3  # cells that refute a claim, checked by SciPy


class _Decays(Unregularised):
    """Weight decay and spectral decoupling, each of which may be 0."""

    lam1: Array
    lam2: Array

    def decay(self) -> tuple[Array, Array]:
        return self.lam1, self.lam2


@jax.jit
@jax.vmap
def _signs(s1: Array, s2: Array, delta: Array, lam1: Array, lam2: Array) -> tuple[Array, Array]:
    """`d z_2(t)/d(s_1^2)` and its error at `TIMES`."""
    flow = PrimalFlow(FeatureBasis.rotation(s1, s2, delta), LOSS, _Decays(lam1, lam2))
    end = jnp.minimum(30 / jnp.minimum(s1, s2) ** 2, SLOWEST)
    # of every entry by itself, or under spectral decoupling down to where it fades away
    path = starvation_over_time(flow, jnp.asarray(TIMES) * end, rtol=1e-3, atol=FADED)
    return path.matrix[:, 1, 0], path.error[:, 1, 0]


def _sign_trials(cells: theorem2.Cells, lam1: np.ndarray, lam2: np.ndarray) -> Trials:
    count = len(cells.s1)
    starts = range(0, count, BLOCK)
    # all cells of a block wait for its slowest, so those that take alike many steps go together
    order = np.argsort(np.abs(np.log(cells.s1 / cells.s2)), kind="stable")
    columns = [np.resize(v[order], len(starts) * BLOCK) for v in (cells.s1, cells.s2, cells.delta, lam1, lam2)]
    # all at once, so that every core has a block to work on
    parts = [_signs(*(jnp.asarray(v[start : start + BLOCK]) for v in columns)) for start in starts]
    back = np.argsort(order)
    value, error = (np.concatenate([np.asarray(part[i]) for part in parts])[:count][back] for i in range(2))
    known = ~(np.abs(value) <= error)  # NaN is no sign, and wrong
    law = np.asarray(sign_law(cells.s1, cells.s2, cells.delta))[:, None]
    wrong = (known & (np.sign(value) != law)).sum(axis=1)
    place = {"s1": cells.s1, "s2": cells.s2, "delta": cells.delta, "lam1": lam1, "lam2": lam2}
    details = {"times": len(TIMES), "signs within their error": int((~known).sum()), "signs": int(known.size)}
    return Trials(wrong, place, details)


@GROUP.check(
    "beyond-Thm2-time",
    "Theorem 2 at every time, weight decay 0 included",
    "sign(d z_2(t)/d(s_1^2)) = -sign((1 - 2 delta^2)(s_1 - s_2)) for every t > 0 of the primal flow from 0, lam >= 0",
    f"G(t) of {theorem2.RANDOM}, a tenth without decay, at 20 times; a sign counts where it exceeds its error",
    "wrong signs",
    samples=100_000,
    tolerance=0.0,
)
def theorem2_at_every_time(random: Generator, count: int) -> Trials:
    cells = theorem2.sample(count, int(random.integers(1 << 31)))
    lam = np.where(random.random(count) < 0.1, 0.0, cells.lam)
    return _sign_trials(cells, lam, np.zeros(count))


@GROUP.check(
    "beyond-Thm2-time-SD",
    "the same sign on the way under spectral decoupling",
    "under spectral decoupling d z_2(t)/d(s_1^2) keeps the sign of Theorem 2 at every time until it ends in 0",
    f"G(t) of {theorem2.RANDOM} (lam of spectral decoupling) at 20 times each; SciPy's Radau at the cells it refutes",
    "wrong signs",
    samples=4_096,
    tolerance=0.0,
    instead="it can turn once the dominant response, far above its end, falls back: about 1 cell in 400",
)
def theorem2_under_decoupling(random: Generator, count: int) -> Trials:
    drawn = theorem2.sample(count, int(random.integers(1 << 31)))
    cells = theorem2.Cells(*(np.append(known, v[1:]) for known, v in zip(TURNS, drawn, strict=True)))
    trials = _sign_trials(cells, np.zeros(count), cells.lam)
    refuted = np.argsort(-trials.errors)[:CHECKED]
    agreed = np.zeros(count)
    for i in refuted[trials.errors[refuted] > 0]:
        agreed[i] = _turns(*(float(v[i]) for v in cells))
    return trials._replace(errors=agreed)


def _turns(s1: float, s2: float, delta: float, lam: float) -> bool:
    """Whether SciPy too sees a sign of `d z_2/d(s_1^2)` that is not the law's, in one cell under SD."""
    c = np.sqrt((1 - delta) * (1 + delta))
    U, squares = np.array([[c, -delta], [delta, c]]), np.array([s1, s2]) ** 2

    def velocity(_: float, y: np.ndarray) -> np.ndarray:
        z, column = y[:2], y[2:]
        f = U @ z
        p = U.T @ (expit(-f) - lam * f)
        bend = U.T @ ((expit(f) * expit(-f) + lam) * (U @ column))
        return np.concatenate([squares * p, np.array([p[0], 0.0]) - squares * bend])

    ts = TIMES * min(30 / min(s1, s2) ** 2, SLOWEST)
    path = solve_ivp(velocity, (0, ts[-1]), np.zeros(4), "Radau", ts, rtol=1e-9, atol=1e-14)
    value = path.y[3]
    law = float(sign_law(s1, s2, delta))
    return bool((np.sign(value) * (np.abs(value) > 1e-5 * np.abs(value).max()) == -law).any())


@GROUP.check(
    "beyond-G-limit",
    "G(t) tends to the starvation matrix",
    "G' = -(S^2 U^T (W + lam_2) U + lam_1) G + diag(p) from 0 ends in d z*/d(s^2), which is 0 under SD",
    "the path at t = 60/lam (60/(lam min s^2) under SD) against the implicit function theorem, dense U (5 x 5)",
    "error, relative to the largest entry",
    samples=20,
    tolerance=1e-6,
)
def path_ends_in_matrix(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    end, optimum, decoupled = _ends(problems.U, problems.s, problems.lam)
    scale = np.abs(optimum).max(axis=(1, 2))
    errors = [np.abs(end - optimum).max(axis=(1, 2)) / scale, np.abs(decoupled).max(axis=(1, 2)) / scale]
    return Trials(np.stack(errors, axis=1), problems.place())


@jax.jit
@jax.vmap
def _ends(U: Array, s: Array, lam: Array) -> tuple[Array, Array, Array]:
    basis = FeatureBasis(U, s)

    def end(penalty: Penalty, rate: Array) -> Array:
        return starvation_over_time(PrimalFlow(basis, LOSS, penalty), (60 / rate)[None], rtol=1e-9).matrix[0]

    optimum = starvation_matrix(basis, fixed_point(basis, LOSS, WeightDecay(lam)))
    rate = lam * jnp.min(s) ** 2
    return end(_Decays(lam, 0 * lam), lam), optimum, end(_Decays(0 * lam, lam), rate)


def _kernels(random: Generator, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels of `SIZE` examples and `NEW` new inputs, and labels of all."""
    size = SIZE + NEW
    phi = random.normal(size=(count, size, 2 * size))
    labels = random.choice([-1.0, 1.0], (count, size))
    return [(matrix @ matrix.T, y) for matrix, y in zip(phi, labels, strict=True)]


def _even_margin(lam: float) -> float:
    """The margin of every example at the optimum of spectral decoupling."""
    found: Any = brentq(lambda f: expit(-f) - lam * f, 0, 1 / lam, xtol=1e-15)
    return float(found)


@GROUP.check(
    "beyond-SD-ridgeless",
    "spectral decoupling's classifier is ridgeless least squares",
    "at the optimum of spectral decoupling yhat(x) = f* k(x, X) Theta^-1 y with sigma(-f*) = lam f*, whatever the loss",
    "NumPy's solve and SciPy's brentq against the fixed point's outputs at 4 new inputs, kernels of 5 examples",
    "absolute error",
    samples=20,
    tolerance=1e-9,
)
def ridgeless(random: Generator, count: int) -> Trials:
    errors, lams = [], log_uniform(random, 1e-3, 10, count)
    for (theta, labels), lam in zip(_kernels(random, count), lams, strict=True):
        own, new, y = theta[:SIZE, :SIZE], theta[SIZE:, :SIZE], labels[:SIZE]
        basis = FeatureBasis.from_kernel(own, y)
        fp = fixed_point(basis, LOSS, SpectralDecoupling(lam))
        margin = _even_margin(lam)
        errors.append(predict(new, y, coefficients(basis, fp)) - margin * new @ np.linalg.solve(own, y))
    return Trials(np.abs(errors), {"lam": lams})


@GROUP.check(
    "beyond-unlearning",
    "the strongest features are unlearnt first",
    "without interaction, a response above its end under spectral decoupling returns at a rate in s^2 (lam, lam + 1/4]",
    "the flow of a diagonal kernel from margins of 8; the rate is log((z_0 - z*)/(z(t) - z*))/t at five times",
    "rate outside its bounds, relative",
    samples=20,
    tolerance=1e-6,
)
def strongest_first(random: Generator, count: int) -> Trials:
    s2, lams = log_uniform(random, 0.1, 10, (count, SIZE)), log_uniform(random, 0.05, 5, count)
    errors = []
    for strengths, lam in zip(s2, lams, strict=True):
        start, ts = 8 / strengths, np.linspace(0.2, 1.0, 5) / (strengths.max() * (lam + 0.25))
        run = integrate(KernelFlow(np.diag(strengths), None, LOSS, SpectralDecoupling(lam), start), ts, rtol=1e-12)
        end = _even_margin(lam)
        rates = np.log((8 - end) / (np.asarray(run.margins) - end)) / (ts[:, None] * strengths[None, :])
        outside = np.maximum(np.maximum(lam - rates, rates - lam - 0.25), 0.0)
        errors.append(outside.max(axis=0) / (lam + 0.25))
    return Trials(np.asarray(errors), {"s2": s2, "lam": lams})


@GROUP.check(
    "beyond-hard-margin",
    "without decay: the hard margin, in 1/log(1/lam)",
    "as lam vanishes f*/min f* tends to the hard-margin solution, its distance like 1/log(1/lam)",
    "fixed points at lam = 1e-6 and 1e-12 against hard_margin, 5 examples: log doubles, so the distance halves",
    "distance at 1e-12 over that at 1e-6",
    samples=20,
    tolerance=0.65,
)
def no_decay(random: Generator, count: int) -> Trials:
    ratios = []
    for theta, labels in _kernels(random, count):
        own, y = theta[:SIZE, :SIZE], labels[:SIZE]
        basis, widest = FeatureBasis.from_kernel(own, y), hard_margin(own, y).margins
        far = []
        for lam in (1e-6, 1e-12):
            f = fixed_point(basis, LOSS, WeightDecay(lam)).margins
            far.append(float(jnp.max(jnp.abs(f / jnp.min(f) - widest))))
        ratios.append(far[1] / far[0])
    return Trials(np.asarray(ratios))


@GROUP.check(
    "beyond-gap",
    "the gap between groups is a sum over features",
    "mean_aligned f - mean_conflicting f = sum_j z_j kappa_j on examples and, with y phi_j(x), on new inputs",
    "NumPy's means of margins of fixed points against margin_gap, random kernels of 5 examples and 4 new inputs",
    "absolute error",
    samples=20,
    tolerance=1e-9,
)
def gap(random: Generator, count: int) -> Trials:
    errors = []
    for theta, labels in _kernels(random, count):
        own, new, y, fresh = theta[:SIZE, :SIZE], theta[SIZE:, :SIZE], labels[:SIZE], labels[SIZE:]
        basis = FeatureBasis.from_kernel(own, y)
        fp = fixed_point(basis, LOSS, WeightDecay(0.1))
        out = fresh * np.asarray(predict(new, y, coefficients(basis, fp)))
        weights = fresh[:, None] * np.asarray(feature_functions(basis, new, y))
        pairs: list[tuple[Any, np.ndarray]] = [(basis, np.asarray(fp.margins)), (weights, out)]
        for rows, f in pairs:
            aligned = random.permutation(np.arange(len(f)) % 2)
            stated = f[aligned == 1].mean() - f[aligned == 0].mean()
            errors.append(abs(float(margin_gap(rows, fp.z, aligned).total) - stated))
    return Trials(np.reshape(errors, (count, 2)))
