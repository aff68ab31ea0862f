"""The infinite-width NTK of a fully connected erf network, right at any scale of inputs and weights.

The kernels of erf are angles. With variances `q`, `q'` and covariance `s` of two pre-activations,
`E[erf(u) erf(u')]` is `(2/pi) phi` with `sin phi = 2 s/sqrt((1 + 2q)(1 + 2q'))`. Large variances bring `phi` near a
right angle, where its sine keeps no digits. So this recursion carries `t = 1 - s^2/(q q')`, from an exact 0 for an
example with itself, takes cosines and differences of angles from sums of positive terms, and `t` from the correlation
only where that resolves it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn.kernels._correlation import NEAR, arccos_over_root, inputs, outer

SHARE = 0.1
"""Sums of `a`, `a'` and `1 - |c|` down to which the rounding of the correlation `c` counts for some 10 eps."""

SMALL = 4.0
"""Variances up to which the sum of `a` and `a'` alone is more than that."""


class _Signal(NamedTuple):
    """What a layer passes on: `Theta`, `Sigma`, `t = 1 - c^2` of the correlation, and the variances."""

    theta: Float[Array, "n1 n2"]
    sigma: Float[Array, "n1 n2"]
    t: Float[Array, "n1 n2"]
    q1: Float[Array, " n1"]
    q2: Float[Array, " n2"]


def erf_ntk(
    x1: Float[Array, "n1 d"],
    x2: Float[Array, "n2 d"],
    same: Bool[Array, "n1 n2"] | None,
    *,
    depth: int,
    w_std: float,
    b_std: float,
) -> Float[Array, "n1 n2"]:
    """NTK of `depth` dense layers with erf between; `same` marks an example paired with itself.

    With `a = 1/(1 + 2q)`, `Q = 1 - a`, likewise `a'`, `Q'`, and `phi` the angle above, the next layer has

        Sigma <- (2 w^2/pi) phi + b^2
        Theta <- Sigma + (4 w^2/pi) sqrt(a a')/cos(phi) Theta,     cos^2 phi = a + a' Q + Q Q' t

    from `Theta = Sigma = w^2 x.x'/d + b^2`.

    Reference: Williams, Computing with infinite networks (1997).
    """
    first = inputs(x1, x2, same, w_std, b_std, _near)
    signal = _Signal(first.sigma, first.sigma, first.r * (2 - first.r), first.q1, first.q2)
    if depth == 1:
        return signal.theta

    def step(signal: _Signal, _: None) -> tuple[_Signal, None]:
        return _layer(signal, 2 * w_std**2 / math.pi, b_std**2), None

    return jax.lax.scan(step, signal, None, length=depth - 1)[0].theta


def _near(q1: Array, q2: Array) -> Array:
    """Values of `1 - |c|` below which the rounding of `c` would be more than some 10 eps of `a + a' Q + Q Q' t`."""
    return jnp.maximum(SHARE - 1 / (1 + 2 * q1) - 1 / (1 + 2 * q2), NEAR)


def _layer(signal: _Signal, gain: float, bias: float) -> _Signal:
    """Through one erf and the dense layer after it."""
    a1, a2 = 1 / (1 + 2 * signal.q1), 1 / (1 + 2 * signal.q2)
    s1, s2 = 2 * signal.q1 * a1, 2 * signal.q2 * a2  # sines of the angles of both examples with themselves
    k1, k2 = jnp.sqrt(a1 * (1 + s1)), jnp.sqrt(a2 * (1 + s2))  # and their cosines
    own1, own2 = _angle(s1, k1), _angle(s2, k2)
    acute = signal.sigma >= 0  # and no absolute value, which has no slope at 0
    sine = 2 * outer(jnp.sqrt(a1), jnp.sqrt(a2)) * jnp.where(acute, signal.sigma, -signal.sigma)
    # beside an example of zeros the difference is exact, and differentiates to any order
    zero = (signal.q1 == 0)[:, None] | (signal.q2 == 0)[None, :]
    apart = jnp.where(zero, outer(s1, s2) - sine * sine, outer(s1, s2) * signal.t)
    cosine = jnp.sqrt(a1[:, None] + outer(s1, a2) + apart)
    phi = _angle(sine, cosine)
    sigma = gain * jnp.where(acute, phi, -phi) + bias
    theta = sigma + 2 * gain * outer(jnp.sqrt(a1), jnp.sqrt(a2)) / cosine * signal.theta
    q1, q2 = gain * own1 + bias, gain * own2 + bias
    scale = outer(_inverse_root(q1), _inverse_root(q2))
    c = sigma * scale
    plain = jnp.maximum((1 - c) * (1 + c), 0.0)
    if gain * math.pi / 2 + bias <= SMALL:
        return _Signal(theta, sigma, plain, q1, q2)
    # phi_1 - phi and phi_2 - phi: sin(phi_1 - phi) has the numerator s_1 (s_1 - s_2 + s_2 t)
    ahead = 2 * (signal.q1[:, None] - signal.q2[None, :]) * outer(a1, a2)
    d1 = _difference(s1[:, None] * ahead + apart, s1[:, None], k1[:, None], sine, cosine)
    d2 = _difference(-s2[None, :] * ahead + apart, s2[None, :], k2[None, :], sine, cosine)
    # q q' - Sigma^2, in which only the signs of d_1 and d_2 can differ
    spread = jnp.where(acute, d1 + d2, own1[:, None] + own2[None, :] + 2 * phi)
    rest = gain * (gain * (phi * (d1 + d2) + d1 * d2) + bias * spread)
    # far from 1 by the correlation, without the differences of angles of unequal examples
    return _Signal(theta, sigma, jnp.where(plain >= SHARE, plain, jnp.clip(rest * scale * scale, 0.0, 1.0)), q1, q2)


def _inverse_root(q: Float[Array, " n"]) -> Float[Array, " n"]:
    """`1/sqrt(q)`, and 1 for an example of zeros, which has no correlation."""
    return 1 / jnp.sqrt(jnp.where(q > 0, q, 1.0))


def _difference(numerator: Array, s: Array, k: Array, sine: Array, cosine: Array) -> Array:
    """The angle of sine `s` and cosine `k` minus that of `sine` and `cosine`, both in the first quadrant."""
    below = s * cosine + k * sine
    up = numerator / jnp.where(below > 0, below, 1.0)
    size = _angle(jnp.where(up < 0, -up, up), s * sine + k * cosine)
    return jnp.where(up < 0, -size, size)


def _angle(sine: Array, cosine: Array) -> Array:
    """The angle of the first quadrant with this sine and cosine, each right to rounding."""
    less = sine < cosine
    small, big = jnp.where(less, sine, cosine), jnp.where(less, cosine, sine)
    angle = small / jnp.sqrt(1 + big) * arccos_over_root(small * small / (1 + big))
    return jnp.where(less, angle, math.pi / 2 - angle)
