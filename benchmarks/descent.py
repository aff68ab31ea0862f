"""P21 appendix B.1 as the authors computed it, 5,000 plain gradient steps in PyTorch, beside gsdyn's fixed points."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import gsdyn as gs
from benchmarks._race import Entry, Result, peer, race

STRENGTHS = np.linspace(2, 6, 50)
S2, DELTA, LAM = 2.0, 0.5, 0.01
STEPS, RATE = 5_000, 0.01


def rows() -> list[Result]:
    strengths = jnp.asarray(STRENGTHS)
    entries = [Entry("gsdyn, fixed points", lambda: ours(strengths))]
    if peer("torch"):
        entries.append(
            Entry(f"PyTorch, {STEPS:,} gradient steps", _torch_descent(), note="one run a strength, batched")
        )
    entries.append(Entry(f"NumPy, {STEPS:,} gradient steps", numpy_descent, note="one run a strength, batched"))
    return race(f"P21 B.1, responses for {len(STRENGTHS)} strengths s1", entries)


@jax.jit
@jax.vmap
def ours(s1: jax.Array) -> jax.Array:
    return gs.fixed_point(gs.FeatureBasis.rotation(s1, S2, DELTA), gs.CrossEntropy(), gs.WeightDecay(LAM)).z


def _features() -> np.ndarray:
    """The label-signed `Y Phi = U S` of every strength, shape (strengths, 2, 2)."""
    c = np.sqrt(1 - DELTA**2)
    u = np.array([[c, -DELTA], [DELTA, c]])
    return u[None] * np.stack([STRENGTHS, np.full_like(STRENGTHS, S2)], axis=1)[:, None, :]


def numpy_descent() -> np.ndarray:
    phi = _features()
    theta = np.zeros((len(phi), 2))
    for _ in range(STEPS):
        margins = np.einsum("sij,sj->si", phi, theta)
        pull = np.einsum("sij,si->sj", phi, 1 / (1 + np.exp(margins)))
        theta += RATE * (pull - LAM * theta)
    return theta


def _torch_descent() -> Callable[[], object]:
    torch = peer("torch")
    phi = torch.tensor(_features())

    def run() -> object:
        theta = torch.zeros(len(phi), 2, dtype=phi.dtype, requires_grad=True)
        optimizer = torch.optim.SGD([theta], lr=RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            margins = torch.einsum("sij,sj->si", phi, theta)
            loss = torch.nn.functional.softplus(-margins).sum() + LAM / 2 * (theta * theta).sum()
            loss.backward()
            optimizer.step()
        return theta

    return run
