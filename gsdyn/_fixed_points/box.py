"""The hinge loss's optimum (P21 Table 4): a primal-dual interior point method that tells which examples are support.

With `z = sqrt(c) y`, `B = U sqrt(c)` and the slacks `p - q = B y - 1` of every margin, the optimum has
`y = B^T (a - T f + pull)`, `a p = 0`, `(1 - a) q = 0`, `0 <= a <= 1`, `p, q >= 0`. A Newton step for all of these is
the library's one system, `(I + B^T (T + W) B) dy`, with `1/W = p/a + q/(1-a)`. Responses are unknowns of their own:
from the pulls they would come out of cancellation as soon as `c` is large. What the method finds is the side of every
example; `active_set` gives the digits. Without a tilt, and where double precision and enough features leave digits to
the kernel, `sides` tells them sooner, in a batch by even fewer steps where the kernel is far from singular.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun
from jaxtyping import Array, Bool, Float, Int

from gsdyn._fixed_points import active_set, interior, sides
from gsdyn._fixed_points.active_set import Support
from gsdyn._fixed_points.interior import Point
from gsdyn._numerics import dense, linear
from gsdyn._numerics.batching import batched, finish_each, in_chunks, in_turn
from gsdyn._problem import Problem
from gsdyn.losses import Loss
from gsdyn.penalties import Tilt

ENTRIES = 2**14  # of all kernels of a batch that are looked at together, so that they stay in the cache
LEAST = 64  # problems that are
P = TypeVar("P")
S = TypeVar("S")


class State(NamedTuple):
    """Responses, dual variables and slacks, their gap, steps, and whether it is closed."""

    y: Float[Array, " k"]
    point: Point
    gap: Float[Array, ""]
    i: Int[Array, ""]
    done: Bool[Array, ""]


def solve(problem: Problem, limit: int) -> Support:
    """The optimum of the hinge loss, differentiable in `U`, `c` and the tilt."""
    loss, small = problem.loss, len(problem.U) <= dense.OWN_LIMIT and jax.default_backend() == "cpu"
    arrays = jax.lax.stop_gradient((problem.U, problem.c, problem.tilt))
    # traced once, for one problem and for those that are left of a batch
    alone, shapes = _traced(lambda arrays: _located(_problem(arrays, loss), limit), arrays)

    def in_batch(arrays: tuple) -> Support:
        found = sides.optimum(_problem(arrays, loss), limit)
        return jax.lax.cond(found.strict, lambda: found, lambda: alone(arrays))

    def many(arrays: tuple) -> Support:
        """All small problems at once, and those that are not told by that one by one."""
        count = len(arrays[0])
        found = jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), shapes)
        size = max(LEAST, ENTRIES // len(problem.U) ** 2)
        found = in_chunks(lambda arrays: sides.optima(arrays[0], arrays[1], loss, limit), arrays, found, size)
        return finish_each(alone, arrays, found, ~found.strict)

    if problem.tilt is not None:
        found = in_turn(alone)(arrays)
    else:
        found = (batched(alone, many) if small else in_turn(alone, in_batch))(arrays)
    return active_set.answering(problem, found)


def _traced(function: Callable[[P], S], example: P) -> tuple[Callable[[P], S], S]:
    """`function` as a program that is traced here and never again, and the shapes that it returns."""
    program, shapes = jax.make_jaxpr(function, return_shape=True)(example)
    flat, tree = jaxpr_as_fun(program), jax.tree.structure(shapes)
    return lambda x: tree.unflatten(flat(*jax.tree.leaves(x))), shapes


def _problem(arrays: tuple, loss: Loss) -> Problem:
    U, c, tilt = arrays
    return Problem(U, c, loss, tilt)


def _located(problem: Problem, limit: int) -> Support:
    end = _interior_point(problem.B, problem.tilt, limit)
    found = active_set.located(problem, end.point.sides(), end.point.a, limit)
    return found._replace(iterations=found.iterations + end.i)


def _start(B: Float[Array, "n k"], tilt: Tilt | None) -> State:
    a = 0.5 / (1 + jnp.sum(B * B, axis=1))  # near the optimum of every example alone
    y = linear.adjoint(B, a)
    if tilt is not None:
        y = linear.dense_response_solver(jnp.sqrt(tilt.curvature), B)(linear.adjoint(B, a + tilt.pull))
    p = jnp.maximum(B @ y - 1, 0.0) + 1
    point = Point(a, p, a * p / (1 - a))
    return State(y, point, point.gap(), jnp.zeros((), jnp.int32), jnp.zeros((), bool))


def _interior_point(B: Float[Array, "n k"], tilt: Tilt | None, limit: int) -> State:
    eps = float(jnp.finfo(B.dtype).eps)

    def step(s: State) -> State:
        y, (a, p, q) = s.y, s.point
        f = B @ y
        pull, curvature = (a, 0.0) if tilt is None else (a - tilt.curvature * f + tilt.pull, tilt.curvature)
        apart = f - 1 - p + q
        w = 1 / (p / a + q / (1 - a))
        solve = linear.dense_response_solver(jnp.sqrt(w + curvature), B)

        def towards(low: Array, high: Array) -> tuple[Array, Array]:
            h = w * (low / a - high / (1 - a) - apart)
            dy = solve(linear.adjoint(B, h + pull) - y)
            return h - w * (B @ dy), dy

        t, d, gap, dy = interior.step(s.point, s.gap, towards, jnp.zeros_like(y))
        level = jnp.sum(jax.nn.relu(1 - f)) + jnp.sum(y * y) / 2
        if tilt is not None:
            level = level + jnp.abs(jnp.sum(tilt.curvature * f * f / 2 - tilt.pull * f))
        # what is left of the two linear equations shrinks together
        near = jnp.all(jnp.abs(apart) <= eps**0.5 * (1 + jnp.abs(f)))
        on = jnp.isfinite(gap) & ~(near & (s.gap <= 16 * eps**0.75 * level))
        new = State(y + t * dy, s.point.after(t, d), gap, s.i + 1, s.done)
        return jax.tree.map(lambda x, o: jnp.where(on, x, o), new, s)._replace(done=~on)

    return jax.lax.while_loop(lambda s: ~s.done & (s.i < limit), step, _start(B, tilt))
