"""How a network is trained for a report: the plain and the suggested setting, and what comes out of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from gsdyn.diagnosis._networks import Network
from gsdyn.diagnosis.gram import Gram
from gsdyn.diagnosis.problem import Problem
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow, Phase
from gsdyn.losses import CrossEntropy
from gsdyn.penalties import Penalty, SpectralDecoupling, Unregularised, WeightDecay

if TYPE_CHECKING:
    import xarray as xr

RECORDS = 12
SHARE = 0.25
"""The step of gradient descent, as a share of the largest stable one, if a fourth of the first time is no less."""
FIRST = 0.01
"""The first saved time over the last, where a setting has one phase."""


class Setting(NamedTuple):
    """How to train: phases one after the other, times at which to look, and the same in words."""

    phases: tuple[Phase, ...]
    ts: np.ndarray
    words: str

    @property
    def since(self) -> np.ndarray:
        """The same times since the last phase began, 0 before."""
        return np.maximum(self.ts - sum(float(phase.duration) for phase in self.phases[:-1]), 0.0)


def plain(dataset: xr.Dataset) -> Setting:
    """Cross-entropy until the plain stop."""
    last = float(dataset.attrs["plain_time"])
    return _until(last, Unregularised(), f"cross-entropy until time {last:.3g}")


def _until(last: float, penalty: Penalty, words: str) -> Setting:
    """One phase, looked at until time `last`."""
    return Setting((Phase(jnp.inf, penalty),), np.geomspace(FIRST * last, last, RECORDS), words)


def suggested(dataset: xr.Dataset) -> Setting:
    """The choice of the best worst cell, over all attributes the one with the worst plain training."""
    select = dataset.attrs["select"]
    if not dataset.sizes["attribute"]:
        return plain(dataset)._replace(words="the same: no attribute was given to choose by")
    worst = dataset["choice_worst"].sel(split=select)
    attribute = str(worst.sel(strategy="plain").fillna(np.inf).idxmin("attribute").item())
    score = worst.sel(attribute=attribute).fillna(-np.inf)
    strategy = str(score.idxmax("strategy").item())
    at = {
        name: float(dataset[f"choice_{name}"].sel(attribute=attribute, strategy=strategy))
        for name in ("time", "decay", "switch", "decoupling", "after")
    }
    if strategy == "decay":
        lam, last = at["decay"], 5 / at["decay"]
        return _until(last, WeightDecay(lam), f"weight decay {lam:.3g} until time {last:.3g}")
    if strategy == "switch":
        later = Phase(jnp.inf, SpectralDecoupling(at["decoupling"]))
        after = np.geomspace(FIRST * at["after"], at["after"], RECORDS - 1)
        words = f"spectral decoupling {at['decoupling']:.3g} from time {at['switch']:.3g} for {at['after']:.3g}"
        if at["switch"] == 0:
            return Setting((later,), np.append(after[0] / 2, after), words)
        return Setting((Phase(at["switch"], Unregularised()), later), at["switch"] + np.append(0.0, after), words)
    return _until(at["time"], Unregularised(), f"cross-entropy, stopped at time {at['time']:.3g}")


def predicted(problem: Problem, kernels: Gram, setting: Setting) -> dict[str, np.ndarray]:
    """Margins of every split at every saved time, by a kernel."""
    run = integrate(KernelFlow(kernels.theta, problem.y, CrossEntropy(), setting.phases), setting.ts, rtol=1e-6)
    found = {"train": np.asarray(run.margins)}
    if problem.test is not None and kernels.new is not None:
        found["test"] = problem.test.y * ((problem.y * np.asarray(run.coefficients)) @ np.asarray(kernels.new).T)
    return found


def measured(problem: Problem, net: Network, setting: Setting, scale: float) -> dict[str, np.ndarray]:
    """The same margins of a network in training, by the change of its outputs times `scale`.

        yhat(x) = c (h(theta_0 + delta; x) - h(theta_0; x)),    delta' = -grad L/c^2

    Linearised at its start the network is the same for every `c`; its parameters move `c` times less. What they move
    by, `delta`, is what is trained, so that small moves are not lost in the rounding of `theta_0`.
    """
    from gsdyn.training import BinaryObjective, Penalised, train

    assert problem.x is not None
    x, y = net.inputs("x", problem.x), jnp.asarray(problem.y, net.dtype)
    new = None if problem.test is None or problem.test.x is None else net.inputs("test x", problem.test.x)
    everything = x if new is None else jnp.concatenate([x, new])
    moved = _moved(net, scale)
    origin = moved.apply(moved.leaves, everything)
    strongest = _strongest(moved, x)
    leaves, begin, seen = moved.leaves, 0.0, []

    def observe(leaves: Any) -> Array:
        return moved.apply(leaves, everything) - origin

    for phase in setting.phases:
        end = begin + float(phase.duration)
        ts = setting.ts[(setting.ts > begin) & (setting.ts <= end)] if begin else setting.ts[setting.ts <= end]
        penalty = _on_the_clock(phase.penalty, scale)
        objective = Penalised(BinaryObjective(moved.apply, mean=False), penalty, centre=moved.leaves)
        own, common = (float(part) for part in penalty.decay())
        stops = (np.append(ts, end)[: len(ts) + int(np.isfinite(end))] - begin) / scale**2
        rate = min(SHARE * 2 / (strongest * (0.25 + common) + own), stops[0] / 4)
        steps = np.round(stops / rate).astype(int)
        columns = objective.columns(x, y, origin=origin[: len(x)])
        run = train(leaves, objective, columns, optax.sgd(rate), steps, observe=observe)
        seen.append(np.asarray(run.observed)[: len(ts)])
        leaves, begin = run.params, end
    outputs = np.concatenate(seen)
    found = {"train": problem.y * outputs[:, : len(x)]}
    if new is not None and problem.test is not None:
        found["test"] = problem.test.y * outputs[:, len(x) :]
    return found


def _moved(net: Network, scale: float) -> Network:
    """The network as a function of how far its parameters moved, its outputs times `scale`."""

    def apply(moves: list[Array], x: Array) -> Array:
        return scale * net.apply([start + move for start, move in zip(net.leaves, moves, strict=True)], x)

    return dataclasses.replace(net, apply=apply, leaves=jax.tree.map(jnp.zeros_like, net.leaves))


def _on_the_clock(penalty: Penalty, scale: float) -> Penalty:
    """The penalty on a clock that runs `scale^2` times as fast: decay is a rate of parameters, decoupling one of
    outputs, which are as much larger."""
    return WeightDecay(scale**2 * penalty.lam) if isinstance(penalty, WeightDecay) else penalty


def _strongest(net: Network, x: Array, rounds: int = 12) -> float:
    """The largest eigenvalue of the network's kernel at the start, by products with it, and a tenth more."""
    from gsdyn.kernels import ntk_product

    product = ntk_product(net.apply, net.leaves, x)
    v, size = np.full((len(x), 1), len(x) ** -0.5, net.dtype), 0.0
    for _ in range(rounds):
        w = np.asarray(product(v))
        size = float(np.linalg.norm(w))
        v = w / size
    return 1.1 * size
