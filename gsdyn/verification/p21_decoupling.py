"""Spectral decoupling, and both penalties mixed (P21 section 3.4, 4.4, B.1)."""

from __future__ import annotations

import jax
import numpy as np
from numpy.random import Generator
from scipy import optimize
from scipy.special import expit

from gsdyn import integration
from gsdyn.features import FeatureBasis
from gsdyn.flows import DualFlow, PrimalFlow
from gsdyn.losses import CrossEntropy
from gsdyn.penalties import Mixed, SpectralDecoupling, WeightDecay
from gsdyn.verification import _oracles
from gsdyn.verification._problems import SIZE, dense, log_uniform, orthogonal, solved, starvation_matrices
from gsdyn.verification._registry import Group, Trials

GROUP = Group("P21 spectral decoupling")
RANDOM = "on random dense problems with 5 examples and features, s in [0.1, 10], lam in [1e-3, 10]"
# theory in one figure (B.1): s_1, and the end points (z_1, z_2) of Eq. 9 that THEORY gives
ENDS = {
    2.0: (6.1204, 1.6400),
    3.0: (7.0681, 1.5831),
    4.0: (7.8120, 1.4668),
    5.0: (8.4652, 1.3290),
    6.0: (9.0710, 1.1853),
}
TIMES = np.array([0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 1e5])


@GROUP.check(
    "P21-Eq17",
    "SD's inner optimum: yhat = Y alpha/lam",
    "min of sum log(1 + e^-f) + (lam/2)|yhat|^2 is at yhat* = Y alpha/lam, theta* = V S^-1 U^T alpha/lam",
    "SciPy's BFGS over theta for random Phi of full row rank and labels, against fixed_point's alpha and margins",
    "absolute error",
    samples=12,
    tolerance=1e-5,  # of BFGS
)
def inner_optimum(random: Generator, count: int) -> Trials:
    lam, errors = log_uniform(random, 0.05, 10, count), []
    phi, y = random.normal(size=(count, SIZE, 8)), random.choice([-1.0, 1.0], (count, SIZE))
    U, s, Vt = np.linalg.svd(y[:, :, None] * phi, full_matrices=False)
    fp = _decoupled(U, s, lam)
    alpha, margins = np.asarray(fp.alpha), np.asarray(fp.margins)
    for i in range(count):

        def loss(theta: np.ndarray, i: int = i) -> tuple[float, np.ndarray]:
            f = y[i] * (phi[i] @ theta)
            slope = -expit(-f) + lam[i] * f
            return float(np.sum(np.logaddexp(0, -f)) + lam[i] / 2 * f @ f), phi[i].T @ (y[i] * slope)

        found = optimize.minimize(loss, np.zeros(8), jac=True, tol=1e-10).x
        stated = Vt[i].T @ (U[i].T @ alpha[i] / s[i]) / lam[i]
        outputs = phi[i] @ found
        errors.append([*(found - stated), *(outputs - y[i] * alpha[i] / lam[i]), *(outputs - y[i] * margins[i])])
    return Trials(np.abs(errors), {"lam": lam})


def _decoupled(U: np.ndarray, s: np.ndarray, lam: np.ndarray):
    return solved(CrossEntropy(), SpectralDecoupling, dense(np.random.default_rng(0), 1)._replace(U=U, s=s, lam=lam))


@GROUP.check(
    "P21-Eq18",
    "SD's dual flow: every alpha on its own",
    "alpha' = eta(log(1-alpha) - log(alpha) - alpha/lam), elementwise and whatever U and S are",
    f"DualFlow.velocity at random alpha against the formula in NumPy, {RANDOM}",
    "relative error",
    samples=100,
    tolerance=1e-12,
)
def dual_flow(random: Generator, count: int) -> Trials:
    problems, alpha = dense(random, count), random.uniform(1e-3, 1 - 1e-3, (count, SIZE))
    velocity = np.asarray(_velocities(problems.U, problems.s, problems.lam, alpha))
    lam = problems.lam[:, None]
    stated = np.log1p(-alpha) - np.log(alpha) - alpha / lam
    return Trials(np.abs(velocity - stated) / (1 + 1 / lam), problems.place())


@jax.jit
def _velocities(U, s, lam, alpha):
    def one(U, s, lam, alpha):
        return DualFlow(FeatureBasis(U, s), CrossEntropy(), SpectralDecoupling(lam)).velocity(alpha)

    return jax.vmap(one)(U, s, lam, alpha)


@GROUP.check(
    "P21-SD-fixed-point",
    "SD's optimum: f* = W_1(1/lam) in every example",
    "f_i* = alpha*/lam for every i and z* = (alpha*/lam) U^T 1, with f* the root of x e^x + x = 1/lam (beyond)",
    f"SciPy's Brent, {RANDOM}",
    "relative error",
    samples=100,
    tolerance=1e-10,
)
def fixed_points(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    fp = solved(CrossEntropy(), SpectralDecoupling, problems)
    f = np.array([_oracles.scalar_root(lambda x, lam=lam: lam * x - expit(-x), 0, 1 / lam) for lam in problems.lam])
    z = f[:, None] * problems.U.sum(axis=1)
    errors = [np.asarray(fp.margins) / f[:, None] - 1, (np.asarray(fp.z) - z) / f[:, None]]
    return Trials(np.abs(np.concatenate(errors, axis=1)), problems.place())


@GROUP.check(
    "P21-SD-G",
    "under SD nothing starves: G = 0",
    "d z_j*/d(s_i^2) = 0 for all features, exactly (beyond)",
    f"the starvation matrix, and fixed points at strengths up to a factor of 10 apart, {RANDOM}",
    "size",
    samples=100,
    tolerance=1e-11,
)
def nothing_starves(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    moved = problems._replace(s=problems.s * log_uniform(random, 0.1, 10, problems.s.shape))
    matrices = np.asarray(starvation_matrices(CrossEntropy(), SpectralDecoupling, problems))
    one, two = (solved(CrossEntropy(), SpectralDecoupling, p) for p in (problems, moved))
    change = np.abs(np.asarray(one.z) - np.asarray(two.z)) / np.asarray(one.margins)
    return Trials(np.column_stack([np.abs(matrices).reshape(count, -1), change]), problems.place())


@GROUP.check(
    "P21-SD-classwise",
    "the class-wise variant: sigma(-f) = lam(f - gamma)",
    "with lam and gamma per class (section 4.4, B.5) each margin solves its own sigma(-f) = lam_y (f - gamma_y)",
    "SciPy's Brent for each class; random labels, lam in [1e-2, 10], gamma in [-3, 3]",
    "absolute error",
    samples=50,
    tolerance=1e-9,
)
def class_wise(random: Generator, count: int) -> Trials:
    problems, y = dense(random, count), np.array([-1.0, 1.0, 1.0, -1.0, 1.0])
    lam, gamma = log_uniform(random, 1e-2, 10, (count, 2)), random.uniform(-3, 3, (count, 2))
    fp = solved(CrossEntropy(), _by_class, problems, lam, gamma)
    of = (y > 0).astype(int)
    margins = [
        [
            _oracles.scalar_root(lambda f, a=a, g=g: a * (f - g) - expit(-f), g, g + 1 / a)
            for a, g in zip(*pair, strict=True)
        ]
        for pair in zip(lam, gamma, strict=True)
    ]
    return Trials(np.abs(np.asarray(fp.margins) - np.array(margins)[:, of]), {"lam": lam, "gamma": gamma})


def _by_class(lam, gamma) -> SpectralDecoupling:
    y = np.array([-1.0, 1.0, 1.0, -1.0, 1.0])
    return SpectralDecoupling.by_class(y, (lam[0], lam[1]), (gamma[0], gamma[1]))


@GROUP.check(
    "P21-SD-mixed",
    "both penalties: K(sigma(-f) - lam_2 f) = lam_1 f",
    "weight decay lam_1 with SD lam_2 is one family from Eq. 5 (lam_2 = 0) to Eq. 17 (lam_1 = 0) (beyond)",
    f"SciPy's minimum of the primal, with the ends lam_2 = 0 and lam_1 = 0 among the samples, {RANDOM}",
    "relative error",
    samples=100,
    tolerance=1e-9,
)
def mixed(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    lam1, lam2 = log_uniform(random, 1e-3, 10, count), log_uniform(random, 1e-3, 10, count)
    lam1[::5], lam2[1::5] = 0, 0
    f = np.asarray(solved(CrossEntropy(), Mixed, problems, lam1, lam2).margins)
    filtered = problems.s**2 / (lam1[:, None] + lam2[:, None] * problems.s**2)
    true = np.array([_oracles.fixed_point(A) for A in problems.kernels(filtered)])
    K = problems.kernels(problems.s**2)
    left = np.einsum("nij,nj->ni", K, expit(-f) - lam2[:, None] * f) - lam1[:, None] * f
    scale = np.max(np.abs(np.einsum("nij,nj->ni", K, expit(-f))) + lam1[:, None] * np.abs(f), axis=1, keepdims=True)
    errors = np.concatenate([expit(-f) / true - 1, left / scale], axis=1)
    return Trials(np.abs(errors), {"s": problems.s, "lam1": lam1, "lam2": lam2})


@GROUP.check(
    "P21-SD-G-mixed",
    "any penalty: G = M(M + c)^-1 diag(c' U^T alpha)",
    "the starvation matrix for weight decay and SD mixed, exact for any data (beyond)",
    "finite differences of SciPy's minima, s in [0.1, 10], lam_1 and lam_2 in [1e-2, 10]",
    "relative error",
    samples=10,
    tolerance=1e-7,
)
def mixed_starvation(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    lam1, lam2 = log_uniform(random, 1e-2, 10, count), log_uniform(random, 1e-2, 10, count)
    matrices, errors = np.asarray(starvation_matrices(CrossEntropy(), Mixed, problems, lam1, lam2)), []
    for k in range(count):
        for i in range(SIZE):

            def responses(square: float, k: int = k, i: int = i) -> np.ndarray:
                s2 = np.where(np.arange(SIZE) == i, square, problems.s[k] ** 2)
                c = s2 / (lam1[k] + lam2[k] * s2)
                return c * (problems.U[k].T @ _oracles.fixed_point(_oracles.kernel(problems.U[k], c)))

            difference = _oracles.derivative(responses, problems.s[k, i] ** 2)
            errors.append(np.max(np.abs(matrices[k, :, i] - difference)) / np.max(np.abs(matrices[k])))
    return Trials(np.reshape(errors, (count, SIZE)), {"s": problems.s, "lam1": lam1, "lam2": lam2})


@GROUP.check(
    "P21-SD-flow",
    "SD decouples the learning dynamics",
    "under SD a feature's strength does not affect how the other is learnt (section 3.4, B.1), in the primal flow too",
    "gsdyn.integrate of PrimalFlow under SD for B.1's two features, s_1 = 2..6 against s_1 = 2, at six times",
    "relative change",
    samples=5,
    tolerance=1e-6,
    instead="only where the flow ends is z_2 free of s_1 (P21-SD-flow-end), and along the dual flow; on the way "
    "z' = S^2(U^T sigma(-Uz) - lam z) still couples the features",
)
def primal_couples(random: Generator, count: int) -> Trials:
    paths = _strength_paths()[:, :-1, 1]
    ends = _strength_paths()[:, -1:, 1]
    change = np.abs(paths - paths[:1]) / ends
    place = {
        "s1": list(ENDS),
        "at t": TIMES[np.argmax(change, axis=1)],
        "z_2 at s_1 = 2 and s_1": _pairs(paths, change),
    }
    return Trials(change, place)


def _pairs(paths: np.ndarray, change: np.ndarray) -> list[list[float]]:
    at = np.argmax(change, axis=1)
    return [[float(paths[0, j]), float(paths[i, j])] for i, j in enumerate(at)]


@GROUP.check(
    "P21-SD-flow-end",
    "SD decouples where the flow ends",
    "B.1: under SD (lam = 0.002) the end point of both responses does not move with s_1",
    "gsdyn.integrate of PrimalFlow under SD for s_1 = 2..6",
    "relative change",
    samples=5,
    tolerance=1e-7,
)
def primal_ends(random: Generator, count: int) -> Trials:
    ends = _strength_paths()[:, -1]
    return Trials(np.abs(ends / ends[:1] - 1), {"s1": list(ENDS)})


def _strength_paths() -> np.ndarray:
    """`z(t)` of B.1's problems under SD, shape (5, times, 2)."""
    return np.asarray(_sd_paths(np.array(list(ENDS)), TIMES))


@jax.jit
def _sd_paths(s1, ts):
    def one(s1):
        flow = PrimalFlow(FeatureBasis.rotation(s1, 2.0, 0.5), CrossEntropy(), SpectralDecoupling(0.002))
        return integration.integrate(flow, ts, rtol=1e-10, atol=1e-12).z

    return jax.vmap(one)(s1)


@GROUP.check(
    "P21-SD-dual-responses",
    "along SD's dual flow responses do decouple",
    "from equal alphas z(t) = (alpha(t)/lam) U^T 1 along the dual flow under SD, whatever S is (beyond)",
    "SciPy's DOP853 of the one equation for alpha, against gsdyn.integrate of DualFlow, lam in [0.05, 10]",
    "relative error",
    samples=20,
    tolerance=1e-7,
)
def dual_responses(random: Generator, count: int) -> Trials:
    U, s, lam = (
        orthogonal(random, count, 3),
        log_uniform(random, 0.1, 10, (count, 3)),
        log_uniform(random, 0.05, 10, count),
    )
    ts = np.array([0.01, 0.05, 0.2, 1.0])
    z = np.asarray(_dual_paths(U, s, lam, ts))
    true = []
    for i in range(count):

        def field(a: np.ndarray, lam: float = lam[i]) -> list[float]:
            return [np.log1p(-a[0]) - np.log(a[0]) - a[0] / lam]

        alpha = _oracles.ode(field, [0.5], ts)[0]
        true.append(alpha[:, None] / lam[i] * U[i].sum(axis=0))
    scale = np.max(np.abs(true), axis=(1, 2), keepdims=True)
    return Trials(np.abs(z - true) / scale, {"s": s, "lam": lam})


@jax.jit
def _dual_paths(U, s, lam, ts):
    def one(U, s, lam):
        flow = DualFlow(FeatureBasis(U, s), CrossEntropy(), SpectralDecoupling(lam))
        return integration.integrate(flow, ts, rtol=1e-10, atol=1e-12).z

    return jax.vmap(one)(U, s, lam)


@GROUP.check(
    "P21-B1",
    "theory in one figure: the end points",
    "delta = 0.5, s_2 = 2, lam = 0.01: primal and dual flow end at one point for each s_1 in 2..6, z_1 up and z_2 down",
    "gsdyn.steady_state of both flows, SciPy's minimum of the primal, and THEORY's values to their 4 decimals",
    "absolute error",
    samples=5,
    tolerance=1e-6,
)
def theory_in_one_figure(random: Generator, count: int) -> Trials:
    strengths, printed = np.array(list(ENDS)), np.array(list(ENDS.values()))
    primal, dual = (np.asarray(v) for v in _b1_ends(strengths))
    true = []
    for s1 in strengths:
        c = np.sqrt(0.75)
        U, filtered = np.array([[c, -0.5], [0.5, c]]), np.array([s1, 2.0]) ** 2 / 0.01
        true.append(filtered * (U.T @ _oracles.fixed_point(_oracles.kernel(U, filtered))))
    rounded = np.maximum(np.abs(np.array(true) - printed) - 5.001e-5, 0)
    # how z moves from one s_1 to the next, where the sign is wrong
    wrong = np.maximum(np.diff(np.array(true), axis=0, prepend=np.nan) * np.array([-1.0, 1.0]), 0)
    errors = [np.abs(primal - true), np.abs(dual - true), rounded, np.nan_to_num(wrong)]
    return Trials(np.concatenate(errors, axis=1), {"s1": strengths})


@jax.jit
def _b1_ends(s1):
    def one(s1):
        basis, loss, penalty = FeatureBasis.rotation(s1, 2.0, 0.5), CrossEntropy(), WeightDecay(0.01)
        flows = PrimalFlow(basis, loss, penalty), DualFlow(basis, loss, penalty)
        return [integration.steady_state(flow, rtol=1e-10, atol=1e-11).z[0] for flow in flows]

    return jax.vmap(one)(s1)
