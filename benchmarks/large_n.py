"""Fixed points of many examples (P21-Eq9): gsdyn beside scikit-learn's logistic regression on a factor of the kernel.

With `F F^T = K` logistic regression on the rows of `F`, no intercept and `C = 1/lam`, has the same margins. The peers
get `F = K^(1/2)` for nothing and the loosest of a few tolerances at which their relative duality gap is below 1e-8.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import entr, expit
from sklearn.linear_model import LogisticRegression

import gsdyn as gs
from benchmarks._race import Entry, Result, race

GAP = 1e-8
LAMS = 1.0, 1e-2, 1e-4
TOLERANCES = 1e-3, 1e-5, 1e-7, 1e-9, 1e-11
PEERS = {"lbfgs": 20_000, "newton-cg": 2_000, "newton-cholesky": 200}


def rows() -> list[Result]:
    results = []
    for name, (basis, repeats) in {"digits, n = 1,797": (_digits(), 3), "RBF, n = 5,000": (_rbf(5000), 3)}.items():
        factor = np.asarray(basis.U * basis.s[None, :])
        for lam in LAMS:
            results += race(f"{name}, lam = {lam:g}", _entries(basis, factor, lam), repeats)
    return results + _path() + _matrix()


def _digits() -> gs.FeatureBasis:
    data = gs.data.digits()
    return gs.FeatureBasis.from_kernel(gs.kernels.infinite_ntk(gs.networks.FullyConnected(depth=3), data.x), data.y)


def _rbf(n: int) -> gs.FeatureBasis:
    """Two Gaussian clouds in ten dimensions that overlap, under a Gaussian kernel."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(n) % 2, 1.0, -1.0)
    x = rng.normal(size=(n, 10)) + 0.4 * y[:, None]
    square = (x * x).sum(axis=1)
    kernel = np.exp(-np.maximum(square[:, None] + square[None, :] - 2 * x @ x.T, 0) / 20)
    return gs.FeatureBasis.from_kernel(kernel, y)


def _entries(basis: gs.FeatureBasis, factor: np.ndarray, lam: float) -> list[Entry]:
    fp = ours(basis, lam)
    entries = [Entry("gsdyn, to rounding", lambda: ours(basis, lam), note=f"gap {float(fp.gap / fp.objective):.0e}")]
    for name, limit in PEERS.items():
        if name != "newton-cg" and len(factor) > 2000:
            continue  # minutes each
        fit, gap = _fitted(name, limit, factor, lam)
        entries.append(Entry(f"scikit-learn {name}", fit, note=f"gap {gap:.0e}"))
    return entries


def ours(basis: gs.FeatureBasis, lam: float) -> gs.FixedPoint:
    return gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam))


def _fitted(name: str, limit: int, factor: np.ndarray, lam: float) -> tuple[Callable[[], object], float]:
    """A fit to the gap asked for, at the loosest tolerance that reaches it (or the tightest tried)."""
    # labels of both classes: the mirror image of half the rows, with which the margins are those of the signed rows
    y = np.where(np.arange(len(factor)) % 2, 1, -1)
    rows = y[:, None] * factor
    for tolerance in TOLERANCES:
        model = LogisticRegression(solver=name, C=1 / lam, fit_intercept=False, tol=tolerance, max_iter=limit)

        def fit(model: LogisticRegression = model) -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return model.fit(rows, y)

        fit()
        gap = relative_gap(factor, model.coef_[0], lam)
        if gap <= GAP:
            break
    return fit, gap


def relative_gap(factor: np.ndarray, theta: np.ndarray, lam: float) -> float:
    """Primal minus dual over primal (P21-Eqs 7-8) at the weights that the margins give."""
    margins = factor @ theta
    primal = np.logaddexp(0, -margins).sum() + lam / 2 * theta @ theta
    alpha = expit(-margins)
    pull = factor.T @ alpha
    dual = (entr(alpha) + entr(1 - alpha)).sum() - pull @ pull / (2 * lam)
    return (primal - dual) / primal


def _path() -> list[Result]:
    """Fifty decays from 1 to 1e-4 against one solve at the smallest."""
    basis = _digits()
    lams = jnp.logspace(0, -4, 50)
    entries = [
        Entry("one solve at lam = 1e-4", lambda: ours(basis, 1e-4)),
        Entry("50 decays, one after the other", lambda: [ours(basis, lam).z for lam in lams]),
    ]
    return race("digits, a path of 50 decays", entries, repeats=3)


def _matrix() -> list[Result]:
    """The full starvation matrix against 3 n^3 operations as matrix products."""
    basis = _digits()
    fp = ours(basis, 1e-2)
    square = jnp.asarray(np.random.default_rng(0).normal(size=(basis.examples,) * 2))
    products = jax.jit(lambda a: a @ a)
    whole = jax.jit(gs.starvation_matrix)
    entries = [
        Entry("gsdyn, full starvation matrix", lambda: whole(basis, fp)),
        Entry("3 n^3 operations of matrix products", lambda: products(square), share=2 / 3),
    ]
    return race("digits, full starvation matrix, lam = 1e-2", entries, repeats=3)
