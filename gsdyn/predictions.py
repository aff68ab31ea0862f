"""Outputs at new inputs, and what a feature looks like there (THEORY section 9, beyond P21).

Everything is linear in the coefficients of the examples: `theta - theta_0 = Phi^T Y beta`, so `yhat(x) = k(x, X) Y
beta`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._numerics import psd
from gsdyn._numerics.precision import full_precision
from gsdyn._problem import Problem
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint
from gsdyn.integration import Trajectory


@runtime_checkable
class Rows(Protocol):
    """A kernel between new inputs and examples that comes some rows at a time, such as `gs.kernels.Between`."""

    @property
    def shape(self) -> tuple[int, int]:
        """New inputs and examples, (m, n)."""
        ...

    def blocks(self) -> Iterator[Array]:
        """Rows in order, (b, n) at a time; rows after the m-th do not count."""
        ...


@full_precision
def coefficients(basis: FeatureBasis, fp: FixedPoint | Trajectory) -> Array:
    """The coefficients `beta` of the examples, with `f = K beta` and `theta - theta_0 = Phi^T Y beta` (*beyond* P21).

        beta = U s^-2 z

    which in a whole basis is `alpha/lam` under weight decay, `K^-1 f` under spectral decoupling and
    `(a - lam_2 f)/lam_1` under a mixture.

    - `basis`: the features in n examples. `fp`: a `fixed_point` or a trajectory of `integrate` in that basis.

    Shape (n,), or (n, C) for `Softmax`; (t, n) and (t, n, C) along a trajectory. Features of zero strength have no part
    in them. A `KernelRun` and a `KernelFixedPoint` have their `coefficients`. Raises `ValueError` where the two do not
    fit.

        >>> features = gs.FeatureBasis.from_kernel(theta, y)
        >>> beta = gs.coefficients(features, gs.fixed_point(features, gs.CrossEntropy(), gs.WeightDecay(0.1)))
        >>> print(beta)
        [0.675 0.611 0.742 0.939]
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
    # z / s^2 = U^T a / (lam_1 + lam_2 s^2): by responses, also for derivatives, where examples are learnt
    problem = Problem.of(basis, fp.loss, fp.penalty)
    pull = problem.gather(problem.tilted(fp.loss.dual_to_pull(fp.alpha, fp.margins), fp.margins))
    lam1, lam2 = (lam.astype(s2.dtype) for lam in fp.penalty.decay())
    decay = jnp.where(s2 > 0, lam1 + lam2 * s2, 1.0).reshape(column)
    part = jnp.where(
        problem.by_responses(fp.margins, fp.alpha), fp.z / jnp.where(live, s2.reshape(column), 1.0), pull / decay
    )
    return basis.U @ jnp.where(live, part, 0.0)


@full_precision
def predict(theta_new: ArrayLike | Rows, y: ArrayLike | None, beta: ArrayLike) -> Array:
    """The outputs at new inputs, `yhat(x) = k(x, X) Y beta`, centred at initialisation (*beyond* P21).

    - `theta_new`: the kernel between m new inputs and the n examples, shape (m, n): `infinite_ntk(net, x_new, x)`, or
      `phi_new @ phi.T` of NTRF matrices; or `kernels.Between(net, x_new, x)`, which is never held as a whole.
    - `y`: labels -1 or +1 of the examples, shape (n,); None where the kernel is unsigned, as for `Softmax`.
    - `beta`: coefficients of the examples, from `coefficients`, a `KernelRun`, a `KernelFixedPoint` or `hard_margin`:
      shape (n,) or (t, n); for `Softmax` (n, C) or (t, n, C).

    Shape (m,), (t, m), (m, C) or (t, m, C). The class of a new input is the sign of its output, or its largest.

        >>> features = gs.FeatureBasis.from_kernel(theta, y)
        >>> beta = gs.coefficients(features, gs.fixed_point(features, gs.CrossEntropy(), gs.WeightDecay(0.1)))
        >>> theta_new = gs.kernels.infinite_ntk(net, np.array([[1.0, 0.0], [-0.5, 0.0]]), x)
        >>> print(gs.predict(theta_new, y, beta))
        [ 2.655 -1.378]
    """
    if not isinstance(theta_new, Rows):
        theta_new = _rectangle(theta_new)
    m, n = _shape(theta_new, y)
    if isinstance(beta, FixedPoint | Trajectory):
        raise ValueError(f"beta must be coefficients, got a {type(beta).__name__}: coefficients(basis, fp) makes them")
    if hasattr(beta, "coefficients"):
        raise ValueError(f"beta must be coefficients, got a {type(beta).__name__}: its attribute coefficients has them")
    beta = _checks.real("beta", beta)
    if not _fits(beta, n, y is None):
        allowed = f"({n},) or (t, {n})" + ("" if y is not None else f", ({n}, C) or (t, {n}, C)")
        raise ValueError(f"beta must have shape {allowed}, got {beta.shape}")
    if beta.ndim == 2 and y is None and beta.shape == (n, n):
        raise ValueError(
            f"beta must say what its axes are, got ({n}, {n}): give y for times, (1, {n}, {n}) for classes"
        )
    classes = beta.ndim == 3 or (beta.ndim == 2 and beta.shape[1] != n)
    if isinstance(theta_new, Rows):
        parts = [predict(block, y, beta) for block in theta_new.blocks()]
        return jnp.concatenate(parts, -2)[..., :m, :] if classes else jnp.concatenate(parts, -1)[..., :m]
    if classes:
        out = theta_new @ beta if beta.ndim == 2 else jnp.moveaxis(jnp.tensordot(theta_new, beta, ((1,), (1,))), 0, 1)
    else:
        # signs of the coefficients: those of the kernel would take a copy of it
        signed = beta * _sign(y, n, theta_new.dtype).reshape((1,) * (beta.ndim - 1) + (n,))
        out = signed @ theta_new.T if beta.ndim == 2 else theta_new @ signed
    return _of_finite(theta_new, out)


@full_precision
def feature_functions(basis: FeatureBasis, theta_new: ArrayLike | Rows, y: ArrayLike | None) -> Float[Array, "m k"]:
    """Every feature as a function of the input, at m new inputs (*beyond* P21).

        phi_j(x) = s_j^-2 k(x, X) Y U[:, j],    yhat(x) = sum_j z_j phi_j(x)

    and `y phi_j = U[:, j]` on the examples. A feature of zero strength has no response, and is 0 here.

    - `basis`: features in n examples. `theta_new`, `y`: as in `predict`.

        >>> features = gs.FeatureBasis.from_kernel(theta, y)
        >>> theta_new = gs.kernels.infinite_ntk(net, np.array([[1.0, 0.0], [-0.5, 0.0]]), x)
        >>> print(gs.feature_functions(features, theta_new, y).shape)
        (2, 4)
    """
    _checks.instance("basis", basis, FeatureBasis)
    if not isinstance(theta_new, Rows):
        theta_new = _rectangle(theta_new)
    m, n = _shape(theta_new, y)
    if n != basis.examples:
        raise ValueError(f"theta_new must have one column per example ({basis.examples}), got shape {(m, n)}")
    if isinstance(theta_new, Rows):
        return jnp.concatenate([feature_functions(basis, block, y) for block in theta_new.blocks()])[:m]
    s2 = basis.s * basis.s
    live = (s2 > 0)[None, :]
    images = _of_finite(theta_new, theta_new @ (_sign(y, n, theta_new.dtype)[:, None] * basis.U))
    return jnp.where(live, images / jnp.where(live, s2[None, :], 1.0), 0.0)


def _rectangle(theta_new: ArrayLike) -> Array:
    theta_new = psd.of_one_output(theta_new)
    return _checks.require("theta_new", theta_new, "a matrix", lambda v: v.ndim == 2, ndim=2)


def _of_finite(theta_new: Array, out: Array) -> Array:
    """What a kernel made, which must itself be finite: asked only where `out` is not, that the kernel is read once."""
    if _checks.is_concrete(out) and not np.all(np.isfinite(np.asarray(out))):
        _checks.finite("theta_new", theta_new)
    return out


def _shape(theta_new: Array | Rows, y: ArrayLike | None) -> tuple[int, int]:
    m, n = theta_new.shape
    if y is not None and (count := len(_checks.labels("y", y))) != n:
        raise ValueError(
            f"theta_new must have one row per new input and one column per example, got shape {(m, n)} "
            f"for y of {count} labels"
        )
    return m, n


def _sign(y: ArrayLike | None, n: int, dtype: DTypeLike) -> Array:
    return jnp.ones(n, dtype) if y is None else _checks.labels("y", y).astype(dtype)


def _fits(beta: Array, n: int, unsigned: bool) -> bool:
    if beta.ndim == 3:
        return unsigned and beta.shape[1] == n
    return beta.ndim in (1, 2) and (beta.shape[-1] == n or (unsigned and beta.ndim == 2 and beta.shape[0] == n))
