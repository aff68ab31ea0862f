"""The same dynamics integrated: the oracle beside the closed forms, and the way where there is none.

The fields are the differential equations as the paper writes them, before any invariant is used. Only
`integrate` calls diffrax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn.losses import CrossEntropy, Hinge, Loss

State = tuple[Array, ...]
_MAX_STEPS = 100_000


class Path(eqx.Module):
    """An integrated path.

    - `ts`: the times asked for, shape (T,).
    - `states`: the state at each of them, every array with a leading axis T; after the stop it stays as it was.
    - `stop_time`: the time at which a stop was met; infinite if none was.
    - `stop_state`: the state then, or at the last time.
    - `stopped_by`: for every stop whether it was the one, shape (S,).
    - `ok`: whether the path got to a stop or to its end; what is beyond its reach is NaN otherwise.

        >>> field = gs.modes.ode.NeuronField(norm=jnp.asarray(1.0))
        >>> path = gs.modes.ode.integrate(field, (jnp.asarray(0.3), jnp.asarray(0.3)), np.array([0.0, 1.0]))
        >>> print(path.ok, path.stop_time)
        True inf
    """

    ts: Float[Array, " T"]
    states: State
    stop_time: Float[Array, ""]
    stop_state: State
    stopped_by: Bool[Array, " S"]
    ok: Bool[Array, ""]


@full_precision
def integrate(
    field: Callable[[State], State],
    state: State,
    ts: ArrayLike,
    *,
    stops: Sequence[Callable[[State], Array]] = (),
    horizon: ArrayLike | None = None,
    start: ArrayLike = 0.0,
    throw: bool = True,
) -> Path:
    """Integrates `state' = field(state)` from `start`, to about 1e-10 in float64 (1e-5 in float32).

    **Arguments:** `field`: the autonomous vector field. `state`: a tuple of arrays. `ts`: times in ascending order,
    none before `start`, shape (T,). `stops`: functions of the state; the first to change its sign ends the
    path. `horizon`: how far to go, by default the last of `ts`. `throw`: whether a path that does not get there is an
    error; else it is not `ok`, and NaN from where it ended.

    **Returns:** a `Path`. Reverse-mode derivatives go through it, its stop time included.

        >>> field = gs.modes.ode.NeuronField(norm=jnp.asarray(1.0))
        >>> path = gs.modes.ode.integrate(field, (jnp.asarray(0.3), jnp.asarray(0.3)), np.array([0.0, 1.0]))
        >>> print(path.states[0] * path.states[1])
        [0.09  0.227]
    """
    if not callable(field):
        raise ValueError(f"field must be a function of the state, got {_checks.in_short(field)}")
    if not isinstance(state, tuple) or not state:
        raise ValueError(f"state must be a tuple of arrays, got {_checks.in_short(state)}")
    state = tuple(_checks.finite("state", leaf) for leaf in state)
    ts = _checks.finite("ts", ts, ndim=1).astype(state[0].dtype)
    dtype, eps = ts.dtype, float(jnp.finfo(ts.dtype).eps)
    start = jnp.asarray(start, dtype)
    # small states grow: what counts is their own size
    size = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0) for leaf in state]))
    size = jnp.clip(size, float(jnp.finfo(dtype).tiny) / eps, 1)
    last = jnp.max(ts, initial=-jnp.inf) if horizon is None else jnp.asarray(horizon, dtype)
    during = [diffrax.SubSaveAt(ts=ts)] if ts.size else []
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda _, s, __: field(s)),
        diffrax.Dopri8(),
        start,
        jnp.maximum(last, start),
        None,
        state,
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(t1=True), *during]),
        stepsize_controller=diffrax.PIDController(rtol=5000 * eps, atol=50 * eps * size),
        event=event(stops, 1000 * eps) if stops else None,
        max_steps=_MAX_STEPS,
        throw=throw,
    )
    times: Any = solution.ts
    saved: Any = solution.ys
    mask: Any = solution.event_mask
    ok = (solution.result == diffrax.RESULTS.successful) | (solution.result == diffrax.RESULTS.event_occurred)
    final = jax.tree.map(lambda leaf: jnp.where(ok, leaf[0], jnp.nan), saved[0])
    nowhere = jax.tree.map(lambda leaf: jnp.zeros((0, *leaf.shape), dtype), final)
    stopped_by = jnp.stack(mask) if stops else jnp.zeros((0,), bool)
    stop_time = jnp.where(ok, jnp.where(stopped_by.any(), times[0][0], jnp.inf), jnp.nan)
    before = (ts <= stop_time) | ~ok

    def held(path, end_value):
        here = before.reshape((-1,) + (1,) * end_value.ndim)
        return jnp.where(here, jnp.where(here, path, 0), end_value[None])

    states = jax.tree.map(held, saved[1] if during else nowhere, final)
    return Path(ts, states, stop_time, final, stopped_by, ok)


def event(stops: Sequence[Callable[[Any], Array]], tolerance: float) -> diffrax.Event:
    """The first of some functions of the state to change its sign, located to `tolerance` within its step.

    >>> print(type(gs.modes.ode.event([lambda state: state[0] - 1.0], 1e-12)).__name__)
    Event
    """
    conditions = [_condition(stop) for stop in stops]
    return diffrax.Event(conditions, optimistix.Newton(tolerance, tolerance))


def _condition(stop: Callable[[State], Array]) -> Callable[..., Array]:
    def condition(t: Any, y: State, args: Any, **kwargs: Any) -> Array:
        return stop(y)

    return condition


def pull(loss: Loss, u: Array) -> Array:
    """`g(u)`, by which a logit still pulls: `1/(1 + e^u)`, or 1 below the margin under hinge.

    >>> print(gs.modes.ode.pull(gs.Hinge(), jnp.array([0.5, 2.0])))
    [1. 0.]
    """
    if isinstance(loss, Hinge):
        return jnp.where(u < 1, jnp.ones_like(u), 0)
    return jax.nn.sigmoid(-u)


class NeuronField(eqx.Module):
    """h neurons of one class, of one input or of m orthogonal ones (C18-Eq1, Eq24, A.4, A.8).

        y_i' = p r^2 z_i g(u) [y_i > 0],    z_i' = p m y_i g(u) [y_i > 0],    u = sum_i z_i max(y_i, 0)

    The state is `(y, z)`, each of shape (h,) or ().

        >>> print(gs.modes.ode.NeuronField(norm=jnp.asarray(1.0))((jnp.asarray(0.3), jnp.asarray(0.0))))
        (Array(0., dtype=float64), Array(0.15, dtype=float64))
    """

    norm: Float[Array, ""]
    rate: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(1.0))
    loss: Loss = eqx.field(default_factory=CrossEntropy)
    count: int = eqx.field(static=True, default=1)

    def __call__(self, state: State) -> State:
        y, z = state
        seen = jnp.maximum(y, 0)
        g = self.rate * pull(self.loss, jnp.sum(z * seen))
        return self.norm**2 * g * jnp.where(y > 0, z, 0), self.count * g * seen


class DeepField(eqx.Module):
    """A chain of N - 1 hidden layers with diagonal weights (C18-B, before Eq. 4).

        z_i' = p (y prod_(j != i) z_j) g(u),    y' = p r^2 (prod_j z_j) g(u),    u = y prod_j z_j

    The state is `(y, z)`, of shapes () and (N - 1,).

        >>> y_rate, z_rates = gs.modes.ode.DeepField(norm=jnp.asarray(1.0))((jnp.asarray(0.5), jnp.array([0.5, 0.5])))
        >>> print(f"{y_rate:.4f}", z_rates)
        0.1172 [0.117 0.117]
    """

    norm: Float[Array, ""]
    rate: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(1.0))
    loss: Loss = eqx.field(default_factory=CrossEntropy)

    def __call__(self, state: State) -> State:
        y, z = state
        product = jnp.prod(z)
        g = self.rate * pull(self.loss, y * product)
        others = jnp.prod(jnp.where(jnp.eye(z.size, dtype=bool), 1, z[None, :]), axis=1)
        return self.norm**2 * product * g, y * others * g


class HingePointsField(eqx.Module):
    """One neuron on many points of one class under hinge, full batch (C18-C.2), each point stopping at its margin.

        w' = p z sum_i x_i [z w.x_i < 1],    z' = p sum_i w.x_i [z w.x_i < 1]

    The state is `(w, z)`, of shapes (d,) and (). `points`: shape (m, d), all active.

        >>> field = gs.modes.ode.HingePointsField(points=jnp.array([[1.0, 0.0], [0.8, 0.6]]))
        >>> print(field((jnp.array([0.1, 0.1]), jnp.asarray(0.5)))[0])
        [0.9 0.3]
    """

    points: Float[Array, "m d"]
    rate: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(1.0))

    def __call__(self, state: State) -> State:
        w, z = state
        seen = self.points @ w
        total = jnp.where(z * seen < 1, self.rate, 0) @ self.points
        return z * total, w @ total


class CompetitionField(eqx.Module):
    """One neuron on two orthogonal unit points of opposite class (C18-A.6); the state is `(a, b, z)`.

    a' = p z/(1 + e^(za)),    b' = -p z/(1 + e^(-zb)),    z' = p (a/(1 + e^(za)) - b/(1 + e^(-zb)))

        >>> rates = gs.modes.ode.CompetitionField()((jnp.asarray(0.1), jnp.asarray(0.2), jnp.asarray(0.1)))
        >>> print(" ".join(f"{rate:.4f}" for rate in rates))
        0.0498 -0.0505 -0.0512
    """

    rate: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(1.0))

    def __call__(self, state: State) -> State:
        a, b, z = state
        right, wrong = jax.nn.sigmoid(-z * a), jax.nn.sigmoid(z * b)
        return self.rate * z * right, -self.rate * z * wrong, self.rate * (a * right - b * wrong)


class RareFeatureField(eqx.Module):
    """A feature that every example has and one that a fraction q also has (C18-Eq7); the state is `(a, b, z)`.

    a' = q z/(1 + e^(z(a+b))) + (1-q) z/(1 + e^(za)),    b' = q z/(1 + e^(z(a+b))),
    z' = q (a+b)/(1 + e^(z(a+b))) + (1-q) a/(1 + e^(za))

        >>> field = gs.modes.ode.RareFeatureField(jnp.asarray(0.1))
        >>> rates = field((jnp.asarray(0.1), jnp.asarray(0.01), jnp.asarray(0.1)))
        >>> print(" ".join(f"{rate:.4f}" for rate in rates))
        0.0497 0.0050 0.0502
    """

    fraction: Float[Array, ""]

    def __call__(self, state: State) -> State:
        a, b, z = state
        both = self.fraction * jax.nn.sigmoid(-z * (a + b))
        one = (1 - self.fraction) * jax.nn.sigmoid(-z * a)
        return z * (both + one), z * both, (a + b) * both + a * one
