"""Training by the kernel: over time, under each weight decay, and under spectral decoupling from some moment on."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn.integration import integrate
from gsdyn.kernel_fixed_points import kernel_path
from gsdyn.kernel_flows import KernelFlow
from gsdyn.losses import CrossEntropy
from gsdyn.penalties import Penalty, SpectralDecoupling, Unregularised

TIMES, DECAYS = 32, 11
DECOUPLINGS = (0.2, 2.0)
FEW = 2000  # examples up to which compiling anew costs more than products with a kernel a fifth too large
LARGE = 4000  # examples beyond which grids that nobody gave are thinner: 7 decays, one strength of decoupling
RTOL = 1e-4  # of a step of a flow, beside the largest margin; see `gs.integrate`
GAP = 1e-10  # of an optimum, relative


@dataclasses.dataclass(frozen=True, eq=False)
class Grids:
    """Saved times of plain training, weight decays (ascending), moments of the switch (among the times, or 0), and
    strengths of spectral decoupling; times after the switch are those of plain training."""

    ts: np.ndarray
    decays: np.ndarray
    switches: np.ndarray
    decouplings: np.ndarray

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """The grids by the names of the axes along which solutions are told."""
        return {
            "time": self.ts, "decay": self.decays, "switch": self.switches, "decoupling": self.decouplings,
            "after": self.ts,
        }  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Solver:
    """Flows and optima of n examples with kernel `theta`, seen at these examples or at m others, `new` (m, n).

    Solutions are told in margins: of the examples where `new` is None or `both`, of the others where there are any.
    """

    theta: Array
    y: np.ndarray
    new: Array | None
    new_y: np.ndarray | None

    def flow(self, penalty: Penalty, ts: np.ndarray, start: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """`coefficients` (t, n), `margins` (t, n), `new` (t, m), and whether all was reached."""
        dtype = self.theta.dtype
        start = None if start is None else start.astype(dtype)
        run = integrate(KernelFlow(self.theta, self.y, CrossEntropy(), penalty, start), ts.astype(dtype), rtol=RTOL)
        beta = np.asarray(run.coefficients)
        found = {"coefficients": beta, "margins": np.asarray(run.margins), "reached": np.asarray(run.succeeded)}
        return found | self.seen(beta)

    def optima(self, decays: np.ndarray) -> dict[str, np.ndarray]:
        """The optimum under every weight decay, and its certificate."""
        lams = decays[::-1].astype(self.theta.dtype)
        path = kernel_path(self.theta, self.y, CrossEntropy(), lams=lams, rtol=GAP)
        alpha = np.asarray(path.alpha)[::-1]
        found = {
            "alpha": alpha,
            "coefficients": alpha / decays[:, None],
            "margins": np.asarray(path.margins)[::-1],
            "duality_gap": np.asarray(path.gap / path.objective)[::-1],
            "alpha_error": np.asarray(path.error_bound)[::-1],
        }
        return found | self.seen(found["coefficients"])

    def switched(self, plain: dict[str, np.ndarray], grids: Grids) -> dict[str, np.ndarray]:
        """Spectral decoupling of every strength from every moment on: margins (switch, decoupling, after, n or m)."""
        shape = (len(grids.switches), len(grids.decouplings), len(grids.ts))
        kept = {"reached": np.zeros(shape[:2], bool), "margins": np.empty((*shape, len(self.y)))}
        if self.new_y is not None:
            kept["new"] = np.empty((*shape, len(self.new_y)))
        for i, switch in enumerate(grids.switches):
            start = None if switch == 0 else plain["coefficients"][int(np.argmin(np.abs(grids.ts - switch)))]
            for j, lam in enumerate(grids.decouplings):
                run = self.flow(SpectralDecoupling(lam), grids.ts, start)
                for name, place in kept.items():
                    place[i, j] = run[name]
        return kept

    def seen(self, coefficients: np.ndarray) -> dict[str, np.ndarray]:
        """`new`, the margins of the others (t, m) at coefficients (t, n); nothing where there are none."""
        if self.new is None or self.new_y is None:
            return {}
        signed = jnp.asarray(self.y * coefficients, self.new.dtype)
        return {"new": self.new_y * np.asarray(signed @ self.new.T)}

    def plain(self, ts: np.ndarray) -> dict[str, np.ndarray]:
        """Cross-entropy without a penalty."""
        return self.flow(Unregularised(), ts)

    def without(self, u: np.ndarray, s2: float, phi: np.ndarray | None) -> Solver:
        """The same examples in a kernel that lacks one feature: `K - s^2 u u^T`, and so at new inputs. Where that
        was all there is it is zero: what rounding leaves is no kernel."""
        v = jnp.asarray(self.y * u).astype(self.theta.dtype)
        new = self.new
        if new is not None and phi is not None:
            new = new - s2 * jnp.asarray(phi).astype(new.dtype)[:, None] * v[None, :]
        left = self.theta - s2 * (v[:, None] * v[None, :])
        total = jnp.trace(self.theta)
        some = jnp.trace(left) > len(self.y) * jnp.finfo(left.dtype).eps * total
        return Solver(
            jnp.where(some, left, 0.0), self.y, None if new is None else jnp.where(some, new, 0.0), self.new_y
        )


def rest(solver: Solver, held: np.ndarray) -> Solver:
    """Without the examples held out, and seen at them. Its kernel grows by the share of examples that it lacks, so that
    strengths, and with them times and decays, mean the same.

    Of few examples those held out stay, with a kernel of zero, which moves nothing: the programs are compiled already.
    """
    fit, out = np.flatnonzero(~held), np.flatnonzero(held)
    scale = len(held) / len(fit)
    between = solver.theta[out] * scale
    if len(held) > FEW:
        return Solver(solver.theta[fit][:, fit] * scale, solver.y[fit], between[:, fit], solver.y[out])
    kept = jnp.asarray(~held, solver.theta.dtype)
    theta = solver.theta * (scale * kept[:, None] * kept[None, :])
    return Solver(theta, solver.y, between * kept[None, :], solver.y[out])


def times(theta: Array, s2: float) -> np.ndarray:
    """Saved times, from when the strongest feature starts to when an example that learns alone has long learnt itself:
    `0.05/s_1^2` to `20/mean_i K_ii`."""
    return np.geomspace(0.05 / s2, 20.0 / float(jnp.mean(jnp.diagonal(theta))), TIMES)


def decays(ts: np.ndarray, s2: float, n: int) -> np.ndarray:
    """Weight decays from one that hardly holds anything back within `ts` to one that holds the strongest feature."""
    return np.geomspace(1.0 / ts[-1], s2, DECAYS if n <= LARGE else 7)


def decouplings(n: int) -> np.ndarray:
    """Strengths of spectral decoupling: 2, that of P21's coloured digits, and a weaker one."""
    return np.array(DECOUPLINGS if n <= LARGE else DECOUPLINGS[1:])
