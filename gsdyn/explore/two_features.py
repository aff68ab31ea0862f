"""The two-feature model under its settings: its way in time, where it ends, what starves what (P21 section 3)."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gsdyn import _checks
from gsdyn._traced import checked_beforehand
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.flows import DualFlow, PrimalFlow, Steps
from gsdyn.integration import integrate
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy, Loss, SquaredError
from gsdyn.penalties import Mixed, Penalty, Unregularised
from gsdyn.starvation import sign_law, starvation_error, starvation_matrix
from gsdyn.starvation_paths import starvation_over_time

LOSSES: dict[str, Loss] = {
    "cross-entropy": CrossEntropy(),
    "first-order cross-entropy (Eq. 10)": FirstOrderCrossEntropy(),
    "squared error": SquaredError(),
}
TIMES = np.geomspace(1e-2, 1e5, 113)
DECAYS = np.geomspace(1e-5, 10.0, 61)
DUAL_TIMES = np.geomspace(1e-4, 40.0, 97)
ALPHA0 = 1e-8  # where the dual flow of cross-entropy starts: its responses vanish, as the primal ones do


@dataclasses.dataclass(frozen=True)
class Settings:
    """Two features of strengths `s1` and `s2` that overlap by `delta` (P21-Eq15), under weight decay and spectral
    decoupling, either of which may be 0, trained until `time`."""

    s1: float = 4.0
    s2: float = 2.0
    delta: float = 0.3
    decay: float = 0.01
    decoupling: float = 0.0
    time: float = 100.0
    loss: str = "cross-entropy"

    @property
    def optimum(self) -> bool:
        """Whether training has an end: not without any penalty, where margins grow for ever."""
        return self.decay > 0 or self.decoupling > 0


class Path(NamedTuple):
    """The primal flow with its starvation matrix, at `TIMES` and the stopping time, which is number `now`."""

    ts: Float[Array, " t"]
    z: Float[Array, "t 2"]
    matrix: Float[Array, "t 2 2"]
    error: Float[Array, "t 2 2"]
    succeeded: Bool[Array, ""]
    steps: Steps
    now: Int[Array, ""]


class End(NamedTuple):
    """The optimum with its certificates and starvation matrix, at one decay or along `DECAYS`."""

    z: Float[Array, "*L 2"]
    gap: Float[Array, "*L"]
    error_bound: Float[Array, "*L"]
    iterations: Int[Array, "*L"]
    converged: Bool[Array, "*L"]
    matrix: Float[Array, "*L 2 2"]
    error: Float[Array, "*L 2 2"]


class View(NamedTuple):
    """All that the page shows. `end` and `dual`, the responses along the dual flow, are None without an optimum."""

    path: Path
    curve: End
    end: End | None
    dual: Float[Array, "d 2"] | None


def view(settings: Settings) -> View:
    """Everything about `settings`, by three programs that are compiled once for each loss.

    Raises `ValueError` for settings outside the model.
    """
    s1, s2, delta, decay, decoupling, time = (
        jnp.asarray(value, float)
        for value in (settings.s1, settings.s2, settings.delta, settings.decay, settings.decoupling, settings.time)
    )
    loss, time = settings.loss, _checks.positive("time", time, ndim=0)
    basis = FeatureBasis.rotation(s1, s2, delta)
    penalty = Mixed(decay, decoupling) if settings.optimum else Unregularised()
    decays = jnp.append(jnp.asarray(DECAYS), decay if settings.optimum else DECAYS[0])
    with checked_beforehand():
        ends = _ends(loss, basis, decays, decoupling)
        curve, end = (jax.tree.map(operator.itemgetter(part), ends) for part in (slice(-1), -1))
        path = _path(loss, basis, penalty, time)
        return (
            View(path, curve, end, _dual(loss, basis, penalty)) if settings.optimum else View(path, curve, None, None)
        )


@functools.partial(jax.jit, static_argnums=0)
def _path(loss: str, basis: FeatureBasis, penalty: Penalty, time: Array) -> Path:
    ts = jnp.sort(jnp.append(jnp.asarray(TIMES), time))
    path = starvation_over_time(PrimalFlow(basis, LOSSES[loss], penalty), ts)
    return Path(ts, path.z, path.matrix, path.error, path.succeeded, path.steps, jnp.searchsorted(ts, time))


@functools.partial(jax.jit, static_argnums=0)
def _ends(loss: str, basis: FeatureBasis, decays: Array, decoupling: Array) -> End:
    # one decay after the other, which is as fast for two features and compiles less than a batch
    def at(decay: Array) -> End:
        fp = fixed_point(basis, LOSSES[loss], Mixed(decay, decoupling))
        matrix, error = starvation_matrix(basis, fp), starvation_error(basis, fp)
        return End(fp.z, fp.gap, fp.error_bound, fp.iterations, fp.converged, matrix, error)

    return jax.lax.map(at, decays)


@functools.partial(jax.jit, static_argnums=0)
def _dual(loss: str, basis: FeatureBasis, penalty: Penalty) -> Array:
    kind = LOSSES[loss]
    start = ALPHA0 if isinstance(kind, CrossEntropy) else None
    return integrate(DualFlow(basis, kind, penalty, alpha0=start), jnp.asarray(DUAL_TIMES)).z


class Law(NamedTuple):
    """What Theorem 2 says of the sign of `d z_2/d(s_1^2)`, and the signs found, 0 where the error leaves it open;
    `at_end` is None without an optimum."""

    said: int
    proven: bool
    by_now: int
    at_end: int | None


def law(settings: Settings, seen: View) -> Law:
    """Theorem 2 without its assumption of a small delta, beside the signs computed.

    It is proven at the optimum where there is weight decay, and at every time without spectral decoupling, for
    cross-entropy and its first-order form at the optimum. Squared error has one curvature everywhere, so nothing
    starves.
    """
    said = int(sign_law(settings.s1, settings.s2, settings.delta))
    path, end = seen.path, seen.end
    by_now = _sign(path.matrix[path.now], path.error[path.now])
    at_end = None if end is None else _sign(end.matrix, end.error)
    return Law(said, settings.loss == "cross-entropy" and settings.decoupling == 0, by_now, at_end)


def _sign(matrix: Array, error: Array) -> int:
    value, bar = float(matrix[1, 0]), float(error[1, 0])
    return int(math.copysign(1, value)) if abs(value) > bar else 0
