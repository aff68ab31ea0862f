"""Which features starve which at every time of training, without an optimum (THEORY section 8, beyond P21)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks, kernel_flows
from gsdyn._integration import kernel_answers, kernel_path
from gsdyn._integration.asked import checked_times, checked_tolerances
from gsdyn._integration.kernel_answers import AnswerPhases
from gsdyn._integration.moving import moving
from gsdyn._integration.starvation_steps import RADAU, STAGES, Field, State, stages
from gsdyn._numerics.precision import full_precision
from gsdyn.features import FeatureBasis
from gsdyn.flows import PrimalFlow, Steps
from gsdyn.kernel_flows import KernelFlow

Kind = Literal["checkpointed", "bounded"]  # loops: of one reverse derivative, or of any
MAX_STEPS = 4096
GROWTH, SHRINK, SAFETY = 5.0, 0.2, 0.9
FINER = 1 / 8  # tolerances of the second run of a kernel's answers over those of the first
CHANCE = 0.1  # least error of an entry over the largest of its column


class StarvationPath(eqx.Module):
    """The starvation matrix along a primal flow, of all its features or the k strongest.

    - `ts`: times, shape (t,), since `after` ended where there is one. `z`: responses, (t, k); `z_error`: how far each
      can be off.
    - `matrix`: `G[j, i] = d z_j(t) / d(s_i^2)`, (t, k, k): feature i starves feature j by time t where it is negative.
    - `error`: how far each entry of `matrix` can be off, (t, k, k): the errors of all steps up to then, those of the
      responses included, and rounding. A
      sign is known where `|matrix| > error`.
    - `succeeded`: whether every time was reached; NaN from the first that was not. `steps`: `accepted` and `rejected`.

    `path[:3]` is the path at the first three of its times, from the last of which another one can go on.
    """

    ts: Float[Array, " t"]
    z: Float[Array, "t k"]
    z_error: Float[Array, "t k"]
    matrix: Float[Array, "t k k"]
    error: Float[Array, "t k k"]
    succeeded: Bool[Array, ""]
    steps: Steps
    _basis: FeatureBasis

    def elasticities(self) -> Float[Array, "t k k"]:
        """`(s_i^2 / z_j) d z_j/d(s_i^2)`, which has no unit and does not depend on the sign of a column of `U`; NaN
        where `z_j` is 0."""
        z = self.z[:, :, None]
        return jnp.where(z != 0, self.matrix * (self._basis.s**2)[None, None, :] / jnp.where(z != 0, z, 1.0), jnp.nan)

    def __getitem__(self, times: slice) -> StarvationPath:
        if not isinstance(times, slice):
            raise ValueError(f"times must be a slice, such as [:3], got {_checks.in_short(times)}")
        if not self.ts[..., times].shape[-1]:
            raise ValueError(f"times must hold at least one of {self.ts.shape[-1]}, got none")
        ts, z, z_error = self.ts[..., times], self.z[..., times, :], self.z_error[..., times, :]
        G, error = self.matrix[..., times, :, :], self.error[..., times, :, :]
        return StarvationPath(ts, z, z_error, G, error, jnp.isfinite(z).all((-1, -2)), self.steps, self._basis)


class _Progress(NamedTuple):
    """Time, state, sum of errors; the step to try and the last one's increments; steps, and whether one is too
    small."""

    t: Array
    y: State
    error: State
    h: Array
    last: Array
    Z: State
    accepted: Array
    rejected: Array
    stuck: Array


@full_precision
def starvation_over_time(
    flow: PrimalFlow | KernelFlow,
    ts: ArrayLike,
    *,
    after: StarvationPath | None = None,
    leading: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int = MAX_STEPS,
    derivatives: int = 1,
) -> StarvationPath:
    """How every response answers to every strength, `G(t) = d z(t)/d(s^2)`, along a primal flow (*beyond* P21).

        G' = -(S^2 U^T (W + lam_2) U + lam_1) G + diag(p),   G(0) = 0,   p = U^T (a(f) - lam_2 f),   W = diag(-a'(f))

    It tends to `starvation_matrix`, which needs an optimum; this needs none, and `Unregularised()` is a penalty too.

    - `flow`: a `PrimalFlow` of few features, as each step takes (5 k)^3 operations; or a `KernelFlow` of many examples
      and all their features, of which only some are asked for.
    - `ts`: times, shape (t,), increasing and >= 0. Every one of them ends a step of a `PrimalFlow`.
    - `after`: a path of the same features, such as that of an earlier phase under another penalty, at whose last time
      this one sets in: with its responses in place of `flow.z0`, its matrix and both errors, which are carried on.
      `ts` count from there. A `KernelFlow` has its phases instead.
    - `leading`: for a `KernelFlow`, and only there: how many of the strongest features to answer for, k. Every step
      then takes products of the kernel with 1 + k vectors for each stage.
    - `rtol`, `atol`: tolerances of a step: `atol min(1, c_j) + rtol |z_j|` of every response, with `c` the filter of
      the penalty, and as much over `s_i^2` and `rtol |G[j, i]|` of the matrix. Default the root of the unit roundoff,
      and as `rtol`; an `atol` of nearly 0 asks for the relative error of every entry.
    - `derivatives`: the highest order of derivatives, reverse ones included, that will be asked for. From 2 on they
      take memory for `max_steps` instead of for few of the steps, and longer to compile.

    Of a `KernelFlow` the tolerances are those of `integrate`, for the margins and for `s_i^2` times their answers, and
    `error` is by how much a run of looser tolerances differs, at any time before. A `PrimalFlow` goes through `jit`,
    `vmap` and `grad` (what follows a path of other features is NaN there), a `KernelFlow` through none. Raises
    `ValueError` for `Softmax` and what is no such flow.

        >>> flow = gs.PrimalFlow(basis, gs.CrossEntropy(), gs.WeightDecay(0.01))
        >>> path = gs.starvation_over_time(flow, np.array([0.1, 1.0]))
        >>> print(path.matrix[:, 1, 0])
        [-0.    -0.002]
        >>> decoupled = gs.PrimalFlow(basis, gs.CrossEntropy(), gs.SpectralDecoupling(1.0))
        >>> print(gs.starvation_over_time(decoupled, np.array([0.0, 0.1, 1.0]), after=path).matrix[:, 1, 0])
        [-0.002 -0.001 -0.   ]
    """
    if not isinstance(flow, PrimalFlow | KernelFlow):
        raise ValueError(f"flow must be a PrimalFlow or a KernelFlow, got {_checks.in_short(flow)}")
    if (leading is None) != isinstance(flow, PrimalFlow):
        raise ValueError(
            "leading must say how many features of a KernelFlow to answer for, and be left out for a PrimalFlow"
        )
    if after is not None and not isinstance(after, StarvationPath):
        raise ValueError(f"after must be the path of an earlier phase, got {_checks.in_short(after)}")
    if after is not None and isinstance(flow, KernelFlow):
        raise ValueError("after must be left out for a KernelFlow, whose phases say what comes after what, got a path")
    if len(flow.loss.shape(1)) > 1:
        raise ValueError(f"flow must have a loss with one margin for each example, got {type(flow.loss).__name__}")
    if isinstance(flow, KernelFlow):
        return _of_kernel(flow, checked_times(ts), leading, rtol, atol, _checks.integer("max_steps", max_steps, 1))
    ts = checked_times(ts).astype(flow.basis.U.dtype)
    relative, absolute = checked_tolerances(ts.dtype, rtol, rtol if atol is None else atol)
    limit = _checks.integer("max_steps", max_steps, 1)
    kind: Kind = "checkpointed" if _checks.integer("derivatives", derivatives, 0) <= 1 else "bounded"
    tolerances = jnp.asarray(relative, ts.dtype), jnp.asarray(absolute, ts.dtype)
    z, z_error, G, error, reached, steps = _follow(_field(flow), _start(flow, after), ts, *tolerances, limit, kind)
    return StarvationPath(ts, z, z_error, G, error, reached, steps, flow.basis)


def _start(flow: PrimalFlow, after: StarvationPath | None) -> tuple[State, State]:
    """Where a path sets in, and how far off that can be."""
    k, dtype = flow.basis.features, flow.basis.U.dtype
    if after is None:
        y = State(flow.z0, jnp.zeros((k, k), dtype))
        return y, jax.tree.map(jnp.zeros_like, y)
    own, other = flow.basis, after._basis
    if own.U.shape != other.U.shape:
        raise ValueError(f"after must be a path of the {k} features of flow, got one of {other.features}")
    given = own.U, own.s, other.U, other.s
    if not _checks.is_concrete(given):
        same = (own.U == other.U).all() & (own.s == other.s).all()
    elif not (np.array_equal(own.U, other.U) and np.array_equal(own.s, other.s)):
        raise ValueError("after must be a path of the features of flow, got one of other features")
    else:
        same = True
    z, z_error = (v[-1].astype(dtype) for v in (after.z, after.z_error))
    G, error = (v[-1].astype(dtype) for v in (after.matrix, after.error))
    return State(jnp.where(same, z, jnp.nan), G), State(z_error, error)


def _of_kernel(
    flow: KernelFlow, ts: Array, leading: int | None, rtol: float | None, atol: float | None, max_steps: int
) -> StarvationPath:
    """The answers of the leading features, by two runs, whose difference is the error of the better one and more."""
    if not _checks.is_concrete(flow):
        raise ValueError("flow must be known where it is a KernelFlow, got values traced by jit, vmap or grad")
    k = _checks.integer("leading", leading, 1, flow.theta.shape[0])
    basis = FeatureBasis.from_kernel(flow.theta, flow.sign, k)
    if not bool(basis.s[-1] > 0):
        raise ValueError(f"leading must be at most the rank of theta ({int(jnp.sum(basis.s > 0))}), got {k}")
    U, s2 = basis.U, basis.s**2
    ts = kernel_flows.within(flow, ts)
    relative, absolute = checked_tolerances(ts.dtype, rtol, rtol if atol is None else atol)
    problem, phases = kernel_flows.problem_of(flow), AnswerPhases(kernel_flows.schedule(flow), U)

    def run(share: float) -> tuple[kernel_path.Path, Array, Array, Array]:
        tolerances = relative * share, absolute * share
        path, reached = kernel_flows.solve(
            problem, flow.loss, phases, kernel_answers.start(U, flow.start), ts, tolerances, max_steps
        )
        return path, reached, *kernel_answers.matrix(U, s2, path.margins)

    (_, once, z_loose, loose), (path, twice, z, G) = run(1.0), run(FINER)
    reached = (once & twice)[:, None]
    unit = float(jnp.finfo(ts.dtype).eps) * (64 + 4 * path.accepted.astype(ts.dtype))
    # of the terms of an entry, which can cancel, and of the largest one of its column
    size = jnp.abs(G) + jnp.max(jnp.abs(G), axis=1, keepdims=True) + (jnp.abs(z) / s2[None, :])[:, None, :]

    def apart(fine: Array, rough: Array) -> Array:
        # two runs can agree by chance in an entry, not in all of its column
        far = jax.lax.cummax(jnp.abs(fine - rough), axis=0)
        return jnp.maximum(far, CHANCE * jnp.max(far, axis=1, keepdims=True))

    error = apart(G, loose) + unit * size
    z_error = apart(z, z_loose) + unit * (jnp.abs(z) + jnp.max(jnp.abs(z), axis=1, keepdims=True))
    z, z_error = (jnp.where(reached, v, jnp.nan) for v in (z, z_error))
    G, error = (jnp.where(reached[..., None], v, jnp.nan) for v in (G, error))
    return StarvationPath(ts, z, z_error, G, error, reached.all(), Steps(path.accepted, path.rejected), basis)


@eqx.filter_jit
def _follow(
    field: Field, start: tuple[State, State], ts: Array, rtol: Array, atol: Array, max_steps: int, kind: Kind
) -> tuple[Array, Array, Array, Array, Array, Steps]:
    """Responses and the matrix, each with its error, at all times, whether these were reached, and the steps."""
    dtype = ts.dtype
    y, off = start
    # errors of the start are carried as they are, and into weak entries of a column as far as `s^2 t` lets them
    wide = jnp.minimum(1.0, field.s2 * ts[-1])
    off = State(off.z + wide * jnp.max(off.z), off.G + wide[:, None] * jnp.max(off.G, axis=0)[None, :])
    off = jax.lax.stop_gradient(off)
    still = jax.tree.map(lambda x: jnp.zeros((STAGES, *x.shape), dtype), y)
    rate = jnp.max(field.s2) * jnp.max(-jnp.diagonal(field.jacobian(y.z)) / jnp.where(field.s2 > 0, field.s2, 1.0))
    h = jax.lax.stop_gradient(rtol ** (1 / (STAGES + 1)) / jnp.maximum(rate, jnp.finfo(dtype).tiny ** 0.5))
    none, known = jnp.zeros((), jnp.int32), jnp.isfinite(y.z).all() & jnp.isfinite(y.G).all()
    begin = _Progress(jnp.zeros((), dtype), y, off, h, h, still, none, none, ~known)

    def to(s: _Progress, t: Array) -> tuple[_Progress, tuple[Array, ...]]:
        def go(s: _Progress) -> Array:
            return (s.t < t) & (s.accepted + s.rejected < max_steps) & ~s.stuck

        s = eqxi.while_loop(go, lambda s: _step(field, s, t, rtol, atol), s, max_steps=max_steps, kind=kind)
        reached, y = (s.t >= t) & known, moving(Field.velocity, field, s.y, t)
        # of rounding: in the entry, and what it lets through from the largest one of its column
        size = jax.tree.map(lambda v: jax.lax.stop_gradient(jnp.abs(v)), y)
        through = jnp.minimum(1.0, field.s2 * t)
        unit = float(jnp.finfo(dtype).eps) * (64 + 4 * s.accepted.astype(dtype))
        error = s.error.G + unit * (size.G + through[:, None] * jnp.max(size.G, axis=0)[None, :])
        z_error = s.error.z + unit * (size.z + through * jnp.max(size.z))
        errors = jax.lax.stop_gradient((z_error, error))
        saved = (jnp.where(reached, v, jnp.nan) for v in (y.z, errors[0], y.G, errors[1]))
        return s, (*saved, reached)

    end, (z, z_error, G, error, reached) = jax.lax.scan(to, begin, ts)
    return z, z_error, G, error, reached.all(), Steps(end.accepted, end.rejected)


@eqx.filter_jit
def _field(flow: PrimalFlow) -> Field:
    """The flow with its rate `eta` inside: all of it is linear in the strengths and decays."""
    U = flow.basis.U
    n, dtype = U.shape[0], U.dtype
    lam1, lam2 = flow.penalty.decay()
    tilt = flow.penalty.tilt(n)
    curvature = jnp.broadcast_to(lam2 if tilt is None else lam2 + tilt.curvature, (n,)).astype(dtype)
    pull = jnp.zeros(n, dtype) if tilt is None else tilt.pull.astype(dtype)
    eta = flow.eta.astype(dtype)
    return Field(flow.loss, U, eta * flow.basis.s**2, eta * lam1.astype(dtype), curvature, pull, eta)


def _step(field: Field, s: _Progress, t: Array, rtol: Array, atol: Array) -> _Progress:
    left = jax.lax.stop_gradient(t - s.t)
    ends = s.h >= left
    h = jax.lax.stop_gradient(jnp.where(ends, left, jnp.minimum(s.h, jnp.maximum(left / 2, 0.9 * s.h))))
    ahead = RADAU.weights(1 + jnp.asarray(RADAU.nodes, h.dtype) * (h / s.last))
    guess = jax.tree.map(lambda x: jnp.tensordot(ahead, x, 1) - x[-1:], s.Z)
    tol = jax.lax.stop_gradient(_tolerance(field, s.y, rtol, atol))
    Z, found, last = stages(field, s.y, h, guess, tol)
    slope = jnp.asarray(RADAU.slope @ RADAU.inverse, h.dtype) / h
    missing = jax.tree.map(lambda v, x: v - jnp.tensordot(slope, x, 1), field.velocity(s.y), Z)
    damped = 1 / (1 - h * jnp.diagonal(field.jacobian(s.y.z)) / RADAU.real)
    miss = State(missing.z * damped, missing.G * damped[:, None])
    error = jax.tree.map(lambda e, d: jax.lax.stop_gradient(jnp.abs(e)) * (RADAU.error * h) + d, miss, last)
    rounding = field.push_rounding(s.y.z)
    off = jax.lax.stop_gradient(s.error.z + error.z + h * damped * field.s2 * rounding)
    moved = _answers(field, s.y, off) + jnp.diag(field.eta * rounding)
    carried = jax.lax.stop_gradient(h * damped[:, None] * moved)
    y = jax.tree.map(lambda a, b: a + b[-1], s.y, Z)
    tol = jax.tree.map(jnp.maximum, tol, jax.lax.stop_gradient(_tolerance(field, y, rtol, atol)))
    size = jnp.maximum(*(jnp.max(a / b) for a, b in zip(error, tol, strict=True)))
    good = found & (size <= 1)
    factor = jnp.clip(SAFETY * jnp.where(found, size, jnp.inf) ** (-1 / (STAGES + 1)), SHRINK, GROWTH)
    next_h = jnp.where(good, jnp.where(ends, jnp.maximum(s.h, h * factor), h * factor), h * jnp.minimum(factor, SAFETY))
    stuck = ~good & ~(next_h > 16 * float(jnp.finfo(h.dtype).eps) * s.t)
    new = _Progress(
        jnp.where(ends, t, s.t + h), y, State(off, s.error.G + error.G + carried), next_h, h, Z,
        s.accepted + 1, s.rejected, stuck,
    )  # fmt: skip
    old = s._replace(h=next_h, rejected=s.rejected + 1, stuck=stuck)
    return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)


def _answers(field: Field, y: State, error: Array) -> Array:
    """How far errors of the responses can move the velocity of the matrix."""
    y, field = jax.lax.stop_gradient((y, field))
    slopes = jax.jacfwd(lambda z: field.velocity(State(z, y.G)).G)(y.z)
    return jnp.abs(slopes) @ error


def _tolerance(field: Field, y: State, rtol: Array, atol: Array) -> State:
    """What each entry may err by in a step."""
    s2, decay = field.s2, field.lam1 + field.s2 * jnp.min(field.curvature)
    unit = jnp.where(s2 < decay, s2 / jnp.where(decay > 0, decay, 1.0), 1.0)
    tiny = float(jnp.finfo(s2.dtype).tiny) ** 0.5
    z = jnp.maximum(atol * jnp.where(unit > 0, unit, 1.0) + rtol * jnp.abs(y.z), tiny)
    strength = jnp.where(s2 > 0, s2 / field.eta, 1.0)
    return State(z, jnp.maximum(atol * unit[:, None] / strength[None, :], tiny) + rtol * jnp.abs(y.G))
