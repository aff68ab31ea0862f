"""Dual flows of two features in two examples, by the thousand: under `vmap` a batch of them is elementwise work.

The steps are those of `_dirk.StageSolver`, written entry by entry. Every saved time ends a step, so that nothing is
interpolated and no array is held whose last axis is not the batch; cells go through in chunks that fit the cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn import _pair_stages
from gsdyn._batching import batched, in_chunks
from gsdyn._dirk import EARLIER, GAMMA, PREDICT
from gsdyn._pair_stages import Pair, Quad
from gsdyn._stages import EDGE, NEWTON_LIMIT, NEWTON_SHARE
from gsdyn.flows import into_domain
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy

CHUNK = 2048
STAGES = 6  # the extra stage of `_dirk` serves interpolation only
SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0

PairLoss = CrossEntropy | FirstOrderCrossEntropy


class Cell(NamedTuple):
    """One flow: rows of `U`, filter, rate, start and the times to save."""

    u: Quad
    c: Pair
    eta: Array
    alpha0: Pair
    ts: Float[Array, " t"]


class Problem(NamedTuple):
    """A flow, with what every step of it needs: `B = U sqrt(c)` and the pulls that change the margins by one."""

    cell: Cell
    b: Quad
    fine: Pair


class Saved(NamedTuple):
    """What was saved of one flow, whether every time was reached, and its steps."""

    alpha: Pair
    z: Pair
    reached: Bool[Array, ""]
    accepted: Int[Array, ""]
    rejected: Int[Array, ""]


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


class Method(NamedTuple):
    """What all flows of a batch share."""

    loss: PairLoss
    rtol: float
    atol: float
    limit: int


def solver(method: Method, alone: Callable[[Cell], Saved]) -> Callable[[Cell], Saved]:
    """`alone`, which also gives the derivatives, but under `vmap` the steps of this module."""
    one = batched(alone, functools.partial(_all, method))
    quick = jax.custom_vjp(one)
    quick.defvjp(lambda cell: (one(cell), cell), lambda cell, change: jax.vjp(alone, cell)[1](change))
    return quick


def _all(method: Method, cells: Cell) -> Saved:
    path, count = jnp.zeros_like(cells.ts), jnp.zeros(cells.eta.shape, jnp.int32)
    empty = Saved((path, path), (path, path), count.astype(bool), count, count)
    return in_chunks(jax.vmap(functools.partial(_solve, method)), cells, empty, CHUNK, cells.eta.size)


def _solve(method: Method, cell: Cell) -> Saved:
    start, problem = _start(method, cell), _problem(cell)

    def save(state: State, end: Array) -> tuple[State, tuple[Pair, Pair]]:
        state = jax.lax.while_loop(
            lambda s: (s.t < end) & (s.accepted + s.rejected < method.limit),
            lambda s: _step(method, problem, s, end),
            state,
        )
        alpha = into_domain(method.loss, state.p[0]), into_domain(method.loss, state.p[1])
        return state, jax.tree.map(lambda v: jnp.where(state.t >= end, v, jnp.nan), (alpha, state.z))

    end, (alpha, z) = jax.lax.scan(save, start, cell.ts)
    return Saved(alpha, z, end.t >= cell.ts[-1], end.accepted, end.rejected)


def _start(method: Method, cell: Cell) -> State:
    p = cell.alpha0
    z = _responses(cell, p)
    x = method.loss.slope(p[0]), method.loss.slope(p[1])
    k = _velocity(cell, x, z)
    share = 0.1 * method.rtol**0.2
    h1, h2 = (
        jnp.where(v == 0, jnp.inf, share * (q + method.rtol) / jnp.where(v == 0, 1.0, abs(v)))
        for v, q in zip(k, p, strict=True)
    )
    h = jnp.minimum(jnp.minimum(h1, h2), cell.ts[-1])
    none = jnp.zeros((), jnp.int32)
    return State(jnp.zeros_like(cell.eta), p, z, x, k, h, none, none)


def _step(method: Method, problem: Problem, s: State, end: Array) -> State:
    """One step of at most `s.h` that does not pass `end`, taken if its error is within the tolerance."""
    left = end - s.t
    last = s.h >= left
    # two equal steps rather than a long one and the rest; a flow that waits for others goes on without moving
    h = jnp.where(left > 0, jnp.where(last, left, jnp.minimum(s.h, left / 2)), s.h)
    p, z, x, k, error = _stages(method, problem, s, h)
    taken = error <= 1
    factor = jnp.clip(SAFETY * jnp.maximum(error, 1e-30) ** -0.2, SHRINK, jnp.where(taken, GROW, 1.0))
    factor = jnp.where(jnp.isfinite(error), factor, SHRINK)
    proposed = jnp.where(taken & (h < s.h), jnp.maximum(s.h, factor * h), factor * h)
    moved = State(jnp.where(last, end, s.t + h), p, z, x, k, proposed, s.accepted + 1, s.rejected)
    stayed = s._replace(h=proposed, rejected=s.rejected + 1)
    return jax.tree.map(lambda a, b: jnp.where(taken, a, b), moved, stayed)


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
        r = _moved(s.p, earlier, hk)
        guess = _guess(method, problem, _moved(s.p, predict, hk), s.x)
        x, p, ok = _pair_stages.solve(method.loss, b, (0.0, 0.0), r, tau, guess, share, NEWTON_LIMIT)
        rest = (p[0] - r[0]) / GAMMA, (p[1] - r[1]) / GAMMA
        hk.append(rest)
        states.append((p, _stage_responses(cell, x, p, r, tau), x))
        found &= ok
    (p4, z4, _), (p5, z5, x5) = states[-2:]
    error = _error(method, cell, s, (p4, z4), (p5, z5), tau)
    k = hk[-1][0] / h, hk[-1][1] / h
    return p5, z5, x5, k, jnp.where(found, error, jnp.inf)


def _moved(p: Pair, weights: Float[Array, " 8"], hk: list[Pair]) -> Pair:
    first, second = p
    for weight, (k1, k2) in zip(weights.tolist(), hk, strict=False):
        if weight:
            first, second = first + weight * k1, second + weight * k2
    return first, second


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
    r1, r2 = jnp.sqrt(cell.c[0]), jnp.sqrt(cell.c[1])
    b11, b12, b21, b22 = b = cell.u[0] * r1, cell.u[1] * r2, cell.u[2] * r1, cell.u[3] * r2
    return Problem(cell, b, (1 / (1 + b11 * b11 + b12 * b12), 1 / (1 + b21 * b21 + b22 * b22)))


def _velocity(cell: Cell, slope: Pair, z: Pair) -> Pair:
    u11, u12, u21, u22 = cell.u
    return cell.eta * (slope[0] - u11 * z[0] - u12 * z[1]), cell.eta * (slope[1] - u21 * z[0] - u22 * z[1])


def _responses(cell: Cell, p: Pair) -> Pair:
    u11, u12, u21, u22 = cell.u
    return cell.c[0] * (u11 * p[0] + u21 * p[1]), cell.c[1] * (u12 * p[0] + u22 * p[1])


def _stage_responses(cell: Cell, x: Pair, p: Pair, r: Pair, tau: Array) -> Pair:
    """Responses of a stage; where `tau c > 1` by its coordinate, as `c U^T p` would magnify the rounding of p."""
    u11, u12, u21, u22 = cell.u
    direct = _responses(cell, p)
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
