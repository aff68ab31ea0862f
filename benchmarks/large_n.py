"""Fixed points of many examples (P21-Eq9): gsdyn beside scikit-learn's logistic regression on a factor of the kernel.

With `F F^T = K` logistic regression on the rows of `F`, no intercept and `C = 1/lam`, has the same margins. The peers
get `F` for nothing and the loosest of a few tolerances at which their relative duality gap is below 1e-8.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from scipy.special import entr, expit
from sklearn.linear_model import LogisticRegression

import gsdyn as gs
from benchmarks._race import Entry, Result, race

GAP = 1e-8
LAMS = 1.0, 1e-2, 1e-4
TOLERANCES = 1e-1, 1e-3, 1e-5, 1e-7, 1e-9, 1e-11
PEERS = {"lbfgs": 20_000, "newton-cg": 2_000, "newton-cholesky": 200, "liblinear": 1_000}
LARGE = {"lbfgs": 1_000, "newton-cg": 2_000}  # a step of the others takes seconds with 5,000 examples
LOSS = gs.CrossEntropy()
Fit = Callable[[float], np.ndarray]  # the weights found at a tolerance


def rows() -> list[Result]:
    digits, basis = _digits()
    results = []
    for lam in LAMS:
        name = f"digits, n = {len(digits):,}, lam = {lam:g}"
        exact = Entry("gsdyn, from the features, to rounding", lambda lam=lam: ours(basis, lam))
        results += race(name, [*_entries(digits, np.asarray(basis.U * basis.s[None, :]), lam, PEERS), exact], 3)
    results += _path(digits) + _matrix(basis)
    kernel = _rbf(5000)
    factor = np.linalg.cholesky(kernel)
    for lam in LAMS:
        name = f"RBF, n = {len(kernel):,}, lam = {lam:g}"
        results += race(name, _entries(kernel, factor, lam, LARGE), 3)
    return results


def _digits() -> tuple[np.ndarray, gs.FeatureBasis]:
    """The signed kernel of the digits and its features."""
    data = gs.data.digits()
    theta = np.asarray(gs.kernels.infinite_ntk(gs.networks.FullyConnected(depth=3), data.x))
    y = np.asarray(data.y)
    return y[:, None] * theta * y[None, :], gs.FeatureBasis.from_kernel(theta, y)


def _rbf(n: int) -> np.ndarray:
    """The signed Gaussian kernel of two Gaussian clouds in ten dimensions that overlap, a little of the unit added."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(n) % 2, 1.0, -1.0)
    x = rng.normal(size=(n, 10)) + 0.4 * y[:, None]
    square = (x * x).sum(axis=1)
    kernel = np.exp(-np.maximum(square[:, None] + square[None, :] - 2 * x @ x.T, 0) / 20)
    return y[:, None] * (kernel + kernel.T) / 2 * y[None, :] + 1e-8 * np.eye(n)


def _entries(kernel: np.ndarray, factor: np.ndarray, lam: float, peers: dict[str, int]) -> list[Entry]:
    theta, decay = jnp.asarray(kernel), gs.WeightDecay(lam)
    fp = gs.kernel_fixed_point(theta, None, LOSS, decay, rtol=GAP)
    note = f"gap {float(fp.gap / fp.objective):.0e}"
    entries = [
        Entry("gsdyn, from the kernel", lambda: gs.kernel_fixed_point(theta, None, LOSS, decay, rtol=GAP), note=note)
    ]
    fits = {f"scikit-learn {name}": _scikit(name, limit, factor, lam) for name, limit in peers.items()}
    for name, fit in (fits | {"SciPy trust-ncg": _trust(factor, lam)}).items():
        tolerance, gap = _tolerance(fit, factor, lam)
        entries.append(Entry(name, lambda fit=fit, tolerance=tolerance: fit(tolerance), note=f"gap {gap:.0e}"))
    return entries


def ours(basis: gs.FeatureBasis, lam: float) -> gs.FixedPoint:
    return gs.fixed_point(basis, LOSS, gs.WeightDecay(lam))


def _tolerance(fit: Fit, factor: np.ndarray, lam: float) -> tuple[float, float]:
    """The loosest tolerance that reaches the gap asked for (or the tightest tried), and its gap."""
    tolerance = gap = np.nan
    for tolerance in TOLERANCES:
        gap = relative_gap(factor, fit(tolerance), lam)
        if gap <= GAP:
            break
    return tolerance, gap


def _scikit(name: str, limit: int, factor: np.ndarray, lam: float) -> Fit:
    # labels of both classes: the mirror image of half the rows, with which the margins are those of the signed rows
    y = np.where(np.arange(len(factor)) % 2, 1, -1)
    rows = y[:, None] * factor

    def fit(tolerance: float) -> np.ndarray:
        model = LogisticRegression(
            solver=name, C=1 / lam, fit_intercept=False, tol=tolerance, max_iter=limit, dual=name == "liblinear"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(rows, y).coef_[0]

    return fit


def _trust(factor: np.ndarray, lam: float) -> Fit:
    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margins = factor @ theta
        value = np.logaddexp(0, -margins).sum() + lam / 2 * theta @ theta
        return value, lam * theta - factor.T @ expit(-margins)

    def curvature(theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        alpha = expit(-(factor @ theta))
        return lam * v + factor.T @ (alpha * (1 - alpha) * (factor @ v))

    start = np.zeros(factor.shape[1])

    def fit(tolerance: float) -> np.ndarray:
        options = {"maxiter": 1000, "gtol": tolerance}
        return minimize(objective, start, method="trust-ncg", jac=True, hessp=curvature, options=options).x

    return fit


def relative_gap(factor: np.ndarray, theta: np.ndarray, lam: float) -> float:
    """Primal minus dual over primal (P21-Eqs 7-8) at the weights that the margins give."""
    margins = factor @ theta
    primal = np.logaddexp(0, -margins).sum() + lam / 2 * theta @ theta
    alpha = expit(-margins)
    pull = factor.T @ alpha
    dual = (entr(alpha) + entr(1 - alpha)).sum() - pull @ pull / (2 * lam)
    return (primal - dual) / primal


def _path(kernel: np.ndarray) -> list[Result]:
    """Fifty decays from 1 to 1e-4, each from those before it, against one solve at the smallest."""
    theta, lams = jnp.asarray(kernel), np.logspace(0, -4, 50)
    entries = [
        Entry("one solve at lam = 1e-4", lambda: gs.kernel_fixed_point(theta, None, LOSS, gs.WeightDecay(1e-4))),
        Entry("50 decays in one scan", lambda: gs.kernel_path(theta, None, LOSS, lams)),
    ]
    return race("digits, a path of 50 decays", entries, repeats=3)


def _matrix(basis: gs.FeatureBasis) -> list[Result]:
    """The full starvation matrix against 3 n^3 operations as matrix products."""
    fp = ours(basis, 1e-2)
    square = jnp.asarray(np.random.default_rng(0).normal(size=(basis.examples,) * 2))
    products = jax.jit(lambda a: a @ a)
    entries = [
        Entry("gsdyn, full starvation matrix", lambda: gs.starvation_matrix(basis, fp)),
        Entry("3 n^3 operations of matrix products", lambda: products(square), share=2 / 3),
    ]
    return race("digits, full starvation matrix, lam = 1e-2", entries, repeats=3)
