"""The hinge's optimum where the kernel of support examples is far from singular: the dual's box problem, quickly.

`min a^T K a / 2 - sum a` over `0 <= a <= 1`, `K = U c U^T`. With slacks `p - q = K a - 1` from the start all equations
but `a p = 0`, `(1 - a) q = 0` hold, and a step of the interior point method is one system, `(K + p/a + q/(1-a)) da`. A
few of them tell most sides; the others change in a few rounds of `active_set`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn._fixed_points import active_set, interior
from gsdyn._fixed_points.active_set import Support
from gsdyn._fixed_points.interior import Point
from gsdyn._fixed_points.inverses import Condensed, kernel
from gsdyn._numerics import dense
from gsdyn._problem import Problem

CLOSE = 1e-3  # the gap, as a part of what it is a gap of, from where on sides are looked at
STEPS, ROUNDS = 16, 8


class State(NamedTuple):
    """Dual variables and slacks, their gap, steps, and whether it is small enough."""

    point: Point
    gap: Float[Array, ""]
    i: Int[Array, ""]
    done: Bool[Array, ""]


def optimum(problem: Problem, limit: int) -> Support:
    """The optimum without a tilt, if the sides are `strict`."""
    end = _interior_point(kernel(problem.U, problem.c), min(limit, STEPS))
    found = active_set.located(problem, end.point.sides(), end.point.a, min(limit, ROUNDS), Condensed)
    return found._replace(iterations=end.i + found.iterations)


def _interior_point(K: Float[Array, "n n"], limit: int) -> State:
    diagonal = jnp.diagonal(K)

    def step(state: State) -> State:
        a, p, q = state.point
        bent = p / a + q / (1 - a)
        scale = 1 / jnp.sqrt(diagonal + bent)
        system = scale[:, None] * (K + jnp.diag(bent)) * scale[None, :]
        solve = dense.spd_inverse(system).__matmul__ if len(K) <= dense.OWN_LIMIT else dense.spd_solver(system)

        def towards(low: Array, high: Array) -> tuple[Array, tuple[()]]:
            return scale * solve(scale * (low / a - high / (1 - a))), ()

        t, d, gap, _ = interior.step(state.point, state.gap, towards, ())
        point = state.point.after(t, d)
        return State(point, gap, state.i + 1, gap <= CLOSE * jnp.sum(point.a))

    a = 0.5 / jnp.sqrt(jnp.maximum(diagonal, 1.0))
    f = K @ a
    a, f = (jnp.minimum(1.0, jnp.sum(a) / (a @ f)) * x for x in (a, f))  # where the dual is largest along `a`
    root = jnp.sqrt((f - 1) ** 2 + 1)
    first = Point(a, (root + f - 1) / 2, (root - f + 1) / 2)
    start = State(first, first.gap(), jnp.zeros((), jnp.int32), jnp.zeros((), bool))
    return jax.lax.while_loop(lambda s: ~s.done & (s.i < limit), step, start)
