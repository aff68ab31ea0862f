"""Fixed points straight from a kernel, without its eigenvectors (P21-Eqs 5-9): for many examples, one decay or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from gsdyn import _checks
from gsdyn._fixed_points.kernel_newton import Kernel, minimise, objective
from gsdyn._numerics import batching, psd
from gsdyn._numerics.precision import full_precision
from gsdyn._readable import Optimum
from gsdyn.losses import Loss
from gsdyn.penalties import Penalty, WeightDecay

MAX_ITERATIONS = 100
HISTORY = 3  # the decays behind from which the next one's margins are extrapolated


class KernelFixedPoint(Optimum):
    """The optimum of one problem in its examples, and how far from it the numbers can be; along a path (`kernel_path`)
    everything has the decays as its first axis.

    - `alpha`: dual variables, shape (n,). `margins`: `f* = Y Theta Y alpha* / lam`, shape (n,).
    - `gap`: an upper bound, rounding included, of primal minus dual (P21-Eqs 7-8), before both are rounded to the dtype
      of the kernel.
    - `error_bound`: a rigorous bound of `|alpha - alpha*|_2`, rounding included.
    - `objective`: the primal value. `iterations`: Newton steps. `converged`: whether the gap is as small as asked for,
      but for what negative eigenvalues add to it, and the bound says anything.
    - `coefficients`: those of the examples, `beta` of `predict`, shape (n,), with `f* = Y Theta Y beta`: `alpha/lam`,
      or where a strong kernel makes much of what that errs by, those that Newton's method came to.

    Where a kernel that was traced turns out not to be symmetric and positive semi-definite, both bounds are infinite
    and `converged` is False.

        >>> fp = gs.kernel_fixed_point(theta, y, gs.CrossEntropy(), gs.WeightDecay(0.1))
        >>> print(fp.alpha, fp.converged)
        [0.068 0.061 0.074 0.094] True
    """

    alpha: Float[Array, "*L n"]
    margins: Float[Array, "*L n"]
    gap: Float[Array, "*L"]
    error_bound: Float[Array, "*L"]
    objective: Float[Array, "*L"]
    iterations: Int[Array, "*L"]
    converged: Bool[Array, "*L"]
    coefficients: Float[Array, "*L n"]


@full_precision
def kernel_fixed_point(
    theta: ArrayLike,
    y: ArrayLike | None,
    loss: Loss,
    penalty: WeightDecay,
    *,
    start: ArrayLike | None = None,
    rtol: float = 1e-8,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float | None = None,
) -> KernelFixedPoint:
    """The fixed point `alpha = a(Y Theta Y alpha / lam)` of P21-Eq9, from the kernel alone.

    - `theta`: symmetric and positive semi-definite, shape (n, n), such as an NTK.
    - `y`: labels -1 or +1, shape (n,), or None where `theta` carries them.
    - `loss`: smooth, with one margin for each example. `penalty`: `WeightDecay`, the only one whose filter is a
      multiple of the kernel. For others, for the responses of features and for derivatives use `fixed_point`.
    - `start`: dual variables to start from, shape (n,), for example `alpha` at a decay nearby.
    - `rtol`: where to stop, as a duality gap relative to the objective, in [1e-15, 1).
    - `tolerance`: how accurate `theta` is, relative to its largest eigenvalue, in [0, 1). Negative eigenvalues up to
      that size count as zero, and the bounds hold for the kernel in which they are. By default up to the root of the
      `eps` of the precision in which `theta` came, beyond 8 `n eps` with a warning (see `FeatureBasis.from_kernel`).

    A gap bounds `alpha` only by its root: `error_bound` tells. Works in double precision, also without
    `jax_enable_x64`, and returns the dtype of `theta`; copies of `theta` in both precisions are held meanwhile.

    That `theta` is positive semi-definite is checked, once for each array of JAX: by a factorisation up to 2,000
    examples; beyond, and inside `jit` and `vmap`, by 32 steps of Lanczos's method, which see all eigenvalues of up to
    32 examples and the ends of the spectrum of more. Raises `ValueError` for what does not fit, and for a kernel that
    is not finite, not symmetric or not positive semi-definite beyond `tolerance` (inside `jit` see `KernelFixedPoint`).

        >>> fp = gs.kernel_fixed_point(theta, y, gs.CrossEntropy(), gs.WeightDecay(0.1))
        >>> print(fp.margins, fp.converged)
        [2.625 2.731 2.524 2.267] True
    """
    _checks.instance("penalty", penalty, WeightDecay)
    if penalty.lam.ndim:
        raise ValueError(f"penalty must hold one decay, got lam of shape {penalty.lam.shape}: kernel_path takes many")
    matrix, sign, options = _problem(theta, y, loss, rtol, max_iterations, tolerance)
    if start is not None:
        start = _checks.finite("start", start, ndim=1)
        _checks.same_length("start", start, "theta", matrix)
    return _solved(_solve, (matrix, sign, penalty.lam, start), loss, options)


@full_precision
def kernel_path(
    theta: ArrayLike,
    y: ArrayLike | None,
    loss: Loss,
    penalties: WeightDecay | Sequence[WeightDecay] | Float[ArrayLike, " L"] | None = None,
    *,
    lams: Float[ArrayLike, " L"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float | None = None,
) -> KernelFixedPoint:
    """`kernel_fixed_point` at every weight decay of a path, each from those before it, in one compiled scan.

    - `penalties`: a sequence of `WeightDecay`, one with a vector in it (`jax.vmap(WeightDecay)(lams)`), or the decays
      themselves, which may also be called `lams`: positive, strictly increasing or strictly decreasing, shape (L,),
      L >= 1. Decreasing is faster.
    - Other arguments, errors and what comes back, with `L` as the first axis: see `kernel_fixed_point`.

        >>> path = gs.kernel_path(theta, y, gs.CrossEntropy(), [1.0, 0.1])
        >>> print(path.margins)
        [[1.012 1.023 0.961 0.835]
         [2.625 2.732 2.524 2.267]]
    """
    decays = _decays(penalties, lams)
    theta, sign, options = _problem(theta, y, loss, rtol, max_iterations, tolerance)
    return _solved(_follow, (theta, sign, decays), loss, options)


def _decays(penalties: Any, lams: Any) -> Float[Array, " L"]:
    if (penalties is None) == (lams is None):
        raise ValueError("penalties must be given, or lams in their place, and not both")
    name = "lams" if penalties is None else "penalties"
    given: Any = lams if penalties is None else penalties
    if isinstance(given, list | tuple) and any(isinstance(penalty, Penalty) for penalty in given):
        for penalty in given:
            _checks.instance(f"each of {name}", penalty, WeightDecay)
        given = jnp.stack([penalty.lam for penalty in given])
    elif isinstance(given, Penalty):
        _checks.instance(name, given, WeightDecay)
        given = given.decay()[0]
    decays: Any = given
    decays = _checks.require(name, decays, "a vector of positive numbers", lambda v: (v > 0) & (v < jnp.inf), ndim=1)
    if decays.size == 0:
        raise ValueError(f"{name} must hold at least one decay, got none")
    return _checks.require(
        name,
        decays,
        "strictly increasing or strictly decreasing",
        lambda v: jnp.all(v[1:] > v[:-1]) | jnp.all(v[1:] < v[:-1]),
    )


class _Options(NamedTuple):
    """Where to stop; by how much the kernel may be negative beside its largest eigenvalue, and how far below zero
    a check has found it; and whether that check is still to be made."""

    rtol: Array
    limit: Array
    accuracy: Array
    slack: Array
    unchecked: bool


def _problem(
    theta: ArrayLike, y: ArrayLike | None, loss: Loss, rtol: float, max_iterations: int, tolerance: float | None
) -> tuple[Array, Array, _Options]:
    """The kernel, the labels and the options, checked; as arrays, so that none compiles anew."""
    given = psd.of_one_output(theta)
    matrix = _checks.real("theta", given)
    if matrix.ndim != 2:
        raise ValueError(f"theta must have 2 dimensions, got shape {matrix.shape}")
    _checks.square("theta", matrix)
    traced, told = not _checks.is_concrete(matrix), tolerance is not None
    if tolerance is None:
        accuracy = psd.once(matrix, (), lambda: psd.accuracy(given, matrix))
    else:
        accuracy = psd.tolerance(tolerance)
    _checks.instance("loss", loss, Loss)
    if not loss.smooth or len(loss.shape(1)) > 1:
        raise ValueError(f"loss must be smooth with one margin for each example, got {type(loss).__name__}")
    rtol = _checks.number("rtol", rtol, "a number in [1e-15, 1)", lambda v: 1e-15 <= v < 1)
    sign = jnp.ones(matrix.shape[0], matrix.dtype) if y is None else _checks.labels("y", y).astype(matrix.dtype)
    _checks.same_length("y", sign, "theta", matrix)
    limit = jnp.asarray(_checks.integer("max_iterations", max_iterations, 1), jnp.int32)
    slack = 0.0
    if not traced:
        skewed, slack = psd.once(matrix, (accuracy, told), lambda: _checked(matrix, given, accuracy, told))
        matrix = psd.symmetric(matrix, given, accuracy) if skewed else matrix
    elif not told:
        accuracy = 0.0
    with jax.enable_x64(True):
        stop, part, below = (jnp.asarray(x, jnp.float64) for x in (rtol, accuracy, slack))
    return matrix, sign, _Options(stop, limit, part, below, traced)


def _checked(theta: Array, given: ArrayLike, accuracy: float, told: bool) -> tuple[bool, float]:
    """Whether rounding has left a kernel unlike its transpose, and how far below zero its eigenvalues go."""
    theta = _checks.finite("theta", theta)
    whole = psd.symmetric(theta, given, accuracy if told else 0.0)
    return whole is not theta, psd.slack(whole, accuracy, told=told)


@eqx.filter_custom_jvp
def _solved(solve: Callable[..., KernelFixedPoint], problem: tuple, loss: Loss, options: _Options) -> KernelFixedPoint:
    arrays, static = eqx.partition((problem, loss, options), eqx.is_array)
    return batching.in_double(lambda arrays: solve(*eqx.combine(arrays, static)))(arrays)


@_solved.def_jvp
def _no_derivative(*_: Any) -> Any:
    raise ValueError("fixed points straight from a kernel have no derivatives: differentiate fixed_point")


@eqx.filter_jit
def _solve(problem: tuple[Array, Array, Array, Array | None], loss: Loss, options: _Options) -> KernelFixedPoint:
    theta, sign, lam, start = problem
    kernel = Kernel.of(*(x.astype(jnp.float64) for x in (theta, sign, lam)))
    beta = jnp.zeros_like(kernel.sign) if start is None else start.astype(jnp.float64)
    end = minimise(kernel, loss, beta, kernel.product(beta), options.rtol, options.limit)
    return _certified(kernel, loss, end.beta, end.i, *_slack(theta, kernel, options), options.rtol, theta.dtype)


class _Trail(NamedTuple):
    """The last decays, newest first: their logarithms, coefficients over `lam`, margins, and which are known."""

    x: Array
    shares: Array
    margins: Array
    known: Array


@eqx.filter_jit
def _follow(problem: tuple[Array, Array, Array], loss: Loss, options: _Options) -> KernelFixedPoint:
    theta, sign, lams = problem
    whole = Kernel.of(theta.astype(jnp.float64), sign.astype(jnp.float64), jnp.ones((), jnp.float64))
    rtol, slack = options.rtol, _slack(theta, whole, options)

    def step(trail: _Trail, lam: Array) -> tuple[_Trail, tuple[Array, Array]]:
        kernel = whole._replace(lam=lam)
        x = jnp.log(lam)
        end = minimise(kernel, loss, *_predicted(kernel, loss, trail, x), rtol, options.limit)
        newest = _Trail(x, end.beta / lam, end.f, jnp.ones((), bool))
        trail = jax.tree.map(lambda new, old: jnp.concatenate([new[None], old[:-1]]), newest, trail)
        return trail, (end.beta, end.i)

    lams = lams.astype(jnp.float64)
    nothing = jnp.zeros((HISTORY, sign.size), jnp.float64)
    none = _Trail(nothing[:, 0], nothing, nothing, jnp.zeros(HISTORY, bool))
    _, (betas, steps) = jax.lax.scan(step, none, lams)

    # all at once: one product of matrices takes less than half the time of as many with vectors
    def certified(lam: Array, beta: Array, i: Array) -> KernelFixedPoint:
        return _certified(whole._replace(lam=lam), loss, beta, i, *slack, rtol, theta.dtype)

    return jax.vmap(certified)(lams, betas, steps)


def _slack(theta: Array, kernel: Kernel, options: _Options) -> tuple[Array, Array]:
    """How far below zero eigenvalues of the kernel may be, and whether it can be a kernel at all."""
    if not options.unchecked:
        return options.slack, jnp.ones((), bool)
    part = jnp.maximum(8 * theta.shape[0] * float(jnp.finfo(theta.dtype).eps), options.accuracy)
    valid = psd.is_symmetric(theta, options.accuracy) & psd.seems_semidefinite(kernel.theta, part)
    return options.accuracy * jnp.max(jnp.sum(jnp.abs(kernel.theta), axis=1)), valid


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


def _certified(
    kernel: Kernel, loss: Loss, beta: Array, steps: Array, slack: Array, valid: Array, rtol: Array, dtype: Any
) -> KernelFixedPoint:
    """The fixed point at the coefficients found, its margins computed afresh and all rounding in its bounds, which hold
    for the kernel whose negative eigenvalues, `slack` at most, are zero."""
    theta = kernel.theta
    unit = (beta.size + 16) * float(jnp.finfo(theta.dtype).eps)
    beta, f, alpha, r, square, nearer = _nearest(kernel, loss, beta)
    # |K_ij| <= sqrt(K_ii K_jj)
    root = jnp.sqrt(jnp.maximum(jnp.diagonal(theta), 0.0) / kernel.lam)
    df = unit * root * jnp.sum(root * jnp.abs(beta))
    noise = unit * jnp.sum(root * jnp.abs(r)) ** 2
    less = slack / kernel.lam
    valid = valid & (square >= -noise - less * jnp.sum(r * r)) & jnp.all(jnp.diagonal(theta) >= -slack)
    gap = (jnp.maximum(square, 0.0) + noise) / 2 + jnp.sum(_apart(loss, f, alpha, df))
    level = objective(loss, beta, f)
    reached = gap <= rtol * level
    clipped = less * jnp.sum(r * r) / 2 + jnp.sum(_apart(loss, f, alpha, df + less * jnp.linalg.norm(beta)))
    gap = jnp.where(slack > 0, (jnp.maximum(square, 0.0) + noise) / 2 + clipped, gap)
    stored = alpha.astype(dtype)
    bound = loss.dual_error(alpha, gap) + jnp.linalg.norm(stored.astype(alpha.dtype) - alpha)
    gap, bound = (jnp.where(valid, x, jnp.inf) for x in (gap, bound))
    up = 1 + float(jnp.finfo(dtype).eps)
    known = jnp.where(nearer, alpha, beta) / kernel.lam, f, up * gap, up * bound, level
    coefficients, f, gap, bound, level = (x.astype(dtype) for x in known)
    converged = reached & (bound * bound < alpha.size)
    return KernelFixedPoint(stored, f, gap, bound, level, steps, converged, coefficients)


def _nearest(kernel: Kernel, loss: Loss, beta: Array) -> tuple[Array, ...]:
    """`beta`, or `a(K beta)` where that map contracts, as under strong decay: there a gap that is small beside the loss
    may be large beside the margins. With `f = K beta`, `a(f)`, `r = a(f) - beta`, `r^T K r`, and whether it contracts.
    """

    def at(beta: Array) -> tuple[Array, Array, Array, Array, Array]:
        f = kernel.product(beta)
        alpha = loss.weight(f)
        r = alpha - beta
        return beta, f, alpha, r, jnp.sum(r * kernel.product(r))

    here = at(beta)
    ahead = at(here[2])
    nearer = ahead[-1] < here[-1]
    return *(jnp.where(nearer, new, old) for new, old in zip(ahead, here, strict=True)), nearer


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
