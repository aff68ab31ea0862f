"""Outputs at new inputs, and what a feature looks like there (THEORY section 9, beyond P21).

Everything is linear in the coefficients of the examples: `theta - theta_0 = Phi^T Y beta`, so `yhat(x) = k(x, X) Y
beta`.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._problem import Problem
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint
from gsdyn.integration import Trajectory


def coefficients(basis: FeatureBasis, fp: FixedPoint | Trajectory) -> Array:
    """The coefficients `beta` of the examples, with `f = K beta` and `theta - theta_0 = Phi^T Y beta` (*beyond* P21).

        beta = U s^-2 z

    which in a whole basis is `alpha/lam` under weight decay, `K^-1 f` under spectral decoupling and
    `(a - lam_2 f)/lam_1` under a mixture.

    - `basis`: the features in n examples. `fp`: a `fixed_point` or a trajectory of `integrate` in that basis.

    Shape (n,), or (n, C) for `Softmax`; (t, n) and (t, n, C) along a trajectory. Features of zero strength have no part
    in them. A `KernelRun` has its `coefficients`, and those of a `kernel_fixed_point` are `alpha/lam`. Raises
    `ValueError` where the two do not fit.
    """
    _checks.instance("basis", basis, FeatureBasis)
    if not isinstance(fp, FixedPoint | Trajectory):
        given = type(fp).__name__
        raise ValueError(f"fp must be a FixedPoint or a Trajectory of features, got a value of type {given}")
    moving = int(isinstance(fp, Trajectory))
    if fp.z.shape[moving : moving + 1] != basis.s.shape or fp.margins.shape[moving] != basis.examples:
        raise ValueError(f"fp must belong to basis, got z of shape {fp.z.shape} for U of {basis.U.shape}")
    s2 = basis.s * basis.s
    column = (1,) * moving + (-1,) + (1,) * (fp.z.ndim - 1 - moving)
    live = (s2 > 0).reshape(column)
    if isinstance(fp, Trajectory):
        part = jnp.where(live, fp.z / jnp.where(live, s2.reshape(column), 1.0), 0.0)
        return jnp.moveaxis(jnp.tensordot(part, basis.U, ((1,), (1,))), -1, 1)
    # z / s^2 = U^T a / (lam_1 + lam_2 s^2), which keeps the digits of weak features
    problem = Problem.of(basis, fp.loss, fp.penalty)
    pull = problem.tilted(fp.loss.exchange(fp.alpha), fp.margins)
    lam1, lam2 = (lam.astype(s2.dtype) for lam in fp.penalty.decay())
    decay = jnp.where(s2 > 0, lam1 + lam2 * s2, 1.0).reshape(column)
    return basis.U @ jnp.where(live, problem.gather(pull) / decay, 0.0)


def predict(theta_new: ArrayLike, y: ArrayLike | None, beta: ArrayLike) -> Array:
    """The outputs at new inputs, `yhat(x) = k(x, X) Y beta`, centred at initialisation (*beyond* P21).

    - `theta_new`: the kernel between m new inputs and the n examples, shape (m, n): `infinite_ntk(net, x_new, x)`, or
      `phi_new @ phi.T` of NTRF matrices.
    - `y`: labels -1 or +1 of the examples, shape (n,); None where the kernel is unsigned, as for `Softmax`.
    - `beta`: coefficients of the examples, from `coefficients`, a `KernelRun` or `hard_margin`: shape (n,) or (t, n);
      for `Softmax` (n, C) or (t, n, C).

    Shape (m,), (t, m), (m, C) or (t, m, C). The class of a new input is the sign of its output, or its largest.
    """
    theta_new = _rectangle(theta_new, y)
    n = theta_new.shape[1]
    beta = _checks.real("beta", beta)
    if not _fits(beta, n, y is None):
        allowed = f"({n},) or (t, {n})" + ("" if y is not None else f", ({n}, C) or (t, {n}, C)")
        raise ValueError(f"beta must have shape {allowed}, got {beta.shape}")
    if beta.ndim == 2 and y is None and beta.shape == (n, n):
        raise ValueError(
            f"beta must say what its axes are, got ({n}, {n}): give y for times, (1, {n}, {n}) for classes"
        )
    classes = beta.ndim == 3 or (beta.ndim == 2 and beta.shape[1] != n)
    signed = _signed(theta_new, y)
    if not classes:
        return beta @ signed.T if beta.ndim == 2 else signed @ beta
    return signed @ beta if beta.ndim == 2 else jnp.moveaxis(jnp.tensordot(signed, beta, ((1,), (1,))), 0, 1)


def feature_functions(basis: FeatureBasis, theta_new: ArrayLike, y: ArrayLike | None) -> Float[Array, "m k"]:
    """Every feature as a function of the input, at m new inputs (*beyond* P21).

        phi_j(x) = s_j^-2 k(x, X) Y U[:, j],    yhat(x) = sum_j z_j phi_j(x)

    and `y phi_j = U[:, j]` on the examples. A feature of zero strength has no response, and is 0 here.

    - `basis`: features in n examples. `theta_new`, `y`: as in `predict`.
    """
    _checks.instance("basis", basis, FeatureBasis)
    theta_new = _rectangle(theta_new, y)
    if theta_new.shape[1] != basis.examples:
        raise ValueError(f"theta_new must have one column per example ({basis.examples}), got shape {theta_new.shape}")
    s2 = basis.s * basis.s
    live = (s2 > 0)[None, :]
    return jnp.where(live, (_signed(theta_new, y) @ basis.U) / jnp.where(live, s2[None, :], 1.0), 0.0)


def _rectangle(theta_new: ArrayLike, y: ArrayLike | None) -> Array:
    theta_new = _checks.require("theta_new", theta_new, "a matrix", lambda v: v.ndim == 2, ndim=2)
    if y is not None and (n := len(_checks.labels("y", y))) != theta_new.shape[1]:
        raise ValueError(
            f"theta_new must have one row per new input and one column per example, got shape {theta_new.shape} "
            f"for y of {n} labels"
        )
    return theta_new


def _signed(theta_new: Array, y: ArrayLike | None) -> Array:
    return theta_new if y is None else theta_new * _checks.labels("y", y).astype(theta_new.dtype)[None, :]


def _fits(beta: Array, n: int, unsigned: bool) -> bool:
    if beta.ndim == 3:
        return unsigned and beta.shape[1] == n
    return beta.ndim in (1, 2) and (beta.shape[-1] == n or (unsigned and beta.ndim == 2 and beta.shape[0] == n))
