"""Fixed points straight from a kernel, without its eigenvectors (P21-Eqs 5-9): for many examples and one decay.

Newton's method with conjugate gradients in the inner product of the kernel. With `K = Y Theta Y / lam`, margins
`f = K beta` and weights `a = a(f)`, the optimum of primal and dual is `beta = a(f)`, and primal minus dual at `beta` is
exactly `(beta - a)^T K (beta - a) / 2`, which the first product of every Newton step gives for nothing. In that inner
product the system of a Newton step, `(I + W K) d = a - beta`, is symmetric, and a step of conjugate gradients takes one
product with the kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from gsdyn import _checks
from gsdyn._newton import step_length
from gsdyn.losses import Hinge, Loss, Softmax
from gsdyn.penalties import WeightDecay

MAX_ITERATIONS = 100
FORCING = 0.2  # the largest relative residual at which a Newton step is good enough


class KernelFixedPoint(eqx.Module):
    """The optimum of one problem in its examples, and how far from it the numbers can be.

    - `alpha`: dual variables, shape (n,). `margins`: `f* = Y Theta Y alpha* / lam`, shape (n,).
    - `gap`: an upper bound, rounding included, of primal minus dual (P21-Eqs 7-8).
    - `error_bound`: a rigorous bound of `|alpha - alpha*|_2`, rounding included.
    - `objective`: the primal value. `iterations`: Newton steps. `converged`: whether the gap is as small as asked for.
    """

    alpha: Float[Array, " n"]
    margins: Float[Array, " n"]
    gap: Float[Array, ""]
    error_bound: Float[Array, ""]
    objective: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


def kernel_fixed_point(
    theta: ArrayLike,
    y: ArrayLike | None,
    loss: Loss,
    penalty: WeightDecay,
    *,
    start: ArrayLike | None = None,
    rtol: float = 1e-8,
    max_iterations: int = MAX_ITERATIONS,
) -> KernelFixedPoint:
    """The fixed point `alpha = a(Y Theta Y alpha / lam)` of P21-Eq9, from the kernel alone.

    - `theta`: symmetric and positive semi-definite, shape (n, n), such as an NTK.
    - `y`: labels -1 or +1, shape (n,), or None where `theta` carries them.
    - `loss`: smooth, with one margin for each example. `penalty`: `WeightDecay`, the only one whose filter is a
      multiple of the kernel. For others, for the responses of features and for derivatives use `fixed_point`.
    - `start`: dual variables to start from, shape (n,), for example `alpha` at a decay nearby.
    - `rtol`: where to stop, as a duality gap relative to the objective, in [1e-15, 1).

    A gap bounds `alpha` only by its root: `error_bound` tells. Raises `ValueError` for what does not fit, and for a
    kernel that is not finite, not symmetric or not positive semi-definite as far as the products taken show.
    """
    theta = _checks.require("theta", theta, "a matrix", lambda v: v.ndim == 2, ndim=2)
    n = theta.shape[0]
    if theta.shape != (n, n) or n == 0:
        raise ValueError(f"theta must be square and not empty, got shape {theta.shape}")
    _checks.instance("loss", loss, Loss)
    _checks.instance("penalty", penalty, WeightDecay)
    if isinstance(loss, Hinge | Softmax):
        raise ValueError(f"loss must be smooth with one margin for each example, got {type(loss).__name__}")
    if not 1e-15 <= rtol < 1:
        raise ValueError(f"rtol must be in [1e-15, 1), got {rtol}")
    sign = jnp.ones(n, theta.dtype) if y is None else _checks.labels("y", y).astype(theta.dtype)
    _checks.same_length("y", sign, "theta", theta)
    limit = _checks.integer("max_iterations", max_iterations, 1)
    if start is not None:
        start = _checks.finite("start", start, ndim=1).astype(theta.dtype)
        _checks.same_length("start", start, "theta", theta)
    return _solve((theta, sign, penalty.lam, start), loss, rtol, limit)


class _State(NamedTuple):
    """Coefficients `beta`, margins `f = K beta`, what is left `r = a(f) - beta` with `K r`, and its gap."""

    beta: Array
    f: Array
    r: Array
    Kr: Array
    gap: Array
    i: Array


@eqx.filter_custom_jvp
@eqx.filter_jit
def _solve(problem: tuple[Array, Array, Array, Array | None], loss: Loss, rtol: float, limit: int) -> KernelFixedPoint:
    theta, sign, lam, start = problem
    kernel = theta, sign, lam.astype(theta.dtype)
    product = functools.partial(_product, kernel)

    def left(beta: Array, f: Array, i: Array) -> _State:
        r = loss.weight(f) - beta
        Kr = product(r)
        return _State(beta, f, r, Kr, jnp.sum(r * Kr) / 2, i)

    def go(s: _State) -> Array:
        return (s.gap > rtol * _objective(loss, s.beta, s.f)) & (s.i < limit)

    def step(s: _State) -> _State:
        share = jnp.minimum(FORCING, jnp.sqrt(jnp.sqrt(s.gap)))
        d, Kd = _direction(product, loss.root_curvature(s.f) ** 2, s, share)
        t = step_length(
            loss.spread(Kd), lambda t: jnp.sum(Kd * (s.beta + t * d)) - jnp.sum(Kd * loss.weight(s.f + t * Kd))
        )
        return left(s.beta + t * d, s.f + t * Kd, s.i + 1)

    zero = jnp.zeros_like(sign)
    first = (zero, zero) if start is None else (start, product(start))
    end = jax.lax.while_loop(go, step, left(*first, jnp.zeros((), jnp.int32)))
    return _certified(kernel, loss, end, rtol)


@_solve.def_jvp
def _no_derivative(*_: Any) -> Any:
    raise ValueError("kernel_fixed_point has no derivatives: differentiate fixed_point")


def _product(kernel: tuple[Array, Array, Array], v: Array) -> Array:
    """`Y Theta Y v / lam`."""
    theta, sign, lam = kernel
    return sign * (theta @ (sign * v)) / lam


def _objective(loss: Loss, beta: Array, f: Array) -> Array:
    return loss.value(f) + jnp.sum(beta * f) / 2


def _direction(product: Callable[[Array], Array], w: Array, s: _State, share: Array) -> tuple[Array, Array]:
    """The step `d` with `(I + W K) d = r` up to this share of `r`, and `K d`."""
    stop = share * share * 2 * s.gap

    def go(state: tuple[Array, ...]) -> Array:
        return (state[-2] > stop) & (state[-1] < 4 * w.size)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        d, Kd, r, p, Kp, rho, i = state
        q = p + w * Kp
        t = rho / jnp.sum(Kp * q)
        r = r - t * q
        Kr = product(r)
        new = jnp.sum(r * Kr)
        turn = new / rho
        return d + t * p, Kd + t * Kp, r, r + turn * p, Kr + turn * Kp, new, i + 1

    zero = jnp.zeros_like(w)
    start = zero, zero, s.r, s.r, s.Kr, 2 * s.gap, jnp.zeros((), jnp.int32)
    d, Kd, *_ = jax.lax.while_loop(go, step, start)
    return d, Kd


def _certified(kernel: tuple[Array, Array, Array], loss: Loss, end: _State, rtol: float) -> KernelFixedPoint:
    """The fixed point at the coefficients found, its margins computed afresh and all rounding in its bounds."""
    theta, sign, lam = kernel
    eps = float(jnp.finfo(theta.dtype).eps)
    unit = (sign.size + 16) * eps
    f = _product(kernel, end.beta)
    # |K_ij| <= sqrt(K_ii K_jj)
    root = jnp.sqrt(jnp.maximum(jnp.diagonal(theta), 0.0) / lam)
    total = jnp.sum(root * jnp.abs(end.beta))
    alpha = loss.weight(f)
    r = alpha - end.beta
    Kr = _product(kernel, r)
    square = jnp.sum(r * Kr)
    scale = jnp.sum(root * jnp.abs(r))
    noise = unit * scale * scale
    indefinite = ~(square >= -noise) | jnp.any(jnp.diagonal(theta) < 0)
    asymmetric = jnp.abs(jnp.sum(end.beta * Kr) - jnp.sum(r * f)) > 8 * unit * scale * total
    ones = jnp.ones((), theta.dtype)
    ones = eqx.error_if(ones, asymmetric & ~indefinite, "theta must be symmetric")
    ones = eqx.error_if(ones, indefinite, "theta must be finite and positive semi-definite")
    gap = (jnp.maximum(square, 0.0) + noise) / 2 + jnp.sum(_apart(loss, f, alpha, unit * root * total))
    objective = _objective(loss, end.beta, f)
    return KernelFixedPoint(
        alpha * ones, f, gap, loss.dual_error(alpha, gap), objective, end.i, gap <= rtol * objective
    )


def _apart(loss: Loss, f: Array, alpha: Array, df: Array) -> Array:
    """How much `l(f) + alpha f` can exceed `h(alpha)` where margins are known to `df` and `alpha = a(f)` to rounding.

    Of second order in both, as it is zero where they belong together: `|l'''| <= l'' <= 1`, and `|h''| = 1/w`.
    """
    w = loss.root_curvature(f) ** 2
    rounding = 8 * float(jnp.finfo(f.dtype).eps) * jnp.abs(alpha)
    ours = jnp.minimum(w * jnp.exp(jnp.minimum(df, 40.0)), 1.0) * df * df / 2
    # x log(1/x) beside an end of the domain
    edge = jnp.minimum(rounding * rounding / jnp.maximum(w, float(jnp.finfo(w.dtype).tiny)), 50 * rounding)
    return ours + rounding * df + edge
