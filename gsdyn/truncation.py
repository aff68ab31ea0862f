"""What the features left out of a basis could have changed (P21-Eqs 8-11, Thm1): a rigorous bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._numerics import batching, dense, psd
from gsdyn._numerics.precision import full_precision
from gsdyn._problem import Problem
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint
from gsdyn.losses import Loss

_STEPS = 200

_Product = Callable[[Array], Array]


class Truncation(eqx.Module):
    """How far a fixed point in few features can be from that of the whole kernel.

    - `alpha`: bound of `|alpha* - alpha|_2`, over all examples and classes.
    - `z`: bounds of `|u_j^T f* - z_j|`, the responses of the features kept, shape (k,) or (k, C).
    - `residual`: `|A a - f|_2`, what the discarded part of the kernel does at `alpha`: a measure, no bound.
    """

    alpha: Float[Array, ""]
    z: Array
    residual: Float[Array, ""]


@full_precision
def truncation_bound(
    basis: FeatureBasis, fp: FixedPoint, theta: ArrayLike, y: ArrayLike | None = None, *, newton: int = 4
) -> Truncation:
    """Bounds of what truncating a kernel to the features of `basis` did to its fixed point.

    - `basis`, `fp`: `FeatureBasis.from_kernel(theta, y, rank=k)` and its `fixed_point`, under weight decay or a mixture
      `(lam_1, lam_2)` with `lam_1 > 0`.
    - `theta`, `y`: the kernel, shape (n, n), and the labels that made the basis.
    - `newton`: Newton steps on the whole problem that sharpen the bounds, at least 0.

    With `A = K/lam_1` and the loss `l(f) + lam_2 f^2/2`, whose weight is `a(f) = -l'(f) - lam_2 f` and whose curvature
    is at most `w`, the whole problem is `f* = A a*`. At `f = U z` and `a = a(f)` of the truncated one its residual is
    `r = A a - f`. Let `d = a* - a`. As `a` falls at a rate of at most `w` with `f`, `(f* - f).d <= -|d|^2/w`, and
    `f* - f = A d + r`, so

        d^T M d <= -r^T d <= |r|_(M^-1) |d|_M,    M = A + I/w,    hence    |d|_M <= X = |r|_(M^-1)

    which gives `|d| <= sqrt(w) X`, of which `|alpha* - alpha|` is at most as much, and with
    `u^T A M^-1 A u <= u^T A u`

        |u_j^T f* - z_j| = |u_j^T (A d + r)| <= sqrt(u_j^T A u_j) X + |u_j^T r|

    `X^2` comes from conjugate gradients, from above at any iterate `x` with `q = r - M x`:
    `r^T M^-1 r = r^T x + q^T x + q^T M^-1 q <= r^T x + q^T x + w |q|^2`.

    All this holds at any `f`. A Newton step on the whole problem, from the truncated optimum, gives an `f` where `r`
    is of second order; the bounds there plus the way to it bound the same, and the least of them counts. No eigenvector
    or optimum is taken to be exact: errors of both are part of `r`, and so is rounding, of what is computed here and of
    `fp.alpha` and `fp.z` beside the `f` they belong to. It costs products with the kernel, O(n^2) each, some tens for
    each of `newton` steps, and a check of the kernel as in `kernel_fixed_point`.

    Works in double precision, and returns the wider dtype of kernel and basis. Raises `ValueError` for spectral
    decoupling, which weighs every feature alike and lets none be left out, for class-wise penalties, for `Hinge`, whose
    dual is not strongly concave, for a kernel that is not symmetric and positive semi-definite, and for arguments that
    do not fit; inside `jit` the bounds of such a kernel are infinite.

        >>> few = gs.FeatureBasis.from_kernel(theta, y, rank=2)
        >>> bound = gs.truncation_bound(few, gs.fixed_point(few, gs.CrossEntropy(), gs.WeightDecay(1.0)), theta, y)
        >>> print(f"{bound.alpha:.1e}")
        3.7e-03
    """
    _checks.instance("fp", fp, FixedPoint)
    newton = _checks.integer("newton", newton, 0)
    tilt = Problem.of(basis, fp.loss, fp.penalty).tilt
    bend = fp.loss.steepest
    if bend is None:
        raise ValueError(f"fp must have a smooth loss of known curvature, got {type(fp.loss).__name__}")
    lam1, lam2 = fp.penalty.decay()
    if tilt is not None or (_checks.is_concrete(lam1) and not float(lam1) > 0):
        raise ValueError(f"fp must be under weight decay, alone or mixed, got {type(fp.penalty).__name__}")
    given = psd.of_one_output(theta)
    theta = _checks.finite("theta", given, ndim=2)
    n = basis.examples
    if theta.shape != (n, n) or fp.margins.shape[0] != n:
        raise ValueError(f"theta and fp must belong to {n} examples, got {theta.shape} and {fp.margins.shape}")
    sign = jnp.ones(n, theta.dtype) if y is None else _checks.labels("y", y).astype(theta.dtype)
    _checks.same_length("y", sign, "theta", theta)
    if _checks.is_concrete(theta):
        theta = psd.symmetric(theta, given)
        psd.slack(theta, psd.accuracy(given, theta), told=False)
        valid = jnp.ones((), bool)
    else:
        part = 8 * n * float(jnp.finfo(theta.dtype).eps)
        valid = psd.is_symmetric(theta) & psd.seems_semidefinite(theta, part)
    dtype = np.promote_types(theta.dtype, basis.U.dtype)
    arrays = (_Kept(basis.U, fp.alpha, fp.z, fp.margins), fp.loss, theta, sign, lam1, lam2, jnp.asarray(newton), valid)
    found = batching.in_double(lambda *arrays: _bound(*arrays, bend=bend, dtype=dtype))(*arrays)
    return jax.tree.map(jax.lax.stop_gradient, found)


class _Kept(NamedTuple):
    """The vectors of the features kept, and the fixed point in them."""

    U: Array
    alpha: Array
    z: Array
    margins: Array


@eqx.filter_jit
def _bound(
    kept: _Kept,
    loss: Loss,
    theta: Array,
    sign: Array,
    lam1: Array,
    lam2: Array,
    newton: Array,
    valid: Array,
    *,
    bend: float,
    dtype: Any,
) -> Truncation:
    kept, theta, sign, lam1, lam2 = jax.tree.map(lambda x: x.astype(jnp.float64), (kept, theta, sign, lam1, lam2))
    w = bend + lam2
    column = (-1,) + (1,) * (kept.margins.ndim - 1)
    eps = float(jnp.finfo(theta.dtype).eps)
    unit = (theta.shape[0] + 16) * eps
    U = kept.U

    def product(v: Array) -> Array:
        signs = sign.reshape((-1,) + (1,) * (v.ndim - 1))
        return signs * (theta @ (signs * v)) / lam1

    def sizes(v: Array) -> Array:
        return jnp.abs(theta) @ jnp.abs(v) / lam1

    own = jnp.sum(U * product(U), axis=0) + unit * jnp.trace(theta) / lam1

    def bounds(f: Array) -> tuple[Array, Array, Array]:
        """The residual at `f`, and the bounds of `|alpha* - alpha|` and of `|u_j^T f* - z_j|`."""
        pull, alpha = loss.weight(f), loss.dual(f)
        residual = product(pull - lam2 * f) - f
        # Rounding can have moved it by `lost`, in the norm of M^-1 by sqrt(w) of that at most.
        lost = unit * (sizes(jnp.abs(pull) + jnp.abs(alpha) + lam2 * jnp.abs(f)) + jnp.abs(f))
        reach = jnp.sqrt(_inverse_norm(product, sizes, residual, w, unit)) + jnp.sqrt(w) * jnp.linalg.norm(lost)
        first = jnp.abs(U.T @ residual) + jnp.abs(U).T @ (lost + unit * jnp.abs(residual))
        # and the way from f to what is called alpha and z
        near_alpha = jnp.linalg.norm(alpha - kept.alpha) + 8 * eps * jnp.linalg.norm(alpha)
        near_z = jnp.abs(U.T @ f - kept.z) + unit * (jnp.abs(U).T @ jnp.abs(f))
        return residual, jnp.sqrt(w) * reach + near_alpha, first + jnp.sqrt(own).reshape(column) * reach + near_z

    def step(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        f, residual, alpha, z = state
        root = loss.root_curvature(f)
        move = _newton_move(product, root, lam2, residual)
        f = f + move * jnp.minimum(1.0, 2.0 / jnp.maximum(jnp.max(jnp.abs(move)), 1.0))
        residual, near_alpha, near_z = bounds(f)
        # a step that went wrong gives no less and may give NaN
        return f, residual, jnp.fmin(alpha, near_alpha), jnp.fmin(z, near_z)

    residual, alpha, z = bounds(kept.margins)
    _, _, alpha, z = jax.lax.fori_loop(0, newton, step, (kept.margins, residual, alpha, z))
    up = 1 + 4 * unit + float(jnp.finfo(dtype).eps)
    alpha, z = (jnp.where(valid & (x < jnp.inf), x * up, jnp.inf).astype(dtype) for x in (alpha, z))
    return Truncation(alpha, z, jnp.linalg.norm(residual).astype(dtype))


def _newton_move(product: _Product, root: Array, lam2: Array, residual: Array) -> Array:
    """`f - f_0` of a Newton step for `A a(f) = f`: `A x + r` with `(A + 1/W) x = -r`, `W` the curvature at `f_0`.

    With `x = R^T v`, `W = R^T R` no curvature is divided by: `(I + R A R^T) v = -R r`.
    """
    vector = root.ndim == 3  # logits: a matrix for every example
    if vector:
        eye = jnp.eye(root.shape[-1], dtype=root.dtype)[None]
        bent = jnp.einsum("iba,ibc->iac", root, root) + (lam2 + jnp.finfo(root.dtype).eps) * eye
        root = jax.vmap(dense.cholesky)(bent).swapaxes(1, 2)
    else:
        root = jnp.sqrt(root * root + lam2)

    def apply(v: Array) -> Array:
        return jnp.einsum("iab,ib->ia", root, v) if vector else root * v

    def adjoint(v: Array) -> Array:
        return jnp.einsum("iba,ib->ia", root, v) if vector else root * v

    target = -apply(residual)
    x, _ = _conjugate_gradients(
        lambda v: v + apply(product(adjoint(v))), target, lambda x, q: jnp.sum(q * q) > 1e-8 * jnp.sum(target * target)
    )
    return product(adjoint(x)) + residual


def _inverse_norm(product: _Product, sizes: _Product, r: Array, w: Array, unit: float) -> Array:
    """An upper bound, rounding included, of `r^T M^-1 r` for `M = A + I/w >= I/w`, within 1% unless that takes too many
    steps; `sizes` is the product with the absolute values of `A`."""

    def image(v: Array) -> Array:
        return product(v) + v / w

    def estimate(x: Array, q: Array) -> Array:
        return jnp.sum(r * x) + jnp.sum(q * x)

    x, _ = _conjugate_gradients(image, r, lambda x, q: w * jnp.sum(q * q) > 0.01 * estimate(x, q))
    q = r - image(x)
    lost = unit * (jnp.abs(r) + sizes(x) + jnp.abs(x) / w)
    value = estimate(x, q) + w * jnp.sum((jnp.abs(q) + lost) ** 2)
    return jnp.maximum(value, 0.0) + jnp.sum((lost + unit * (jnp.abs(r) + jnp.abs(q))) * jnp.abs(x))


def _conjugate_gradients(
    product: _Product, r: Array, unfinished: Callable[[Array, Array], Array]
) -> tuple[Array, Array]:
    """`x` with `M x = r`, and `r - M x`, as far as asked or as `_STEPS` go."""

    def go(state: tuple[Array, ...]) -> Array:
        x, q, _, i = state
        return unfinished(x, q) & (i < _STEPS)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, q, p, i = state
        image, before = product(p), jnp.sum(q * q)
        t = before / jnp.sum(p * image)
        x, q = x + t * p, q - t * image
        return x, q, q + jnp.sum(q * q) / before * p, i + 1

    x, q, *_ = jax.lax.while_loop(go, step, (jnp.zeros_like(r), r, r, jnp.zeros((), int)))
    return x, q
