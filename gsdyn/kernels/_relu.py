"""The infinite-width NTK of a fully connected ReLU network, right to the last digits everywhere.

The arc-cosine kernels are functions of the angle between two examples. An angle read off a
correlation `c` near 1 as `arccos(c)` keeps half the digits, so this recursion carries `r = 1 - |c|`
instead, from an exact 0 for an example with itself, and never takes it as a difference again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# arccos(1 - r) / sqrt(r) on 0 <= r <= 1, interpolated at Chebyshev points: right to 1.4e-16 and to
# 2e-8. It is free beside the square roots, while XLA's arccos is scalar code.
_ARCCOS_64 = (
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
_ARCCOS_32 = (
    1.4142135464083156,
    0.11785316670023775,
    0.026474482500567432,
    0.00821673096263844,
    0.0014788598231931453,
    0.003338417011053371,
    -0.0019906429602384126,
    0.001211737769810765,
)


class _Signal(NamedTuple):
    """What a layer passes on: `Theta`, `r = 1 - |c|`, and the roots of `q` and `q'`."""

    theta: Float[Array, "n1 n2"]
    r: Float[Array, "n1 n2"]
    norm1: Float[Array, " n1"]
    norm2: Float[Array, " n2"]


def relu_ntk(
    x1: Float[Array, "n1 d"],
    x2: Float[Array, "n2 d"],
    same: Bool[Array, "n1 n2"] | None,
    *,
    depth: int,
    w_std: float,
    b_std: float,
) -> Float[Array, "n1 n2"]:
    """NTK of `depth` dense layers with ReLU between; `same` marks an example paired with itself.

    With `c = cos phi` the correlation of two examples in a layer and `q`, `q'` their variances, so
    that `Sigma = sqrt(q q') c`, the next layer has

        Sigma <- (w^2/2) sqrt(q q') kappa_1 + b^2        kappa_1 = (sin phi + (pi - phi) cos phi)/pi
        Theta <- Sigma + (w^2/2) kappa_0 Theta           kappa_0 = (pi - phi)/pi

    from `Theta = Sigma = w^2 x.x'/d + b^2`.

    Reference: Cho and Saul, Kernel methods for deep learning (2009).
    """
    v1, v2 = (_with_bias(x, w_std, b_std) for x in (x1, x2))
    norm1, norm2 = _norm(v1), _norm(v2)
    c, r = _correlation(_unit(v1, norm1), _unit(v2, norm2), same)
    signal = _Signal(_outer(norm1, norm2) * c, r, norm1, norm2)
    if depth == 1:
        return signal.theta
    # Only the inputs can be at an obtuse angle: what a ReLU passes on is not negative.
    signal = _layer(signal, w_std**2 / 2, b_std**2, obtuse=c < 0)

    def step(signal: _Signal, _: None) -> tuple[_Signal, None]:
        return _layer(signal, w_std**2 / 2, b_std**2), None

    # A loop, because XLA would fuse unrolled layers and work them out again and again.
    return jax.lax.scan(step, signal, None, length=depth - 2)[0].theta


def _layer(signal: _Signal, gain: float, bias: float, obtuse: Bool[Array, "n1 n2"] | None = None) -> _Signal:
    """Through one ReLU and the dense layer after it."""
    kappa0, kappa1, gap = _arc_cosine(signal.r, obtuse)
    p1, p2 = math.sqrt(gain) * signal.norm1, math.sqrt(gain) * signal.norm2
    product = _outer(p1, p2)
    theta = product * kappa1 + bias + gain * kappa0 * signal.theta
    if bias == 0:
        return _Signal(theta, gap, p1, p2)
    norm1, norm2 = (jnp.sqrt(p * p + bias) for p in (p1, p2))
    total = _outer(norm1, norm2)
    # 1 - (product kappa_1 + bias)/total, written as a sum of positive terms
    apart = (p1[:, None] - p2[None, :]) ** 2
    r = (product * gap + bias * apart / (total + product + bias)) / total
    return _Signal(theta, r, norm1, norm2)


def _arc_cosine(
    r: Float[Array, "n1 n2"], obtuse: Bool[Array, "n1 n2"] | None
) -> tuple[Float[Array, "n1 n2"], Float[Array, "n1 n2"], Float[Array, "n1 n2"]]:
    """`kappa_0`, `kappa_1`, `1 - kappa_1` at the correlation `1 - r`, or `r - 1` where obtuse."""
    root = jnp.sqrt(jnp.maximum(r, jnp.finfo(r.dtype).tiny))  # the slope at 0 stays finite
    phi = root * _polynomial(_ARCCOS_64 if r.dtype == jnp.float64 else _ARCCOS_32, r)
    rest = (root * jnp.sqrt(2 - r) - phi * (1 - r)) / math.pi
    kappa0, kappa1, gap = 1 - phi / math.pi, 1 - r + rest, r - rest
    if obtuse is None:
        return kappa0, kappa1, gap
    return (
        jnp.where(obtuse, phi / math.pi, kappa0),
        jnp.where(obtuse, rest, kappa1),
        jnp.where(obtuse, 1 - rest, gap),
    )


def _correlation(
    u1: Float[Array, "n1 k"], u2: Float[Array, "n2 k"], same: Bool[Array, "n1 n2"] | None
) -> tuple[Float[Array, "n1 n2"], Float[Array, "n1 n2"]]:
    """`c = u.u'` and `1 - |c|`, the latter from differences wherever the former would lose it."""
    c = jnp.matmul(u1, u2.T, precision=jax.lax.Precision.HIGHEST)
    if same is not None:
        c = jnp.where(same, 1, c)
    r = 1 - jnp.abs(c)
    close = r < jnp.finfo(r.dtype).eps ** 0.4
    if same is not None:
        close = close & ~same
    # The value by differences, the derivative by the product: in exact arithmetic they agree.
    now = jax.lax.stop_gradient((r, c, u1, u2))
    exact = jax.lax.cond(jnp.any(close), _by_differences, lambda r, *_: r, *now)
    return c, r + (exact - now[0])


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


def _norm(v: Float[Array, "n k"]) -> Float[Array, " n"]:
    square = jnp.sum(v * v, axis=1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _unit(v: Float[Array, "n k"], norm: Float[Array, " n"]) -> Float[Array, "n k"]:
    return v / jnp.where(norm > 0, norm, 1)[:, None]


def _outer(a: Float[Array, " n1"], b: Float[Array, " n2"]) -> Float[Array, "n1 n2"]:
    return a[:, None] * b[None, :]


def _polynomial(coefficients: tuple[float, ...], r: Float[Array, "n1 n2"]) -> Float[Array, "n1 n2"]:
    value = jnp.full_like(r, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * r + coefficient
    return value
