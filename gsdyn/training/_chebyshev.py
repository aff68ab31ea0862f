"""Gradient flows of whole networks by Chebyshev steps: explicit, of second order, and long.

    Y_1 = y + mu'_1 h F(y),   Y_j = (1 - mu_j - nu_j) y + mu_j Y_{j-1} + nu_j Y_{j-2} + h (mu'_j F(Y_{j-1}) + g_j F(y))

A step of s gradients is stable up to `0.65 s^2` over the curvature of the loss, where as many steps of gradient descent
reach `2 s`; and its length follows the solution. Long after a switch of the penalty, where gradient descent takes tens
of thousands of steps, that is a thirtieth of the gradients. The curvature is found by power iteration on the way.
Reference: Sommeijer, Shampine & Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput. Appl. Math. 88 (1998).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

DAMPING = 2 / 13
REACH = 0.65  # of a step, times s^2 over the curvature
MOST = 60  # gradients a step: their rounding grows like the square
ROUNDS = 20  # of power iteration where the flow is another one
SAFETY = 1.2  # on the curvature, which power iteration finds from below


class Piece(NamedTuple):
    """Pieces of a flow, one after the other, all with a leading axis: where each ends, the arguments of the velocity in
    it, and whether they are others than before."""

    end: Array
    args: Any
    fresh: Array


class Followed(NamedTuple):
    """At the end of every piece what was `seen`, the parameters `y` at the last, whether each was `reached`, and how
    many `gradients`, `steps` and steps that were given up (`failed`) it took so far."""

    seen: Any
    y: Array
    reached: Array
    gradients: Array
    steps: Array
    failed: Array


class _State(NamedTuple):
    t: Array
    y: Array
    F: Array
    h: Array
    v: Array
    curvature: Array
    gradients: Array
    steps: Array
    failed: Array


class Allowed(NamedTuple):
    """What a step may err, as a length (`absolute`) and over the length of `y` (`relative`); and how many `steps` there
    may be in all."""

    absolute: ArrayLike
    relative: ArrayLike
    steps: int


@eqx.filter_jit
def follow(
    velocity: Callable[[Array, Any], Array], start: Array, pieces: Piece, see: Callable[[Array], Any], allowed: Allowed
) -> Followed:
    """The flow `y' = velocity(y, args)` from time 0, piece by piece.

    - `velocity`: minus the gradient of a loss, as a vector of the parameters `y`, (p,).
    - `see`: from the parameters to what is kept at the end of each piece.

    Compiled once for the same functions and shapes. What was not reached is NaN.
    """
    v = jax.random.normal(jax.random.key(0), start.shape, start.dtype)
    time = pieces.end.dtype
    zero, none = jnp.zeros((), time), jnp.zeros((), int)
    state = _State(zero, start, jnp.zeros_like(start), zero, v / jnp.linalg.norm(v), zero, none, none, none)

    def one(state: _State, piece: Piece) -> tuple[_State, tuple]:
        def F(y: Array) -> Array:
            return velocity(y, piece.args)

        state = jax.lax.cond(piece.fresh, lambda state: _begun(F, state), lambda state: state, state)
        state = jax.lax.while_loop(
            lambda state: (state.t < piece.end) & (state.steps + state.failed < allowed.steps),
            lambda state: _tried(F, state, piece.end, allowed),
            state,
        )
        reached = state.t >= piece.end
        seen = jax.tree.map(lambda part: jnp.where(reached, part, jnp.nan), see(state.y))
        return state, (seen, reached, state.gradients, state.steps, state.failed)

    last, (seen, *counts) = jax.lax.scan(one, state, pieces)
    return Followed(seen, last.y, *counts)


def _begun(F: Callable, state: _State) -> _State:
    """The state where a flow begins: its velocity, its curvature, and a step that gradient descent could take too."""

    def better(_: int, found: tuple[Array, Array]) -> tuple[Array, Array]:
        return _curvature(F, state.y, found[0], state.curvature.dtype)

    v, curvature = jax.lax.fori_loop(0, ROUNDS, better, (state.v, state.curvature))
    step = 0.25 / curvature
    return state._replace(F=F(state.y), h=step, v=v, curvature=curvature, gradients=state.gradients + 1 + 2 * ROUNDS)


def _curvature(F: Callable, y: Array, v: Array, dtype: Any) -> tuple[Array, Array]:
    """One round of power iteration: a direction nearer to the steepest one, and what it says of the curvature."""
    w = jax.jvp(F, (y,), (v,))[1]
    size = jnp.linalg.norm(w)
    live = (size > 0) & jnp.isfinite(size)
    return jnp.where(live, w / jnp.where(live, size, 1), v), jnp.where(live, size, 1e-30).astype(dtype)


def _tried(F: Callable, state: _State, end: Array, allowed: Allowed) -> _State:
    """The state after a step, or with a shorter one where its error is too large."""
    curvature = SAFETY * state.curvature
    step = jnp.minimum(state.h, end - state.t)
    step = jnp.minimum(step, REACH * (MOST**2 - 1) / curvature)
    last = step >= end - state.t
    count = jnp.clip(jnp.ceil(jnp.sqrt(1 + step * curvature / REACH)), 2, MOST).astype(int)
    h = step.astype(state.y.dtype)
    y = _step(F, state.y, state.F, h, count)
    velocity = F(y)
    apart = jnp.linalg.norm(0.8 * (state.y - y) + 0.4 * h * (state.F + velocity))
    size = jnp.maximum(jnp.linalg.norm(state.y), jnp.linalg.norm(y))
    most = jnp.maximum(allowed.absolute + allowed.relative * size, jnp.finfo(size.dtype).tiny)
    error = (apart / most).astype(state.t.dtype)
    good = error <= 1
    factor = jnp.where(error < jnp.inf, jnp.clip(0.8 * jnp.maximum(error, 1e-6) ** (-1 / 3), 0.1, 5.0), 0.1)
    y, velocity = jnp.where(good, y, state.y), jnp.where(good, velocity, state.F)
    v, found = _curvature(F, y, state.v, state.curvature.dtype)
    longer = step * factor.astype(step.dtype)
    return _State(
        jnp.where(good, jnp.where(last, end, state.t + step), state.t),
        y,
        velocity,
        jnp.where(good & last, jnp.maximum(state.h, longer), longer),
        v,
        found,
        state.gradients + count + 2,
        state.steps + good.astype(int),
        state.failed + (~good).astype(int),
    )


def _step(F: Callable, y: Array, velocity: Array, h: Array, count: Array) -> Array:
    """One step of `count` >= 2 gradients, the first of which is known."""
    time = jnp.zeros(()).astype(float).dtype
    w0 = 1 + DAMPING / count.astype(time) ** 2
    w1 = _slopes(w0, count)
    one = jnp.ones((), time)

    def weight(polynomials: tuple[Array, Array, Array]) -> Array:
        return polynomials[2] / polynomials[1] ** 2

    def stage(_: int, carry: tuple) -> tuple:
        (before, own), (b2, b1), (older, newer) = carry
        after = _next(w0, before, own)
        b = weight(after)
        mu, nu, pull = 2 * b * w0 / b1, -b / b2, 2 * b * w1 / b1
        start = -(1 - b1 * own[0]) * pull
        at = [part.astype(y.dtype) for part in (1 - mu - nu, mu, nu, pull, start)]
        Y = at[0] * y + at[1] * newer + at[2] * older + h * (at[3] * F(newer) + at[4] * velocity)
        return (own, after), (b1, b), (newer, Y)

    zeroth, first = (one, 0 * one, 0 * one), (w0, one, 0 * one)
    b2 = weight(_next(w0, zeroth, first))
    b1 = 1 / w0
    Y = y + (b1 * w1).astype(y.dtype) * h * velocity
    return jax.lax.fori_loop(1, count, stage, ((zeroth, first), (b2, b1), (y, Y)))[2][1]


def _next(w0: Array, before: tuple, own: tuple) -> tuple[Array, Array, Array]:
    """Chebyshev's polynomial of the next degree at `w0`, with two derivatives."""
    T = 2 * w0 * own[0] - before[0]
    first = 2 * own[0] + 2 * w0 * own[1] - before[1]
    return T, first, 4 * own[1] + 2 * w0 * own[2] - before[2]


def _slopes(w0: Array, count: Array) -> Array:
    """`T'(w0)/T''(w0)` of degree `count`."""
    one = jnp.ones_like(w0)
    zeroth, first = (one, 0 * one, 0 * one), (w0, one, 0 * one)
    last = jax.lax.fori_loop(1, count, lambda _, pair: (pair[1], _next(w0, *pair)), (zeroth, first))[1]
    return last[1] / last[2]
