"""How a network is trained for a report: the plain and the suggested setting, and what comes out of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
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

    from gsdyn.training._chebyshev import Piece

RECORDS = 12
TOLERANCE = 3e-3
"""What a step of a network's flow may err, relative to the distance that its parameters have come."""
STEPS = 40_000
"""In all, at most."""
FIRST = 0.01
"""The first saved time over the last, where a setting has one phase."""


class Setting(NamedTuple):
    """How to train: phases one after the other, times at which to look, the same in words; `again` where that is plain
    training."""

    phases: tuple[Phase, ...]
    ts: np.ndarray
    words: str
    again: bool = False

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
        return plain(dataset)._replace(words="no attribute was given to choose another setting by", again=True)
    worst = dataset["choice_worst"].sel(split=select)
    attribute = str(worst.sel(strategy="plain").fillna(np.inf).idxmin("attribute").item())
    score = worst.sel(attribute=attribute).fillna(-np.inf)
    strategy = str(score.idxmax("strategy").item())
    at = {
        name: float(dataset[f"choice_{name}"].sel(attribute=attribute, strategy=strategy))
        for name in ("time", "decay", "switch", "decoupling", "after")
    }
    if strategy == "plain":
        return plain(dataset)._replace(words="no setting that was tried has a better worst cell", again=True)
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


class Runs:
    """The runs of one network from several starts: settings, scales and starts share one compiled program.

        yhat(x) = c (h(theta_0 + delta; x) - h(theta_0; x)),    delta' = -grad L/c^2

    Linearised at its start the network is the same for every `c`; its parameters move `c` times less. What they move
    by, `delta`, is what is trained, so that small moves are not lost in the rounding of `theta_0`.
    """

    def __init__(self, problem: Problem, net: Network) -> None:
        assert problem.x is not None
        self._problem, self._net = problem, net
        x = net.inputs("x", problem.x)
        new = None if problem.test is None or problem.test.x is None else net.inputs("test x", problem.test.x)
        self._everything = x if new is None else jnp.concatenate([x, new])

    def measured(self, leaves: list[Array], setting: Setting, scale: float) -> dict[str, np.ndarray]:
        """The margins of every split at every saved time of the network in training from a start.

        Raises `ValueError` for a network whose flow cannot be followed, such as one with infinite outputs.
        """
        from gsdyn.training._chebyshev import Allowed, follow

        dtype, n = self._net.dtype, self._problem.n
        moved = _Moved(self._net.apply, leaves, jnp.asarray(scale, dtype))
        start = jnp.zeros(sum(leaf.size for leaf in leaves), dtype)
        seen = _Seen(moved, self._everything, moved.outputs(start, self._everything))
        y = jnp.asarray(self._problem.y, dtype)
        run = follow(_Velocity(seen, y), start, _pieces(setting), seen, Allowed(0.0, TOLERANCE, STEPS))
        if not bool(run.reached.all()):
            first = setting.ts[int(np.argmin(np.asarray(run.reached)))]
            raise ValueError(f"network must be one whose training can be followed, got none beyond time {first:.2g}")
        outputs = np.asarray(run.seen)
        found = {"train": self._problem.y * outputs[:, :n]}
        if self._problem.test is not None and len(self._everything) > n:
            found["test"] = self._problem.test.y * outputs[:, n:]
        return found


def _pieces(setting: Setting) -> Piece:
    """The setting from each saved time to the next, with its weight decay and decoupling."""
    from gsdyn.training._chebyshev import Piece

    ends = np.cumsum([float(phase.duration) for phase in setting.phases])
    number = np.searchsorted(ends, setting.ts)  # a saved time at the end of a phase is of that phase
    penalties = jnp.stack([jnp.stack(phase.penalty.decay()) for phase in setting.phases])[number]
    return Piece(jnp.asarray(setting.ts), penalties, jnp.asarray(np.diff(number, prepend=-1) > 0))


class _Moved(eqx.Module):
    """A network as a function of how far its parameters moved, one vector; its outputs times `scale`."""

    apply: Callable[[list[Array], Array], Array]
    leaves: list[Array]
    scale: Array

    def outputs(self, moves: Array, x: Array) -> Array:
        parts = jnp.split(moves, np.cumsum([leaf.size for leaf in self.leaves])[:-1])
        leaves = [leaf + part.reshape(leaf.shape) for leaf, part in zip(self.leaves, parts, strict=True)]
        return self.scale * self.apply(leaves, x)


class _Seen(eqx.Module):
    """Outputs of all examples, counted from those at the start."""

    moved: _Moved
    x: Array
    origin: Array

    def __call__(self, moves: Array) -> Array:
        return self.moved.outputs(moves, self.x) - self.origin


class _Velocity(eqx.Module):
    """The flow of the loss of the examples that are learnt, the first n."""

    seen: _Seen
    y: Array

    def __call__(self, moves: Array, penalty: Array) -> Array:
        n, (own, common) = len(self.y), penalty.astype(moves.dtype)
        moved, x, origin = self.seen.moved, self.seen.x[:n], self.seen.origin[:n]

        def objective(moves: Array) -> Array:
            f = self.y * (moved.outputs(moves, x) - origin)
            return CrossEntropy().value(f) + common / 2 * jnp.sum(f * f)

        return -jax.grad(objective)(moves) / moved.scale**2 - own * moves
