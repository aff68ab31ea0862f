"""Closed forms of the fixed point under weight decay (P21-Eqs 12-14), to first order as printed and exact."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks, special
from gsdyn._numerics import linear
from gsdyn._numerics.precision import full_precision
from gsdyn.features import FeatureBasis
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy
from gsdyn.penalties import WeightDecay


class ClosedForm(NamedTuple):
    """Dual variables `alpha`, shape (n,) or (), and responses `z`, shape (k,) or ().

    >>> alpha, z = gs.closed_forms.permutation(2.0, 0.1)
    >>> print(f"{alpha:.4f} {z:.4f}")
    0.0662 2.6486
    """

    alpha: Array
    z: Array


def equal_strengths(s: ArrayLike, lam: ArrayLike, U: ArrayLike | None = None, *, exact: bool = False) -> ClosedForm:
    """All strengths equal (P21-Eq12): every example has the same dual variable and margin.

        alpha_k* = W(c)/c,  c = s^2/lam + 1;     z_j* = s^2 W(c)/(s^2 + lam) sum_k U_kj

    the fixed point of P21-Eq10. With `exact=True` that of P21-Eq9: the margin is `f* = W_1(s^2/lam)`, the root of
    `x e^x + x = s^2/lam`, and `alpha* = sigma(-f*)` (*beyond*).

    - `s`: the common strength, finite and >= 0. `lam`: weight decay, finite and > 0. They broadcast.
    - `U`: shape (n, n); without it `z` is the common margin, the response to `sum_k U_kj = 1`.

        >>> alpha, margin = gs.closed_forms.equal_strengths(2.0, 0.1, exact=True)
        >>> print(f"{alpha:.4f} {margin:.4f}")
        0.0662 2.6470
    """
    s, lam, exact = *_strength_and_decay(s, lam), _checks.flag("exact", exact)
    alpha, margin = _lone_example(s * s / lam, exact)
    if U is None:
        return ClosedForm(alpha, margin)
    if s.ndim or lam.ndim:
        raise ValueError(f"s and lam must be scalars when U is given, got {s.shape} and {lam.shape}")
    U = _checks.finite("U", U, ndim=2)
    if U.shape[0] != U.shape[1]:
        raise ValueError(f"U must be square, got shape {U.shape}")
    sums = jnp.sum(FeatureBasis(U, jnp.ones_like(U[0])).U, axis=0)
    return ClosedForm(jnp.broadcast_to(alpha, sums.shape), margin * sums)


def permutation(s: ArrayLike, lam: ArrayLike, *, exact: bool = False) -> ClosedForm:
    """`U` a permutation, every feature in one example of its own (P21-Eq13).

        z_j* = s_j^2 W(s_j^2/lam + 1)/(s_j^2 + lam)

    the fixed point of P21-Eq10; with `exact=True` `z_j* = W_1(s_j^2/lam)`, that of P21-Eq9 (*beyond*).
    `alpha[j]` belongs to the example of feature j.

    - `s`: strengths, finite and >= 0. `lam`: finite and > 0. They broadcast.

        >>> print(gs.closed_forms.permutation(np.array([4.0, 2.0]), 0.01).z)
        [5.644 4.481]
    """
    s, lam, exact = *_strength_and_decay(s, lam), _checks.flag("exact", exact)
    return ClosedForm(*_lone_example(s * s / lam, exact))


@full_precision
def perturbed(basis: FeatureBasis, lam: ArrayLike, *, exact: bool = False) -> ClosedForm:
    """`U` near a permutation, to first order in its off-diagonal entries (P21-Lemma1, Eq14).

        alpha* ~ [A + diag(1/alpha_0)]^-1 (1 - log alpha_0),    A = (1/lam) U (S^2 + lam I) U^T

    with `alpha_0` the fixed point without off-diagonals, and `z* = (1/lam) S^2 U^T alpha*`. With `exact=True` the same
    step from P21-Eq9: `[K/lam + D_0] alpha* ~ h'(alpha_0) + D_0 alpha_0`. The error is of second order
    in the off-diagonals. Each example belongs to the feature of largest weight in it.

    - `basis`: as many features as examples. `lam`: weight decay, finite and > 0.

        >>> print(gs.closed_forms.perturbed(basis, 0.01).z)
        [6.251 3.962]
    """
    _checks.instance("basis", basis, FeatureBasis)
    if basis.features != basis.examples:
        raise ValueError(f"basis must have as many features as examples, got U of {basis.U.shape}")
    penalty = WeightDecay(lam)
    loss = CrossEntropy() if _checks.flag("exact", exact) else FirstOrderCrossEntropy()
    c = penalty.filter(basis.s * basis.s).astype(basis.U.dtype)
    own = jnp.argmax(jnp.abs(basis.U), axis=1)
    alpha0, margin0 = _lone_example(c[own], exact)
    root = loss.root_curvature(margin0)
    target = linear.curvature_product(root, margin0) + alpha0
    B = basis.U * jnp.sqrt(c)[None, :]
    z = jnp.sqrt(c) * linear.solver(root, B)(B.T @ target)
    return ClosedForm(target - linear.curvature_product(root, basis.U @ z), z)


def small_overlap_starvation(
    s1: ArrayLike, s2: ArrayLike, delta: ArrayLike, lam: ArrayLike, *, exact: bool = True
) -> Float[Array, "..."]:
    """`d z_2*/d(s_1^2)` of the two-feature model to first order in `delta` (P21-Thm2, Eq16).

        -delta (D_1 - D_2) c_2 alpha_1 / (lam (D_1 + c_1)(D_2 + c_2)),    c_j = s_j^2/lam

    with `alpha` and `D = -h''(alpha)` at `delta = 0`, of P21-Eq9 or (`exact=False`) P21-Eq10. Arguments broadcast.

        >>> print(f"{gs.closed_forms.small_overlap_starvation(4.0, 2.0, 0.1, 0.01):.5f}")
        -0.00297
    """
    s1, s2 = _checks.nonnegative("s1", s1), _checks.nonnegative("s2", s2)
    delta = _checks.require("delta", delta, "in [0, 1)", lambda v: (v >= 0) & (v < 1))
    lam = _checks.positive("lam", lam)
    _checks.broadcastable(s1=s1, s2=s2, delta=delta, lam=lam)
    loss = CrossEntropy() if _checks.flag("exact", exact) else FirstOrderCrossEntropy()
    c1, c2 = s1 * s1 / lam, s2 * s2 / lam
    (alpha1, f1), (_, f2) = _lone_example(c1, exact), _lone_example(c2, exact)
    w1, w2 = loss.root_curvature(f1) ** 2, loss.root_curvature(f2) ** 2
    _, spread = jax.vmap(loss.curvature_spread)(jnp.stack(jnp.broadcast_arrays(f1, f2), axis=-1).reshape(-1, 2))
    apart = (spread[:, 0] - spread[:, 1]).reshape(jnp.broadcast_shapes(f1.shape, f2.shape))
    return delta * apart * c2 * alpha1 / (lam * (1 + c1 * w1) * (1 + c2 * w2))


def _strength_and_decay(s: ArrayLike, lam: ArrayLike) -> tuple[Array, Array]:
    s, lam = _checks.nonnegative("s", s), _checks.positive("lam", lam)
    _checks.broadcastable(s=s, lam=lam)
    return s, lam


def _lone_example(c: Array, exact: bool) -> tuple[Array, Array]:
    """Dual variable and margin of an example that shares nothing: `h'(alpha) = c alpha`."""
    if exact:
        margin = special.r_lambertw(c)
        return CrossEntropy().weight(margin), margin
    alpha = special.lambertw(c + 1) / (c + 1)
    return alpha, c * alpha
