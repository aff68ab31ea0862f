"""Fixed points of primal and dual, with certificates (P21-Eqs 5-11, 17; Table 4; Eqs 29-30)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn import _checks
from gsdyn._fixed_points import active_set, box, implicit
from gsdyn._numerics import programs
from gsdyn._numerics.precision import full_precision
from gsdyn._problem import Problem, check_parts
from gsdyn._readable import Optimum
from gsdyn.features import FeatureBasis
from gsdyn.losses import Loss
from gsdyn.penalties import Penalty

MAX_ITERATIONS = 200


class FixedPoint(Optimum):
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

        >>> fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(0.01))
        >>> print(fp.z, fp.margins, fp.converged, fp.error_bound < 1e-12)
        [6.266 3.963] [5.838 4.57 ] True True
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


@full_precision
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

        >>> fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(0.01))
        >>> print(fp.z, fp.converged)
        [6.266 3.963] True
        >>> steeper = jax.jacfwd(lambda lam: gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam)).z)
        >>> print(steeper(0.01))
        [-94.216 -73.404]
    """
    check_parts(basis, loss, penalty)
    return _fixed_point(basis, loss, penalty, _checks.integer("max_iterations", max_iterations, 1))


@programs.compiled
def _fixed_point(basis: FeatureBasis, loss: Loss, penalty: Penalty, max_iterations: int) -> FixedPoint:
    problem = Problem.aligned(basis, loss, penalty)
    return (_smooth if loss.smooth else _hinge)(problem, penalty, max_iterations)


def _smooth(problem: Problem, penalty: Penalty, max_iterations: int) -> FixedPoint:
    z, gap, bound, iterations, converged = implicit.solve(problem, max_iterations)
    f = problem.margins(z)
    alpha, pull = problem.loss.dual(f), problem.pull(f)
    if problem.U.shape[0] == problem.U.shape[1] and problem.tilt is None:  # no pull is outside the features
        alpha = problem.loss.dual_of(f, problem.U @ problem.gathered_pull(f, z, alpha))
        pull = alpha if alpha.ndim == 1 else pull
    objective = problem.objective(f, z, problem.gather(pull))
    return FixedPoint(alpha, z, f, gap, bound, objective, iterations, converged, problem.loss, penalty)


def _hinge(problem: Problem, penalty: Penalty, max_iterations: int) -> FixedPoint:
    equal, back = implicit.separated(problem)
    found = box.solve(equal, max_iterations)
    alpha, z, f = found.alpha, back(found.z), found.margins
    objective = problem.objective(f, z, problem.gather(problem.tilted(alpha, f)))
    gap, bound = active_set.bounds(*jax.lax.stop_gradient((equal, found)))
    near = gap <= sum(equal.U.shape) * jnp.finfo(gap.dtype).eps ** 0.75 * jnp.abs(objective)
    converged = found.consistent & ((bound <= 1) | near)
    return FixedPoint(alpha, z, f, gap, bound, objective, found.iterations, converged, problem.loss, penalty)
