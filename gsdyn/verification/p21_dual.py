"""Primal, dual and their fixed points (P21 section 3.2, Table 4, C.2-C.5)."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.random import Generator
from scipy import optimize
from scipy.special import expit, xlogy

from gsdyn import integration
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.flows import DualFlow, PrimalFlow
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy, Hinge, Loss, SquaredError
from gsdyn.penalties import WeightDecay
from gsdyn.verification import _oracles
from gsdyn.verification._problems import dense, log_uniform, solved
from gsdyn.verification._registry import Group, Trials

GROUP = Group("P21 primal and dual")
RANDOM = "on random dense problems with 5 examples and features, s in [0.1, 10], lam in [1e-3, 10]"


def entropy(a: np.ndarray) -> np.ndarray:
    """`H(a)`, with `0 log 0 = 0`."""
    return -xlogy(a, a) - xlogy(1 - a, 1 - a)


@GROUP.check(
    "P21-Eq6",
    "the loss is a maximum over alpha (Lemma 2)",
    "log(1 + e^-f) = max over a in (0, 1) of H(a) - a f, attained at a = sigma(-f)",
    "SciPy's bounded maximisation over logit(a); the value and the place, against CrossEntropy.value and .weight",
    "absolute error",
    samples=60,
    tolerance=1e-6,  # the place of a maximum is known to the root of the precision of its value
)
def legendre(random: Generator, count: int) -> Trials:
    f = random.uniform(-30, 30, count)
    loss = CrossEntropy()
    errors = []
    for value in f:

        def negative(v: float, value: float = value) -> float:
            # H(sigma(v)) - sigma(v) f, in which H = log(1 + e^v) - v sigma(v)
            return float(expit(v)) * (value + v) - float(np.logaddexp(0, v))

        found: Any = optimize.minimize_scalar(negative, bounds=(-40, 40), method="bounded", options={"xatol": 1e-12})
        a = float(loss.weight(jnp.asarray(value)))
        errors.append([-found.fun - float(loss.value(jnp.asarray(value))), expit(found.x) - a])
    return Trials(np.abs(errors), {"f": f})


@GROUP.check(
    "P21-Eq7",
    "inner minimum at theta = Phi^T Y alpha / lam",
    "min over theta of sum H(alpha) - alpha^T Y Phi theta + (lam/2)|theta|^2 is at theta* = (1/lam) Phi^T Y alpha",
    "SciPy's BFGS over theta for random Phi, y and alpha; the responses S V^T theta* against DualFlow.responses",
    "absolute error",
    samples=20,
    tolerance=1e-5,  # of BFGS, whose gradients are given
)
def inner_minimum(random: Generator, count: int) -> Trials:
    errors, strengths = [], log_uniform(random, 0.1, 10, count)
    for lam in strengths:
        phi, y = random.normal(size=(4, 7)), random.choice([-1.0, 1.0], 4)
        alpha = random.uniform(0.01, 0.99, 4)
        pull = phi.T @ (y * alpha)
        found = optimize.minimize(
            lambda theta, pull=pull, lam=lam: lam / 2 * theta @ theta - pull @ theta,
            np.zeros(7),
            jac=lambda theta, pull=pull, lam=lam: lam * theta - pull,
            tol=1e-10,
        ).x
        basis = FeatureBasis.from_ntrf(phi, y)
        flow = DualFlow(basis, CrossEntropy(), WeightDecay(lam))
        # z = U^T Y yhat (P21-Eq4)
        errors.append(np.abs(flow.responses(jnp.asarray(alpha)) - np.asarray(basis.U).T @ (y * (phi @ found))))
    return Trials(errors, {"lam": strengths})


@GROUP.check(
    "P21-Eq8",
    "strong duality: primal = dual at the optimum",
    "min of the primal (Eq. 5) equals the max of the dual, sum H(alpha) - alpha^T K alpha / (2 lam)",
    f"the dual's value in NumPy at alpha*, and SciPy's minimum of Eq. 5, against FixedPoint.objective, {RANDOM}",
    "relative error",
    samples=100,
    tolerance=1e-10,
)
def strong_duality(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    fp = solved(CrossEntropy(), WeightDecay, problems)
    alpha, objective = np.asarray(fp.alpha), np.asarray(fp.objective)
    A = problems.weight_decay()
    dual = entropy(alpha).sum(axis=1) - np.einsum("ni,nij,nj->n", alpha, A, alpha) / 2
    errors = [dual - objective, np.where(np.asarray(fp.converged), 0, np.inf)]
    primal = np.array([_primal_minimum(a) for a in A])
    return Trials(np.abs([*errors, primal - objective]).T / objective[:, None], problems.place())


def _primal_minimum(A: np.ndarray) -> float:
    """The least `sum log(1 + e^-f) + |y|^2 / 2` over `y`, with `f = B y`, `B B^T = A`."""
    B = np.linalg.cholesky(A)

    def value(y: np.ndarray) -> float:
        return float(np.sum(np.logaddexp(0, -B @ y)) + y @ y / 2)

    def gradient(y: np.ndarray) -> np.ndarray:
        return y - B.T @ expit(-B @ y)

    def hessian(y: np.ndarray) -> np.ndarray:
        w = expit(-B @ y) * expit(B @ y)
        return np.eye(len(y)) + B.T @ (w[:, None] * B)

    start = np.zeros(len(A))
    return float(optimize.minimize(value, start, method="trust-exact", jac=gradient, hess=hessian, tol=1e-10).fun)


@GROUP.check(
    "P21-Eq8-gap",
    "the duality gap certifies, before the optimum too",
    "primal minus dual bounds how far a point is from the optimum: |alpha - alpha*| <= FixedPoint.error_bound",
    f"fixed points stopped after 1, 2 and 4 Newton steps, and SciPy's alpha*, {RANDOM}",
    "of its bound",
    samples=40,
    tolerance=1.0,
)
def certificate(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    true = np.array([_oracles.fixed_point(a) for a in problems.weight_decay()])
    ratios = []
    for steps in (1, 2, 4):
        alpha, bound = _stopped(problems.U, problems.s, problems.lam, steps)
        ratios.append(np.linalg.norm(np.asarray(alpha) - true, axis=1) / np.asarray(bound))
    return Trials(np.transpose(ratios), problems.place())


@eqx.filter_jit
def _stopped(U, s, lam, steps):
    def one(U, s, lam):
        fp = fixed_point(FeatureBasis(U, s), CrossEntropy(), WeightDecay(lam), max_iterations=steps)
        return fp.alpha, fp.error_bound

    return jax.vmap(one)(U, s, lam)


def _residual(alpha: np.ndarray, A: np.ndarray, first_order: bool) -> np.ndarray:
    """The largest term of the dual flow that is left, relative to its terms."""
    push = -np.log(alpha) - alpha if first_order else np.log1p(-alpha) - np.log(alpha)
    pulled = np.einsum("nij,nj->ni", A, alpha)
    return np.abs(push - pulled) / (1 + np.abs(push))


@GROUP.check(
    "P21-Eq9",
    "fixed points of the dual flow",
    "the dual flow alpha' = eta(log(1-alpha) - log(alpha) - K alpha/lam) rests at fixed_point's alpha*",
    f"SciPy's trust-region minimum of the primal, and the residual in NumPy, {RANDOM}",
    "relative error",
    samples=100,
    tolerance=1e-9,
)
def dual_fixed_points(random: Generator, count: int) -> Trials:
    return _against_roots(random, count, CrossEntropy(), False)


@GROUP.check(
    "P21-Eq10",
    "fixed points of the first-order dual flow",
    "the flow alpha' = eta(-log(alpha) - U(S^2 + lam I)U^T alpha/lam) rests at the first-order fixed_point",
    f"SciPy's trust-region minimum of the primal, and the residual in NumPy, {RANDOM}",
    "relative error",
    samples=100,
    tolerance=1e-9,
)
def first_order_fixed_points(random: Generator, count: int) -> Trials:
    return _against_roots(random, count, FirstOrderCrossEntropy(), True)


def _against_roots(random: Generator, count: int, loss: Loss, first_order: bool) -> Trials:
    problems = dense(random, count)
    alpha, A = np.asarray(solved(loss, WeightDecay, problems).alpha), problems.weight_decay()
    true = np.array([_oracles.fixed_point(a, first_order=first_order) for a in A])
    errors = np.concatenate([np.abs(alpha / true - 1), _residual(alpha, A, first_order)], axis=1)
    return Trials(errors, problems.place())


@GROUP.check(
    "P21-Eq10-limit",
    "Eq. 10 is Eq. 9 where lam << s^2",
    "dropping the higher terms of log(1 - alpha) changes the fixed point by less than alpha*^2, relatively",
    "both equations of a lone example by SciPy, s^2/lam in [1e-3, 1e12]",
    "change/alpha^2",
    samples=60,
    tolerance=1.0,
)
def first_order_limit(random: Generator, count: int) -> Trials:
    c = log_uniform(random, 1e-3, 1e12, count)
    exact = np.array([_oracles.fixed_point(np.array([[x]]))[0] for x in c])
    short = np.array([_oracles.fixed_point(np.array([[x]]), first_order=True)[0] for x in c])
    change = np.abs(short / exact - 1)
    # s = 0.1, lam = 1, which THEORY names
    near = [_oracles.fixed_point(np.array([[0.01]]), first_order=first)[0] for first in (True, False)]
    rounding = np.where(change < 64 * np.finfo(float).eps, 0, change)
    return Trials(rounding / exact**2, {"s^2/lam": c}, {"change at s = 0.1, lam = 1": near[0] / near[1] - 1})


@GROUP.check(
    "P21-Thm1",
    "every fixed point is attractive",
    "the Jacobians of Eqs. 9 and 10 at their fixed points are negative definite",
    f"eigenvalues of R J R, J by differences of DualFlow.velocity and R = sqrt(diag(alpha(1-alpha))), {RANDOM}",
    "largest eigenvalue",
    samples=40,
    tolerance=0.0,
)
def attractive(random: Generator, count: int) -> Trials:
    problems, largest = dense(random, count), []
    for loss in (CrossEntropy(), FirstOrderCrossEntropy()):
        alpha = np.asarray(solved(loss, WeightDecay, problems).alpha)
        J = _jacobians(loss, problems, alpha)
        # J is definite where R J R is, whose entries are of one size
        root = np.sqrt(alpha * (1 - alpha))
        J = root[:, :, None] * J * root[:, None, :]
        largest.append(np.linalg.eigvalsh((J + np.swapaxes(J, 1, 2)) / 2)[:, -1])
    return Trials(np.transpose(largest), problems.place())


def _jacobians(loss: Loss, problems, alpha: np.ndarray) -> np.ndarray:
    """Central differences of the dual flow's velocity, for every problem."""
    step = 1e-5 * np.minimum(alpha, 1 - alpha)
    columns = []
    for i in range(alpha.shape[1]):
        h = step[:, i, None] * np.eye(alpha.shape[1])[i]
        up, down = (_velocities(loss, problems.U, problems.s, problems.lam, a) for a in (alpha + h, alpha - h))
        columns.append((np.asarray(up) - np.asarray(down)) / (2 * step[:, i, None]))
    return np.stack(columns, axis=2)


@eqx.filter_jit
def _velocities(loss, U, s, lam, alpha):
    def one(U, s, lam, alpha):
        return DualFlow(FeatureBasis(U, s), loss, WeightDecay(lam)).velocity(alpha)

    return jax.vmap(one)(U, s, lam, alpha)


@GROUP.check(
    "P21-Thm1-rate",
    "the dual flow contracts at a rate of at least 4 eta",
    "two solutions of Eq. 9 approach: |alpha_1 - alpha_2|(t) <= e^(-4 eta t) |alpha_1 - alpha_2|(0) (beyond)",
    "gsdyn.integrate from two random starts, 3 examples, s in [0.1, 3], lam in [0.1, 10], at five times to 2",
    "of its bound",
    samples=40,
    tolerance=1 + 1e-6,
)
def contraction(random: Generator, count: int) -> Trials:
    problems = dense(random, count, 3)
    problems = problems._replace(s=log_uniform(random, 0.1, 3, (count, 3)), lam=log_uniform(random, 0.1, 10, count))
    ts = np.array([0.0, 0.1, 0.25, 0.5, 1.0, 2.0])
    starts = random.uniform(0.02, 0.98, (2, count, 3))
    one, two = (np.asarray(_paths(problems.U, problems.s, problems.lam, start, ts)) for start in starts)
    distance = np.linalg.norm(one - two, axis=2)
    ratio = distance[:, 1:] / (distance[:, :1] * np.exp(-4 * ts[1:]) + 1e-9)
    return Trials(ratio, problems.place())


@eqx.filter_jit
def _paths(U, s, lam, start, ts):
    def one(U, s, lam, start):
        flow = DualFlow(FeatureBasis(U, s), CrossEntropy(), WeightDecay(lam), alpha0=start)
        return integration.integrate(flow, ts, rtol=1e-10, atol=1e-12).alpha

    return jax.vmap(one)(U, s, lam, start)


@GROUP.check(
    "P21-Thm1-bound",
    "|alpha - alpha*| <= |residual| / 4",
    "the velocity of Eq. 9 at any alpha bounds the way to the fixed point: |alpha - alpha*| <= |alpha'|/4 (beyond)",
    f"SciPy's alpha* and the velocity at random alpha inside (0, 1), {RANDOM}",
    "of its bound",
    samples=100,
    tolerance=1.0,
)
def error_bound(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    true = np.array([_oracles.fixed_point(a) for a in problems.weight_decay()])
    # near the fixed point and anywhere
    near = expit(np.log(true / (1 - true)) + random.normal(size=true.shape) * log_uniform(random, 1e-3, 3, (count, 1)))
    alpha = np.where(random.random((count, 1)) < 0.5, near, random.uniform(0.01, 0.99, true.shape))
    velocity = np.asarray(_velocities(CrossEntropy(), problems.U, problems.s, problems.lam, alpha))
    bound = np.linalg.norm(velocity, axis=1) / 4
    return Trials(np.linalg.norm(alpha - true, axis=1) / bound, problems.place())


@GROUP.check(
    "P21-Eq11",
    "z* = S^2 U^T alpha*/lam, alpha* = sigma(-f*)",
    "at the fixed point z* = (1/lam) S^2 U^T alpha* and alpha* = sigma(-f*), where primal and dual flow both end",
    "gsdyn.steady_state of PrimalFlow and of DualFlow, 3 examples, s in [0.1, 3], lam in [0.1, 10]",
    "relative error",
    samples=40,
    tolerance=1e-7,
)
def responses(random: Generator, count: int) -> Trials:
    problems = dense(random, count, 3)
    problems = problems._replace(s=log_uniform(random, 0.1, 3, (count, 3)), lam=log_uniform(random, 0.1, 10, count))
    fp = solved(CrossEntropy(), WeightDecay, problems)
    z, alpha = np.asarray(fp.z), np.asarray(fp.alpha)
    primal, dual = (np.asarray(v) for v in _ends(problems.U, problems.s, problems.lam))
    c = problems.s**2 / problems.lam[:, None]
    stated = c * np.einsum("nij,ni->nj", problems.U, alpha)
    margins = np.einsum("nij,nj->ni", problems.U, primal)
    scale = np.max(np.abs(z), axis=1, keepdims=True)
    errors = [(primal - z) / scale, (dual - z) / scale, (stated - z) / scale, expit(-margins) / alpha - 1]
    return Trials(np.abs(np.concatenate(errors, axis=1)), problems.place())


@jax.jit
def _ends(U, s, lam):
    def one(U, s, lam):
        basis, loss, penalty = FeatureBasis(U, s), CrossEntropy(), WeightDecay(lam)
        flows = PrimalFlow(basis, loss, penalty), DualFlow(basis, loss, penalty)
        return [integration.steady_state(flow, rtol=1e-10, atol=1e-11).z[0] for flow in flows]

    return jax.vmap(one)(U, s, lam)


@GROUP.check(
    "P21-Table4-hinge",
    "hinge: the dual is a box QP",
    "max(0, 1-f) = max over 0 <= a <= 1 of a(1-f); the dual is max sum(alpha) - alpha^T K alpha/(2 lam) on the box",
    f"SciPy's bounded least squares, at which the optimum is unique, {RANDOM}",
    "error",
    samples=100,
    tolerance=1e-7,
)
def hinge(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    fp = solved(Hinge(), WeightDecay, problems)
    alpha, objective, A = np.asarray(fp.alpha), np.asarray(fp.objective), problems.weight_decay()
    errors = []
    for i, a in enumerate(A):
        B = np.linalg.cholesky(a)
        # |B^T x - B^-1 1|^2 / 2 is x^T A x / 2 - sum(x) but for a constant
        x = optimize.lsq_linear(B.T, np.linalg.solve(B, np.ones(len(a))), (0, 1), "bvls", tol=1e-15).x
        value = x.sum() - x @ a @ x / 2
        errors.append([*(alpha[i] - x), objective[i] / value - 1])
    f = random.uniform(-3, 3, (count, 1))
    ends = np.maximum(0 * (1 - f), 1 - f)  # linear in a: the maximum is at an end of the box
    conjugate = [float(Hinge().value(jnp.asarray(x))) for x in f] - ends[:, 0]
    return Trials(np.abs(np.column_stack([errors, conjugate])), problems.place())


@GROUP.check(
    "P21-Table4-squared",
    "squared error: the dual is linear",
    "(1-f)^2/2 = max over a of a(1-f) - a^2/2, and the dual's optimum solves (I + K/lam) alpha = 1",
    f"NumPy's linear solver, and the maximum at a = 1 - f on a grid, {RANDOM}",
    "absolute error",
    samples=100,
    tolerance=1e-11,
)
def squared_error(random: Generator, count: int) -> Trials:
    problems = dense(random, count)
    fp = solved(SquaredError(), WeightDecay, problems)
    A = problems.weight_decay()
    alpha = np.linalg.solve(np.eye(A.shape[1]) + A, np.ones((*A.shape[:2], 1)))[..., 0]
    f = random.uniform(-3, 3, (count, 1))
    a = 1 - f + np.linspace(-1, 1, 201)[None, :]
    conjugate = np.max(a * (1 - f) - a * a / 2, axis=1)
    value = np.array([float(SquaredError().value(jnp.asarray(x))) for x in f])
    return Trials(np.abs(np.column_stack([np.asarray(fp.alpha) - alpha, conjugate - value])), problems.place())
