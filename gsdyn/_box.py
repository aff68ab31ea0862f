"""The hinge loss's dual, a box QP (P21 Table 4): `max r^T a - a^T Q a / 2` over `0 <= a <= 1`.

A primal-dual interior point method with Mehrotra's correction finds which examples lie inside the box; on those
the optimum solves `Q_II a_I = r_I - Q_IB a_B`, which gives the last digits and the derivatives.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn import _dense
from gsdyn.penalties import Tilt

LIMIT = 200


class BoxSolution(NamedTuple):
    """Dual variables and responses, interior point steps, whether they sufficed, and `Q`'s smallest eigenvalue."""

    alpha: Float[Array, " n"]
    z: Float[Array, " k"]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]
    floor: Float[Array, ""]


def solve(U: Float[Array, "n k"], c: Float[Array, " k"], tilt: Tilt | None, limit: int) -> BoxSolution:
    """The optimum of the hinge loss under a spectral filter `c`, differentiable in `U`, `c` and the tilt."""
    n, k = U.shape
    respond = _responses(U, c, tilt)
    pull = jnp.zeros(n, U.dtype) if tilt is None else tilt.pull
    Q = U @ respond(U.T)
    Q = (Q + Q.T) / 2
    r = 1 - Q @ pull
    stopped, target = jax.lax.stop_gradient((Q, r))
    alpha, inside, iterations, converged = _interior_point(stopped, target, limit)
    alpha = _polish(Q, r, alpha, inside)
    heaviest = 0.0 if tilt is None else jnp.max(tilt.curvature)
    least = jnp.min(c) if k == n else jnp.zeros((), U.dtype)
    floor = least / (1 + least * heaviest)
    return BoxSolution(alpha, respond((U.T @ (alpha + pull))[:, None])[:, 0], iterations, converged, floor)


def _responses(U: Array, c: Array, tilt: Tilt | None):
    """The map `p -> (1/c + U^T T U)^-1 p` from pulls to responses."""
    if tilt is None:
        return lambda p: c[:, None] * p
    rc = jnp.where(c > 0, jnp.sqrt(jnp.where(c > 0, c, 1.0)), 0.0)
    B = U * rc[None, :]
    system = jnp.eye(len(c), dtype=U.dtype) + B.T @ (tilt.curvature[:, None] * B)
    solve = _dense.spd_solver(system)
    return lambda p: rc[:, None] * solve(rc[:, None] * p)


def _interior_point(Q: Float[Array, "n n"], r: Float[Array, " n"], limit: int) -> tuple[Array, Array, Array, Array]:
    """`(alpha, inside, steps, converged)`, in coordinates scaled so that the diagonal of `Q` is at most one."""
    eps = jnp.finfo(Q.dtype).eps
    scale = 1 / jnp.sqrt(jnp.maximum(jnp.diagonal(Q), 1.0))
    Q, r, top = scale[:, None] * Q * scale[None, :], scale * r, 1 / scale
    size = jnp.max(jnp.abs(r)) + 1

    def go(state: tuple[Array, ...]) -> Array:
        _, _, _, i, done = state
        return ~done & (i < limit)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        b, x, y, i, _ = state
        slack = top - b
        dual = Q @ b - r - x + y
        mu = (jnp.sum(x * b) + jnp.sum(y * slack)) / (2 * b.size)
        solve = _dense.spd_solver(Q + jnp.diag(x / b + y / slack))

        def direction(low: Array, high: Array) -> tuple[Array, Array, Array]:
            db = solve(-dual + low / b - high / slack)
            return db, (low - x * db) / b, (high + y * db) / slack

        def longest(db: Array, dx: Array, dy: Array) -> Array:
            ratio = jnp.concatenate([-db / b, db / slack, -dx / x, -dy / y])
            return 1 / jnp.maximum(jnp.max(ratio), 1.0)

        db, dx, dy = direction(-x * b, -y * slack)
        t = longest(db, dx, dy)
        after = jnp.sum((x + t * dx) * (b + t * db)) + jnp.sum((y + t * dy) * (slack - t * db))
        aim = (after / (2 * b.size * mu)) ** 3 * mu
        db, dx, dy = direction(aim - x * b - dx * db, aim - y * slack + dy * db)
        t = 0.995 * longest(db, dx, dy)
        new = b + t * db, x + t * dx, y + t * dy
        residual = jnp.max(jnp.abs(dual))
        fine = jnp.all(jnp.isfinite(new[0] + new[1] + new[2]))
        done = ((mu < eps * size) & (residual < jnp.sqrt(eps) * size)) | ~fine
        keep = lambda old, new: jnp.where(fine, new, old)  # noqa: E731
        return keep(b, new[0]), keep(x, new[1]), keep(y, new[2]), i + 1, done

    one = jnp.ones_like(r)
    state = (top / 2, one, one, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
    b, x, y, iterations, done = jax.lax.while_loop(go, step, state)
    inside = (b > x) & (top - b > y)
    return b * scale, inside, iterations, done


def _polish(Q: Array, r: Array, alpha: Array, inside: Array) -> Array:
    """The optimum on the given active set: its last digits, and its derivatives."""
    alpha = jnp.where(inside, 0.0, jnp.round(alpha))
    scale = 1 / jnp.sqrt(jnp.where(jnp.diagonal(Q) > 0, jnp.diagonal(Q), 1.0))
    mask = jnp.where(inside, scale, 0.0)
    ridge = jnp.where(inside, 4 * jnp.finfo(Q.dtype).eps, 1.0)
    matrix = mask[:, None] * Q * mask[None, :] + jnp.diag(ridge)
    solve = _dense.spd_solver(matrix)

    def correct(free: Array) -> Array:
        short = r - Q @ (alpha + free)
        return free + mask * solve(mask * short)

    return jnp.clip(alpha + correct(correct(jnp.zeros_like(alpha))), 0.0, 1.0)
