"""The infinite-width NTK of a fully connected network whose activation is linear on either side of 0.

ReLU, leaky ReLU and the absolute value, right to the last digits everywhere: their kernels are functions of the angle
between two examples, and homogeneous, `k(3x, x') = 3 k(x, x')` without a bias. So this recursion carries norms and
`r = 1 - |c|` for the correlation `c`, from an exact 0 for an example with itself, and never takes it as a difference
again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn.kernels._correlation import arccos_over_root, inputs, outer


class _Signal(NamedTuple):
    """What a layer passes on: `Theta`, `r = 1 - |c|`, the roots of `q` and `q'`, and where `c < 0` (None: nowhere)."""

    theta: Float[Array, "n1 n2"]
    r: Float[Array, "n1 n2"]
    norm1: Float[Array, " n1"]
    norm2: Float[Array, " n2"]
    obtuse: Bool[Array, "n1 n2"] | None


class _Shape(NamedTuple):
    """The activation: `gain = w^2 E[phi^2]` of a standard normal, the shares of its odd and even part, the bias."""

    gain: float
    odd: float
    even: float
    bias: float

    @property
    def straightens(self) -> bool:
        """Whether no two examples are at an obtuse angle behind the activation, as for ReLU."""
        return self.even >= self.odd


def kinked_ntk(
    x1: Float[Array, "n1 d"],
    x2: Float[Array, "n2 d"],
    same: Bool[Array, "n1 n2"] | None,
    *,
    left: float,
    depth: int,
    w_std: float,
    b_std: float,
) -> Float[Array, "n1 n2"]:
    """NTK of `depth` dense layers with `phi(x) = x` for x > 0 and `left x` below between; `same` marks an example
    paired with itself.

    `phi = p x + m |x|` with `p = (1 + left)/2`, `m = (1 - left)/2`. With `g = w^2 (p^2 + m^2)`, the shares
    `a = p^2/(p^2 + m^2)`, `b = 1 - a`, `c = cos phi` the correlation of two examples in a layer and `q`, `q'` their
    variances, so that `Sigma = sqrt(q q') c`, the next layer has

        Sigma <- g sqrt(q q') kappa_1 + b^2      kappa_1 = a c + b (2/pi) (sin phi + (pi/2 - phi) cos phi)
        Theta <- Sigma + g kappa_0 Theta         kappa_0 = a + b (1 - 2 phi/pi)

    from `Theta = Sigma = w^2 x.x'/d + b^2`. Between an example of zeros and others there is a kink where there is no
    bias and depth > 1: derivatives there mean nothing.

    Reference: Cho and Saul, Kernel methods for deep learning (2009).
    """
    square = (1 + left * left) / 2
    shape = _Shape(w_std**2 * square, (1 + left) ** 2 / (4 * square), (1 - left) ** 2 / (4 * square), b_std**2)
    first = inputs(x1, x2, same, w_std, b_std)
    signal = _Signal(first.sigma, first.r, first.norm1, first.norm2, first.c < 0)
    if depth == 1:
        return signal.theta
    signal = _layer(signal, shape)

    def step(signal: _Signal, _: None) -> tuple[_Signal, None]:
        return _layer(signal, shape), None

    # A loop, because XLA would fuse unrolled layers and work them out again and again.
    return jax.lax.scan(step, signal, None, length=depth - 2)[0].theta


def _layer(signal: _Signal, shape: _Shape) -> _Signal:
    """Through one activation and the dense layer after it."""
    bias = shape.bias
    kappa0, kappa1, below, above = _arc_cosine(signal.r, signal.obtuse, shape)
    p1, p2 = math.sqrt(shape.gain) * signal.norm1, math.sqrt(shape.gain) * signal.norm2
    product = outer(p1, p2)
    sigma = product * kappa1 + bias
    theta = sigma + shape.gain * kappa0 * signal.theta
    norm1, norm2, r, opposite = p1, p2, below, above
    if bias > 0:
        norm1, norm2 = (jnp.sqrt(p * p + bias) for p in (p1, p2))
        total = outer(norm1, norm2)
        # 1 - (product kappa_1 + bias)/total and 1 + it, written as sums of positive terms
        apart = (p1[:, None] - p2[None, :]) ** 2
        r = (product * below + bias * apart / (total + product + bias)) / total
        opposite = (product * above + (total - product) + bias) / total
    if shape.straightens:
        return _Signal(theta, r, norm1, norm2, None)
    obtuse = sigma < 0
    return _Signal(theta, jnp.where(obtuse, opposite, r), norm1, norm2, obtuse)


def _arc_cosine(r: Float[Array, "n1 n2"], obtuse: Bool[Array, "n1 n2"] | None, shape: _Shape) -> tuple[Array, ...]:
    """`kappa_0`, `kappa_1`, `1 - kappa_1`, `1 + kappa_1` at the correlation `1 - r`, or `r - 1` where obtuse."""
    a, b = shape.odd, shape.even
    root = jnp.sqrt(jnp.maximum(r, jnp.finfo(r.dtype).tiny))  # the slope at 0 stays finite
    phi = root * arccos_over_root(r)
    rest = 2 * b / math.pi * (root * jnp.sqrt(2 - r) - phi * (1 - r))
    turn = 2 * b / math.pi * phi
    kappa0, kappa1, below, above = 1 - turn, 1 - r + rest, r - rest, 2 - r + rest
    if obtuse is None:
        return kappa0, kappa1, below, above
    return (
        jnp.where(obtuse, a - b + turn, kappa0),
        jnp.where(obtuse, (b - a) * (1 - r) + rest, kappa1),
        jnp.where(obtuse, a * (2 - r) + (b * r - rest), below),
        jnp.where(obtuse, a * r + b * (2 - r) + rest, above),
    )
