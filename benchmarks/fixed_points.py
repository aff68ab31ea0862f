"""Fixed points of two-feature grids with certificates, and of the digits: gsdyn beside SciPy and NumPy, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import root
from scipy.special import expit

import gsdyn as gs

CELLS, SCIPY_CELLS, REPEATS = 1_000_000, 300, 5
RANGES = {
    "B.1: s1 2..6, s2 2, lam 0.006..0.016": ((2, 6), (2, 2), (-2.2, -1.8), False),
    "wide: s 0.1..10, lam 1e-4..10": ((-1, 1), (-1, 1), (-4, 1), True),
}


@jax.jit
@jax.vmap
def ours(s1: jax.Array, s2: jax.Array, delta: jax.Array, lam: jax.Array) -> tuple[jax.Array, ...]:
    fp = gs.fixed_point(gs.FeatureBasis.rotation(s1, s2, delta), gs.CrossEntropy(), gs.WeightDecay(lam))
    return fp.alpha, fp.z, fp.gap, fp.error_bound, fp.converged


def scipy_loop(s1: np.ndarray, s2: np.ndarray, delta: np.ndarray, lam: np.ndarray) -> None:
    for cell in zip(s1, s2, delta, lam, strict=True):
        a11, a12, a22 = kernel(*cell)
        matrix = np.array([[a11, a12], [a12, a22]])
        root(lambda v, matrix=matrix: v + matrix @ expit(v), np.zeros(2))


def numpy_newton(s1: np.ndarray, s2: np.ndarray, delta: np.ndarray, lam: np.ndarray) -> None:
    for i in range(0, len(s1), 4096):
        a11, a12, a22 = kernel(*(x[i : i + 4096] for x in (s1, s2, delta, lam)))
        v1, v2 = -np.log1p(a11), -np.log1p(a22)
        for _ in range(60):
            p1, p2 = expit(v1), expit(v2)
            w1, w2 = p1 * (1 - p1), p2 * (1 - p2)
            r1, r2 = v1 + a11 * p1 + a12 * p2, v2 + a12 * p1 + a22 * p2
            det = (1 + a11 * w1) * (1 + a22 * w2) - a12 * a12 * w1 * w2
            d1 = np.clip(((1 + a22 * w2) * r1 - a12 * w2 * r2) / det, -2, 2)
            d2 = np.clip(((1 + a11 * w1) * r2 - a12 * w1 * r1) / det, -2, 2)
            v1, v2 = v1 - d1, v2 - d2
            if max(np.abs(d1).max(), np.abs(d2).max()) < 1e-9:
                break


def kernel(s1: np.ndarray, s2: np.ndarray, delta: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, ...]:
    c2 = 1 - delta**2
    a12 = delta * np.sqrt(c2) * (s1**2 - s2**2)
    return (c2 * s1**2 + delta**2 * s2**2) / lam, a12 / lam, (delta**2 * s1**2 + c2 * s2**2) / lam


def seconds(run: Callable[[], object], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return times


def grids(console: Console) -> None:
    table = Table("ranges", "gsdyn, certified", "NumPy Newton", "SciPy root loop", "to NumPy", "to SciPy", "compile s")
    rng = np.random.default_rng(0)
    for name, (r1, r2, rl, logarithmic) in RANGES.items():
        s1, s2 = (rng.uniform(*r, CELLS) for r in (r1, r2))
        cells = [10**s1, 10**s2] if logarithmic else [s1, s2]
        cells += [rng.uniform(0, 0.7, CELLS), 10 ** rng.uniform(*rl, CELLS)]
        on_device = [jnp.asarray(x) for x in cells]
        first = seconds(lambda on_device=on_device: ours(*on_device), 1)[0]
        few = [x[:SCIPY_CELLS] for x in cells]
        mine, numpy, scipy = [], [], []
        for _ in range(REPEATS):
            mine += seconds(lambda on_device=on_device: ours(*on_device), 1)
            numpy += seconds(lambda cells=cells: numpy_newton(*cells), 1)
            scipy += seconds(lambda few=few: scipy_loop(*few), 1)
        rates = [
            count / statistics.median(times) for count, times in ((CELLS, mine), (CELLS, numpy), (SCIPY_CELLS, scipy))
        ]
        ratios = f"{rates[0] / rates[1]:.1f}x", f"{rates[0] / rates[2]:.0f}x"
        table.add_row(name, *(f"{rate / 1e6:.4g} M/s" for rate in rates), *ratios, f"{first:.1f}")
    console.print(table)


def large_n(console: Console) -> None:
    data = gs.data.digits()
    kernel = gs.kernels.infinite_ntk(gs.networks.FullyConnected(depth=3), data.x)
    basis = gs.FeatureBasis.from_kernel(kernel, data.y)
    table = Table("lam", "median s", "least s", "Newton steps", "relative duality gap")
    for lam in (1.0, 1e-2, 1e-4):
        run = lambda lam=lam: gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam))  # noqa: E731
        fp = run()
        times = seconds(run, REPEATS)
        least, median = min(times), statistics.median(times)
        table.add_row(str(lam), f"{median:.3f}", f"{least:.3f}", str(fp.iterations), f"{fp.gap / fp.objective:.1e}")
    console.print(table)
    console.print(
        "1,797 digits, 3-layer ReLU NTK, cross-entropy with weight decay, to rounding; the kernel not counted."
    )


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    console = Console(width=140)
    grids(console)
    large_n(console)


if __name__ == "__main__":
    main()
