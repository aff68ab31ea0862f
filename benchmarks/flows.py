"""Training over time of many examples: gsdyn's KernelFlow beside the gradient descent it is the limit of.

Digits, n = 1,797, the infinite ReLU NTK of depth 3, 100 saved times. The last time is the one at which descent with
step `1/(s_1^2 (1/4 + lam_2) + lam_1)` has taken so many steps; peers take just these, the first thousand of them where
there are more, and save nothing. gsdyn's error, relative to the largest response, is that against its own run at 1e-10.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

import gsdyn as gs
from benchmarks._race import Entry, Result, peer, race
from gsdyn.penalties import Penalty

STEPS = 1_000, 10_000, 100_000
SAVED = 100
RTOL = 1e-5  # at which the error is below 1e-6
LOSS = gs.CrossEntropy()
Setting = tuple[Penalty, float, float, np.ndarray]  # penalty, its decays, coefficients at the start


def rows() -> list[Result]:
    data = gs.data.digits()
    theta = gs.kernels.infinite_ntk(gs.networks.FullyConnected(depth=3), data.x)
    y = np.asarray(data.y)
    top = float(np.linalg.eigvalsh(np.asarray(theta))[-1])
    zero = np.zeros(len(y))
    learnt = gs.integrate(gs.KernelFlow(theta, y, LOSS, gs.Unregularised()), np.array([4e3 / top]), rtol=1e-8)
    settings: dict[str, Setting] = {
        "cross-entropy alone": (gs.Unregularised(), 0.0, 0.0, zero),
        "weight decay 1e-2": (gs.WeightDecay(1e-2), 1e-2, 0.0, zero),
        "spectral decoupling 2 after cross-entropy": (
            gs.SpectralDecoupling(2.0), 0.0, 2.0, np.asarray(learnt.coefficients[-1]),
        ),
    }  # fmt: skip
    results = []
    for name, setting in settings.items():
        for steps in STEPS:
            results += _race(f"flow of digits, {name}, {steps:,} steps", theta, y, top, setting, steps)
    return results


def _race(title: str, theta: jax.Array, y: np.ndarray, top: float, setting: Setting, steps: int) -> list[Result]:
    penalty, lam1, lam2, start = setting
    step = 1 / (top * (0.25 + lam2) + lam1)
    ts = step * steps / SAVED * np.arange(1, SAVED + 1)
    flow = gs.KernelFlow(theta, y, LOSS, penalty, start)
    exact = gs.integrate(flow, ts, rtol=1e-10)
    run = gs.integrate(flow, ts, rtol=RTOL)
    U = gs.FeatureBasis.from_kernel(theta, y).U
    error = float(jnp.max(jnp.abs((run.margins - exact.margins) @ U)) / jnp.max(jnp.abs(exact.margins @ U)))
    note = f"error {error:.0e}, {int(run.steps.accepted)} steps"
    entries = [Entry("gsdyn, KernelFlow", lambda: gs.integrate(flow, ts, rtol=RTOL).margins, note=note)]
    share = min(1.0, 1_000 / steps)
    for name, make in {"NumPy": _numpy, "JAX": _jax, "PyTorch": _torch}.items():
        descend = make(np.asarray(theta) * np.outer(y, y), lam1, lam2, step, start, round(steps * share))
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
