"""Norms and correlations of examples that keep their digits where two are nearly one, and derivatives at zero.

An angle read off a correlation `c` near 1 as `arccos(c)` keeps half the digits, so `1 - |c|` comes beside it, from
differences wherever the correlation would lose it, and from an exact 0 for an example with itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# arccos(1 - r) / sqrt(r) on 0 <= r <= 1, interpolated at Chebyshev points: right to 1.4e-16 and to
# 2e-8. It is free beside the square roots, while XLA's arccos is scalar code.
ARCCOS_64 = (
    1.4142135623730951,
    0.11785113019774604,
    0.026516504295916166,
    0.007891816687096197,
    0.0026854115429505864,
    0.0009886937064591983,
    0.0003837000361256815,
    0.00015250797182385684,
    7.287068257137792e-05,
    -7.185800992367848e-06,
    0.00010871230018361807,
    -0.00020499919349473681,
    0.0003480987471498245,
    -0.00043000945159494793,
    0.0004006882818589302,
    -0.0002688464467735859,
    0.00012425167869548127,
    -3.537835495282187e-05,
    4.797541033020616e-06,
)
ARCCOS_32 = (
    1.4142135464083156,
    0.11785316670023775,
    0.026474482500567432,
    0.00821673096263844,
    0.0014788598231931453,
    0.003338417011053371,
    -0.0019906429602384126,
    0.001211737769810765,
)


NEAR = 2e-3
"""Values of `1 - |c|` below which it comes from differences: an angle read off the correlation loses at most 16 eps."""


class Inputs(NamedTuple):
    """Two sets of examples in their first layer: covariances `sigma`, variances `q`, norms, correlations `c` and
    `r = 1 - |c|`."""

    sigma: Float[Array, "n1 n2"]
    q1: Float[Array, " n1"]
    q2: Float[Array, " n2"]
    norm1: Float[Array, " n1"]
    norm2: Float[Array, " n2"]
    c: Float[Array, "n1 n2"]
    r: Float[Array, "n1 n2"]


def inputs(
    x1: Float[Array, "n1 d"],
    x2: Float[Array, "n2 d"],
    same: Bool[Array, "n1 n2"] | None,
    w_std: float,
    b_std: float,
    near: Callable[[Array, Array], Array] | None = None,
) -> Inputs:
    """The covariance `w^2 x.x'/d + b^2` and what belongs to it; `same` marks an example paired with itself.

    `near`: from variances `q`, `q'` the values of `1 - |c|` below which it comes from differences, by default `NEAR`.
    """
    v1, v2 = (_with_bias(x, w_std, b_std) for x in (x1, x2))
    q1, q2 = (jnp.sum(v * v, axis=1) for v in (v1, v2))
    long1, long2 = _length(q1), _length(q2)
    u1, u2 = v1 / long1[:, None], v2 / long2[:, None]
    c = jnp.matmul(u1, u2.T, precision=jax.lax.Precision.HIGHEST)
    sigma = outer(long1, long2) * c
    if same is not None:
        c, sigma = jnp.where(same, 1, c), jnp.where(same, q1[:, None], sigma)
    norm1, norm2 = (jnp.where(q > 0, long, 0) for q, long in ((q1, long1), (q2, long2)))
    below = NEAR if near is None else near(q1[:, None], q2[None, :])
    return Inputs(sigma, q1, q2, norm1, norm2, c, _one_less(u1, u2, c, same, below))


def _one_less(
    u1: Float[Array, "n1 k"],
    u2: Float[Array, "n2 k"],
    c: Float[Array, "n1 n2"],
    same: Bool[Array, "n1 n2"] | None,
    below: Float[Array, "n1 n2"] | float,
) -> Float[Array, "n1 n2"]:
    """`1 - |c|`, from differences wherever the correlation would lose it."""
    r = 1 - jnp.where(c < 0, -c, c)  # the slope at 0 is that of one side, where |c| would have none
    close = r < below
    if same is not None:
        close = close & ~same
    # The value by differences, the derivative by the product: in exact arithmetic they agree.
    now = jax.lax.stop_gradient((r, c, u1, u2))
    exact = jax.lax.cond(jnp.any(close), _by_differences, lambda r, *_: r, *now)
    return r + (exact - now[0])


def _by_differences(
    r: Float[Array, "n1 n2"],
    c: Float[Array, "n1 n2"],
    u1: Float[Array, "n1 k"],
    u2: Float[Array, "n2 k"],
) -> Float[Array, "n1 n2"]:
    """`1 - |u.u'|` as `|u - u'|^2 / 2`, or `|u + u'|^2 / 2` where obtuse, one row at a time."""

    def row(args):
        r, c, u = args
        apart = u[None, :] - jnp.where(c < 0, -1, 1).astype(c.dtype)[:, None] * u2
        return jnp.where(r < 0.5, jnp.sum(apart * apart, axis=1) / 2, r)

    return jax.lax.map(row, (r, c, u1))


def _with_bias(x: Float[Array, "n d"], w_std: float, b_std: float) -> Float[Array, "n k"]:
    """Vectors whose inner products are `Sigma` at the inputs: the bias is one more entry."""
    scaled = x * (w_std / math.sqrt(x.shape[1]))
    return jnp.pad(scaled, ((0, 0), (0, 1)), constant_values=b_std) if b_std > 0 else scaled


def _length(q: Float[Array, " n"]) -> Float[Array, " n"]:
    """The norm, and 1 for a row of zeros: then `u = v/1` keeps the derivative of its inner products."""
    return jnp.sqrt(jnp.where(q > 0, q, 1))


def outer(a: Float[Array, " n1"], b: Float[Array, " n2"]) -> Float[Array, "n1 n2"]:
    """`a b^T`."""
    return a[:, None] * b[None, :]


def arccos_over_root(r: Float[Array, "n1 n2"]) -> Float[Array, "n1 n2"]:
    """`arccos(1 - r)/sqrt(r)` for r in [0, 1]."""
    coefficients = ARCCOS_64 if r.dtype == jnp.float64 else ARCCOS_32
    value = jnp.full_like(r, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * r + coefficient
    return value
