"""The hinge loss's optimum (P21 Table 4): a primal-dual interior point method that tells which examples are support.

With `z = sqrt(c) y`, `B = U sqrt(c)` and the slacks `p - q = B y - 1` of every margin, the optimum has
`y = B^T (a - T f + pull)`, `a p = 0`, `(1 - a) q = 0`, `0 <= a <= 1`, `p, q >= 0`. A Newton step for all of these is
the library's one system, `(I + B^T (T + W) B) dy`, with `1/W = p/a + q/(1-a)`. Responses are unknowns of their own:
from the pulls they would come out of cancellation as soon as `c` is large. What the method finds is the side of every
example; `active_set` gives the digits. In a batch `sides` tells sooner, where the kernel is far from singular.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gsdyn._fixed_points import active_set, sides
from gsdyn._fixed_points.active_set import Support
from gsdyn._numerics import linear
from gsdyn._numerics.batching import in_turn
from gsdyn._problem import Problem
from gsdyn.penalties import Tilt


class State(NamedTuple):
    """Responses, dual variables, slacks above and below the hinge, steps, and whether the gap is closed."""

    y: Float[Array, " k"]
    a: Float[Array, " n"]
    p: Float[Array, " n"]
    q: Float[Array, " n"]
    i: Int[Array, ""]
    done: Array


def solve(problem: Problem, limit: int) -> Support:
    """The optimum of the hinge loss, differentiable in `U`, `c` and the tilt."""
    loss = problem.loss

    def alone(arrays: tuple) -> Support:
        U, c, tilt = arrays
        return _located(Problem(U, c, loss, tilt), limit)

    def in_batch(arrays: tuple) -> Support:
        U, c, tilt = arrays
        if tilt is not None:
            return alone(arrays)
        found = sides.optimum(Problem(U, c, loss, None), limit)
        return jax.lax.cond(found.strict, lambda: found, lambda: alone(arrays))

    found = in_turn(alone, in_batch)(jax.lax.stop_gradient((problem.U, problem.c, problem.tilt)))
    return active_set.answering(problem, found)


def _located(problem: Problem, limit: int) -> Support:
    end = _interior_point(problem.B, problem.tilt, limit)
    found = active_set.located(problem, sides.told_by(end.a, end.p, end.q), end.a, limit)
    return found._replace(iterations=found.iterations + end.i)


def _start(B: Float[Array, "n k"], tilt: Tilt | None) -> State:
    a = 0.5 / (1 + jnp.sum(B * B, axis=1))  # near the optimum of every example alone
    y = linear.adjoint(B, a)
    if tilt is not None:
        y = linear.dense_response_solver(jnp.sqrt(tilt.curvature), B)(linear.adjoint(B, a + tilt.pull))
    p = jnp.maximum(B @ y - 1, 0.0) + 1
    return State(y, a, p, a * p / (1 - a), jnp.zeros((), jnp.int32), jnp.zeros((), bool))


def _interior_point(B: Float[Array, "n k"], tilt: Tilt | None, limit: int) -> State:
    n = B.shape[0]
    eps = float(jnp.finfo(B.dtype).eps)
    T, pull = (jnp.zeros(n, B.dtype),) * 2 if tilt is None else tilt

    def step(s: State) -> State:
        y, a, p, q = s[:4]
        f, b = B @ y, 1 - a
        short = y - linear.adjoint(B, a - T * f + pull)
        apart = f - 1 - p + q
        gap = jnp.sum(a * p) + jnp.sum(b * q)
        w = 1 / (p / a + q / b)
        solve = linear.dense_response_solver(jnp.sqrt(w + T), B)

        def direction(low: Array, high: Array) -> tuple[Array, ...]:
            """The step towards `a p = low`, `(1 - a) q = high`, with what is left of these."""
            h = w * (low / a - high / b - apart)
            dy = solve(linear.adjoint(B, h) - short)
            da = h - w * (B @ dy)
            return dy, da, (low - p * da) / a, (high + q * da) / b

        def longest(da: Array, dp: Array, dq: Array) -> Array:
            return 1 / jnp.maximum(jnp.max(jnp.concatenate([-da / a, da / b, -dp / p, -dq / q])), 1.0)

        _, da, dp, dq = direction(-a * p, -b * q)
        t = longest(da, dp, dq)
        after = jnp.sum((a + t * da) * (p + t * dp)) + jnp.sum((b - t * da) * (q + t * dq))
        aim = (after / gap) ** 3 * (gap / (2 * n))
        dy, da, dp, dq = direction(aim - a * p - da * dp, aim - b * q + da * dq)
        t = sides.BACK * longest(da, dp, dq)
        new = State(y + t * dy, a + t * da, p + t * dp, q + t * dq, s.i + 1, s.done)
        level = jnp.sum(jax.nn.relu(1 - f)) + jnp.sum(y * y) / 2 + jnp.abs(jnp.sum(T * f * f / 2 - pull * f))
        # what is left of the two linear equations shrinks together
        closed = (gap <= 16 * eps**0.75 * level) & (jnp.max(jnp.abs(apart) / (1 + jnp.abs(f))) <= eps**0.5)
        fine = jnp.isfinite(sum(jnp.sum(x) for x in new[:4])) & (jnp.min(jnp.concatenate(new[1:4])) > 0)
        return jax.tree.map(lambda x, o: jnp.where(fine & ~closed, x, o), new, s)._replace(done=closed | ~fine)

    return jax.lax.while_loop(lambda s: ~s.done & (s.i < limit), step, _start(B, tilt))
