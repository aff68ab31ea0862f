"""Dual flows of two features in two examples by Rodas5P: no iterations, and what is saved is interpolated.

A Rosenbrock method solves linear systems with one matrix a step, here of shape (2, 2) and written entry by entry over
a batch. It is quick as long as no dual variable comes near an end of its domain; what it cannot do in `ROWS` steps, or
not to the digits asked for, it leaves to others.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn._integration.cell_problem import (
    Cell,
    Method,
    Saved,
    first_length,
    judge,
    length,
    moved,
    responses,
    velocity,
)
from gsdyn._numerics.pairs import Pair, Quad, gram, scaled
from gsdyn._numerics.rodas import END, GAMMA, A, C, H
from gsdyn.losses import CellLoss

CHUNK = 128
ROWS = 320  # steps, taken or not
REJECTED = 32  # steps not taken, beyond those taken, that no cell has which gets to its end
NOISE = 0.1  # of the tolerance, what rounding may do to the responses


class State(NamedTuple):
    """Flows at their times `t`, the lengths of their next steps, and the steps so far."""

    t: Array
    p: Pair
    z: Pair
    h: Array
    easy: Array
    accepted: Array
    rejected: Array


class Row(NamedTuple):
    """One step: where it began and ended, and the states there with what bends the line between."""

    start: Array
    end: Array
    y0: Pair
    y1: Pair
    bends: tuple[Pair, ...]


def room(dtype: jnp.dtype, cells: int, most: int = ROWS) -> Row:
    """Room for `most` steps of so many flows."""
    nothing = jnp.zeros((most, cells), dtype)
    pair = nothing, nothing
    return Row(nothing, nothing, pair, pair, (pair, pair, pair))


def solve(method: Method, cells: Cell, rows: Row) -> tuple[Saved, Row]:
    """All flows of a batch, along the first axis; `reached` where `rows` sufficed to the end, all digits in place.

    Whatever `rows` holds is of no consequence: filling it again for every chunk would take as long as a step.
    """
    ts = cells.ts.T
    state = _start(method, cells)
    most = rows.start.shape[0]
    rows = rows._replace(end=jnp.full_like(rows.end, jnp.inf))
    step = functools.partial(_step, method, cells, gram(scaled(cells.u, cells.c)[0]), ts[-1])

    def go(carry: tuple[Array, State, Row]) -> Array:
        i, state, _ = carry
        return (i < min(most, method.limit)) & jnp.any(state.easy & (state.t < ts[-1]))

    def body(carry: tuple[Array, State, Row]) -> tuple[Array, State, Row]:
        i, state, rows = carry
        state, row = step(state)
        return i + 1, state, jax.tree.map(lambda x, new: jax.lax.dynamic_update_index_in_dim(x, new, i, 0), rows, row)

    _, end, rows = jax.lax.while_loop(go, body, (jnp.zeros((), jnp.int32), state, rows))
    p = _between(rows, ts)
    inside = functools.reduce(jnp.logical_and, [(method.loss.edge(v) > 0).all(axis=0) for v in p])
    alpha, z = jax.tree.map(jnp.transpose, (p, jax.vmap(functools.partial(responses, cells))(p)))
    return Saved(alpha, z, end.easy & inside & (end.t >= ts[-1]), end.accepted, end.rejected), rows


def effort(method: Method, cells: Cell) -> Array:
    """What grows with the steps that flows take: the rate at which their dual variables fall at the start."""
    k = _velocity(method, cells, responses(cells, cells.alpha0))
    return jnp.maximum(-k[0] / cells.alpha0[0], -k[1] / cells.alpha0[1])


def _velocity(method: Method, cells: Cell, z: Pair) -> Pair:
    p = cells.alpha0
    return velocity(cells, (method.loss.quick_slope(p[0]), method.loss.quick_slope(p[1])), z)


def _start(method: Method, cells: Cell) -> State:
    p = cells.alpha0
    z = responses(cells, p)
    k = _velocity(method, cells, z)
    none = jnp.zeros(cells.eta.shape, jnp.int32)
    h = first_length(method, cells, k)
    return State(jnp.zeros_like(cells.eta), p, z, h, jnp.ones(none.shape, bool), none, none)


def _step(method: Method, cells: Cell, matrix: Quad, end: Array, s: State) -> tuple[State, Row]:
    """One step of each flow that has not come to its end, taken if its error is within the tolerance."""
    h, last = length(s.t, s.h, end)
    k = _solutions(method.loss, matrix, s.p, h * cells.eta)
    p = moved(s.p, END, k)
    z = responses(cells, p)
    error, easy = _error(method, cells, s, (p, z), k[7])
    taken, proposed = judge(error, h, s.h)
    t = jnp.where(taken, jnp.where(last, end, s.t + h), s.t)
    bends = [moved((0.0, 0.0), weights, k) for weights in H]
    bends = tuple((jnp.where(taken, b1, 0.0), jnp.where(taken, b2, 0.0)) for b1, b2 in bends)
    y1, z = jax.tree.map(lambda new, old: jnp.where(taken, new, old), (p, z), (s.p, s.z))
    moving = s.t < end
    steps = s.accepted + (moving & taken).astype(jnp.int32), s.rejected + (moving & ~taken).astype(jnp.int32)
    stuck = steps[1] > steps[0] + REJECTED
    state = State(t, y1, z, proposed, s.easy & (easy | ~taken) & ~stuck, *steps)
    return state, Row(s.t, t, s.p, y1, bends)


def _solutions(loss: CellLoss, matrix: Quad, p: Pair, tau: Array) -> list[Pair]:
    """The solutions `k` of the stages: `(1/(gamma tau) + 1/w + K) k = h'(u) - K u + sum C k / tau`."""
    k11, k12, k22, area = matrix
    d1, d2 = (1 / (GAMMA * tau) + 1 / loss.rates(v)[0] for v in p)
    m11, m22 = d1 + k11, d2 + k22
    det = d1 * d2 + d1 * k22 + d2 * k11 + area
    rate = 1 / tau
    k: list[Pair] = []
    # That quotients come last keeps XLA from computing every solution again wherever it is used
    for a, c in zip(A, C, strict=True):
        u1, u2 = moved(p, a, k)
        q1, q2 = moved((0.0, 0.0), c, k)
        g1 = loss.quick_slope(u1) - k11 * u1 - k12 * u2 + q1 * rate
        g2 = loss.quick_slope(u2) - k12 * u1 - k22 * u2 + q2 * rate
        k.append(((m22 * g1 - k12 * g2) / det, (m11 * g2 - k12 * g1) / det))
    return k


def _error(method: Method, cells: Cell, s: State, new: tuple[Pair, Pair], e: Pair) -> tuple[Array, Array]:
    """The error of a step in units of the tolerance, and whether rounding is well below it."""
    p, z = new
    rtol, atol, eps = method.rtol, method.atol, float(jnp.finfo(p[0].dtype).eps)
    size = [jnp.maximum(abs(old), abs(now)) for old, now in zip(s.p, p, strict=True)]
    allowed = atol + rtol * functools.reduce(jnp.maximum, [abs(v) for v in (*s.z, *z)])
    errors = [abs(e[i]) / (atol + rtol * size[i]) for i in range(2)]
    errors += [abs(v) / allowed for v in responses(cells, e)]
    noise = 16 * eps * jnp.maximum(size[0], size[1]) * jnp.maximum(cells.c[0], cells.c[1])
    return functools.reduce(jnp.maximum, errors), noise <= NOISE * allowed


def _between(rows: Row, ts: Float[Array, "t m"]) -> Pair:
    """The states at times `ts`, each from the first step that ends there or later."""
    index = jax.vmap(jnp.searchsorted, in_axes=1, out_axes=1)(rows.end, ts)
    start, end, y0, y1, bends = jax.tree.map(lambda x: jnp.take_along_axis(x, index, axis=0, mode="clip"), rows)
    theta = (ts - start) / jnp.where(end > start, end - start, 1.0)

    def line(y0: Array, y1: Array, *bends: Array) -> Array:
        bend = bends[0] + theta * (bends[1] + theta * bends[2])
        return (1 - theta) * y0 + theta * (y1 + (1 - theta) * bend)

    return jax.tree.map(line, y0, y1, *bends)
