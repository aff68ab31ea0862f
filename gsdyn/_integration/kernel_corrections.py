"""Systems with a kernel, solved by corrections that learn from those before.

A correction solves the system without the tail of the kernel (`kernel_systems`), so what the tail asks for is left
over. Differences of corrections say how the rest answers to a move, and moves along them, orthogonal in the norm of the
kernel, make the next correction least: conjugate directions. Columns couple by a matrix `A^-1`, and in each of its
modes `mu/h + lam_1 + D K` is a kernel's operator and a number, so each mode has weights of its own; then two
directions do. Products with corrections that are small enough take single precision, which costs half of double, and
what this can have carried so far is counted (`noise`): coefficients and margins must not drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn._integration.kernel_systems import Modes, Problem, System

MEMORY = 2  # differences of corrections that are kept
CORRECTIONS = 256  # at most, of one system
COARSE = 0.05  # noise of single precision, over the size at which corrections end, up to which it serves products
WORSE = 100.0  # corrections, over the first, that are given up


class Move(NamedTuple):
    """A correction `d` and `K d`, and where it leads: `X` and `K X`; or differences of such."""

    d: Array
    Kd: Array
    X: Array
    KX: Array


class Ways(NamedTuple):
    """The last few differences of moves, each orthogonal to those before, the noise of each, and how many there
    were."""

    moves: Move
    noise: Array
    count: Array

    @classmethod
    def none(cls, like: Array) -> Ways:
        still = Move(*(jnp.zeros((MEMORY, *like.shape), like.dtype),) * 4)
        return cls(still, jnp.zeros(MEMORY, like.dtype), jnp.zeros((), jnp.int32))

    def put(self, move: Move, noise: Array) -> Ways:
        at = self.count % MEMORY
        moves = jax.tree.map(lambda a, b: a.at[at].set(b), self.moves, move)
        return Ways(moves, self.noise.at[at].set(noise), self.count + 1)

    def along(self, move: Move, noise: Array, modes: Modes) -> tuple[Move, Array]:
        """`move` by as much of the ways as makes its correction least, and its noise."""

        def less(j: Array, given: tuple[Move, Array]) -> tuple[Move, Array]:
            move, noise = given
            way = jax.tree.map(lambda a: a[j], self.moves)
            part = _part(way, move, modes)
            move = jax.tree.map(lambda a, b: a - b @ part.T, move, way)
            return move, noise + jnp.max(jnp.abs(part)) * self.noise[j]

        return jax.lax.fori_loop(0, jnp.minimum(self.count, MEMORY), less, (move, noise))


def _part(way: Move, move: Move, modes: Modes) -> Array:
    """How much of a `way` there is in a `move`, mode by mode: a matrix for the columns."""
    _, to, back = modes.arrays(move.d.dtype)

    def inner(a: Array, b: Array) -> Array:
        gram = a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])
        return jnp.sum((jnp.conj(back) @ gram.astype(back.dtype)) * back, axis=1)

    length = inner(way.Kd, way.d).real
    inverse = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1.0), 0.0)
    part = inner(way.Kd, move.d) * inverse.astype(to.dtype)
    return ((to * part[None, :]) @ back).real


class Rest(NamedTuple):
    """What is left of a system, and how much of it can be rounding."""

    value: Array
    unit: Array


class Search(NamedTuple):
    """Where corrections are: `X` and `K X`, what single precision can have added to the latter (`noise`), the last
    move with its noise, the ways; the sizes of the first and the last correction, of the last two changes of `X`, and
    how these shrink (`rate`); whether they ended, or are given up, and how many there were."""

    X: Array
    KX: Array
    noise: Array
    last: Move
    last_noise: Array
    ways: Ways
    first: Array
    left: Array
    sizes: Array
    rate: Array
    found: Array
    failed: Array
    count: Array

    @classmethod
    def of(cls, X: Array, KX: Array, exact: bool, rate: Array) -> Search:
        zero, no = jnp.zeros((), X.dtype), jnp.zeros((), bool)
        noise, none = zero if exact else zero + jnp.inf, Move(*(jnp.zeros_like(X),) * 4)
        sizes, count = jnp.zeros(2, X.dtype), jnp.zeros((), jnp.int32)
        return cls(X, KX, noise, none, zero, Ways.none(X), zero, zero + jnp.inf, sizes, rate, no, no, count)


def solve(
    problem: Problem,
    system: System,
    rest: Callable[[Array, Array], Rest],
    modes: Modes,
    guess: tuple[Array, Array],
    exact: bool,
    rate: Array,
    stop: Array,
) -> Search:
    """The `X` with `rest(X, K X) = 0`, to errors of `stop`, from a `guess` of both, which is `exact` or nearly so.

    `rate`: of the corrections, until they show it.
    """

    def step(s: Search) -> Search:
        left = rest(s.X, s.KX)
        d = system.solve(left.value, modes)
        noise = s.noise + problem.noise(d)
        # where single precision does not suffice, a product of the whole, so that what was off does not stay
        fine = ~(noise <= COARSE * stop)
        moved = jax.lax.cond(fine, lambda: problem.product(s.X + d), lambda: s.KX + problem.rough(d))
        new, noise = Move(d, moved - s.KX, s.X + d, moved), jnp.where(fine, 0.0, noise)
        return _next(problem, s, new, noise, modes, stop, jnp.all(jnp.abs(left.value) <= left.unit))

    def go(s: Search) -> Array:
        return ~s.found & ~s.failed & (s.count < CORRECTIONS)

    # the tail alone makes corrections shrink no faster
    mu = float(np.abs(modes.mu).min())
    rate = jnp.maximum(rate, 1 - mu / (mu + system.h * system.shift))
    return jax.lax.while_loop(go, step, Search.of(*guess, exact, rate))


def _next(problem: Problem, s: Search, new: Move, noise: Array, modes: Modes, stop: Array, settled: Array) -> Search:
    """The search after the move `new`; `settled` where all that was left before was rounding."""
    start, (last, before) = s.count == 0, s.sizes
    left = problem.norm(new.d, new.Kd)
    # corrections that do not shrink learn anew
    ways = s.ways._replace(count=jnp.where(left < s.left, s.ways.count, 0))
    way = ways.along(jax.tree.map(jnp.subtract, new, s.last), noise + s.last_noise, modes)
    ways = jax.lax.cond(start, lambda: ways, lambda: ways.put(*way))
    end, carried = ways.along(new, noise, modes)
    size = problem.norm(end.X - s.X, end.KX - s.KX)
    first = jnp.where(start, left, s.first)
    shown = jnp.maximum(size / last, jnp.where(s.count > 1, jnp.sqrt(size / before), 0.0))
    rate = jnp.where(start, s.rate, shown)
    near = (rate < 1) & (rate * jnp.maximum(size, left) < stop * (1 - rate))
    found = (near | settled) & (carried <= stop)
    failed = ~jnp.isfinite(size) | (left > WORSE * first)
    sizes = jnp.stack([size, last])
    return Search(end.X, end.KX, carried, new, noise, ways, first, left, sizes, rate, found, failed, s.count + 1)
