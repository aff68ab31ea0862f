"""Fixed points straight from a kernel, without its eigenvectors (P21-Eqs 5-9): for many examples, one decay or many."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from gsdyn import _checks
from gsdyn._kernel_newton import Kernel, minimise, objective
from gsdyn.losses import Hinge, Loss, Softmax
from gsdyn.penalties import WeightDecay

MAX_ITERATIONS = 100
HISTORY = 3  # the decays behind from which the next one's margins are extrapolated


class KernelFixedPoint(eqx.Module):
    """The optimum of one problem in its examples, and how far from it the numbers can be; along a path (`kernel_path`)
    everything has the decays as its first axis.

    - `alpha`: dual variables, shape (n,). `margins`: `f* = Y Theta Y alpha* / lam`, shape (n,).
    - `gap`: an upper bound, rounding included, of primal minus dual (P21-Eqs 7-8).
    - `error_bound`: a rigorous bound of `|alpha - alpha*|_2`, rounding included.
    - `objective`: the primal value. `iterations`: Newton steps. `converged`: whether the gap is as small as asked for.
    """

    alpha: Float[Array, "*L n"]
    margins: Float[Array, "*L n"]
    gap: Float[Array, "*L"]
    error_bound: Float[Array, "*L"]
    objective: Float[Array, "*L"]
    iterations: Int[Array, "*L"]
    converged: Bool[Array, "*L"]


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

    A gap bounds `alpha` only by its root: `error_bound` tells. A copy of `theta` in single precision is held meanwhile.
    Raises `ValueError` for what does not fit, and for a kernel that is not finite, not symmetric or not positive
    semi-definite as far as the products taken show.
    """
    _checks.instance("penalty", penalty, WeightDecay)
    theta, sign, tolerance, limit = _problem(theta, y, loss, rtol, max_iterations)
    if start is not None:
        start = _checks.finite("start", start, ndim=1).astype(theta.dtype)
        _checks.same_length("start", start, "theta", theta)
    return _solve((theta, sign, penalty.lam, start), loss, tolerance, limit)


def kernel_path(
    theta: ArrayLike,
    y: ArrayLike | None,
    loss: Loss,
    lams: Float[ArrayLike, " L"],
    *,
    rtol: float = 1e-8,
    max_iterations: int = MAX_ITERATIONS,
) -> KernelFixedPoint:
    """`kernel_fixed_point` at every weight decay `lams` of a path, each from those before it, in one compiled scan.

    - `lams`: positive, strictly increasing or strictly decreasing, shape (L,). Decreasing is faster.
    - Other arguments, errors and what comes back, with `L` as the first axis: see `kernel_fixed_point`.
    """
    lams = _checks.require("lams", lams, "a vector of positive numbers", lambda v: (v > 0) & (v < jnp.inf), ndim=1)
    lams = _checks.require(
        "lams",
        lams,
        "strictly increasing or strictly decreasing",
        lambda v: jnp.all(v[1:] > v[:-1]) | jnp.all(v[1:] < v[:-1]),
    )
    theta, sign, tolerance, limit = _problem(theta, y, loss, rtol, max_iterations)
    return _follow((theta, sign, lams), loss, tolerance, limit)


def _problem(
    theta: ArrayLike, y: ArrayLike | None, loss: Loss, rtol: float, max_iterations: int
) -> tuple[Array, Array, Array, Array]:
    """The kernel, the labels, the tolerance and the limit of steps, checked; as arrays, so that none compiles anew."""
    theta = _checks.require("theta", theta, "a matrix", lambda v: v.ndim == 2, ndim=2)
    _checks.square("theta", theta)
    _checks.instance("loss", loss, Loss)
    if isinstance(loss, Hinge | Softmax):
        raise ValueError(f"loss must be smooth with one margin for each example, got {type(loss).__name__}")
    if not 1e-15 <= rtol < 1:
        raise ValueError(f"rtol must be in [1e-15, 1), got {rtol}")
    sign = jnp.ones(theta.shape[0], theta.dtype) if y is None else _checks.labels("y", y).astype(theta.dtype)
    _checks.same_length("y", sign, "theta", theta)
    limit = _checks.integer("max_iterations", max_iterations, 1)
    return theta, sign, jnp.asarray(rtol, theta.dtype), jnp.asarray(limit, jnp.int32)


@eqx.filter_custom_jvp
@eqx.filter_jit
def _solve(
    problem: tuple[Array, Array, Array, Array | None], loss: Loss, rtol: Array, limit: Array
) -> KernelFixedPoint:
    theta, sign, lam, start = problem
    kernel = Kernel.of(theta, sign, lam)
    beta = jnp.zeros_like(sign) if start is None else start
    end = minimise(kernel, loss, beta, kernel.product(beta), rtol, limit)
    return _certified(kernel, loss, end.beta, end.i, rtol)


class _Trail(NamedTuple):
    """The last decays, newest first: their logarithms, coefficients over `lam`, margins, and which are known."""

    x: Array
    shares: Array
    margins: Array
    known: Array


@eqx.filter_custom_jvp
@eqx.filter_jit
def _follow(problem: tuple[Array, Array, Array], loss: Loss, rtol: Array, limit: Array) -> KernelFixedPoint:
    theta, sign, lams = problem
    whole = Kernel.of(theta, sign, jnp.ones((), theta.dtype))

    def step(trail: _Trail, lam: Array) -> tuple[_Trail, tuple[Array, Array]]:
        kernel = whole._replace(lam=lam)
        x = jnp.log(lam)
        end = minimise(kernel, loss, *_predicted(kernel, loss, trail, x), rtol, limit)
        newest = _Trail(x, end.beta / lam, end.f, jnp.ones((), bool))
        trail = jax.tree.map(lambda new, old: jnp.concatenate([new[None], old[:-1]]), newest, trail)
        return trail, (end.beta, end.i)

    lams = lams.astype(theta.dtype)
    nothing = jnp.zeros((HISTORY, sign.size), theta.dtype)
    none = _Trail(nothing[:, 0], nothing, nothing, jnp.zeros(HISTORY, bool))
    _, (betas, steps) = jax.lax.scan(step, none, lams)
    # all at once: one product of matrices takes less than half the time of as many with vectors
    return jax.vmap(lambda lam, beta, i: _certified(whole._replace(lam=lam), loss, beta, i, rtol))(lams, betas, steps)


def _predicted(kernel: Kernel, loss: Loss, trail: _Trail, x: Array) -> tuple[Array, Array]:
    """Coefficients and margins to start from: margins extrapolated in `log lam`, in which they are nearly straight, or
    the last ones where their objective is lower."""
    other = trail.known[:, None] & trail.known[None, :] & ~jnp.eye(HISTORY, dtype=bool)
    apart = jnp.where(other, trail.x[:, None] - trail.x[None, :], 1.0)
    part = jnp.where(trail.known, jnp.prod(jnp.where(other, (x - trail.x[None, :]) / apart, 1.0), axis=1), 0.0)
    ahead = kernel.lam * (part @ trail.shares), part @ trail.margins
    last = kernel.lam * trail.shares[0], trail.margins[0]
    worse = ~(objective(loss, *ahead) < objective(loss, *last))
    return jax.tree.map(lambda a, b: jnp.where(worse, b, a), ahead, last)


def _no_derivative(*_: Any) -> Any:
    raise ValueError("fixed points straight from a kernel have no derivatives: differentiate fixed_point")


_solve.def_jvp(_no_derivative)
_follow.def_jvp(_no_derivative)


def _certified(kernel: Kernel, loss: Loss, beta: Array, steps: Array, rtol: Array) -> KernelFixedPoint:
    """The fixed point at the coefficients found, its margins computed afresh and all rounding in its bounds."""
    theta = kernel.theta
    eps = float(jnp.finfo(theta.dtype).eps)
    unit = (beta.size + 16) * eps
    f = kernel.product(beta)
    # |K_ij| <= sqrt(K_ii K_jj)
    root = jnp.sqrt(jnp.maximum(jnp.diagonal(theta), 0.0) / kernel.lam)
    total = jnp.sum(root * jnp.abs(beta))
    alpha = loss.weight(f)
    r = alpha - beta
    Kr = kernel.product(r)
    square = jnp.sum(r * Kr)
    scale = jnp.sum(root * jnp.abs(r))
    noise = unit * scale * scale
    indefinite = ~(square >= -noise) | jnp.any(jnp.diagonal(theta) < 0)
    asymmetric = jnp.abs(jnp.sum(beta * Kr) - jnp.sum(r * f)) > 8 * unit * scale * total
    ones = jnp.ones((), theta.dtype)
    ones = eqx.error_if(ones, asymmetric & ~indefinite, "theta must be symmetric")
    ones = eqx.error_if(ones, indefinite, "theta must be finite and positive semi-definite")
    gap = (jnp.maximum(square, 0.0) + noise) / 2 + jnp.sum(_apart(loss, f, alpha, unit * root * total))
    level = objective(loss, beta, f)
    return KernelFixedPoint(alpha * ones, f, gap, loss.dual_error(alpha, gap), level, steps, gap <= rtol * level)


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
