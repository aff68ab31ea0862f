"""The hinge's optimum where the kernel of support examples is far from singular: the dual's box problem, quickly.

`min a^T K a / 2 - sum a` over `0 <= a <= 1`, `K = U c U^T`. With slacks `p - q = K a - 1` from the start all equations
but `a p = 0`, `(1 - a) q = 0` hold, and a step of the interior point method is one system, `(K + p/a + q/(1-a)) da`. A
few of them tell most sides; the others change in a few rounds of `active_set`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn._fixed_points import active_set
from gsdyn._fixed_points.active_set import ABOVE, BELOW, INSIDE, Support
from gsdyn._fixed_points.inverses import Condensed, kernel
from gsdyn._numerics import dense
from gsdyn._problem import Problem

BACK = 0.995  # how much of the longest step is taken
CLOSE = 1e-3  # the gap, as a part of what it is a gap of, from where on sides are looked at
STEPS, ROUNDS = 16, 8

Slacks = tuple[Array, Array, Array, Array]


def optimum(problem: Problem, limit: int) -> Support:
    """The optimum without a tilt, if the sides are `strict`."""
    a, p, q, steps = _interior_point(kernel(problem.U, problem.c), min(limit, STEPS))
    side = jnp.where(q > 1 - a, ABOVE, INSIDE)
    side = jnp.where((p * jnp.max(a) > a) & (p > q), BELOW, side)
    found = active_set.located(problem, side, a, min(limit, ROUNDS), Condensed)
    return found._replace(iterations=steps + found.iterations)


def _solver(matrix: Float[Array, "n n"]) -> dense.Solver:
    """For a symmetric positive definite matrix, whose rows may have any scales."""
    scale = 1 / jnp.sqrt(jnp.diagonal(matrix))
    solve = dense.spd_solver(scale[:, None] * matrix * scale[None, :])
    return lambda b: scale * solve(scale * b)


def _interior_point(K: Float[Array, "n n"], limit: int) -> tuple[Array, Array, Array, Array]:
    """Dual variables, slacks above and below the hinge, and steps."""
    n = len(K)

    def gap(a: Array, p: Array, q: Array) -> Array:
        return jnp.sum(a * p) + jnp.sum((1 - a) * q)

    def go(state: Slacks) -> Array:
        a, p, q, i = state
        return (gap(a, p, q) > CLOSE * jnp.sum(a)) & (i < limit)

    def step(state: Slacks) -> Slacks:
        a, p, q, i = state
        b, now = 1 - a, gap(a, p, q)
        solve = _solver(K + jnp.diag(p / a + q / b))

        def direction(low: Array, high: Array) -> tuple[Array, Array, Array]:
            """The step towards `a p = low`, `(1 - a) q = high`, with what is left of these."""
            da = solve(low / a - high / b)
            return da, (low - p * da) / a, (high + q * da) / b

        def longest(da: Array, dp: Array, dq: Array) -> Array:
            return 1 / jnp.maximum(jnp.max(jnp.concatenate([-da / a, da / b, -dp / p, -dq / q])), 1.0)

        da, dp, dq = direction(-a * p, -b * q)
        t = longest(da, dp, dq)
        aim = (gap(a + t * da, p + t * dp, q + t * dq) / now) ** 3 * (now / (2 * n))
        da, dp, dq = direction(aim - a * p - da * dp, aim - b * q + da * dq)
        t = BACK * longest(da, dp, dq)
        return a + t * da, p + t * dp, q + t * dq, i + 1

    a = 0.5 / jnp.sqrt(jnp.maximum(jnp.diagonal(K), 1.0))
    f = K @ a
    t = jnp.minimum(1.0, jnp.sum(a) / (a @ f))  # where the dual is largest along `a`
    short = t * f - 1
    root = jnp.sqrt(short * short + 1)
    return jax.lax.while_loop(go, step, (t * a, (root + short) / 2, (root - short) / 2, jnp.zeros((), jnp.int32)))
