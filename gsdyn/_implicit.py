"""The fixed point as a function of its problem, with implicit derivatives of every order (P21-Eq11).

Differentiating `z = c U^T a(U z)` gives one linear system, `(I + c U^T W U) dz = dc U^T a + c d(U^T a)`; no
iteration is ever unrolled.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn import _cells, _certificate, _linear, _newton, _pairs
from gsdyn.losses import Loss
from gsdyn.penalties import Tilt


class Solution(NamedTuple):
    """Responses `z`, their duality gap and error bound, Newton steps, and whether the last was within rounding."""

    z: Array
    gap: Float[Array, ""]
    error_bound: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


@eqx.filter_custom_jvp
def solve(U: Float[Array, "n k"], c: Float[Array, " k"], loss: Loss, tilt: Tilt | None, limit: int) -> Solution:
    """The fixed point `z = c U^T a(U z)`, with implicit derivatives of every order."""
    if U.shape == (2, 2) and tilt is None and isinstance(loss, _cells.SUPPORTED) and limit >= _cells.LEAST:
        return Solution(*_cells.solver(loss, limit)((_pairs.entries(U), (c[0], c[1]))))
    return Solution(*_certificate.minimum(U, c, loss, tilt, limit))


@solve.def_jvp
def _solve_jvp(primals: tuple, tangents: tuple) -> tuple[Solution, Solution]:
    U, c, loss, tilt, limit = primals
    dU, dc, dloss, dtilt, _ = tangents
    solution = solve(U, c, loss, tilt, limit)
    z = solution.z
    a, da = eqx.filter_jvp(
        lambda U, loss, tilt: _linear.adjoint(U, _newton.pull(loss, tilt, U @ z)), (U, loss, tilt), (dU, dloss, dtilt)
    )
    source = jnp.zeros_like(z)
    if dc is not None:
        # z / c is U^T a, without the cancellation of the sum
        live = columns(c > 0, z)
        source += columns(dc, z) * jnp.where(live, z / jnp.where(live, columns(c, z), 1.0), a)
    if da is not None:
        source += columns(c, z) * da
    dz = respond(U, c, _newton.root_curvature(loss, tilt, U @ z), source)
    return solution, Solution(dz, None, None, None, None)  # pyright: ignore[reportArgumentType]


def respond(U: Array, c: Array, root: Array, source: Array, *, dense: bool = False) -> Array:
    """How responses answer to a change of the problem: the solution of `(I + c U^T W U) dz = source`.

    Solved in normalised responses where `c > 0`, in which nothing cancels; where `c = 0`, `dz = source`. `dense`
    factors the system however large it is, for many sources by vmap.
    """
    live = columns(c > 0, source)
    safe = jnp.where(live, columns(c, source), 1.0)
    rc = jnp.where(live, jnp.sqrt(safe), 0.0)
    dead = jnp.where(live, 0.0, source)
    g = source / safe - _linear.adjoint(U, _linear.curvature_product(root, U @ dead))
    solve = (_linear.dense_response_solver if dense else _linear.solver)(root, U * rc.reshape(len(c), -1)[None, :, 0])
    return dead + rc * solve(rc * jnp.where(live, g, 0.0))


def columns(c: Array, like: Array) -> Array:
    """`c`, one entry a feature, with as many axes as the response `like`."""
    return c.reshape(c.shape + (1,) * (like.ndim - 1))
