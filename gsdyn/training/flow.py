"""Gradient flow of a network's parameters: full-batch training in the limit of small steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn.training._chebyshev import Allowed, Piece, follow
from gsdyn.training._params import split
from gsdyn.training._trainer import Params
from gsdyn.training.batches import Data
from gsdyn.training.loop import check_data, check_rows, parameters
from gsdyn.training.methods import ERM
from gsdyn.training.objectives import value_of

MAX_STEPS = 100_000
METHODS = ("tsit5", "chebyshev")


class FlowRun(eqx.Module):
    """A network along its gradient flow.

    - `ts`: times, `eta` times the number of small gradient steps, shape (T,).
    - `params`: the parameters at the last of them.
    - `observed`: what `observe` gave at each, every leaf with a leading axis T; NaN at times not reached.
    - `result`: what became of the integration, a `diffrax.RESULTS`.
    - `steps`: how many steps it took, and how many more were tried.

        >>> objective = gs.training.BinaryObjective(net.apply, mean=False)
        >>> seen = lambda p: net.apply(p, x)
        >>> flow = gs.training.gradient_flow(params, objective, (x, y), np.array([0.0, 1.0]), observe=seen)
        >>> print(flow.ts, flow.succeeded)
        [0. 1.] True
    """

    ts: Array
    params: Params
    observed: Any
    result: diffrax.RESULTS
    steps: tuple[Array, Array]

    @property
    def succeeded(self) -> Array:
        """Whether every time was reached."""
        return self.result == diffrax.RESULTS.successful


@full_precision
def gradient_flow(
    params: Params,
    objective: Callable[..., Array],
    data: Data,
    ts: ArrayLike,
    *,
    observe: Callable[[Params], Any] = parameters,
    tolerance: ArrayLike = 1e-4,
    max_steps: int = MAX_STEPS,
    method: str = "tsit5",
) -> FlowRun:
    """The gradient flow `theta' = -grad L(theta)` of any network, in steps that adapt to a tolerance.

    The theory's primal flow (P21 section 3.2) is this flow in the limit of infinite width. Small gradient steps tend
    to it with an error of the order of the step.

    - `params`, `objective`, `data`, `observe`: as in `train`, the objective no `Method`. It must be a fixed function of
      the parameters: noise (dropout) has no flow. Outputs that depend on the batch (batch normalisation in training)
      are those of all the data together.
    - `ts`: times to record, shape (T,), finite, >= 0 and increasing.
    - `tolerance`: how far one step may err, in (0, 1): the Euclidean length over all parameters together, so that the
      outputs err by at most their largest strength times that. A tolerance of every parameter beside its own size would
      let wide networks drift, whose many weights each move little. `max_steps`: where to give up.
    - `method`: "tsit5", of fifth order, six gradients a step, which is at most some three over the curvature of L; or
      "chebyshev", of second order and up to 60 gradients a step, which may then be 2,300 over the curvature: the one
      for long times, late in training or after a penalty was switched on. Smooth networks take a tenth of the work
      so (Erf of width 256 to time 100: 1.4 s for 16); kinks of ReLU keep steps short unless the tolerance is loose.

    Raises `ValueError` for data the objective does not take, times and tolerances outside their domain, other methods.
    Compiled once for the same function objects.

        >>> objective = gs.training.BinaryObjective(net.apply, mean=False)
        >>> seen = lambda p: net.apply(p, x)
        >>> flow = gs.training.gradient_flow(params, objective, (x, y), np.array([0.0, 1.0]), observe=seen)
        >>> print(flow.observed.shape, flow.succeeded)
        (2, 4) True
    """
    _checks.function("objective", objective)
    _checks.function("observe", observe)
    ts = _checks.require("ts", ts, "finite and >= 0", lambda v: (v >= 0) & (v < float("inf")), ndim=1)
    if not ts.size or (_checks.is_concrete(ts) and (np.diff(np.asarray(ts)) < 0).any()):
        raise ValueError(f"ts must be a vector of increasing times, got shape {ts.shape} or times that fall")
    tolerance = _checks.require("tolerance", tolerance, "in (0, 1)", lambda v: (v > 0) & (v < 1), ndim=0)
    max_steps = _checks.integer("max_steps", max_steps, 1)
    _checks.one_of("method", method, METHODS)
    data = check_data(data)
    arrays, rest = split(params)
    data = check_rows(ERM(objective), rest, arrays, data, many=False)
    dtype = jnp.result_type(*jax.tree.leaves(arrays))
    way = _accurate if method == "tsit5" else _stiff
    arrays, observed, result, steps = way(
        arrays, rest, objective, data, ts.astype(dtype), observe, tolerance, max_steps
    )
    return FlowRun(ts.astype(dtype), rest.whole(arrays), observed, result, steps)


@eqx.filter_jit
def _accurate(arrays, rest, objective, data, ts, observe, tolerance, max_steps):
    def loss(arrays, args):
        return value_of(objective)(rest.whole(arrays), *args)

    def velocity(t, arrays, args):
        return jax.tree.map(jnp.negative, jax.grad(loss)(arrays, args))

    def look(t, arrays, args):
        return observe(rest.whole(arrays))

    # diffrax takes the root mean square over all entries
    size = sum(part.size for part in jax.tree.leaves(arrays))
    with jax.numpy_dtype_promotion("standard"):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            diffrax.Tsit5(),
            jnp.zeros((), ts.dtype),
            ts[-1],
            None,
            arrays,
            data,
            saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=ts, fn=look), diffrax.SubSaveAt(t1=True)]),
            stepsize_controller=diffrax.PIDController(rtol=0.0, atol=tolerance / size**0.5),
            max_steps=max_steps,
            adjoint=diffrax.ForwardMode(),
            throw=False,
        )
    assert solution.ts is not None
    assert solution.ys is not None
    observed, last = solution.ys
    reached = solution.ts[0] < jnp.inf

    def known(part):
        return jnp.where(reached.reshape((-1,) + (1,) * (part.ndim - 1)), part, jnp.nan)

    steps = solution.stats["num_accepted_steps"], solution.stats["num_rejected_steps"]
    return jax.tree.map(lambda part: part[0], last), jax.tree.map(known, observed), solution.result, steps


@eqx.filter_jit
def _stiff(arrays, rest, objective, data, ts, observe, tolerance, max_steps):
    start, whole = ravel_pytree(arrays)

    def velocity(y, _):
        return -jax.grad(lambda y: value_of(objective)(rest.whole(whole(y)), *data))(y)

    # time adds up in double precision where there is any
    pieces = Piece(ts.astype(float), (), jnp.arange(len(ts)) == 0)
    run = follow(velocity, start, pieces, lambda y: observe(rest.whole(whole(y))), Allowed(tolerance, 0.0, max_steps))
    result = diffrax.RESULTS.where(run.reached[-1], diffrax.RESULTS.successful, diffrax.RESULTS.max_steps_reached)
    return whole(run.y), run.seen, result, (run.steps[-1], run.failed[-1])
