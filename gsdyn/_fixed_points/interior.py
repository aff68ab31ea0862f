"""Inside the box of the hinge's dual variables: the step that both interior point methods take (Mehrotra 1992).

Of dual variables `0 < a < 1` and slacks `p, q > 0` of every margin above and below the hinge; at the optimum `a p = 0`
and `(1 - a) q = 0`. Of one problem, or of several side by side along a last axis, all of whose instructions are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gsdyn._fixed_points.active_set import ABOVE, BELOW, INSIDE

BACK = 0.995  # how much of the longest step is taken
M = TypeVar("M")


class Point(NamedTuple):
    """Dual variables, and the slacks above and below the hinge."""

    a: Float[Array, "n *m"]
    p: Float[Array, "n *m"]
    q: Float[Array, "n *m"]

    def gap(self) -> Float[Array, " *m"]:
        """What the products that are zero at the optimum sum up to."""
        return jnp.sum(self.a * self.p + (1 - self.a) * self.q, axis=0)

    def after(self, t: Array, d: Point) -> Point:
        """The point a part `t` of a step further."""
        return Point(*(x + t[None] * dx for x, dx in zip(self, d, strict=True)))

    def sides(self) -> Int[Array, "n *m"]:
        """The side of every example, near the optimum."""
        a, p, q = self
        side = jnp.where(q > 1 - a, ABOVE, INSIDE)
        return jnp.where((p * jnp.max(a, axis=0, keepdims=True) > a) & (p > q), BELOW, side)


def step(
    point: Point, gap: Float[Array, " *m"], towards: Callable[[Array, Array], tuple[Array, M]], more: M
) -> tuple[Float[Array, " *m"], Point, Float[Array, " *m"], M]:
    """How much of which step to take, the gap after it, and what else moves, of the shape of `more`.

    `towards(low, high)`: how `a` moves by Newton's method for `a p = low`, `(1 - a) q = high`, and what else moves.
    First for products of zero; then, by what that leaves of the gap, for products that are all alike, to second order.
    Twice the same operations, so that XLA compiles them once; a loop would cost more than the step.
    """
    a, p, q = point
    n = len(a)

    def again(last: tuple) -> tuple:
        _, (da, dp, dq), after, _ = last
        aim = ((after / gap) ** 3 * (gap / (2 * n)))[None]
        low, high = aim - a * p - da * dp, aim - (1 - a) * q + da * dq
        da, more = towards(low, high)
        d = Point(da, (low - p * da) / a, (high + q * da) / (1 - a))
        out = jnp.maximum(jnp.maximum(-d.a / a, d.a / (1 - a)), jnp.maximum(-d.p / p, -d.q / q))
        t = BACK / jnp.maximum(jnp.max(out, axis=0), 1.0)
        return t, d, point.after(t, d).gap(), more

    zero = jnp.zeros_like(gap)
    return again(again((zero, Point(*jax.tree.map(jnp.zeros_like, point)), zero, more)))
