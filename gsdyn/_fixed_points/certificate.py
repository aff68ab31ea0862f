"""How far a computed fixed point can be from the true one (P21-Eqs 7-8, Thm1).

With `B = U sqrt(c)` and `z = sqrt(c) y`, primal minus dual at the margins `f = U z` and the weights `a = a(f)` is
exactly `|y - B^T a|^2 / 2`: a sum of squares in which nothing cancels. The gap bounds the distance of `alpha` from its
optimum by the curvature of the dual; each loss knows the best such bound. Where there are as many features as examples
the features bend the dual too: with `e = a - a*`, `f - f* = U c U^T e + B (y - B^T a)` and `a` falls with `f`, so that
`e^T U c U^T e <= |y - B^T a|^2`.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn._fixed_points.newton import minimise
from gsdyn._numerics.linear import adjoint, product
from gsdyn._problem import Problem

EMPTY = 1.0  # a bound of the error of dual variables beyond which it says nothing


def minimum(
    problem: Problem, limit: int
) -> tuple[Array, Float[Array, ""], Float[Array, ""], Int[Array, ""], Bool[Array, ""]]:
    """The optimal responses `z` by Newton's method, their `bounds`, its steps, and whether the last was rounding and
    the bounds say anything."""
    y, iterations, converged = minimise(problem, limit)
    z = jnp.sqrt(problem.c).reshape((-1,) + (1,) * (y.ndim - 1)) * y
    gap, error = bounds(problem, z)
    return z, gap, error, iterations, converged & (error <= EMPTY)


def bounds(problem: Problem, z: Array) -> tuple[Array, Array]:
    """Duality gap and bound of `|alpha - alpha*|_2` at the responses `z`, with all that rounding can have done."""
    U, loss, tilt = problem.U, problem.loss, problem.tilt
    eps = jnp.finfo(U.dtype).eps
    unit = (U.shape[0] + U.shape[1] + 16) * eps
    column = (-1,) + (1,) * (z.ndim - 1)
    rc = jnp.sqrt(problem.c).reshape(column)
    y = jnp.where(rc > 0, z / jnp.where(rc > 0, rc, 1.0), 0.0)
    f = problem.margins(z)
    alpha = loss.dual(f)
    a = problem.pull(f)
    df = unit * product(jnp.abs(U), jnp.abs(z))
    moved = loss.root_curvature(f) ** 2 * df if f.ndim == 1 else 2 * alpha * jnp.max(df, axis=1, keepdims=True)
    stored = moved + 8 * eps * jnp.abs(alpha)
    da = stored + 8 * eps * jnp.abs(a)
    if tilt is not None:
        da = da + tilt.curvature * df + 8 * eps * (jnp.abs(tilt.curvature * f) + jnp.abs(tilt.pull))
    pulled = loss.balanced(rc * problem.gather(a), rc * adjoint(jnp.abs(U), jnp.abs(a)))
    g = jnp.abs(y - pulled) + unit * jnp.abs(y)
    g = g + rc * adjoint(jnp.abs(U), unit * jnp.abs(a) + da)
    gap = jnp.sum(g * g) / 2
    error = jnp.minimum(loss.dual_error(alpha, gap), _by_features(problem, gap)) + jnp.sqrt(jnp.sum(stored * stored))
    curvature = loss.root_curvature(f) ** 2 if f.ndim == 1 else alpha
    return gap + jnp.sum(unpaired(stored, curvature)), error


def _by_features(problem: Problem, gap: Array) -> Array:
    """The distance that a gap leaves where features bend the dual in every direction; infinite elsewhere."""
    n, k = problem.U.shape
    least = jnp.min(problem.c)
    bent = (least > 0) & (k == n)
    return jnp.where(bent, jnp.sqrt(2 * gap) / jnp.sqrt(jnp.where(bent, least, 1.0)), jnp.inf)


def unpaired(stored: Array, w: Array) -> Array:
    """How much `l(f) + alpha f` can exceed `h(alpha)` where `alpha` is off `a(f)` by `stored`.

    Of second order, as it is zero where they belong together and `|h''| = 1/w`; at an end of the domain `x log(1/x)`.
    """
    return jnp.minimum(3 * stored * stored / jnp.maximum(w, float(jnp.finfo(w.dtype).tiny)), 50 * stored)
