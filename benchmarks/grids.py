"""Fixed points of a million two-feature cells with certificates (P21-Eq9): gsdyn beside SciPy, NumPy and numba."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import root
from scipy.special import expit

import gsdyn as gs
from benchmarks._race import Entry, Result, on_all_devices, peer, race

CELLS, SCIPY_CELLS = 1_000_000, 300
Cells = list[np.ndarray]


def rows() -> list[Result]:
    results = []
    for name, cells in {"B.1 ranges": _narrow(CELLS), "wide ranges": _wide(CELLS)}.items():
        results += race(f"fixed points, {CELLS:,} cells, {name}", _entries(cells))
    return results + _flatness()


def _narrow(cells: int) -> Cells:
    """Strengths 2..6 and 2, overlap up to 0.7, lam around 0.01: the toy model of P21 appendix B.1."""
    rng = np.random.default_rng(0)
    s1, delta, lam = (rng.uniform(*r, cells) for r in ((2, 6), (0, 0.7), (-2.2, -1.8)))
    return [s1, np.full(cells, 2.0), delta, 10**lam]


def _wide(cells: int) -> Cells:
    """Strengths over two decades, lam over five."""
    rng = np.random.default_rng(0)
    s1, s2, delta, lam = (rng.uniform(*r, cells) for r in ((-1, 1), (-1, 1), (0, 0.7), (-4, 1)))
    return [10**s1, 10**s2, delta, 10**lam]


def _entries(cells: Cells) -> list[Entry]:
    on_device = [jnp.asarray(x) for x in cells]
    few = [x[:SCIPY_CELLS] for x in cells]
    entries = [Entry("gsdyn, certified", lambda: ours(*on_device))]
    if jax.device_count() > 1:
        entries.append(Entry(f"gsdyn, certified, {jax.device_count()} devices", on_all_devices(_solve, *cells)))
    if peer("numba"):
        newton = _numba_newton()
        entries.append(Entry("numba, parallel Newton loop", lambda: newton(*cells), note="no certificates"))
    entries.append(Entry("NumPy, Newton in chunks", lambda: numpy_newton(*cells), note="no certificates"))
    entries.append(
        Entry("SciPy root loop", lambda: scipy_loop(*few), SCIPY_CELLS / len(cells[0]), f"{SCIPY_CELLS} cells timed")
    )
    return entries


def _flatness() -> list[Result]:
    """The same time a cell from ten thousand to ten million of them, each count as a share of ten million."""
    largest = 10_000_000
    entries = []
    for count in (1_000_000, 10_000, 100_000, largest):
        on_device = [jnp.asarray(x) for x in _wide(count)]
        entries.append(Entry(f"{count:,} cells", lambda x=on_device: ours(*x), count / largest))
    return race("fixed points, wide ranges, time for 10,000,000 cells at the rate of fewer", entries, repeats=3)


def _solve(s1: jax.Array, s2: jax.Array, delta: jax.Array, lam: jax.Array) -> tuple[jax.Array, ...]:
    fp = gs.fixed_point(gs.FeatureBasis.rotation(s1, s2, delta), gs.CrossEntropy(), gs.WeightDecay(lam))
    return fp.alpha, fp.z, fp.gap, fp.error_bound, fp.converged


ours = jax.jit(jax.vmap(_solve))


def kernel(s1: np.ndarray, s2: np.ndarray, delta: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, ...]:
    c2 = 1 - delta**2
    a12 = delta * np.sqrt(c2) * (s1**2 - s2**2)
    return (c2 * s1**2 + delta**2 * s2**2) / lam, a12 / lam, (delta**2 * s1**2 + c2 * s2**2) / lam


def scipy_loop(s1: np.ndarray, s2: np.ndarray, delta: np.ndarray, lam: np.ndarray) -> None:
    for cell in zip(s1, s2, delta, lam, strict=True):
        a11, a12, a22 = kernel(*cell)
        matrix = np.array([[a11, a12], [a12, a22]])
        root(lambda v, matrix=matrix: v + matrix @ expit(v), np.zeros(2))


def numpy_newton(s1: np.ndarray, s2: np.ndarray, delta: np.ndarray, lam: np.ndarray) -> list[np.ndarray]:
    """Damped Newton on `v + K sigma(v) / lam = 0`, until a step is below 1e-8."""
    alphas = []
    for i in range(0, len(s1), 4096):
        a11, a12, a22 = kernel(*(x[i : i + 4096] for x in (s1, s2, delta, lam)))
        v1, v2 = -np.log1p(a11), -np.log1p(a22)
        for _ in range(100):
            p1, p2 = expit(v1), expit(v2)
            w1, w2 = p1 * (1 - p1), p2 * (1 - p2)
            r1, r2 = v1 + a11 * p1 + a12 * p2, v2 + a12 * p1 + a22 * p2
            det = (1 + a11 * w1) * (1 + a22 * w2) - a12 * a12 * w1 * w2
            d1 = np.clip(((1 + a22 * w2) * r1 - a12 * w2 * r2) / det, -2, 2)
            d2 = np.clip(((1 + a11 * w1) * r2 - a12 * w1 * r1) / det, -2, 2)
            v1, v2 = v1 - d1, v2 - d2
            if max(np.abs(d1).max(), np.abs(d2).max()) < 1e-8:
                break
        alphas += [expit(v1), expit(v2)]
    return alphas


def _numba_newton() -> Callable[..., np.ndarray]:
    """The same Newton, one cell after the other on every core: about what the machine can do with this method."""
    numba = peer("numba")

    @numba.njit(parallel=True)
    def newton(s1: np.ndarray, s2: np.ndarray, delta: np.ndarray, lam: np.ndarray) -> np.ndarray:
        alpha = np.empty((len(s1), 2))
        for i in numba.prange(len(s1)):
            c2 = 1 - delta[i] ** 2
            a11 = (c2 * s1[i] ** 2 + delta[i] ** 2 * s2[i] ** 2) / lam[i]
            a22 = (delta[i] ** 2 * s1[i] ** 2 + c2 * s2[i] ** 2) / lam[i]
            a12 = delta[i] * np.sqrt(c2) * (s1[i] ** 2 - s2[i] ** 2) / lam[i]
            v1, v2 = -np.log1p(a11), -np.log1p(a22)
            for _ in range(100):
                p1, p2 = 1 / (1 + np.exp(-v1)), 1 / (1 + np.exp(-v2))
                w1, w2 = p1 * (1 - p1), p2 * (1 - p2)
                r1, r2 = v1 + a11 * p1 + a12 * p2, v2 + a12 * p1 + a22 * p2
                det = (1 + a11 * w1) * (1 + a22 * w2) - a12 * a12 * w1 * w2
                d1 = min(max(((1 + a22 * w2) * r1 - a12 * w2 * r2) / det, -2), 2)
                d2 = min(max(((1 + a11 * w1) * r2 - a12 * w1 * r1) / det, -2), 2)
                v1, v2 = v1 - d1, v2 - d2
                if max(abs(d1), abs(d2)) < 1e-8:
                    break
            alpha[i, 0], alpha[i, 1] = 1 / (1 + np.exp(-v1)), 1 / (1 + np.exp(-v2))
        return alpha

    return newton
