"""Gradient flows of many examples from their kernel, in phases: training over time at the size of real data."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks
from gsdyn._integration import kernel_path
from gsdyn._integration.kernel_systems import Problem
from gsdyn._numerics import leading, psd
from gsdyn._numerics.precision import full_precision
from gsdyn._readable import Call, OverTime
from gsdyn._traced import error_if
from gsdyn.features import FeatureBasis
from gsdyn.flows import PrimalFlow, Steps, require_smooth
from gsdyn.losses import Loss
from gsdyn.penalties import Penalty, Unregularised

EXACT = 128  # unknowns of examples and classes up to which all directions of the kernel count as leading
ROOM = 128  # steps that a dense run keeps before it is known how many there are


class Phase(Call):
    """A piece of a schedule: a `penalty`, and for how long, in the time of the flow.

    `duration`: >= 0; infinite for a last phase without an end.

        >>> schedule = [gs.Phase(1.0, gs.Unregularised()), gs.Phase(np.inf, gs.SpectralDecoupling(2.0))]
        >>> run = gs.integrate(gs.KernelFlow(theta, y, gs.CrossEntropy(), schedule), np.array([1.0, 2.0]))
        >>> print(run.margins)
        [[1.259 1.263 1.193 1.027]
         [0.221 0.232 0.224 0.212]]
    """

    duration: Float[Array, ""]
    penalty: Penalty

    def __init__(self, duration: ArrayLike, penalty: Penalty):
        self.duration = _checks.require("duration", duration, ">= 0", lambda v: v >= 0, ndim=0)
        _checks.instance("penalty", penalty, Penalty)
        self.penalty = penalty


class KernelFlow(eqx.Module):
    """The gradient flow of the parameters of a wide network, in the coefficients of its examples (*beyond* P21).

        beta' = a(f) - lam_2 (f - gamma) - lam_1 beta,    f = K beta,    K = Y Theta Y,    theta - theta_0 = Phi^T Y
        beta

    the same flow as `PrimalFlow`, for any number of examples and all their features at once.

    - `theta`: the kernel, such as an NTK: symmetric and positive semi-definite, shape (n, n).
    - `y`: labels -1 or +1, shape (n,), or None where `theta` carries them, and for `Softmax`.
    - `loss`: smooth. `phases`: a penalty, or a sequence of `Phase`, one after the other from time 0. `Unregularised()`
      is no penalty.
    - `start`: coefficients at time 0, shape (n,), or (n, C) for `Softmax`; default zero, which is initialisation.

    Time is the step of gradient descent times the number of its steps, in the limit of small ones. Raises `ValueError`
    for what does not fit.

    Example: `integrate(KernelFlow(theta, y, CrossEntropy(), [Phase(10.0, Unregularised()),
    Phase(jnp.inf, SpectralDecoupling(2.0))]), ts)`.

        >>> schedule = [gs.Phase(1.0, gs.Unregularised()), gs.Phase(np.inf, gs.SpectralDecoupling(2.0))]
        >>> run = gs.integrate(gs.KernelFlow(theta, y, gs.CrossEntropy(), schedule), np.array([1.0, 2.0]))
        >>> print(run.margins, run.succeeded)
        [[1.259 1.263 1.193 1.027]
         [0.221 0.232 0.224 0.212]] True
    """

    theta: Float[Array, "n n"]
    sign: Float[Array, " n"]
    loss: Loss
    phases: tuple[Phase, ...]
    start: Array

    def __init__(
        self,
        theta: ArrayLike,
        y: ArrayLike | None,
        loss: Loss,
        phases: Penalty | Sequence[Phase],
        start: ArrayLike | None = None,
    ):
        theta = psd.of_one_output(theta)
        self.theta = _checks.require("theta", theta, "a matrix", lambda v: v.ndim == 2, ndim=2)
        _checks.square("theta", self.theta)
        if _checks.is_concrete(self.theta):
            self.theta = psd.symmetric(self.theta, theta)
        n = self.theta.shape[0]
        require_smooth(loss)
        self.loss = loss
        shape = loss.shape(n)
        if len(shape) > 1 and y is not None:
            raise ValueError(f"y must be None under {type(loss).__name__}, whose labels are its own")
        self.sign = jnp.ones(n, self.theta.dtype) if y is None else _checks.labels("y", y).astype(self.theta.dtype)
        _checks.same_length("y", self.sign, "theta", self.theta)
        self.phases = _phases(phases)
        loss.check(n, any(phase.penalty.tilt(n) is not None for phase in self.phases))
        self.start = jnp.zeros(shape, self.theta.dtype)
        if start is not None:
            self.start = _checks.finite("start", start).astype(self.theta.dtype)
        if self.start.shape != shape:
            raise ValueError(f"start must have shape {shape}, got {self.start.shape}")

    @classmethod
    def of_features(
        cls, basis: FeatureBasis, loss: Loss, phases: Penalty | Sequence[Phase], z0: ArrayLike | None = None
    ) -> KernelFlow:
        """The flow of `PrimalFlow(basis, loss, penalty, z0=z0)` by the method of many examples.

        - `basis`: the features, which carry the labels. `z0`: responses at time 0, shape (k,) or (k, C); default zero.

        Responses are `run.margins @ basis.U`. `PrimalFlow` keeps the digits of weak responses and has derivatives; this
        one counts what changes outputs, and takes a small part of its time from some hundred features on.
        """
        flow = PrimalFlow(basis, loss, Unregularised(), z0=z0)
        s2 = (basis.s**2).reshape((-1,) + (1,) * (flow.z0.ndim - 1))
        live = s2 > 0
        start = basis.U @ jnp.where(live, flow.z0 / jnp.where(live, s2, 1.0), 0.0)
        return cls(basis.kernel(), None, loss, phases, start)

    @property
    def end(self) -> Float[Array, ""]:
        """The time at which the last phase ends."""
        return jnp.cumsum(jnp.stack([phase.duration for phase in self.phases]))[-1]


class KernelMoment(NamedTuple):
    """A `KernelRun` at one time, or at several along the first axis."""

    coefficients: Array
    margins: Array


class KernelRun(OverTime):
    """A `KernelFlow` over time.

    - `ts`: times, shape (t,). `coefficients`: `beta`, shape (t, n) or (t, n, C): what `predict` needs.
    - `margins`: `f = K beta`, shape (t, n), or logits, (t, n, C).
    - `result`: what became of the integration, a `diffrax.RESULTS`; `succeeded` says it in one bit.
      Times that were not reached are NaN, and only with `succeeded` False.
    - `steps`: steps taken, `accepted` and `rejected`.

        >>> schedule = [gs.Phase(1.0, gs.Unregularised()), gs.Phase(np.inf, gs.SpectralDecoupling(2.0))]
        >>> run = gs.integrate(gs.KernelFlow(theta, y, gs.CrossEntropy(), schedule), np.array([1.0, 2.0]))
        >>> print(run.coefficients.shape, run.succeeded)
        (2, 4) True
    """

    ts: Float[Array, " t"]
    coefficients: Array
    margins: Array
    result: diffrax.RESULTS
    steps: Steps
    _dense: _Dense | None = None

    @property
    def succeeded(self) -> Bool[Array, ""]:
        """Whether every time was reached."""
        return self.result == diffrax.RESULTS.successful

    @full_precision
    def evaluate(self, t: ArrayLike) -> KernelMoment:
        """The run at any times between 0 and the last of `ts`, by the polynomials of its steps, whose errors are those
        of saved times: `integrate` says how large.

        `t`: a time or a vector of times; NaN outside. Needs `integrate(..., dense=True)`, else `ValueError`.

            >>> flow = gs.KernelFlow(theta, y, gs.CrossEntropy(), gs.WeightDecay(0.1))
            >>> run = gs.integrate(flow, np.array([5.0]), dense=True)
            >>> print(run.evaluate(1.0).margins)
            [1.205 1.208 1.141 0.982]
        """
        if self._dense is None:
            raise ValueError("evaluate needs a dense run, got one of integrate(..., dense=False)")
        last = self.ts[-1]
        t = _checks.real("t", t).astype(last.dtype)
        if t.ndim > 1:
            raise ValueError(f"t must be a time or a vector of times, got shape {t.shape}")
        times = jnp.atleast_1d(t)
        known = (times >= 0) & (times <= last) & self.succeeded
        count = times.size
        whole = jnp.pad(jnp.where(known, times, 0.0), (0, _room(count) - count))
        moment = _evaluate(self._dense, whole)

        def shown(v: Array) -> Array:
            v = jnp.where(known.reshape((-1,) + (1,) * (v.ndim - 1)), v[:count], jnp.nan)
            return v if t.ndim else v[0]

        return KernelMoment(*(shown(v) for v in moment))


class _Dense(NamedTuple):
    """The steps of a run, and its kernel."""

    pieces: kernel_path.Pieces
    theta: Array
    sign: Array


@jax.jit
def _evaluate(dense: _Dense, t: Array) -> KernelMoment:
    beta = dense.pieces.at(t)
    sign = dense.sign.reshape((1, -1) + (1,) * (beta.ndim - 2))
    return KernelMoment(beta, sign * jnp.moveaxis(jnp.tensordot(dense.theta, sign * beta, ((1,), (1,))), 0, 1))


def run(flow: KernelFlow, ts: Array, rtol: float, atol: float, max_steps: int, dense: bool) -> KernelRun:
    """What `integrate` does with a `KernelFlow`; `ts`, in order, and the tolerances are checked by then."""
    ts = within(flow, ts)
    given = problem_of(flow), flow.loss, schedule(flow), flow.start, ts, (rtol, atol), max_steps
    room = 0
    if dense:
        room = min(ROOM, max_steps) if _checks.is_concrete((flow, ts)) else max_steps
    end, reached = solve(*given, room)
    if dense and room < max_steps and int(end.accepted) > room:
        end, reached = solve(*given, min(_room(int(end.accepted)), max_steps))
    beta, f = (jnp.where(reached.reshape((-1,) + (1,) * flow.start.ndim), v, jnp.nan) for v in (end.saved, end.margins))
    codes = diffrax.RESULTS
    unfinished = codes.where(end.stuck, codes.dt_min_reached, codes.max_steps_reached)
    result = codes.where(reached.all(), codes.successful, unfinished)
    kept = _Dense(end.pieces, flow.theta, flow.sign) if dense else None
    return KernelRun(ts, beta, f, result, Steps(end.accepted, end.rejected), kept)


def problem_of(flow: KernelFlow) -> Problem:
    """The kernel of a flow, checked and with its leading part."""
    n = flow.theta.shape[0]
    classes = flow.start[0].size
    rank = n if n * classes <= EXACT else min(n, _rank(n, classes))
    theta, probes = flow.theta, jnp.asarray(leading.probes(n, rank), flow.theta.dtype)
    top, single = _single(theta)
    lead = _lead(theta, single, probes, rank)
    theta, below = _semidefinite(theta, lead)
    if below:
        theta = theta.at[jnp.diag_indices(n)].add(below)
        top, single = _single(theta)
        lead = _lead(theta, single, probes, rank)
    lead = lead._replace(V=flow.sign[:, None] * lead.V)
    zero = jnp.zeros((), theta.dtype)
    return Problem(theta, single, flow.sign, lead, top, zero, zero)


def solve(
    problem: Problem,
    loss: Loss,
    phases: kernel_path.Schedule,
    start: Array,
    ts: Array,
    tolerances: tuple[float, float],
    max_steps: int,
    room: int = 0,
) -> tuple[kernel_path.Path, Array]:
    """The path to times `ts` with tolerances `(rtol, atol)`, its first `room` steps kept, and which times were
    reached."""
    count = ts.shape[0]
    # so that other numbers of times do not compile anew
    whole = jnp.concatenate([ts, jnp.broadcast_to(ts[-1:], (_room(count) - count,))])
    rtol, atol = (jnp.asarray(tol, ts.dtype) for tol in tolerances)
    problem = problem._replace(rtol=rtol, atol=atol)
    end = _solve(problem, loss, phases, start, whole, jnp.asarray(max_steps, jnp.int32), room)
    reached = jnp.arange(count, dtype=jnp.int32) < end.count
    return end._replace(saved=end.saved[:count], margins=end.margins[:count]), reached


@jax.jit
def _single(theta: Array) -> tuple[Array, Array]:
    """The largest entry of a kernel's diagonal, and the kernel over it in single precision."""
    top = jnp.max(jnp.diagonal(theta))
    return top, (theta / jnp.where(top > 0, top, 1.0)).astype(jnp.float32)


@functools.partial(jax.jit, static_argnums=3)
def _lead(theta: Array, single: Array, probes: Array, rank: int) -> leading.Leading:
    # one problem after the other under `vmap`: batches of LAPACK's calls can wait for each other
    find = full_precision(lambda a, b, c: leading.leading(a, b, c, rank))
    return jax.custom_batching.sequential_vmap(find)(theta, single, probes)


@eqx.filter_custom_jvp
@eqx.filter_jit
def _solve(
    problem: Problem, loss: Loss, phases: kernel_path.Schedule, start: Array, ts: Array, limit: Array, room: int
) -> kernel_path.Path:
    arrays, rest = eqx.partition(loss, eqx.is_array)

    @jax.custom_batching.sequential_vmap
    @full_precision
    def solve(arrays: Loss, *given: Any) -> kernel_path.Path:
        problem, phases, start, ts, limit = given
        return kernel_path.follow(problem, eqx.combine(arrays, rest), phases, start, ts, limit, room)

    return solve(arrays, problem, phases, start, ts, limit)


def _no_derivative(*_: Any) -> Any:
    raise ValueError(
        "a KernelFlow has no derivatives: differentiate integrate of a PrimalFlow, or starvation_over_time"
    )


_solve.def_jvp(_no_derivative)


def _phases(phases: Any) -> tuple[Phase, ...]:
    if isinstance(phases, Penalty):
        return (Phase(jnp.inf, phases),)
    if isinstance(phases, Phase):
        return (phases,)
    try:
        given = tuple(phases)
    except TypeError:
        given = (phases,)
    if not given or not all(isinstance(phase, Phase) for phase in given):
        kinds = ", ".join(type(phase).__name__ for phase in given) or "none"
        raise ValueError(f"phases must be a penalty or a sequence of Phase, got {kinds}")
    return given


def schedule(flow: KernelFlow) -> kernel_path.Phases:
    """All phases as arrays: `lam_2` and pull for each example only where a penalty has them."""
    n, dtype = flow.theta.shape[0], flow.theta.dtype
    tilts = [phase.penalty.tilt(n) for phase in flow.phases]
    width = 1 if all(tilt is None for tilt in tilts) else n
    lam1, curvature, pull = [], [], []
    for phase, tilt in zip(flow.phases, tilts, strict=True):
        own, common = phase.penalty.decay()
        lam1.append(own.astype(dtype))
        curvature.append(jnp.broadcast_to(common if tilt is None else common + tilt.curvature, (width,)).astype(dtype))
        pull.append(jnp.broadcast_to(0.0 if tilt is None else tilt.pull, (width,)).astype(dtype))
    ends = jnp.cumsum(jnp.stack([phase.duration.astype(dtype) for phase in flow.phases]))
    return kernel_path.Phases(ends, jnp.stack(lam1), jnp.stack(curvature), jnp.stack(pull))


def within(flow: KernelFlow, ts: Array) -> Array:
    """`ts`, after checking that they lie within the schedule."""
    ts, end = (v.astype(flow.theta.dtype) for v in (ts, flow.end))
    if not _checks.is_concrete((ts, end)):
        return error_if(ts, ts[-1] > end, "ts must lie within the phases")
    if np.asarray(ts)[-1] > np.asarray(end):
        raise ValueError(f"ts must lie within the phases, which end at {float(end):g}, got {float(ts[-1]):g}")
    return ts


def _semidefinite(theta: Array, lead: leading.Leading) -> tuple[Array, float]:
    """`theta`, after checking that it is symmetric and positive semi-definite as far as its leading part shows, and how
    far below zero rounding of the precision it came in has left that: a flow would grow there without end."""
    n = theta.shape[0]
    unit = 64 * n**0.5 * float(jnp.finfo(theta.dtype).eps)
    message = "theta must be finite, symmetric and positive semi-definite"
    scale = jnp.max(lead.strengths)
    skew, negative = ~(lead.skew <= unit * scale), ~(lead.least >= -8 * n**0.5 * unit * scale)
    if not _checks.is_concrete(skew):
        return error_if(theta, skew | negative, message), 0.0
    if bool(skew):
        raise ValueError(f"{message}, got entries that differ by {float(lead.skew):.3g} from their mirror image")
    if not bool(negative):
        return theta, 0.0
    if not bool(lead.least >= -psd.accuracy(theta, theta) * scale):
        raise ValueError(f"{message}, got {float(lead.least):.3g} for the least of its products v^T theta v")
    psd.warn(float(lead.least), float(scale))
    return theta, -float(lead.least)


def _rank(n: int, classes: int) -> int:
    """How many leading directions to take: their cost a step, `n r^2`, beside that of products, `10 n^2`."""
    return -8 * (-max(64, round(1.5 * n**0.5)) // round(8 * classes**0.5))


def _room(count: int) -> int:
    return 1 << max(count - 1, 3).bit_length()
