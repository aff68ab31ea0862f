"""Training over time of many examples: gsdyn's KernelFlow beside the gradient descent it is the limit of.

Digits, n = 1,797, the infinite ReLU NTK of depth 3, 100 saved times. The last time is the one at which descent with
step `1/(s_1^2 (1/4 + lam_2) + lam_1)` has taken so many steps; peers take just these, the first thousand of them where
there are more, and save nothing. gsdyn's error, relative to the largest response, is that against its own run at 1e-10.
Then digits of MNIST, by their number, and the memory that 5,000 take, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

import gsdyn as gs
from benchmarks._race import Entry, Result, peer, race
from benchmarks.kernels import high_water
from gsdyn.penalties import Penalty

STEPS = 1_000, 10_000, 100_000
SIZES = 500, 1_000, 2_000, 5_000
SAVED = 100
LOSS = gs.CrossEntropy()
NET = gs.networks.FullyConnected(depth=3)
EXACT = 2_000  # examples up to which errors are measured


class Setting(NamedTuple):
    """A penalty and its decays, coefficients at the start, and the tolerance at which the error is below 1e-6."""

    penalty: Penalty
    lam1: float
    lam2: float
    start: np.ndarray
    rtol: float


def rows() -> list[Result]:
    data = gs.data.digits()
    theta = gs.kernels.infinite_ntk(NET, data.x)
    y = np.asarray(data.y)
    basis = gs.FeatureBasis.from_kernel(theta, y)
    top, zero = float(basis.s[0]) ** 2, np.zeros(len(y))
    learnt = gs.integrate(gs.KernelFlow(theta, y, LOSS, gs.Unregularised()), np.array([4e3 / top]), rtol=1e-8)
    then = np.asarray(learnt.coefficients[-1])
    settings = {
        "cross-entropy alone": Setting(gs.Unregularised(), 0.0, 0.0, zero, 3e-5),
        "weight decay 1e-2": Setting(gs.WeightDecay(1e-2), 1e-2, 0.0, zero, 3e-5),
        "spectral decoupling 2 after cross-entropy": Setting(gs.SpectralDecoupling(2.0), 0.0, 2.0, then, 1e-5),
    }
    results = []
    for name, setting in settings.items():
        for steps in STEPS:
            results += _race(f"flow of digits, {name}, {steps:,} steps", theta, basis, y, setting, steps)
    return results + _by_size()


def _entry(name: str, theta: jax.Array, y: np.ndarray, U: jax.Array | None, setting: Setting, ts: np.ndarray) -> Entry:
    """gsdyn's run, with its error where the features `U` are given."""
    flow = gs.KernelFlow(theta, y, LOSS, setting.penalty, setting.start)
    began = time.perf_counter()
    run = jax.block_until_ready(gs.integrate(flow, ts, rtol=setting.rtol))
    note = f"{int(run.steps.accepted)} steps, {time.perf_counter() - began:.2g} s the first time"
    if U is not None:
        exact = gs.integrate(flow, ts, rtol=1e-10)
        error = jnp.max(jnp.abs((run.margins - exact.margins) @ U)) / jnp.max(jnp.abs(exact.margins @ U))
        note += f", error {float(error):.0e}"
    return Entry(name, lambda: gs.integrate(flow, ts, rtol=setting.rtol).margins, note=note)


def _times(top: float, setting: Setting, steps: int) -> tuple[float, np.ndarray]:
    step = 1 / (top * (0.25 + setting.lam2) + setting.lam1)
    return step, step * steps / SAVED * np.arange(1, SAVED + 1)


def _by_size() -> list[Result]:
    """The longest flow of cross-entropy alone, of so many digits."""
    entries = []
    for n in SIZES:
        theta, y = _mnist(n)
        setting = Setting(gs.Unregularised(), 0.0, 0.0, np.zeros(n), 3e-5)
        basis = gs.FeatureBasis.from_kernel(theta, y, None if n <= EXACT else 1)
        _, ts = _times(float(basis.s[0]) ** 2, setting, STEPS[-1])
        entry = _entry(f"n = {n:,}", theta, y, basis.U if n <= EXACT else None, setting, ts)
        if n == SIZES[-1]:
            entry = Entry(entry.name, entry.run, note=f"{entry.note}, peak memory {_memory():.2g} times the kernel")
        entries.append(entry)
    return race(f"flow of MNIST digits, cross-entropy alone, {STEPS[-1]:,} steps", entries, repeats=3)


def _mnist(n: int) -> tuple[jax.Array, np.ndarray]:
    data = gs.data.mnist_sample(14)
    chosen = np.random.default_rng(0).permutation(len(data.y))[:n]
    return gs.kernels.infinite_ntk(NET, np.asarray(data.x)[chosen]), np.asarray(data.y)[chosen]


def _memory() -> float:
    """What a flow of the most digits takes at its peak, kernel included, over the size of the kernel."""
    command = [sys.executable, "-m", "benchmarks.flows"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _peak() -> float:
    jax.config.update("jax_enable_x64", True)
    # libraries and programs first, which are not counted
    small = np.diag(np.arange(1.0, 301.0))
    gs.integrate(gs.KernelFlow(small, None, LOSS, gs.Unregularised()), np.array([1.0]))
    before = high_water()
    theta, y = _mnist(SIZES[-1])
    run = gs.integrate(gs.KernelFlow(theta, y, LOSS, gs.Unregularised()), np.linspace(0.01, 1.0, SAVED), rtol=1e-5)
    jax.block_until_ready(run.margins)
    return (high_water() - before) / theta.nbytes


def _race(
    title: str, theta: jax.Array, basis: gs.FeatureBasis, y: np.ndarray, setting: Setting, steps: int
) -> list[Result]:
    step, ts = _times(float(basis.s[0]) ** 2, setting, steps)
    entries = [_entry("gsdyn, KernelFlow", theta, y, basis.U, setting, ts)]
    share = min(1.0, 1_000 / steps)
    K = np.asarray(theta) * np.outer(y, y)
    for name, make in {"NumPy": _numpy, "JAX": _jax, "PyTorch": _torch}.items():
        descend = make(K, setting.lam1, setting.lam2, step, setting.start, round(steps * share))
        if descend is not None:
            entries.append(Entry(f"{name}, gradient descent", descend, share=share))
    return race(title, entries, repeats=3)


Descent = Callable[[], object]


def _numpy(K: np.ndarray, lam1: float, lam2: float, step: float, start: np.ndarray, steps: int) -> Descent:
    def run() -> np.ndarray:
        beta = start.copy()
        for _ in range(steps):
            f = K @ beta
            beta += step * (expit(-f) - lam2 * f - lam1 * beta)
        return beta

    return run


def _jax(K: np.ndarray, lam1: float, lam2: float, step: float, start: np.ndarray, steps: int) -> Descent:
    matrix, first = jnp.asarray(K), jnp.asarray(start)

    @jax.jit
    def run(beta: jax.Array) -> jax.Array:
        def move(_: jax.Array, beta: jax.Array) -> jax.Array:
            f = matrix @ beta
            return beta + step * (jax.nn.sigmoid(-f) - lam2 * f - lam1 * beta)

        return jax.lax.fori_loop(0, steps, move, beta)

    return lambda: run(first)


def _torch(K: np.ndarray, lam1: float, lam2: float, step: float, start: np.ndarray, steps: int) -> Descent | None:
    torch = peer("torch")
    if torch is None:
        return None
    matrix, first = torch.tensor(K), torch.tensor(start)

    def run() -> object:
        beta = first.clone()
        for _ in range(steps):
            f = matrix @ beta
            beta += step * (torch.sigmoid(-f) - lam2 * f - lam1 * beta)
        return beta

    return run


if __name__ == "__main__":
    sys.stdout.write(f"{_peak()}\n")
