"""The hinge's optimum where the kernel of support examples is far from singular: the dual's box problem, quickly.

`min a^T K a / 2 - sum a` over `0 <= a <= 1`, `K = U c U^T`. With slacks `p - q = K a - 1` from the start all equations
but `a p = 0`, `(1 - a) q = 0` hold, and a step of the interior point method is one system, `(K + p/a + q/(1-a)) da`. A
few of them tell most sides; the others change in a few rounds of `active_set`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
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
from gsdyn.losses import Loss

CLOSE = 1e-3  # the gap, as a part of what it is a gap of, from where on sides are looked at
STEPS, ROUNDS = 16, 8


class State(NamedTuple):
    """Dual variables and slacks, their gap, steps, and whether it is small enough."""

    point: Point
    gap: Float[Array, " *m"]
    i: Int[Array, " *m"]
    done: Bool[Array, " *m"]


def optimum(problem: Problem, limit: int) -> Support:
    """The optimum without a tilt, if the sides are `strict`."""
    end = _interior_point(kernel(problem.U, problem.c), min(limit, STEPS))
    return _told(problem, end.point.sides(), end.point.a, end.i, limit)


def optima(U: Float[Array, "m n k"], c: Float[Array, "m k"], loss: Loss, limit: int) -> Support:
    """`optimum` of several small problems at once."""
    end = _interior_point(jnp.moveaxis(jax.vmap(kernel)(U, c), 0, -1), min(limit, STEPS))

    def told(U: Array, c: Array, side: Array, a: Array, i: Array) -> Support:
        return _told(Problem(U, c, loss, None), side, a, i, limit)

    return jax.vmap(told)(U, c, end.point.sides().T, end.point.a.T, end.i)


def _told(problem: Problem, side: Array, a: Array, steps: Array, limit: int) -> Support:
    found = active_set.located(problem, side, a, min(limit, ROUNDS), Condensed)
    return found._replace(iterations=steps + found.iterations)


def _interior_point(K: Float[Array, "n n *m"], limit: int) -> State:
    """Of one kernel, or of small ones side by side, each of which stays where it is done."""
    eye = jnp.eye(len(K), dtype=bool).reshape(len(K), len(K), *(1,) * (K.ndim - 2))
    diagonal = jnp.sum(jnp.where(eye, K, 0.0), axis=0)

    def step(state: State) -> State:
        a, p, q = state.point
        bent = p / a + q / (1 - a)
        scale = 1 / jnp.sqrt(diagonal + bent)
        solve = _solver(scale[:, None] * jnp.where(eye, K + bent[:, None], K) * scale[None])

        def towards(low: Array, high: Array) -> tuple[Array, tuple[()]]:
            return scale * solve(scale * (low / a - high / (1 - a))), ()

        t, d, gap, _ = interior.step(state.point, state.gap, towards, ())
        point = state.point.after(jnp.where(state.done, 0.0, t), d)
        gap = jnp.where(state.done, state.gap, gap)
        i = state.i + (~state.done).astype(state.i.dtype)
        return State(point, gap, i, gap <= CLOSE * jnp.sum(point.a, axis=0))

    a = 0.5 / jnp.sqrt(jnp.maximum(diagonal, 1.0))
    f = _product(K, a)
    best = jnp.minimum(1.0, jnp.sum(a, axis=0) / jnp.sum(a * f, axis=0))[None]  # where the dual is largest along `a`
    a, f = best * a, best * f
    root = jnp.sqrt((f - 1) ** 2 + 1)
    first = Point(a, (root + f - 1) / 2, (root - f + 1) / 2)
    gap = first.gap()
    start = State(first, gap, jnp.zeros(gap.shape, jnp.int32), jnp.zeros(gap.shape, bool))
    return jax.lax.while_loop(lambda s: jnp.any(~s.done & (s.i < limit)), step, start)


def _solver(system: Float[Array, "n n *m"]) -> Callable[[Array], Array]:
    return dense.spd_solver(system) if system.ndim == 2 else functools.partial(_product, dense.spd_inverses(system))


def _product(K: Float[Array, "n n *m"], v: Float[Array, "n *m"]) -> Float[Array, "n *m"]:
    return K @ v if K.ndim == 2 else jnp.sum(K * v[None], axis=1)
