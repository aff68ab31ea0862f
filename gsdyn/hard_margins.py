"""Without decay: the hard margin, where gradient flow and vanishing decay lead (THEORY section 11, beyond P21)."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from gsdyn import _checks
from gsdyn._numerics import psd
from gsdyn._numerics.precision import full_precision

PATIENCE = 5  # exchanges in a row that may leave no fewer examples on the wrong side
ROUNDS = 10  # changes of the support per example, after which no more help

UNEVEN = 1e-6  # how far from 1 a margin on the support may be


class HardMargin(eqx.Module):
    """The widest margin of a kernel.

    - `coefficients`: `beta >= 0`, shape (n,), for `predict`; 0 where an example does not count.
    - `margins`: `f = K beta`, at least 1 up to rounding, shape (n,).
    - `support`: the examples with `beta > 0`, in order.
    - `gap`: primal minus dual, relative: `beta^T K beta - (2 sum beta - beta^T K beta)` over the former.
    - `converged`: whether `K beta >= 1`, `beta >= 0` and the gap hold to rounding.

        >>> widest = gs.hard_margin(theta, y)
        >>> print(widest.coefficients, widest.converged)
        [0.26  0.    0.29  0.711] True
    """

    coefficients: Float[Array, " n"]
    margins: Float[Array, " n"]
    support: Int[Array, " m"]
    gap: Float[Array, ""]
    converged: Bool[Array, ""]


@full_precision
def hard_margin(theta: ArrayLike, y: ArrayLike | None, *, tolerance: float | None = None) -> HardMargin:
    """The hard-margin solution in a kernel, `min beta^T K beta` with `K beta >= 1` (*beyond* P21).

    As weight decay vanishes, `f*/min f*` tends to its margins, within about `1/log(1/lam)`; so does gradient flow
    without any, in log t. Its optimality is `beta >= 0` and `beta_i = 0` wherever the margin exceeds 1: where `K^-1 1
    > 0` all margins are 1, and the responses `z = U^T 1` depend on no strength.

    - `theta`: the kernel, symmetric and positive semi-definite, shape (n, n): that of a linear model of fewer weights
      than examples too, whose `coefficients` are then one choice of many, with at most so many of them above 0. `y`:
      labels -1 or +1, shape (n,), or None where `theta` carries them.
    - `tolerance`: how accurate `theta` is, relative to its largest eigenvalue, in [0, 1): eigenvalues may be negative
      up to that size. By default up to the root of the `eps` of the precision in which `theta` came, beyond 8 `n eps`
      with a warning (see `FeatureBasis.from_kernel`).

    By block pivoting, then Lawson and Hanson's active set method, in double precision, outside `jit`. Responses of a
    basis are `U^T margins`. Raises `ValueError` for what is no kernel, and for one in which the examples cannot all
    have margin 1.

        >>> widest = gs.hard_margin(theta, y)
        >>> print(widest.margins, widest.support)
        [1.    1.092 1.    1.   ] [0 2 3]
    """
    given = psd.of_one_output(theta)
    theta = _checks.finite("theta", given, ndim=2)
    _checks.square("theta", theta)
    if not _checks.is_concrete((theta, y)):
        raise ValueError("theta and y must be known, got values traced by jit, vmap or grad")
    told = tolerance is not None
    accuracy = psd.tolerance(tolerance) if told else psd.accuracy(given, theta)
    theta = psd.symmetric(theta, given, accuracy if told else 0.0)
    psd.slack(theta, accuracy, told=told)
    K = np.asarray(theta, float)
    n = len(K)
    if y is not None:
        sign = np.asarray(_checks.labels("y", y), float)
        _checks.same_length("y", sign, "theta", theta)  # pyright: ignore[reportArgumentType]
        K = sign[:, None] * K * sign[None, :]
    power = 2 * (int(np.frexp(np.abs(K).max())[1]) // 2)  # even, so that roots of entries scale too
    K = np.ldexp(K, -power)  # whose coefficients do not overflow on the way
    beta = _active_set((K + K.T) / 2)
    with np.errstate(over="ignore"):
        coefficients = np.ldexp(beta, -power)
    if not coefficients.max() <= float(jnp.finfo(theta.dtype).max):
        text = f"got a largest entry of {np.ldexp(np.abs(K).max(), power):.3g}"
        raise ValueError(f"theta must be large enough for coefficients that {theta.dtype} holds, {text}")
    f = K @ beta
    square = float(beta @ f)
    gap = abs(2 * square - 2 * float(beta.sum())) / square
    rounding = 1e3 * n * float(np.finfo(float).eps)
    # the share of a margin that rounding of its sum can change
    slack = rounding * np.maximum(np.abs(K) @ beta, 1.0)
    converged = bool((f >= 1 - slack).all() and gap <= rounding * float(np.max(slack / rounding)))
    as_given = [jnp.asarray(v, theta.dtype) for v in (coefficients, f, gap)]
    return HardMargin(as_given[0], as_given[1], jnp.flatnonzero(beta > 0), as_given[2], jnp.asarray(converged))


def _active_set(K: np.ndarray) -> np.ndarray:
    """`beta >= 0` with `K beta >= 1` and `beta (K beta - 1) = 0`: what minimises `beta^T K beta/2 - sum beta`.

    Examples enter the support by their largest lack of margin and leave it where their coefficient would turn negative;
    the coefficients of a support are those that give it margin 1 exactly. Reference: Lawson and Hanson, Solving Least
    Squares Problems (1974), chapter 23.
    """
    n = len(K)
    rounding = 64 * n * float(np.finfo(float).eps)
    inside, beta = _start(K), np.zeros(n)
    for _ in range(ROUNDS * n):
        support = np.flatnonzero(inside)
        if len(support):
            wanted = _even(K, support)
            way = _without_end(K, support) if wanted is None else wanted - beta[support]
            if wanted is None or (wanted <= 0).any():
                negative = way < 0 if wanted is None else wanted <= 0
                now = beta[support]
                # where one is wanted 0 and is 0, nothing moves and it leaves
                shares = np.where(negative, now / np.where(negative & (way < 0), -way, 1.0), np.inf)
                share = float(shares.min())
                beta[support] = np.maximum(now + share * way, 0.0)
                leaving = negative & (shares <= share)
                beta[support[leaving]], inside[support[leaving]] = 0.0, False
                continue
            beta[support] = wanted
        lack = np.where(inside, -np.inf, 1 - K @ beta)
        worst = int(np.argmax(lack))
        if not lack[worst] > rounding * max(1.0, float(np.abs(K[worst]) @ beta)):
            return beta
        inside[worst] = True
    raise ValueError("theta must let all examples have margin 1, got one in which they cannot")


def _start(K: np.ndarray) -> np.ndarray:
    """A support near that of the solution, by exchanging all examples on the wrong side at once, as long as they get
    fewer. Reference: Portugal, Judice and Vicente, Mathematics of Computation 63 (1994)."""
    inside = np.ones(len(K), bool)
    fewest, patience, best = len(K) + 1, PATIENCE, np.zeros(len(K), bool)
    while patience:
        support = np.flatnonzero(inside)
        beta = np.zeros(len(K))
        even = _even(K, support)
        if even is None:
            return best
        beta[support] = even
        wrong = np.where(inside, beta <= 0, 1 - K @ beta > 0)
        count = int(wrong.sum())
        if count < fewest:
            fewest, patience, best = count, PATIENCE, inside
        else:
            patience -= 1
        if count == 0:
            return inside
        inside = inside ^ wrong
    return best


def _even(K: np.ndarray, support: np.ndarray) -> np.ndarray | None:
    """The coefficients with which every example of a support has margin 1; None where rounding cannot tell the kernel
    of the support from a singular one."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    block = K[np.ix_(support, support)]
    try:
        factor = cho_factor(block, check_finite=False)
    except LinAlgError:
        return None
    x = cho_solve(factor, np.ones(len(block)), check_finite=False)
    x += cho_solve(factor, 1 - block @ x, check_finite=False)
    return x if np.abs(1 - block @ x).max() <= UNEVEN else None


def _without_end(K: np.ndarray, support: np.ndarray) -> np.ndarray:
    """A direction in a singular support in which `beta^T K beta/2 - sum beta` falls for ever, until a coefficient
    vanishes."""
    from scipy.linalg import eigh

    vectors = eigh(K[np.ix_(support, support)], subset_by_index=[0, 0])[1][:, 0]
    way = vectors if vectors.sum() > 0 else -vectors
    way[np.abs(way) <= len(way) * np.finfo(float).eps] = 0.0
    if (way >= 0).all():
        raise ValueError("theta must let all examples have margin 1, got one in which they cannot")
    return way
