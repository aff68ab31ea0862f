"""Fixed points of primal and dual, with certificates (P21-Eqs 5-11, 17; Table 4; Eqs 29-30)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn import _checks
from gsdyn._fixed_points import active_set, box, implicit, newton
from gsdyn._numerics.linear import adjoint, product
from gsdyn._problem import aligned, problem
from gsdyn.features import FeatureBasis
from gsdyn.losses import Loss
from gsdyn.penalties import Penalty, Tilt

MAX_ITERATIONS = 200


class FixedPoint(eqx.Module):
    """The optimum of one problem, and how far from it the numbers can be.

    - `alpha`: dual variables, shape (n,); softmax probabilities, shape (n, C), for `Softmax`.
    - `z`: responses `z* = c U^T alpha*` (P21-Eq11), shape (k,) or (k, C).
    - `margins`: `f* = U z*`, shape (n,), or logits, shape (n, C).
    - `gap`: an upper bound, rounding included, of primal minus dual (P21-Eqs 7-8).
    - `error_bound`: a rigorous bound of `|alpha - alpha*|_2`, rounding included.
    - `objective`: the primal value `sum_i l(f_i) + sum_j z_j^2 / (2 c_j)`, with the tilt of class-wise penalties
      up to a constant.
    - `iterations`: Newton steps. `converged`: whether the last was within rounding.
    - `loss`, `penalty`: the problem.
    """

    alpha: Array
    z: Array
    margins: Array
    gap: Float[Array, ""]
    error_bound: Float[Array, ""]
    objective: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]
    loss: Loss
    penalty: Penalty


def fixed_point(
    basis: FeatureBasis, loss: Loss, penalty: Penalty, *, max_iterations: int = MAX_ITERATIONS
) -> FixedPoint:
    """The fixed point `z = c U^T alpha`, `alpha = a(U z)` of flow and dual flow (P21-Eqs 9-11, 18).

    - `basis`: features in n examples. `loss`, `penalty`: any pair; a penalty with a value for each example needs a
      loss with one margin for each.
    - `max_iterations`: where to give up, with `converged` False.

    The gap comes without cancellation: at `f = U z` and `a = a(f)`, primal minus dual is exactly
    `|y - B^T a|^2 / 2` with `B = U sqrt(c)`, `z = sqrt(c) y`. Derivatives are implicit (of every order, forward and
    reverse) and belong to `alpha`, `z`, `margins` and `objective`. Raises `ValueError` for shapes that do not fit.
    Reference: Pezeshki et al. 2021, section 3.2.
    """
    return _fixed_point(basis, loss, penalty, _checks.integer("max_iterations", max_iterations, 1))


@eqx.filter_jit
def _fixed_point(basis: FeatureBasis, loss: Loss, penalty: Penalty, max_iterations: int) -> FixedPoint:
    c, tilt = problem(basis, loss, penalty)
    basis = aligned(basis, penalty)
    if not loss.smooth:
        return _certify_support(basis, loss, penalty, tilt, implicit.separated(basis.U, c, tilt), max_iterations)
    solution = implicit.solve(basis.U, c, loss, tilt, max_iterations)
    return _certify(basis, loss, penalty, c, tilt, solution)


def _objective(loss: Loss, tilt: Tilt | None, f: Array, z: Array, p: Array) -> Array:
    # z p / 2 = z^2 / (2 c) at the optimum, also where c = 0
    value = loss.value(f) + jnp.sum(z * p) / 2
    return value if tilt is None else value + jnp.sum(tilt.curvature * f * f / 2 - tilt.pull * f)


def _certify(
    basis: FeatureBasis, loss: Loss, penalty: Penalty, c: Array, tilt: Tilt | None, solution: implicit.Solution
) -> FixedPoint:
    z = solution.z
    f = product(basis.U, z)
    alpha = loss.dual(f)
    objective = _objective(loss, tilt, f, z, adjoint(basis.U, newton.pull(loss, tilt, f)))
    return FixedPoint(
        alpha,
        z,
        f,
        solution.gap,
        solution.error_bound,
        objective,
        solution.iterations,
        solution.converged,
        loss,
        penalty,
    )


def _certify_support(
    basis: FeatureBasis, loss: Loss, penalty: Penalty, tilt: Tilt | None, equal: tuple, max_iterations: int
) -> FixedPoint:
    U, c, rest, back = equal
    found = box.solve(U, c, rest, max_iterations)
    alpha, z, f = found.alpha, back(found.z), found.margins
    p = adjoint(basis.U, alpha if tilt is None else alpha - tilt.curvature * f + tilt.pull)
    objective = _objective(loss, tilt, f, z, p)
    gap, bound = active_set.bounds(*jax.lax.stop_gradient((U, c, rest, found)))
    near = gap <= sum(U.shape) * jnp.finfo(gap.dtype).eps ** 0.75 * jnp.abs(objective)
    converged = found.consistent & ((bound <= 1) | near)
    return FixedPoint(alpha, z, f, gap, bound, objective, found.iterations, converged, loss, penalty)
