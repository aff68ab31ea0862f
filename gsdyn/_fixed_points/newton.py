"""Newton's method for every smooth loss and every penalty, in normalised responses.

With `B = U sqrt(c)` and `z = sqrt(c) y`, the fixed point `z = c U^T a(U z)` is the minimum of the strictly convex
`P(y) = sum_i l((B y)_i) + |y|^2 / 2`, whose Hessian `I + B^T W B` is never singular, whatever the strengths.

All losses here satisfy `|l'''| <= m l''` along a step that changes the margins by at most `m`. Along a Newton step
`d` scaled by `t` then `P` changes by at most `P''(d, d) (-t + (e^(tm) - 1 - tm)/m^2)`, which is negative for
`t m <= max(1.79, log(1 + m))`. So a step of that length decreases `P` every time and converges from everywhere, and it
is the full step, with a quadratic end game, as soon as `m <= 1.79`. Longer steps are taken while `P` still falls.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn._numerics import linear
from gsdyn._problem import Problem

FULL_STEP = 1.79


def minimise(problem: Problem, limit: int) -> tuple[Array, Array, Array]:
    """The minimum `y` of `P`, the steps it took and whether it was reached."""
    loss, B = problem.loss, problem.B
    eps = jnp.finfo(B.dtype).eps
    large = jnp.abs(B)

    def residual(y: Array) -> tuple[Array, Array, Array, Array]:
        f = B @ y
        a = problem.pull(f)
        size = jnp.abs(y) + linear.adjoint(large, jnp.abs(a))
        return f, a, loss.balanced(y - linear.adjoint(B, a), size), size

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        y, i, _, last = state
        f, _, g, size = residual(y)
        rtol = jnp.minimum(0.1, last)
        d = -linear.solver(problem.root_curvature(f), B, rtol)(g)
        d = loss.centred(d)
        df = B @ d
        m = loss.spread(df)
        t = step_length(m, lambda t: jnp.sum((y + t * d) * d) - _slope(f + t * df, df))
        done = (m * (m + last * _inexact(B)) <= eps / 4) | jnp.all(jnp.abs(g) <= 4 * eps * size) | ~(m < jnp.inf)
        return jnp.where(m < jnp.inf, loss.centred(y + t * d), y), i + 1, done, m

    def _slope(f: Array, df: Array) -> Array:
        return jnp.sum(problem.pull(f) * df)

    one = jnp.ones((), B.dtype)
    state = (loss.centred(_working_response(problem)), jnp.zeros((), jnp.int32), jnp.zeros((), bool), one)
    y, i, done, m = jax.lax.while_loop(lambda s: ~s[2] & (s[1] < limit), step, state)
    return y, i, done & (m < jnp.inf)


def step_length(m: Array, slope: Callable[[Array], Array]) -> Array:
    """How far to go along a Newton step that changes margins by `m`: between the safe length and 1, as far as the
    objective falls, to a factor of 2."""
    longest = jnp.maximum(m, FULL_STEP)
    safe = jnp.where(m > FULL_STEP, jnp.maximum(FULL_STEP, jnp.log1p(m)) / longest, 1.0)
    top = jnp.where((safe < 1) & (slope(jnp.ones_like(m)) > 0), 1.0, safe)

    def halve(bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = jnp.sqrt(low * high)
        falls = slope(middle) <= 0
        return jnp.where(falls, middle, low), jnp.where(falls, high, middle)

    low, _ = jax.lax.while_loop(lambda b: b[1] > 2 * b[0], halve, (safe, top))
    return jnp.where((safe < 1) & (top < 1), 1.0, low)


def _inexact(B: Array) -> float:
    return 1.0 if B.shape[1] > linear.DENSE_LIMIT else 0.0


def _working_response(problem: Problem) -> Array:
    """The least-squares fit of the first working response, from the margins of uncoupled examples."""
    B = problem.B
    f = problem.loss.start(jnp.sum(B * B, axis=1))
    root = problem.root_curvature(f)
    target = problem.pull(f) + linear.curvature_product(root, f)
    return linear.solver(root, B, 1e-2)(linear.adjoint(B, target))
