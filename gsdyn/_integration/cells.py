"""Dual flows of two features in two examples, by the thousand: under `vmap` a batch of them is elementwise work.

Most flows are for `cell_rodas`. What it leaves takes the steps of `kvaerno.StageSolver`, written entry by entry, which
get through everywhere. Every saved time ends a step there, so that nothing is interpolated and no array is held whose
last axis is not the batch; cells go through in chunks that fit the cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from gsdyn._integration import cell_problem, cell_rodas, cell_stages
from gsdyn._integration.cell_problem import Cell, Method, Saved, moved, responses
from gsdyn._integration.kvaerno import EARLIER, GAMMA, PREDICT
from gsdyn._integration.stages import EDGE, NEWTON_LIMIT, NEWTON_SHARE
from gsdyn._numerics.batching import batched, finish, in_chunks_with
from gsdyn._numerics.pairs import Pair, Quad, scaled

CHUNK = 64
STAGES = 6  # the extra stage of `kvaerno` serves interpolation only


class Problem(NamedTuple):
    """A flow, with what every step of it needs: `B = U sqrt(c)` and the pulls that change the margins by one."""

    cell: Cell
    b: Quad
    fine: Pair


class State(NamedTuple):
    """A flow at time `t`: pull, responses, coordinate, velocity; the next step's length and the steps so far."""

    t: Array
    p: Pair
    z: Pair
    x: Pair
    k: Pair
    h: Array
    accepted: Int[Array, ""]
    rejected: Int[Array, ""]


def solver(method: Method, alone: Callable[[Cell], Saved]) -> Callable[[Cell], Saved]:
    """`alone`, which also gives the derivatives, but under `vmap` the steps of this module."""
    one = batched(alone, functools.partial(_all, method))
    quick = jax.custom_jvp(one)
    quick.defjvp(lambda cells, changes: jax.jvp(alone, cells, changes))
    return quick


def _all(method: Method, cells: Cell) -> Saved:
    path, count = jnp.zeros_like(cells.ts), jnp.zeros(cells.eta.shape, jnp.int32)
    empty = Saved((path, path), (path, path), count.astype(bool), count, count)
    quick, room = functools.partial(cell_rodas.solve, method), functools.partial(cell_rodas.room, cells.eta.dtype)
    # all cells of a chunk wait for its slowest: cells that take as many steps go together
    order = jnp.argsort(cell_rodas.effort(method, cells))
    cells = jax.tree.map(lambda x: jnp.take(x, order, axis=0, mode="clip"), cells)
    saved = in_chunks_with(quick, room, cells, empty, cell_rodas.CHUNK)
    saved = finish(jax.vmap(functools.partial(_solve, method)), cells, saved, ~saved.reached, CHUNK)
    back = jnp.argsort(order)
    return jax.tree.map(lambda x: jnp.take(x, back, axis=0, mode="clip"), saved)


def _solve(method: Method, cell: Cell) -> Saved:
    start, problem = _start(method, cell), _problem(cell)

    def save(state: State, end: Array) -> tuple[State, tuple[Pair, Pair]]:
        state = jax.lax.while_loop(
            lambda s: (s.t < end) & (s.accepted + s.rejected < method.limit),
            lambda s: _step(method, problem, s, end),
            state,
        )
        alpha = method.loss.into_domain(state.p[0]), method.loss.into_domain(state.p[1])
        return state, jax.tree.map(lambda v: jnp.where(state.t >= end, v, jnp.nan), (alpha, state.z))

    end, (alpha, z) = jax.lax.scan(save, start, cell.ts)
    return Saved(alpha, z, end.t >= cell.ts[-1], end.accepted, end.rejected)


def _start(method: Method, cell: Cell) -> State:
    p = cell.alpha0
    z = responses(cell, p)
    x = method.loss.slope(p[0]), method.loss.slope(p[1])
    k = cell_problem.velocity(cell, x, z)
    none = jnp.zeros((), jnp.int32)
    return State(jnp.zeros_like(cell.eta), p, z, x, k, cell_problem.first_length(method, cell, k), none, none)


def _step(method: Method, problem: Problem, s: State, end: Array) -> State:
    """One step of at most `s.h` that does not pass `end`, taken if its error is within the tolerance."""
    h, last = cell_problem.length(s.t, s.h, end)
    p, z, x, k, error = _stages(method, problem, s, h)
    taken, proposed = cell_problem.judge(error, h, s.h)
    after = State(jnp.where(last, end, s.t + h), p, z, x, k, proposed, s.accepted + 1, s.rejected)
    stayed = s._replace(h=proposed, rejected=s.rejected + 1)
    return jax.tree.map(lambda a, b: jnp.where(taken, a, b), after, stayed)


def _stages(method: Method, problem: Problem, s: State, h: Array) -> tuple[Pair, Pair, Pair, Pair, Array]:
    """State, coordinate and velocity after a step, and its error in units of the tolerance."""
    cell, b, _ = problem
    tau = h * GAMMA * cell.eta
    share = max(NEWTON_SHARE * method.rtol, 8 * float(jnp.finfo(tau.dtype).eps))
    settled = _settled(method, problem, s)
    hk: list[Pair] = [(h * settled[0], h * settled[1])]
    found = jnp.ones((), bool)
    states: list[tuple[Pair, Pair, Pair]] = []
    for earlier, predict in zip(EARLIER[:STAGES], PREDICT[:STAGES], strict=True):
        r = moved(s.p, earlier, hk)
        guess = _guess(method, problem, moved(s.p, predict, hk), s.x)
        x, p, ok = cell_stages.solve(method.loss, b, (0.0, 0.0), r, tau, guess, share, NEWTON_LIMIT)
        rest = (p[0] - r[0]) / GAMMA, (p[1] - r[1]) / GAMMA
        hk.append(rest)
        states.append((p, _stage_responses(cell, x, p, r, tau), x))
        found &= ok
    (p4, z4, _), (p5, z5, x5) = states[-2:]
    error = _error(method, cell, s, (p4, z4), (p5, z5), tau)
    k = hk[-1][0] / h, hk[-1][1] / h
    return p5, z5, x5, k, jnp.where(found, error, jnp.inf)


def _error(
    method: Method, cell: Cell, s: State, embedded: tuple[Pair, Pair], new: tuple[Pair, Pair], tau: Array
) -> Array:
    (p4, z4), (p5, z5) = embedded, new
    rtol, atol, eps = method.rtol, method.atol, float(jnp.finfo(tau.dtype).eps)
    largest = functools.reduce(jnp.maximum, [abs(v) for v in (*s.z, *z5)])
    size = [jnp.maximum(abs(old), abs(now)) for old, now in zip(s.p, p5, strict=True)]
    # what the rounding of p does to the responses, however small the step
    noise = 16 * eps * jnp.maximum(size[0], size[1])
    errors = [abs(p5[i] - p4[i]) / (atol + rtol * size[i]) for i in range(2)]
    errors += [abs(z5[i] - z4[i]) / (atol + rtol * largest + noise * jnp.minimum(cell.c[i], 1 / tau)) for i in range(2)]
    return functools.reduce(jnp.maximum, errors)


def _problem(cell: Cell) -> Problem:
    b11, b12, b21, b22 = b = scaled(cell.u, cell.c)[0]
    return Problem(cell, b, (1 / (1 + b11 * b11 + b12 * b12), 1 / (1 + b21 * b21 + b22 * b22)))


def _stage_responses(cell: Cell, x: Pair, p: Pair, r: Pair, tau: Array) -> Pair:
    """Responses of a stage; where `tau c > 1` by its coordinate, as `c U^T p` would magnify the rounding of p."""
    u11, u12, u21, u22 = cell.u
    direct = responses(cell, p)
    f1, f2 = x[0] - (p[0] - r[0]) / tau, x[1] - (p[1] - r[1]) / tau
    slaved = u11 * f1 + u21 * f2, u12 * f1 + u22 * f2
    return (
        jnp.where(cell.c[0] * tau > 1, slaved[0], direct[0]),
        jnp.where(cell.c[1] * tau > 1, slaved[1], direct[1]),
    )


def _settled(method: Method, problem: Problem, s: State) -> Pair:
    """The velocity without what has reached the edge of its domain and cannot go on."""

    def settle(k: Array, x: Array, fine: Array) -> Array:
        stuck = (method.loss.derivatives(x)[1] <= 1e-3 * method.rtol * fine) & (x * k < 0)
        return jnp.where(stuck, 0.0, k)

    fine = problem.fine
    return settle(s.k[0], s.x[0], fine[0]), settle(s.k[1], s.x[1], fine[1])


def _guess(method: Method, problem: Problem, predicted: Pair, x: Pair) -> Pair:
    """The coordinate of a predicted pull; near the edge, where the pull no longer changes, one not far beyond it."""

    def guess(predicted: Array, x: Array, fine: Array) -> Array:
        edge = -jnp.log(EDGE * fine)
        slope = method.loss.slope(predicted)
        at_edge = method.loss.derivatives(x)[1] <= EDGE * fine
        return jnp.where(jnp.isfinite(slope) & ~at_edge, slope, jnp.where(at_edge, jnp.clip(x, -edge, edge), x))

    fine = problem.fine
    return guess(predicted[0], x[0], fine[0]), guess(predicted[1], x[1], fine[1])
