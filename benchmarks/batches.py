"""Fixed points of 64 problems of up to fifty examples under `vmap`, certified: gsdyn beside SciPy's L-BFGS-B."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

import gsdyn as gs
from benchmarks._race import Entry, Result, race

PROBLEMS, SCIPY_PROBLEMS = 64, 8
LOSSES = {"hinge": gs.Hinge(), "cross-entropy": gs.CrossEntropy()}
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows() -> list[Result]:
    results = []
    for name, loss in LOSSES.items():
        for n in (3, 12, 30, 50):
            results += race(f"fixed points, {PROBLEMS} problems of {n} examples, {name}", _entries(n, loss, name))
    return results


def problems(n: int, count: int = PROBLEMS) -> Batch:
    """Any directions, strengths over two decades, decays over four."""
    rng = np.random.default_rng(n)
    U = np.linalg.qr(rng.standard_normal((count, n, n)))[0]
    return U, 10 ** rng.uniform(-1, 1, (count, n)), 10 ** rng.uniform(-3, 1, count)


def _entries(n: int, loss: gs.Loss, name: str) -> list[Entry]:
    batch = problems(n)
    U, s, lam = (x[:SCIPY_PROBLEMS] for x in batch)
    few = U, s, lam
    on_device, run = tuple(map(jnp.asarray, batch)), ours(loss)
    error = np.max(np.abs(scipy_loop(few, name) - run(*few)[0]))  # compiled apart from the whole batch
    return [
        Entry("gsdyn, certified", lambda: run(*on_device)),
        Entry("SciPy L-BFGS-B loop", lambda: scipy_loop(few, name), SCIPY_PROBLEMS / PROBLEMS, f"error {error:.0e}"),
    ]


def ours(loss: gs.Loss) -> Callable[..., tuple[jax.Array, ...]]:
    @jax.jit
    @jax.vmap
    def solve(U: jax.Array, s: jax.Array, lam: jax.Array) -> tuple[jax.Array, ...]:
        fp = gs.fixed_point(gs.FeatureBasis(U, s), loss, gs.WeightDecay(lam))
        return fp.alpha, fp.z, fp.gap, fp.error_bound, fp.converged

    return solve


def scipy_loop(batch: Batch, name: str) -> np.ndarray:
    """Dual variables: of the hinge's box problem, or at the minimum of the primal in normalised responses."""
    solve = _box if name == "hinge" else _primal
    return np.stack([solve(U * (s / np.sqrt(lam))) for U, s, lam in zip(*batch, strict=True)])


def _minimum(value_and_slope: Callable, start: np.ndarray, bounds: list | None = None) -> np.ndarray:
    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-9}
    return minimize(value_and_slope, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x


def _box(B: np.ndarray) -> np.ndarray:
    K = B @ B.T
    return _minimum(lambda a: (a @ (K @ a) / 2 - a.sum(), K @ a - 1), np.full(len(K), 0.5), [(0, 1)] * len(K))


def _primal(B: np.ndarray) -> np.ndarray:
    def value_and_slope(y: np.ndarray) -> tuple[float, np.ndarray]:
        f = B @ y
        return np.logaddexp(0, -f).sum() + y @ y / 2, y - B.T @ expit(-f)

    return expit(-(B @ _minimum(value_and_slope, np.zeros(B.shape[1]))))
