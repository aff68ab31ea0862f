"""The hinge's optimum where the kernel of support examples is far from singular: the dual's box problem, quickly.

`min a^T K a / 2 - sum a` over `0 <= a <= 1`, `K = U c U^T`. With slacks `p - q = K a - 1` from the start all equations
but `a p = 0`, `(1 - a) q = 0` hold, and a step of the interior point method is one system, `(K + p/a + q/(1-a)) da`. A
few of them tell most sides; the others change in a few rounds of `active_set`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gsdyn._fixed_points import active_set
from gsdyn._fixed_points.active_set import ABOVE, BELOW, INSIDE, Support
from gsdyn._fixed_points.inverses import Condensed, kernel
from gsdyn._numerics import dense
from gsdyn._problem import Problem

BACK = 0.995  # how much of the longest step is taken
CLOSE = 1e-3  # the gap, as a part of what it is a gap of, from where on sides are looked at
STEPS, ROUNDS = 16, 8


class State(NamedTuple):
    """Dual variables, slacks above and below the hinge, their products' sum, and steps."""

    a: Float[Array, " n"]
    p: Float[Array, " n"]
    q: Float[Array, " n"]
    gap: Float[Array, ""]
    i: Int[Array, ""]


def optimum(problem: Problem, limit: int) -> Support:
    """The optimum without a tilt, if the sides are `strict`."""
    end = _interior_point(kernel(problem.U, problem.c), min(limit, STEPS))
    found = active_set.located(problem, told_by(end.a, end.p, end.q), end.a, min(limit, ROUNDS), Condensed)
    return found._replace(iterations=end.i + found.iterations)


def told_by(a: Float[Array, " n"], p: Float[Array, " n"], q: Float[Array, " n"]) -> Int[Array, " n"]:
    """The side of every example, near the optimum, by its dual variable and the slacks above and below the hinge."""
    side = jnp.where(q > 1 - a, ABOVE, INSIDE)
    return jnp.where((p * jnp.max(a) > a) & (p > q), BELOW, side)


def _interior_point(K: Float[Array, "n n"], limit: int) -> State:
    n, diagonal = len(K), jnp.diagonal(K)

    def gap(a: Array, p: Array, q: Array) -> Array:
        return jnp.sum(a * p + (1 - a) * q)

    def step(state: State) -> State:
        a, p, q = state.a, state.p, state.q
        b, bent = 1 - a, p / a + q / (1 - a)
        scale = 1 / jnp.sqrt(diagonal + bent)
        solve = dense.spd_solver(scale[:, None] * (K + jnp.diag(bent)) * scale[None, :])

        def direction(low: Array, high: Array) -> tuple[Array, Array, Array]:
            """The step towards `a p = low`, `(1 - a) q = high`, with what is left of these."""
            da = scale * solve(scale * (low / a - high / b))
            return da, (low - p * da) / a, (high + q * da) / b

        def longest(da: Array, dp: Array, dq: Array) -> Array:
            out = jnp.maximum(jnp.maximum(-da / a, da / b), jnp.maximum(-dp / p, -dq / q))
            return 1 / jnp.maximum(jnp.max(out), 1.0)

        da, dp, dq = direction(-a * p, -b * q)
        t = longest(da, dp, dq)
        aim = (gap(a + t * da, p + t * dp, q + t * dq) / state.gap) ** 3 * (state.gap / (2 * n))
        da, dp, dq = direction(aim - a * p - da * dp, aim - b * q + da * dq)
        t = BACK * longest(da, dp, dq)
        a, p, q = a + t * da, p + t * dp, q + t * dq
        return State(a, p, q, gap(a, p, q), state.i + 1)

    a = 0.5 / jnp.sqrt(jnp.maximum(diagonal, 1.0))
    f = K @ a
    a, f = (jnp.minimum(1.0, jnp.sum(a) / (a @ f)) * x for x in (a, f))  # where the dual is largest along `a`
    root = jnp.sqrt((f - 1) ** 2 + 1)
    p, q = (root + f - 1) / 2, (root - f + 1) / 2
    start = State(a, p, q, gap(a, p, q), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(lambda s: (s.gap > CLOSE * jnp.sum(s.a)) & (s.i < limit), step, start)
