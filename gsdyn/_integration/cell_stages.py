"""The dual stages of two features in two examples, entry by entry: under `vmap` a batch of them is elementwise work.

The same equation and the same search as in `stages`, with a third-order step: Newton's `d`, then the correction for
the pull's second derivative, solved with the same matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn._fixed_points.newton import FULL_STEP
from gsdyn._numerics.pairs import Pair, Quad
from gsdyn.losses import CellLoss

SHORT = 0.5  # the longest Newton step that is worth a correction


class Point(NamedTuple):
    """A coordinate, its pull, Newton's step from it, what that does to the pull, and the rest of its curvature."""

    x: Pair
    p: Pair
    d: Pair
    dp: Pair
    rest: Array


def solve(
    loss: CellLoss,
    B: Quad,
    shift: tuple[Array | float, Array | float],
    r: Pair,
    tau: Float[Array, ""],
    guess: Pair,
    share: float,
    limit: int,
) -> tuple[Pair, Pair, Bool[Array, ""]]:
    """Coordinate and pull of the stage `p - tau (x - B B^T (p + shift)) = r`, and whether they are found."""
    newton = _newton(loss, B, shift, r, tau, share)

    def body(carry: tuple[Point, Array, Array, Array]) -> tuple[Point, Array, Array, Array]:
        at, t, i, _ = carry
        new, small = newton(_along(at.x, t, at.d))
        # the slope of the convex objective where the step ends, against half of what it was where it began
        curvature = sum(-d * dp for d, dp in zip(at.d, at.dp, strict=True))
        slope = sum(d * (p - q) for d, p, q in zip(at.d, at.p, new.p, strict=True)) - curvature - (1 - t) * at.rest
        accept = (slope <= (curvature + at.rest) / 2) | (t * _largest(at.d) <= FULL_STEP)
        at = jax.tree.map(lambda a, b: jnp.where(accept, a, b), new, at)
        stop = (accept & small) | ~(_largest(new.d) < jnp.inf)
        return at, jnp.where(accept, 1.0, t / 4).astype(tau.dtype), i + 1, stop

    start, small = newton(guess)
    stop = small | ~(_largest(start.d) < jnp.inf)
    carry = (start, jnp.ones_like(tau), jnp.ones((), jnp.int32), stop)
    at, _, _, done = jax.lax.while_loop(lambda c: ~c[3] & (c[2] < limit), body, carry)
    x, p = _along(at.x, 1.0, at.d), _along(at.p, 1.0, at.dp)
    return x, p, done & (_largest(at.d) < jnp.inf)


def _newton(
    loss: CellLoss,
    B: Quad,
    shift: tuple[Array | float, Array | float],
    r: Pair,
    tau: Array,
    share: float,
) -> Callable[[Pair], tuple[Point, Array]]:
    b11, b12, b21, b22 = B
    eps = float(jnp.finfo(tau.dtype).eps)
    whole = (b11 * b22 - b12 * b21) ** 2
    trace = b11 * b11 + b12 * b12 + b21 * b21 + b22 * b22

    def down(v: Pair) -> Pair:
        return b11 * v[0] + b21 * v[1], b12 * v[0] + b22 * v[1]

    def newton(x: Pair) -> tuple[Point, Array]:
        (p1, w1, e1), (p2, w2, e2) = (loss.derivatives(v) for v in x)
        inv1, inv2 = 1 / (tau + w1), 1 / (tau + w2)
        a1, a2 = w1 * inv1, w2 * inv2
        s1, s2 = tau * a1, tau * a2
        # I + B^T W B with W = tau w / (tau + w); its determinant is a sum of positive terms
        m11, m22 = 1 + s1 * b11 * b11 + s2 * b21 * b21, 1 + s1 * b12 * b12 + s2 * b22 * b22
        m12 = s1 * b11 * b12 + s2 * b21 * b22
        det = m11 + (m22 - 1) + s1 * s2 * whole

        def invert(g: Pair, y: Pair) -> Pair:
            h1, h2 = down((a1 * g[0], a2 * g[1]))
            h1, h2 = y[0] - h1, y[1] - h2
            q1, q2 = (m22 * h1 - m12 * h2) / det, (m11 * h2 - m12 * h1) / det
            return inv1 * (g[0] + tau * (b11 * q1 + b12 * q2)), inv2 * (g[1] + tau * (b21 * q1 + b22 * q2))

        d1, d2 = invert((p1 - r[0] - tau * x[0], p2 - r[1] - tau * x[1]), down((p1 + shift[0], p2 + shift[1])))
        size = abs(p1 - r[0]) + abs(p2 - r[1]) + tau * (abs(x[0]) + abs(x[1]))
        d1 = jnp.where(abs(d1) <= 8 * eps * (abs(p1) + abs(r[0]) + size) * inv1, 0.0, d1)
        d2 = jnp.where(abs(d2) <= 8 * eps * (abs(p2) + abs(r[1]) + size) * inv2, 0.0, d2)
        m = _largest((d1, d2))
        small = (m <= SHORT) & (m * m * abs(w1 * d1) <= share * abs(p1)) & (m * m * abs(w2 * d2) <= share * abs(p2))
        rest = tau / (1 + tau * trace) * (d1 * d1 + d2 * d2)
        # p(x + d) = p - w d - w' d^2 / 2 + ...
        bend1, bend2 = (jnp.where(m <= SHORT, -w * e * d * d / 2, 0.0) for w, e, d in ((w1, e1, d1), (w2, e2, d2)))
        c1, c2 = invert((bend1, bend2), down((bend1, bend2)))
        step = d1 + c1, d2 + c2
        return Point(x, (p1, p2), step, (bend1 - w1 * step[0], bend2 - w2 * step[1]), rest), small

    return newton


def _along(x: Pair, t: Array | float, d: Pair) -> Pair:
    return x[0] + t * d[0], x[1] + t * d[1]


def _largest(d: Pair) -> Array:
    return jnp.maximum(abs(d[0]), abs(d[1]))
