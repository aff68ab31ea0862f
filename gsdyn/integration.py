"""From a flow to its trajectory. (`modes.ode` and `training.flow` drive diffrax on equations of their own.)"""

from __future__ import annotations

from typing import Any, NamedTuple, overload

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks, kernel_flows
from gsdyn._integration import cell_problem, cells
from gsdyn._integration.asked import checked_times, checked_tolerances
from gsdyn._integration.dual_stages import DualStages, MarginStages
from gsdyn._integration.kvaerno import StageSolver
from gsdyn._integration.logit_stages import LogitStages
from gsdyn._integration.moving import moving
from gsdyn._integration.primal_stages import PrimalStages
from gsdyn._integration.stages import Stages
from gsdyn._numerics import pairs
from gsdyn._numerics.batching import in_turn
from gsdyn._numerics.precision import full_precision
from gsdyn._problem import aligned
from gsdyn._readable import OverTime
from gsdyn.features import FeatureBasis
from gsdyn.flows import DualFlow, Flow, PrimalFlow, Steps
from gsdyn.kernel_flows import KernelFlow, KernelRun
from gsdyn.penalties import Unregularised

MAX_STEPS = 4096


class Moment(NamedTuple):
    """A trajectory at one time, or at several along the first axis."""

    alpha: Array
    z: Array
    margins: Array


class Trajectory(OverTime):
    """A flow over time.

    - `ts`: times, `eta` times the number of small gradient steps, shape (t,).
    - `alpha`: dual variables, shape (t, n), or softmax probabilities, (t, n, C). Along a primal flow the weights of its
      margins, `a(f)`.
    - `z`: responses, shape (t, k) or (t, k, C). Along a dual flow those of the parameters that are optimal for `alpha`.
    - `margins`: `f = U z`, shape (t, n), or logits, (t, n, C).
    - `result`: what became of the integration, a `diffrax.RESULTS`; `succeeded` says it in one bit.
      Times that were not reached are NaN, and only with `succeeded` False.
    - `steps`: steps taken, `accepted` and `rejected`.

        >>> run = gs.integrate(gs.PrimalFlow(basis, gs.CrossEntropy(), gs.WeightDecay(0.01)), np.array([0.1, 1.0]))
        >>> print(run.ts, run.margins, run.succeeded)
        [0.1 1. ] [[0.704 0.242]
         [2.818 1.436]] True
    """

    ts: Float[Array, " t"]
    alpha: Array
    z: Array
    margins: Array
    result: diffrax.RESULTS
    steps: Steps
    _args: Any
    _basis: FeatureBasis
    _dense: diffrax.DenseInterpolation | None

    @property
    def succeeded(self) -> Bool[Array, ""]:
        """Whether every time was reached."""
        return self.result == diffrax.RESULTS.successful

    @full_precision
    def evaluate(self, t: ArrayLike) -> Moment:
        """The trajectory at any times between 0 and the last of `ts`, by the solver's own interpolation.

        `t`: a time or a vector of times; NaN outside. Needs `integrate(..., dense=True)`, else `ValueError`.
        """
        if self._dense is None:
            raise ValueError("evaluate needs a dense trajectory, got one of integrate(..., dense=False)")
        dense, last = self._dense, self.ts[-1]
        t = _checks.real("t", t).astype(last.dtype)

        def at(t: Array) -> Moment:
            known = (t >= 0) & (t <= last) & self.succeeded
            alpha, z = self._args.observe(dense.evaluate(jnp.where(known, t, 0.0)))
            moment = Moment(alpha, z, self._basis.margins(z))
            return jax.tree.map(lambda v: jnp.where(known, v, jnp.nan), moment)

        return at(t) if t.ndim == 0 else jax.vmap(at)(t)


@overload
def integrate(
    flow: KernelFlow,
    ts: ArrayLike,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int = MAX_STEPS,
    dense: bool = False,
) -> KernelRun: ...


@overload
def integrate(
    flow: Flow,
    ts: ArrayLike,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    solver: diffrax.AbstractAdaptiveSolver | None = None,
    max_steps: int = MAX_STEPS,
    dense: bool = False,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Trajectory: ...


@full_precision
def integrate(
    flow: Flow | KernelFlow,
    ts: ArrayLike,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    solver: diffrax.AbstractAdaptiveSolver | None = None,
    max_steps: int = MAX_STEPS,
    dense: bool = False,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Trajectory | KernelRun:
    """The trajectory of a `PrimalFlow` or `DualFlow` from its start at time 0 (P21-Eqs 9, 10, 18 and the primal flow).

    A `KernelFlow` gives a `KernelRun`, by a method for many examples that has neither derivatives nor the options
    `solver` and `adjoint`; its steps may change any output within them by `atol + rtol max |f|`, at inputs whose
    `k(x, x)` is at most the largest of the examples, and every time of `ts` costs the memory of its outputs alone.

    - `ts`: times to save, shape (t,), increasing and >= 0; time is `eta` times the number of small gradient steps.
    - `rtol`, `atol`: tolerances of one step, relative and absolute, of alpha and of the responses: a dual step may err
      by `atol + rtol |alpha_i|` in every alpha and `atol + rtol max |z|` in every response, a primal one by
      `min(1, c_j) atol + rtol |z_j|` in response j. Default the root of the unit roundoff.
    - `solver`: None for a stiffly accurate implicit method whose stages always have a solution inside the domain of
      alpha, however small `lam` and wherever alpha starts; or an adaptive solver of diffrax (such as
      `diffrax.Tsit5()`) on the plain vector field, for problems that are not stiff.
    - `max_steps`: where to give up. `dense`: keep what `evaluate` needs, in memory for `max_steps`; for a `KernelFlow`
      in that of 6 numbers for each coefficient and step, and for at least 128 steps (`max_steps` inside `jit`).
    - `adjoint`: how diffrax differentiates, default its `DirectAdjoint`, for derivatives forward of any order, reverse,
      and forward over reverse (`jax.hessian`); `RecursiveCheckpointAdjoint` needs less memory for one reverse
      derivative.

    A failure shows as a result code with NaN at the times not reached. Raises `ValueError` for a flow of a loss that is
    not smooth, times that do not increase and tolerances that are not positive.
    From some hundred features on, `KernelFlow.of_features` takes a small part of the time of a `PrimalFlow`.
    Reference: Pezeshki et al. 2021, sections 3.2 and 3.4.

        >>> run = gs.integrate(gs.PrimalFlow(basis, gs.CrossEntropy(), gs.WeightDecay(0.01)), np.array([0.1, 1.0]))
        >>> print(run.z, run.succeeded)
        [[0.725 0.17 ]
         [2.948 1.147]] True
    """
    dense = _checks.flag("dense", dense)
    if isinstance(flow, KernelFlow):
        if solver is not None or adjoint is not None:
            raise ValueError("solver and adjoint must be left out for a KernelFlow, which has its own method")
        limit = _checks.integer("max_steps", max_steps, 1)
        tolerances = checked_tolerances(flow.theta.dtype, rtol, rtol if atol is None else atol)
        return kernel_flows.run(flow, checked_times(ts), *tolerances, limit, dense)
    flow = _require_flow(flow)
    _require_adjoint(adjoint)
    if solver is not None:
        _checks.instance("solver", solver, diffrax.AbstractAdaptiveSolver, "such as diffrax.Tsit5()")
    ts = checked_times(ts).astype(flow.basis.U.dtype)
    count = ts.size
    run = _run(
        flow,
        _filled(ts),
        checked_tolerances(flow.basis.U.dtype, rtol, atol),
        solver,
        _checks.integer("max_steps", max_steps, 1),
        dense,
        adjoint,
    )
    if run.ts.size == count:
        return run
    return eqx.tree_at(lambda t: (t.ts, t.alpha, t.z, t.margins), run, replace_fn=lambda v: v[:count])


@full_precision
def steady_state(
    flow: Flow,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int = MAX_STEPS,
    adjoint: diffrax.AbstractAdjoint | None = None,
) -> Trajectory:
    """The end of a flow, integrated until it has contracted by e^-100: a `Trajectory` of one time.

    A dual flow contracts at a rate of at least `eta` (P21-Thm1; `4 eta` for cross-entropy), a primal one at
    `eta min_j (lam_1 + lam_2 s_j^2)`, over the features of some strength. Arguments as in `integrate`. A dual flow of
    `Softmax` with `lam` near 1e-12 can give up on the way, which its `result` says.

        >>> end = gs.steady_state(gs.DualFlow(basis, gs.CrossEntropy(), gs.WeightDecay(0.01)))
        >>> print(end.z[-1])
        [6.266 3.963]
    """
    flow = _require_flow(flow)
    _require_adjoint(adjoint)
    if isinstance(flow.penalty, Unregularised):
        flow.penalty.filter(flow.basis.s)
    end = _stages(flow).horizon()[None].astype(flow.basis.U.dtype)
    max_steps = _checks.integer("max_steps", max_steps, 1)
    return _run(flow, end, checked_tolerances(flow.basis.U.dtype, rtol, atol), None, max_steps, False, adjoint)


@eqx.filter_jit
def _run(
    flow: Flow,
    ts: Array,
    tolerances: tuple[float, float],
    solver: diffrax.AbstractAdaptiveSolver | None,
    max_steps: int,
    dense: bool,
    adjoint: diffrax.AbstractAdjoint | None,
) -> Trajectory:
    if solver is None:
        args = _stages(flow)
        basis = FeatureBasis._of(args.U, flow.basis.s)
        plain = not dense and not adjoint
        if plain and isinstance(args, DualStages) and args.pair() is not None and args.shift is None:
            return _pair(flow, args, ts, tolerances, max_steps)
        if plain:
            solve = _in_turn if args.alone() and jax.default_backend() == "cpu" else _alone
            (alpha, z), steps, result = solve(args, ts, tolerances, max_steps)
            return Trajectory(ts, alpha, z, jax.vmap(basis.margins)(z), result, steps, args, basis, None)
        solution = _by_stages(args, ts, tolerances, max_steps, dense, adjoint)
    else:
        args, basis = flow, aligned(flow.basis, flow.penalty) if isinstance(flow, DualFlow) else flow.basis
        controller = diffrax.PIDController(*tolerances)
        solution = _diffeqsolve(args, flow.start, None, ts, solver, controller, max_steps, dense, adjoint)
    (alpha, z), steps = _reached(args, solution, ts)
    margins = jax.vmap(basis.margins)(z)
    return Trajectory(ts, alpha, z, margins, solution.result, steps, args, basis, solution.interpolation)


def _pair(flow: Flow, args: DualStages, ts: Array, tolerances: tuple[float, float], max_steps: int) -> Trajectory:
    """Two features in two examples: under `vmap` by the steps of `_integration.cells`, which are quick for a batch."""

    def alone(cell: cell_problem.Cell) -> cell_problem.Saved:
        U, c, alpha0 = jnp.stack(cell.u).reshape(2, 2), jnp.stack(cell.c), jnp.stack(cell.alpha0)
        rebuilt = U, c, U * jnp.sqrt(c)[None, :], cell.eta, alpha0
        stages = eqx.tree_at(lambda s: (s.U, s.c, s.B, s.eta, s.alpha0), args, rebuilt)
        solution = _by_stages(stages, cell.ts, tolerances, max_steps, False, None)
        (alpha, z), steps = _reached(stages, solution, cell.ts)
        succeeded = solution.result == diffrax.RESULTS.successful
        return cell_problem.Saved((alpha[:, 0], alpha[:, 1]), (z[:, 0], z[:, 1]), succeeded, *steps)

    U, c, alpha0, eta = args.U, args.c, args.alpha0, args.eta.astype(args.U.dtype)
    cell = cell_problem.Cell(pairs.entries(U), (c[0], c[1]), eta, (alpha0[0], alpha0[1]), ts)
    # every saved time ends a step of its own there
    method = cell_problem.Method(args.loss, *tolerances, max_steps + ts.size)  # pyright: ignore[reportArgumentType]
    saved = cells.solver(method, alone)(cell)
    alpha, z = jnp.stack(saved.alpha, axis=-1), jnp.stack(saved.z, axis=-1)
    margins = jnp.stack([U[i, 0] * saved.z[0] + U[i, 1] * saved.z[1] for i in range(2)], axis=-1)
    codes = diffrax.RESULTS
    result = codes.where(saved.reached, codes.successful, codes.max_steps_reached)
    return Trajectory(ts, alpha, z, margins, result, Steps(saved.accepted, saved.rejected), args, flow.basis, None)


def _alone(args: Stages, ts: Array, tolerances: tuple[float, float], max_steps: int) -> tuple:
    solution = _by_stages(args, ts, tolerances, max_steps, False, None)
    return *_reached(args, solution, ts), solution.result


@eqx.filter_custom_jvp
def _in_turn(args: Stages, ts: Array, tolerances: tuple[float, float], max_steps: int) -> tuple:
    """`_alone`, which under `vmap` takes one flow after the other: none waits for the Newton steps of another."""
    arrays, rest = eqx.partition((args, ts), eqx.is_array)

    def alone(arrays: Any) -> tuple:
        args, ts = eqx.combine(arrays, rest)
        return _alone(args, ts, tolerances, max_steps)

    return in_turn(alone)(arrays)


@_in_turn.def_jvp
@full_precision
def _in_turn_jvp(primals: tuple, tangents: tuple) -> tuple:
    return eqx.filter_jvp(lambda args, ts: _alone(args, ts, *primals[2:]), primals[:2], tangents[:2])


def _by_stages(
    args: Stages,
    ts: Array,
    tolerances: tuple[float, float],
    max_steps: int,
    dense: bool,
    adjoint: diffrax.AbstractAdjoint | None,
) -> diffrax.Solution:
    dt0 = jax.lax.stop_gradient(jnp.minimum(args.first_step(tolerances[0]), ts[-1]))
    controller = diffrax.PIDController(rtol=0.0, atol=1.0, norm=optimistix.max_norm)
    return _diffeqsolve(args, args.start()[0], dt0, ts, StageSolver(*tolerances), controller, max_steps, dense, adjoint)


def _diffeqsolve(
    args: Any,
    y0: Any,
    dt0: Array | None,
    ts: Array,
    solver: diffrax.AbstractAdaptiveSolver,
    controller: diffrax.PIDController,
    max_steps: int,
    dense: bool,
    adjoint: diffrax.AbstractAdjoint | None,
) -> diffrax.Solution:
    return diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: args.velocity(y)),
        solver,
        jnp.zeros((), ts.dtype),
        jax.lax.stop_gradient(ts[-1]),
        dt0,
        y0,
        args,
        saveat=diffrax.SaveAt(ts=jax.lax.stop_gradient(ts), dense=dense),
        stepsize_controller=controller,
        max_steps=max_steps,
        adjoint=diffrax.DirectAdjoint() if adjoint is None else adjoint,
        throw=False,
    )


def _reached(args: Any, solution: diffrax.Solution, ts: Array) -> tuple[tuple[Array, Array], Steps]:
    """Alpha and responses, NaN at the times that were not reached, and the steps."""
    assert solution.ts is not None
    reached = solution.ts < jnp.inf

    def at(y: Any, t: Array, reached: Array) -> tuple[Array, Array]:
        seen = args.observe(moving(lambda args, y: args.velocity(y), args, y, t))
        return jax.tree.map(lambda v: jnp.where(reached, v, jnp.nan), seen)

    steps = Steps(solution.stats["num_accepted_steps"], solution.stats["num_rejected_steps"])
    return jax.vmap(at)(solution.ys, ts, reached), steps


def _filled(ts: Array) -> Array:
    """`ts` with its last time repeated up to a power of two, so that few lengths are compiled; traced, as it is."""
    if not _checks.is_concrete(ts):
        return ts
    return jnp.pad(ts, (0, (1 << (ts.size - 1).bit_length()) - ts.size), mode="edge")


def _stages(flow: Flow) -> Stages:
    if isinstance(flow, DualFlow):
        kind = LogitStages if flow.start.ndim == 2 else MarginStages
        return kind(flow)  # pyright: ignore[reportCallIssue]
    assert isinstance(flow, PrimalFlow)
    return PrimalStages(flow)


def _require_flow(flow: Flow) -> Flow:
    if not isinstance(flow, DualFlow | PrimalFlow):
        raise ValueError(f"flow must be a PrimalFlow, a DualFlow or a KernelFlow, got {type(flow).__name__}")
    return flow


def _require_adjoint(adjoint: diffrax.AbstractAdjoint | None) -> None:
    if adjoint is not None:
        _checks.instance("adjoint", adjoint, diffrax.AbstractAdjoint, "such as diffrax.RecursiveCheckpointAdjoint()")
