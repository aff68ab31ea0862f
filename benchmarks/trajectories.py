"""Dual trajectories (P21-Eq9) of many two-feature cells at 200 times: gsdyn beside SciPy, diffrax and heyoka.

All at relative and absolute tolerance 1e-8. The note gives the largest error of alpha in a few cells against SciPy's
Radau at 1e-12 in logit coordinates, where that arrives; an answer that misses a time or is not finite has failed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import gsdyn as gs
from benchmarks._race import Entry, Result, on_all_devices, peer, race

SAVES, TOLERANCE, CHECKED = 200, 1e-8, 10
FEW = {"diffrax Tsit5, vmap": 200, "SciPy LSODA": 10, "SciPy Radau": 10}  # cells timed at most
# log10 lam, largest alpha at the start, last time, numbers of cells
REGIMES = {
    "lam 0.01, start below 0.01": ((-2.0, -2.0), 0.01, 1.0, (1, 100, 10_000)),
    "lam 0.1..1, start below 0.5": ((-1.0, 0.0), 0.5, 1.0, (10_000,)),
    "lam 1e-5, start below 0.01": ((-5.0, -5.0), 0.01, 1.0, (100,)),
    "lam 0.01, start below 0.5": ((-2.0, -2.0), 0.5, 1.0, (100,)),
}
Problem = tuple[np.ndarray, np.ndarray]


def rows() -> list[Result]:
    results = []
    for name, (decades, largest, end, counts) in REGIMES.items():
        for count in counts:
            results += _trajectories(name, decades, largest, end, count)
    return results


def _trajectories(name: str, decades: tuple[float, float], largest: float, end: float, count: int) -> list[Result]:
    rng = np.random.default_rng(0)
    cells = [
        rng.uniform(2, 6, count),
        np.full(count, 2.0),
        rng.uniform(0, 0.7, count),
        10 ** rng.uniform(*decades, count),
    ]
    start = largest * rng.uniform(0.1, 1, (count, 2))
    ts = np.linspace(0, end, SAVES)
    kernels = _kernels(*cells)
    few = min(count, CHECKED)
    exact = np.stack([_reference(k, a, ts) for k, a in zip(kernels[:few], start[:few], strict=True)])
    entries = []
    for label, run, share in _competitors((kernels, start), cells, ts, count):
        alpha = np.asarray(run())
        seen = min(few, len(alpha))
        failed = np.logical_not(np.isfinite(alpha).all(axis=(1, 2)))
        known = np.logical_not(failed[:seen]) & np.isfinite(exact[:seen]).all(axis=(1, 2))
        error = np.abs(alpha[:seen] - exact[:seen])[known].max(initial=0.0) if known.any() else np.nan
        note = f"error {error:.0e}" + (f", {failed.mean():.0%} failed" if failed.any() else "")
        entries.append(Entry(label, run, share, note))
    return race(f"trajectories, {name}, {count:,} cells", entries, repeats=3)


def _competitors(
    problem: Problem, cells: list[np.ndarray], ts: np.ndarray, count: int
) -> list[tuple[str, Callable[[], object], float]]:
    kernels, start = problem
    few = {name: min(count, most) for name, most in FEW.items()}
    part = {name: (kernels[:cells], start[:cells]) for name, cells in few.items()}
    runs: dict[str, Callable[[], object]] = {
        "gsdyn": _ours(cells, start, ts),
        "diffrax Tsit5, vmap": _diffrax(*part["diffrax Tsit5, vmap"], ts),
    }
    if jax.device_count() > 1 and count % jax.device_count() == 0:
        runs[f"gsdyn, {jax.device_count()} devices"] = _ours(cells, start, ts, spread=True)
    for method in ("LSODA", "Radau"):
        runs[f"SciPy {method}"] = functools.partial(_scipy, *part[f"SciPy {method}"], ts, method)
    if peer("torchdiffeq"):
        runs["torchdiffeq dopri8, one step for all"] = _torchdiffeq(kernels, start, ts)
    if peer("heyoka"):
        runs["heyoka, batch"] = _heyoka(kernels, start, ts)
    return [(name, run, few.get(name, count) / count) for name, run in runs.items()]


def _kernels(s1: np.ndarray, s2: np.ndarray, delta: np.ndarray, lam: np.ndarray) -> np.ndarray:
    c = np.sqrt(1 - delta**2)
    a12 = delta * c * (s1**2 - s2**2)
    rows = [[c**2 * s1**2 + delta**2 * s2**2, a12], [a12, delta**2 * s1**2 + c**2 * s2**2]]
    return np.moveaxis(np.array(rows), -1, 0) / lam[:, None, None]


def _ours(
    cells: list[np.ndarray], start: np.ndarray, ts: np.ndarray, *, spread: bool = False
) -> Callable[[], jax.Array]:
    def solve(s1: jax.Array, s2: jax.Array, delta: jax.Array, lam: jax.Array, alpha: jax.Array) -> jax.Array:
        basis = gs.FeatureBasis.rotation(s1, s2, delta)
        flow = gs.DualFlow(basis, gs.CrossEntropy(), gs.WeightDecay(lam), alpha0=alpha)
        return gs.integrate(flow, ts, rtol=TOLERANCE, atol=TOLERANCE).alpha

    if spread:
        return on_all_devices(solve, *cells, start)
    one, on_device = jax.jit(jax.vmap(solve)), [jnp.asarray(x) for x in (*cells, start)]
    return lambda: one(*on_device)


def _diffrax(kernels: np.ndarray, start: np.ndarray, ts: np.ndarray) -> Callable[[], jax.Array]:
    """diffrax as one would use it: explicit, in alpha."""
    term = diffrax.ODETerm(lambda t, a, k: jnp.log((1 - a) / a) - k @ a)

    @jax.jit
    @jax.vmap
    def solve(kernel: jax.Array, alpha: jax.Array) -> jax.Array:
        controller = diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)
        saves = diffrax.SaveAt(ts=jnp.asarray(ts))
        solution = diffrax.diffeqsolve(
            term, diffrax.Tsit5(), ts[0], ts[-1], None, alpha, kernel, saveat=saves,
            stepsize_controller=controller, max_steps=20_000, throw=False,
        )  # fmt: skip
        assert solution.ys is not None
        return solution.ys

    on_device = jnp.asarray(kernels), jnp.asarray(start)
    return lambda: solve(*on_device)


def _scipy(kernels: np.ndarray, start: np.ndarray, ts: np.ndarray, method: str) -> np.ndarray:
    return np.stack([_solve(k, a, ts, method, TOLERANCE) for k, a in zip(kernels, start, strict=True)])


def _solve(kernel: np.ndarray, start: np.ndarray, ts: np.ndarray, method: str, tolerance: float) -> np.ndarray:
    def velocity(t: float, a: np.ndarray) -> np.ndarray:
        return np.log((1 - a) / a) - kernel @ a

    with np.errstate(all="ignore"):
        try:
            y = solve_ivp(velocity, (ts[0], ts[-1]), start, method, ts, rtol=tolerance, atol=tolerance).y.T
        except ValueError:
            y = np.empty((0, 2))
    return y if y.shape == (len(ts), 2) else np.full((len(ts), 2), np.nan)


def _reference(kernel: np.ndarray, start: np.ndarray, ts: np.ndarray) -> np.ndarray:
    """In logit coordinates, where alpha cannot leave (0, 1), by a stiff method with an exact Jacobian."""

    def velocity(t: float, v: np.ndarray) -> np.ndarray:
        a = 1 / (1 + np.exp(-v))
        return -(v + kernel @ a) / (a * (1 - a))

    def jacobian(t: float, v: np.ndarray) -> np.ndarray:
        a = 1 / (1 + np.exp(-v))
        w = a * (1 - a)
        return -(np.eye(2) + kernel * w[None, :]) / w[:, None] + np.diag((v + kernel @ a) * (1 - 2 * a) / w)

    v0 = np.log(start / (1 - start))
    with np.errstate(all="ignore"):
        y = solve_ivp(velocity, (ts[0], ts[-1]), v0, "Radau", ts, rtol=1e-12, atol=1e-12, jac=jacobian).y.T
    return 1 / (1 + np.exp(-y)) if len(y) == len(ts) else np.full((len(ts), 2), np.nan)


def _torchdiffeq(kernels: np.ndarray, start: np.ndarray, ts: np.ndarray) -> Callable[[], np.ndarray]:
    """All cells as one system, whose steps are as long as the largest error allows."""
    torch, torchdiffeq = peer("torch"), peer("torchdiffeq")
    k, alpha, times = (torch.as_tensor(x) for x in (kernels, start, ts))

    def velocity(t: Any, a: Any) -> Any:
        return torch.log((1 - a) / a) - torch.einsum("nij,nj->ni", k, a)

    def largest(v: Any) -> Any:
        return v.abs().max()

    def run() -> np.ndarray:
        try:
            with torch.no_grad():
                path = torchdiffeq.odeint(
                    velocity, alpha, times, rtol=TOLERANCE, atol=TOLERANCE, method="dopri8", options={"norm": largest}
                )
            return path.numpy().swapaxes(0, 1)
        except AssertionError:  # its step became too short
            return np.full((len(start), len(ts), 2), np.nan)

    return run


def _heyoka(kernels: np.ndarray, start: np.ndarray, ts: np.ndarray) -> Callable[[], np.ndarray]:
    count = len(kernels)
    hy = peer("heyoka")
    a1, a2 = hy.make_vars("a1", "a2")
    par = hy.par
    system = [
        (a1, hy.log((1 - a1) / a1) - par[0] * a1 - par[1] * a2),
        (a2, hy.log((1 - a2) / a2) - par[1] * a1 - par[2] * a2),
    ]
    lanes = hy.recommended_simd_size()
    integrator = hy.taylor_adaptive_batch(system, np.full((2, lanes), 0.1), tol=TOLERANCE, pars=np.zeros((3, lanes)))
    grid = np.repeat(ts[:, None], lanes, axis=1)

    def run() -> np.ndarray:
        out = np.empty((count, len(ts), 2))
        for i in range(0, count, lanes):
            index = np.minimum(np.arange(i, i + lanes), count - 1)
            k = kernels[index]
            integrator.set_time(0.0)
            integrator.pars[:] = k[:, 0, 0], k[:, 0, 1], k[:, 1, 1]
            integrator.state[:] = start[index].T
            part = integrator.propagate_grid(grid, max_steps=20_000)[1]
            out[index] = np.moveaxis(part, -1, 0)
        return out

    return run
