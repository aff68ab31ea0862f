"""Closed forms of the fixed point, and many classes (P21-Eqs 12-14, 29-30)."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
from numpy.random import Generator
from scipy import optimize
from scipy.special import log_softmax, softmax, xlogy

from gsdyn import closed_forms
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.losses import Softmax
from gsdyn.penalties import WeightDecay
from gsdyn.starvation import starvation_matrix
from gsdyn.verification import _oracles
from gsdyn.verification._problems import dense, log_uniform, orthogonal, solved
from gsdyn.verification._registry import Group, Trials

GROUP = Group("P21 closed forms, many classes")
SMALL = np.array([0.04, 0.02, 0.01])
CLASSES = 3


@GROUP.check(
    "P21-Eq12",
    "all strengths equal: Lambert W",
    "with all strengths s: alpha* = W(c)/c, c = s^2/lam + 1, z_j* = s^2 W(c)/(s^2 + lam) sum_k U_kj, under Eq. 10",
    "SciPy's minimum of the primal, random bases, s in [0.01, 30], lam in [1e-4, 10]",
    "relative error",
    samples=60,
    tolerance=1e-10,
)
def equal_strengths(random: Generator, count: int) -> Trials:
    return _equal_strengths(random, count, exact=False)


@GROUP.check(
    "P21-Eq12-exact",
    "all strengths equal: r-Lambert W",
    "under Eq. 9 itself f* = W_1(s^2/lam), the root of x e^x + x = s^2/lam, in every example (beyond)",
    "SciPy's minimum of the primal, random bases, s in [0.01, 30], lam in [1e-4, 10]",
    "relative error",
    samples=60,
    tolerance=1e-10,
)
def equal_strengths_exact(random: Generator, count: int) -> Trials:
    return _equal_strengths(random, count, exact=True)


def _equal_strengths(random: Generator, count: int, exact: bool) -> Trials:
    s, lam, U = log_uniform(random, 0.01, 30, count), log_uniform(random, 1e-4, 10, count), orthogonal(random, count)
    errors = []
    for i in range(count):
        alpha = _oracles.fixed_point(s[i] ** 2 / lam[i] * np.eye(U.shape[1]), first_order=not exact)
        z = s[i] ** 2 / lam[i] * U[i].T @ alpha
        stated = closed_forms.equal_strengths(s[i], lam[i], U[i], exact=exact)
        scale = np.max(np.abs(z))
        errors.append([*(np.asarray(stated.alpha) / alpha - 1), *((np.asarray(stated.z) - z) / scale)])
    return Trials(np.abs(errors), {"s": s, "lam": lam})


@GROUP.check(
    "P21-Eq13",
    "U a permutation: Lambert W",
    "z_j* = s_j^2 W(s_j^2/lam + 1)/(s_j^2 + lam), under Eq. 10",
    "SciPy's minimum of the primal with U a random permutation, s in [0.01, 30], lam in [1e-4, 10]",
    "relative error",
    samples=60,
    tolerance=1e-10,
)
def permutation(random: Generator, count: int) -> Trials:
    return _permutation(random, count, exact=False)


@GROUP.check(
    "P21-Eq13-exact",
    "U a permutation: r-Lambert W",
    "z_j* = W_1(s_j^2/lam), under Eq. 9 itself (beyond)",
    "SciPy's minimum of the primal with U a random permutation, s in [0.01, 30], lam in [1e-4, 10]",
    "relative error",
    samples=60,
    tolerance=1e-10,
)
def permutation_exact(random: Generator, count: int) -> Trials:
    return _permutation(random, count, exact=True)


def _permutation(random: Generator, count: int, exact: bool) -> Trials:
    s, lam = log_uniform(random, 0.01, 30, (count, 4)), log_uniform(random, 1e-4, 10, count)
    stated = np.asarray(closed_forms.permutation(s, np.broadcast_to(lam[:, None], s.shape), exact=exact).z)
    errors = []
    for i in range(count):
        U, c = np.eye(4)[random.permutation(4)], s[i] ** 2 / lam[i]
        alpha = _oracles.fixed_point(_oracles.kernel(U, c), first_order=not exact)
        errors.append(c * (U.T @ alpha) / stated[i] - 1)
    return Trials(np.abs(errors), {"s": s, "lam": lam})


@GROUP.check(
    "P21-Lemma1",
    "near a permutation, error O(delta^2)",
    "alpha* ~ [A + diag(1/alpha_0)]^-1 (1 - log alpha_0) has an error of second order in the off-diagonals delta",
    "SciPy's alpha* of two features, s in [0.3, 3], lam in [0.1, 1]; the order between delta = 0.04, 0.02 and 0.01",
    "2 less the order",
    samples=40,
    tolerance=0.15,  # the next term of the series, at delta <= 0.02, over its weakest leading one
)
def lemma1(random: Generator, count: int) -> Trials:
    s, lam = log_uniform(random, 0.3, 3, (count, 2)), log_uniform(random, 0.1, 1, count)
    errors = np.array([[_lemma1_error(s[i], lam[i], delta) for delta in SMALL] for i in range(count)])
    orders = np.log2(errors[:, 1] / errors[:, 2])
    named = {f"error at delta = {d}, s = 3, 2, lam = 0.1": _lemma1_error((3, 2), 0.1, d) for d in (0.1, 0.05, 0.025)}
    return Trials(2 - orders, {"s": s, "lam": lam}, named)


@GROUP.check(
    "P21-Lemma1-uniform",
    "delta = 0.01 is small enough for Lemma 1",
    "at delta = 0.01 the responses that Lemma 1 gives are right to 1% for every strength and lam",
    "SciPy's alpha* of two features, s in [0.01, 100], lam in [1e-5, 100]",
    "relative error",
    samples=60,
    tolerance=0.01,
    instead="the constant of O(delta^2) grows without bound with the ratio of strengths over lam: what has to be small "
    "is delta (s_1^2 - s_2^2)/lam against the weaker feature's own terms, not delta",
)
def lemma1_uniform(random: Generator, count: int) -> Trials:
    s, lam = log_uniform(random, 1e-2, 1e2, (count, 2)), log_uniform(random, 1e-5, 1e2, count)
    s[0], lam[0] = (22.0, 0.02), 3e-5
    errors = [_lemma1_error(s[i], lam[i], 0.01, responses=True) for i in range(count)]
    return Trials(errors, {"s": s, "lam": lam})


def _lemma1_error(s, lam: float, delta: float, responses: bool = False) -> float:
    """The absolute error of alpha, or the error of z relative to the largest response."""
    c = np.sqrt(1 - delta**2)
    U, filtered = np.array([[c, -delta], [delta, c]]), np.asarray(s, float) ** 2 / lam
    alpha = _oracles.fixed_point(_oracles.kernel(U, filtered), first_order=True)
    stated = closed_forms.perturbed(FeatureBasis(U, np.asarray(s, float)), lam)
    if not responses:
        return float(np.max(np.abs(np.asarray(stated.alpha) - alpha)))
    z = filtered * (U.T @ alpha)
    return float(np.max(np.abs(np.asarray(stated.z) - z)) / np.max(np.abs(z)))


@GROUP.check(
    "P21-Eq29",
    "many classes: dual, strong duality",
    "the maximum over simplex rows of sum H(alpha) - tr((E-alpha)^T Theta (E-alpha))/(2 lam) is the primal's minimum",
    "SciPy's trust-region minimum of the primal, the dual's value in NumPy; 4 examples, 3 classes",
    "relative error",
    samples=30,
    tolerance=1e-10,
)
def multiclass_duality(random: Generator, count: int) -> Trials:
    problems, labels = dense(random, count, 4), np.arange(4) % CLASSES
    fp = solved(Softmax(labels, CLASSES), WeightDecay, problems)
    E = np.eye(CLASSES)[labels]
    pull, Theta = E - np.asarray(fp.alpha), problems.weight_decay()
    quadratic = np.einsum("nic,nij,njc->n", pull, Theta, pull) / 2
    alpha = np.asarray(fp.alpha)
    dual = -xlogy(alpha, alpha).sum(axis=(1, 2)) - quadratic
    primal = np.array([_softmax_primal(theta, E)[0] for theta in Theta])
    objective = np.asarray(fp.objective)
    return Trials(np.abs(np.stack([dual, primal], axis=1) / objective[:, None] - 1), problems.place())


@GROUP.check(
    "P21-Eq30",
    "many classes: F* = Theta (E - alpha*)/lam",
    "at the fixed point F* = (1/lam) Theta (E - alpha*) and alpha* = softmax(F*)",
    "SciPy's trust-region minimum of the primal; 4 examples, 3 classes",
    "relative error",
    samples=30,
    tolerance=1e-8,
)
def multiclass_fixed_point(random: Generator, count: int) -> Trials:
    problems, labels = dense(random, count, 4), np.arange(4) % CLASSES
    fp = solved(Softmax(labels, CLASSES), WeightDecay, problems)
    E, Theta = np.eye(CLASSES)[labels], problems.weight_decay()
    logits = np.asarray(fp.margins)
    true = np.array([_softmax_primal(theta, E)[1] for theta in Theta])
    stated = Theta @ (E - softmax(logits, axis=2))
    scale = np.max(np.abs(true), axis=(1, 2), keepdims=True)
    errors = np.concatenate([(logits - true) / scale, (logits - stated) / scale], axis=2)
    return Trials(np.abs(errors), problems.place())


def _softmax_primal(theta: np.ndarray, E: np.ndarray) -> tuple[float, np.ndarray]:
    """The least `sum(logsumexp(F) - F_label) + |Y|^2 / 2` with `F = B Y`, `B B^T = theta`, and `F` there."""
    B, shape = np.linalg.cholesky(theta), E.shape

    def value(y):
        Y = y.reshape(shape)
        return float(-np.sum(E * log_softmax(B @ Y, axis=1)) + y @ y / 2)

    def gradient(y):
        Y = y.reshape(shape)
        return (Y - B.T @ (E - softmax(B @ Y, axis=1))).ravel()

    def hessian(y):
        p = softmax(B @ y.reshape(shape), axis=1)
        curved = np.einsum("nc,cd->ncd", p, np.eye(shape[1])) - p[:, :, None] * p[:, None, :]
        inner = np.einsum("ni,ncd,nj->icjd", B, curved, B)
        return np.eye(y.size) + inner.reshape(y.size, y.size)

    y = optimize.minimize(value, np.zeros(E.size), method="trust-exact", jac=gradient, hess=hessian, tol=1e-8).x
    for _ in range(3):
        y = y - np.linalg.solve(hessian(y), gradient(y))
    return value(y), B @ y.reshape(shape)


@GROUP.check(
    "P21-Eq30-binary",
    "two classes of a softmax are Eq. 5 at lam/2",
    "with C = 2 the difference of the logits is the binary problem's output under weight decay lam/2 (beyond)",
    "SciPy's alpha* of the label-signed kernel",
    "absolute error",
    samples=30,
    tolerance=1e-9,
)
def multiclass_binary(random: Generator, count: int) -> Trials:
    problems, labels = dense(random, count, 4), np.arange(4) % 2
    fp = solved(Softmax(labels, 2), WeightDecay, problems)
    y = 1 - 2.0 * labels
    kernels = y[:, None] * problems.weight_decay() * y[None, :]
    wrong = np.take_along_axis(np.asarray(fp.alpha), 1 - labels[None, :, None], axis=2)[..., 0]
    true = np.array([_oracles.fixed_point(2 * k) for k in kernels])
    return Trials(np.abs(wrong - true), problems.place())


@GROUP.check(
    "P21-Eq30-starvation",
    "many classes: the starvation matrix",
    "G[j, a, i] = d z_ja*/d(s_i^2) from W_n = diag(p_n) - p_n p_n^T, exact for softmax too (beyond)",
    "finite differences of SciPy's fixed points; 3 examples, 3 classes, s in [0.3, 3], lam in [0.05, 2]",
    "relative error",
    samples=6,
    tolerance=1e-7,
)
def multiclass_starvation(random: Generator, count: int) -> Trials:
    U, s, lam = (
        orthogonal(random, count, 3),
        log_uniform(random, 0.3, 3, (count, 3)),
        log_uniform(random, 0.05, 2, count),
    )
    labels = np.arange(3)
    E, matrices, errors = np.eye(3), np.asarray(_softmax_matrices(Softmax(labels, 3), U, s, lam)), []
    for k in range(count):
        for i in range(3):

            def responses(square: float, k: int = k, i: int = i) -> np.ndarray:
                squares = np.where(np.arange(3) == i, square, s[k] ** 2)
                return U[k].T @ _softmax_primal(_oracles.kernel(U[k], squares / lam[k]), E)[1]

            difference = _oracles.derivative(responses, s[k, i] ** 2)
            errors.append(np.max(np.abs(matrices[k, ..., i] - difference)) / np.max(np.abs(matrices[k])))
    return Trials(np.reshape(errors, (count, 3)), {"s": s, "lam": lam})


@eqx.filter_jit
def _softmax_matrices(loss, U, s, lam):
    def one(U, s, lam):
        basis = FeatureBasis(U, s)
        return starvation_matrix(basis, fixed_point(basis, loss, WeightDecay(lam)))

    return jax.vmap(one)(U, s, lam)
