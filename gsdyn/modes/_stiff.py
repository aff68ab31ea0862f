"""Stiff systems of a few variables, by Rodas5P to a stop.

The output weight of a neuron relaxes at a rate that grows with the square of its input weights, so that an explicit
method would need millions of steps. The linear systems are eliminated row by row: a batch of them is none for LAPACK.
Derivatives are those of the steps taken, all at once and forward, so that reverse mode needs no loop backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn._numerics.precision import full_precision
from gsdyn._numerics.rodas import END, GAMMA, A, C

_MAX_STEPS = 20_000
_LANDING = 1e-8  # of what a stop began with: from there on a step of Newton's ends the path, to the square of it


class System(NamedTuple):
    """`y' = field(y)`, which ends where one of `stops(y, p)`, all positive at the start, falls to 0."""

    field: Callable[[Array], Array]
    stops: Callable[[Array, Array], Array]


class End(NamedTuple):
    """Where a path ends: the time and state there, which stop it was, and whether it got there or to its horizon."""

    time: Float[Array, ""]
    state: Float[Array, " k"]
    by: Bool[Array, " S"]
    ok: Bool[Array, ""]


class _Going(NamedTuple):
    time: Array
    state: Array
    length: Array
    going: Array
    steps: Array


def to_stop(system: System, state: Array, p: Array, horizon: Array) -> End:
    """The path from a state to its first stop, or the horizon, to about 1e-11 of every variable (float32: 1e-5)."""
    answer, by, ok = _to_stop(system, state, p, jax.lax.stop_gradient(horizon))
    return End(answer[0], answer[1:], by, ok)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _to_stop(system: System, state: Array, p: Array, horizon: Array) -> tuple[Array, Array, Array]:
    size = system.stops(state, p)
    end = _run(system, state, p, horizon, _LANDING * size)
    slope = system.field(end.state)
    left, rates = jax.jvp(lambda y: system.stops(y, p), (end.state,), (slope,))
    by = jnp.abs(left) <= _LANDING * size
    by = by & (jnp.cumsum(by) == 1)
    more = jnp.sum(jnp.where(by, -left / jnp.where(by, rates, 1), 0))
    answer = jnp.append(end.time + more, end.state + more * slope)
    return answer, by, by.any() | (end.time >= horizon)


@_to_stop.defjvp
@full_precision
def _to_stop_jvp(system, primals, tangents):
    state, p, horizon = primals

    def answer(state, p):
        found, *rest = _to_stop.fun(system, state, p, horizon)
        return found, (found, *rest)

    (by_state, by_p), primal = jax.jacfwd(answer, (0, 1), has_aux=True)(state, p)
    tangent = by_state @ tangents[0] + by_p * tangents[1]
    return primal, (tangent, *(_no_tangent(x) for x in primal[1:]))


def through(system: System, state: Array, p: Array, ts: Array) -> tuple[Array, Array]:
    """The states at ascending times, shape (T, k), none beyond the first stop, and whether all were reached."""
    return _through(system, state, p, ts)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _through(system: System, state: Array, p: Array, ts: Array) -> tuple[Array, Array]:
    # stops are only not to be run past here
    size = jnp.full_like(system.stops(state, p), jnp.inf)

    def reach(carry: _Going, t: Array):
        end = _run(system, carry.state, p, t, size, carry)
        return end, (end.state, end.time >= t)

    start = _start(system, state)
    _, (states, reached) = jax.lax.scan(reach, start, jax.lax.stop_gradient(ts))
    return states, reached.all()


@_through.defjvp
@full_precision
def _through_jvp(system, primals, tangents):
    state, p, ts = primals

    def answer(state):
        found, reached = _through.fun(system, state, p, ts)
        return found, (found, reached)

    jacobian, primal = jax.jacfwd(answer, has_aux=True)(state)
    tangent = jacobian @ tangents[0] + jax.vmap(system.field)(primal[0]) * tangents[2][:, None]
    return primal, (tangent, _no_tangent(primal[1]))


def _no_tangent(x: Array):
    return jnp.zeros(x.shape, jax.dtypes.float0)


def _start(system: System, state: Array) -> _Going:
    rate = jnp.max(jnp.abs(jax.jacfwd(system.field)(state)))
    length = jax.lax.stop_gradient(1e-6 / (1 + rate))
    return _Going(jnp.zeros_like(length), state, length, jnp.ones((), bool), jnp.zeros((), int))


def _run(system: System, state: Array, p: Array, last: Array, landing: Array, begun: _Going | None = None) -> _Going:
    begun = _start(system, state) if begun is None else begun
    begun = begun._replace(going=begun.time < last, steps=jnp.zeros((), int))
    return jax.lax.while_loop(lambda s: s.going, partial(_advance, system, p, last, landing), begun)


def _advance(system: System, p: Array, last: Array, landing: Array, s: _Going) -> _Going:
    """One step, taken if its error is within the tolerance and it has not run past a stop."""
    slope = system.field(s.state)
    value, rate = jax.jvp(lambda y: system.stops(y, p), (s.state,), (slope,))
    ahead = jnp.min(jnp.where(rate < 0, -value / jnp.where(rate < 0, rate, 1), jnp.inf))
    length = jnp.minimum(s.length, jnp.where(landing[0] < jnp.inf, ahead, jnp.inf))
    to_end = length >= last - s.time
    length = jax.lax.stop_gradient(jnp.where(to_end, last - s.time, length))
    state, error = _step(system.field, s.state, length)
    size = jnp.maximum(jnp.maximum(jnp.abs(s.state), jnp.abs(state)), length * jnp.abs(slope))
    tolerance = 3e-6 if state.dtype == jnp.float32 else 3e-12
    error = jnp.max(jnp.abs(error) / (tolerance * size + float(jnp.finfo(state.dtype).tiny)))
    error = jnp.where(jnp.isfinite(error), error, 1e10)
    after = system.stops(state, p)
    past = after < -landing
    proposed = length * jnp.clip(0.9 * error**-0.2, 0.1, 5)
    back = length * jnp.clip(jnp.min(jnp.where(past, value / (value - after), 1)), 0.05, 0.98)
    taken = (error <= 1) & ~past.any()
    longer = jnp.maximum(proposed, jnp.where(length < s.length, s.length, 0))
    shorter = jnp.where(error <= 1, back, proposed)
    time = jnp.where(taken, jnp.where(to_end, last, s.time + length), s.time)
    stopped = taken & (jnp.abs(after) <= landing).any() & (landing[0] < jnp.inf)
    steps = s.steps + 1
    going = ~stopped & (time < last) & (steps < _MAX_STEPS)
    return _Going(
        time,
        jnp.where(taken, state, s.state),
        jax.lax.stop_gradient(jnp.where(taken, longer, shorter)),
        going,
        steps,
    )


def _step(field: Callable[[Array], Array], state: Array, length: Array) -> tuple[Array, Array]:
    """The state after one step, and its estimated error."""
    dtype = state.dtype
    a, c, end = (jnp.asarray(v, dtype) for v in (A, C, END))
    inverse = _inverse(jnp.eye(state.size, dtype=dtype) / (GAMMA * length) - jax.jacfwd(field)(state))

    def stage(i, k):
        right = field(state + a[i] @ k) + (c[i] @ k) / length
        return k.at[i].set(inverse @ right)

    k = jax.lax.fori_loop(0, len(END), stage, jnp.zeros((len(END), state.size), dtype))
    return state + end @ k, k[-1]


def _inverse(matrix: Array) -> Array:
    """By elimination without pivots: the fast variables, which come first, dominate their rows."""
    size = matrix.shape[0]

    def eliminate(i, rows):
        row = rows[i] / rows[i, i]
        return (rows - rows[:, i][:, None] * row[None]).at[i].set(row)

    rows = jnp.concatenate([matrix, jnp.eye(size, dtype=matrix.dtype)], axis=1)
    return jax.lax.fori_loop(0, size, eliminate, rows)[:, size:]
