"""The fixed point as a function of its problem, with implicit derivatives of every order (P21-Eq11).

Differentiating `z = c U^T a(U z)` gives one linear system, `(I + c U^T W U) dz = dc U^T a + c d(U^T a)`; no
iteration is ever unrolled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn._fixed_points import cells, certificate
from gsdyn._numerics import dense, linear, pairs
from gsdyn._numerics.batching import in_turn
from gsdyn._numerics.precision import full_precision
from gsdyn._problem import Problem, following
from gsdyn.losses import CellLoss, Loss
from gsdyn.losses.softmax import sum_to_zero
from gsdyn.penalties import Tilt

REFINEMENTS = 3  # of a response in several classes, which share all but a little of their curvature


class Solution(NamedTuple):
    """Responses `z`, their duality gap and error bound, Newton steps, and whether the last was within rounding."""

    z: Array
    gap: Float[Array, ""]
    error_bound: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


def separated(problem: Problem) -> tuple[Problem, Callable[[Array], Array]]:
    """An equal problem, and the map from its responses to those of the given one.

    Where a quadratic of each example meets features of one filter, as many as there are examples, every example is a
    problem of its own: in these quadratics of any size may stand side by side.
    """
    U, c, tilt = problem.U, problem.c, problem.tilt
    if tilt is None or U.shape[0] != U.shape[1]:
        return problem, lambda z: z
    alone = jnp.all(c > 0) & jnp.all(c == c[0])
    own = jnp.where(alone, 1 / (tilt.curvature + 1 / jnp.where(alone, c, 1.0)), c)
    basis = jnp.where(alone, jnp.eye(len(c), dtype=U.dtype), U)
    rest = Tilt(jnp.where(alone, 0.0, tilt.curvature), tilt.pull)
    return Problem(basis, own, problem.loss, rest), lambda z: jnp.where(alone, linear.adjoint(U, z), z)


def solve(problem: Problem, limit: int) -> Solution:
    """The fixed point `z = c U^T a(U z)`, with implicit derivatives of every order."""
    if problem.log_c is None:
        return _solve(problem, limit)
    # its derivatives are those by `log c`
    c = jnp.where(problem.c > 0, jax.lax.stop_gradient(problem.c), problem.c)
    return _solve(eqx.tree_at(lambda p: p.c, problem, c), limit)


@eqx.filter_custom_jvp
def _solve(problem: Problem, limit: int) -> Solution:
    U, c, loss = problem.U, problem.c, problem.loss
    if U.shape == (2, 2) and problem.tilt is None and isinstance(loss, CellLoss) and limit >= cells.LEAST:
        return Solution(*cells.solver(loss, limit)((pairs.entries(U), (c[0], c[1]))))
    equal, back = separated(problem)
    arrays, rest = eqx.partition(equal, eqx.is_array)

    def alone(arrays: Problem) -> Solution:
        return Solution(*certificate.minimum(eqx.combine(arrays, rest), limit))

    solution = (in_turn(alone) if math.prod(loss.shape(len(c))) > dense.OWN_LIMIT else alone)(arrays)
    return solution._replace(z=back(solution.z))


@_solve.def_jvp
@full_precision
def _solve_jvp(primals: tuple, tangents: tuple) -> tuple[Solution, Solution]:
    problem, limit = primals
    change, _ = tangents
    solution = _solve(problem, limit)
    z, c, dc = solution.z, problem.c, change.c
    if problem.log_c is not None:
        c = jnp.where(c > 0, following(c, problem.log_c), c)

    def gathered(U: Array, loss: Loss, tilt: Tilt | None) -> Array:
        moved = Problem(U, c, loss, tilt)
        return moved.gather(moved.pull(U @ z))

    a, da = eqx.filter_jvp(gathered, (problem.U, problem.loss, problem.tilt), (change.U, change.loss, change.tilt))
    source = jnp.zeros_like(z)
    if change.log_c is not None:
        source += columns(jnp.where(c > 0, change.log_c, 0.0), z) * z
    if dc is not None:
        # z / c is U^T a, without the cancellation of the sum
        live = columns(c > 0, z)
        source += columns(dc, z) * jnp.where(live, z / jnp.where(live, columns(c, z), 1.0), a)
    if da is not None:
        source += columns(c, z) * da
    dz = respond(problem.U, c, problem.root_curvature(problem.U @ z), source)
    return solution, Solution(dz, None, None, None, None)  # pyright: ignore[reportArgumentType]


def respond(U: Array, c: Array, root: Array, source: Array, *, dense: bool = False) -> Array:
    """How responses answer to a change of the problem: the solution of `(I + c U^T W U) dz = source`.

    Solved in normalised responses where `c > 0`, in which nothing cancels; where `c = 0`, `dz = source`. `dense`
    factors the system however large it is, for many sources by vmap.
    """
    common = jnp.mean(source, axis=1, keepdims=True) if source.ndim == 2 else jnp.zeros((), source.dtype)
    source = source - common  # what all classes share meets no curvature
    live = columns(c > 0, source)
    safe = jnp.where(live, columns(c, source), 1.0)
    rc = jnp.where(live, jnp.sqrt(safe), 0.0)
    dead = jnp.where(live, 0.0, source)
    g = source / safe - linear.adjoint(U, linear.curvature_product(root, U @ dead))
    solve = (linear.dense_response_solver if dense else linear.solver)(root, U * rc.reshape(len(c), -1)[None, :, 0])
    answer = dead + rc * solve(rc * jnp.where(live, g, 0.0))
    if source.ndim == 2:
        # by the curvatures alone: what is linear in the source must stay so
        size = linear.adjoint(jnp.abs(U), jnp.sum(root * root, axis=1))
        for _ in range(REFINEMENTS):
            answer = answer - jnp.mean(answer, axis=1, keepdims=True)
            bent = linear.curvature_product(root, U @ answer)
            pulled = sum_to_zero(linear.adjoint(U, bent), size)
            left = jnp.where(live, (source - answer) / safe - pulled, 0.0)
            answer = answer + rc * solve(rc * left)
        answer = answer - jnp.mean(answer, axis=1, keepdims=True)
    return answer + common


def columns(c: Array, like: Array) -> Array:
    """`c`, one entry a feature, with as many axes as the response `like`."""
    return c.reshape(c.shape + (1,) * (like.ndim - 1))
