"""Losses of one margin for each example (P21-Eqs 5-10, Table 4)."""

from __future__ import annotations

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn import _checks, special
from gsdyn.losses.loss import CellLoss, Loss


class CrossEntropy(CellLoss):
    """Cross-entropy `l(f) = log(1 + e^-f)` (P21-Eq5), `h(a) = -a log a - (1-a) log(1-a)` (P21-Eq6).

    `a(f) = sigma(-f)` on (0, 1); `h'(a) = log((1-a)/a)`.

        >>> loss = gs.CrossEntropy()
        >>> print(f"{loss.value(jnp.zeros(2)):.4f}", loss.weight(jnp.array([0.0, 5.0])))
        1.3863 [0.5   0.007]
    """

    steepest: ClassVar[float | None] = 1 / 4

    def value(self, f: Array) -> Float[Array, ""]:
        return jnp.sum(jax.nn.softplus(-f))

    def weight(self, f: Array) -> Array:
        return jax.nn.sigmoid(-f)

    def root_curvature(self, f: Array) -> Array:
        # sqrt(sigma(f) sigma(-f)) without the cancellation of 1 - sigma, even in its derivatives
        e = jnp.exp(-jnp.abs(f) / 2)
        return e / (1 + e * e)

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.special.entr(alpha) + jax.scipy.special.entr(1 - alpha))

    def slope(self, alpha: Array) -> Array:
        return jnp.log1p(-alpha) - jnp.log(alpha)

    def quick_slope(self, alpha: Array) -> Array:
        return jnp.log((1 - alpha) / alpha)

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        # The gap bounds sum_i KL(alpha_i, alpha_i*), which exceeds 2 (a - a*)^2 (Pinsker) and
        # (sqrt a - sqrt a*)^2 + (sqrt(1-a) - sqrt(1-a*))^2 (Hellinger).
        return self.largest_error(jnp.max(self.edge(alpha), initial=0.0), jnp.sqrt(2 * gap))

    def edge(self, alpha: Array) -> Array:
        """The distance of every `alpha_i` from the nearer end of its domain."""
        return jnp.minimum(alpha, 1 - alpha)

    def largest_error(self, edge: Array, root: Array) -> Array:
        """`dual_error`, from the largest `edge(alpha)` and `sqrt(2 gap)`."""
        return jnp.minimum(root / 2, _hellinger(edge, root))

    def curvature_spread(self, f: Array) -> tuple[Array, Array]:
        # sech^2 differences: w_i - w_0 = (tanh^2(f_0/2) - tanh^2(f_i/2)) / 4, with 1/cosh(f/2) = 2 sqrt(w)
        f = jnp.abs(f)
        f0 = jnp.mean(f)
        root, root0 = self.root_curvature(f), self.root_curvature(f0)
        apart = f - f0
        near = jnp.abs(apart) < 1
        shift = 4 * jnp.sinh(jnp.where(near, apart, 0.0) / 2) * root * root0
        sums = jnp.tanh(f / 2) + jnp.tanh(f0 / 2)
        return root0**2, jnp.where(near, -shift * sums / 4, root**2 - root0**2)

    def derivatives(self, f: Array) -> tuple[Array, Array, Array]:
        """`(a, w, w'/w)` at margins `f`, from one exponential."""
        # beyond 0.98 log(max) all three stay at their vanishing value there, instead of overflowing
        e = jnp.exp(jnp.minimum(f, 0.98 * math.log(jnp.finfo(f.dtype).max)))
        a = 1 / (1 + e)
        return a, a * (a * e), 2 * a - 1

    def rates(self, alpha: Array) -> tuple[Array, Array]:
        """`(w, w'/w)` where the weight is `alpha`; up to rounding of one, which `derivatives` spares."""
        return alpha * (1 - alpha), 2 * alpha - 1


class FirstOrderCrossEntropy(CellLoss):
    """Cross-entropy with `log(1 - a) ~ -a` (P21-Eq10): `h(a) = a - a log a - a^2/2` on a > 0.

    `h'(a) = -log a - a`, so `a(f) = omega(-f)`, the Wright omega function `W(e^-f)`.

        >>> fp = gs.fixed_point(basis, gs.FirstOrderCrossEntropy(), gs.WeightDecay(0.01))
        >>> print(fp.alpha)
        [0.003 0.01 ]
    """

    steepest: ClassVar[float | None] = 1.0

    def value(self, f: Array) -> Float[Array, ""]:
        a = self.weight(f)
        return jnp.sum(a + a * a / 2)

    def weight(self, f: Array) -> Array:
        return special.wright_omega(-f)

    def root_curvature(self, f: Array) -> Array:
        # far out sqrt(a) by its logarithm -f - a: it has derivatives where a itself cannot be told from zero
        a, far = self.weight(f), f > 8
        root = jnp.where(far, jnp.exp(-jnp.where(far, f + a, 0.0) / 2), jnp.sqrt(jnp.where(far, 1.0, a)))
        return root / jnp.sqrt(1 + a)

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        return jnp.sum(alpha + jax.scipy.special.entr(alpha) - alpha * alpha / 2)

    def slope(self, alpha: Array) -> Array:
        return -jnp.log(alpha) - alpha

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        return self.largest_error(jnp.max(alpha, initial=0.0), jnp.sqrt(2 * gap))

    def edge(self, alpha: Array) -> Array:
        """The distance of every `alpha_i` from the end of its domain."""
        return alpha

    def largest_error(self, edge: Array, root: Array) -> Array:
        """`dual_error`, from the largest `edge(alpha)` and `sqrt(2 gap)`."""
        return jnp.minimum(root, _hellinger(edge, root))

    def check_dual(self, name: str, alpha: Array) -> Array:
        return _checks.positive(name, alpha)

    def into_domain(self, alpha: Array) -> Array:
        return jnp.maximum(alpha, jnp.finfo(alpha.dtype).tiny)

    def curvature_spread(self, f: Array) -> tuple[Array, Array]:
        # a_i = a_0 e^x with x + a_0 (e^x - 1) = f_0 - f_i
        f0 = jnp.mean(f)
        a, a0 = self.weight(f), self.weight(f0)
        apart = f0 - f
        near = jnp.abs(apart) < 1
        apart = jnp.where(near, apart, 0.0)
        x = apart / (1 + a0)
        for _ in range(4):
            x = x - (x + a0 * jnp.expm1(x) - apart) / (1 + a0 * jnp.exp(x))
        rise = jnp.where(near, a0 * jnp.expm1(x), a - a0)
        return a0 / (1 + a0), rise / ((1 + a) * (1 + a0))

    def derivatives(self, f: Array) -> tuple[Array, Array, Array]:
        """`(a, w, w'/w)` at margins `f`."""
        a = self.weight(f)
        return a, *self.rates(a)

    def rates(self, alpha: Array) -> tuple[Array, Array]:
        """`(w, w'/w)` where the weight is `alpha`."""
        return alpha / (1 + alpha), -1 / (1 + alpha) ** 2


class SquaredError(Loss):
    """Squared error `l(f) = (1 - f)^2 / 2` (P21 Table 4), `h(a) = a - a^2/2`: the dual is linear.

    >>> fp = gs.fixed_point(basis, gs.SquaredError(), gs.WeightDecay(0.01))
    >>> print(fp.margins)
    [1.    0.998]
    """

    steepest: ClassVar[float | None] = 1.0

    def value(self, f: Array) -> Float[Array, ""]:
        return jnp.sum((1 - f) ** 2) / 2

    def weight(self, f: Array) -> Array:
        return 1 - f

    def root_curvature(self, f: Array) -> Array:
        return jnp.ones_like(f)

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        return jnp.sum(alpha - alpha * alpha / 2)

    def slope(self, alpha: Array) -> Array:
        return 1 - alpha

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.sqrt(2 * gap)

    def start(self, diagonal: Float[Array, " n"]) -> Array:
        return jnp.zeros_like(diagonal)

    def spread(self, step: Array) -> Float[Array, ""]:
        # l''' = 0: every Newton step is exact, whatever its length
        return jnp.zeros((), step.dtype)

    def check_dual(self, name: str, alpha: Array) -> Array:
        return _checks.finite(name, alpha)

    def into_domain(self, alpha: Array) -> Array:
        return alpha

    def weight_after(self, f: Array, linear: Array) -> Array:
        # all of it is linear, and 1 - f would lose the digits of a small pull
        return linear

    def dual_of(self, f: Array, pull: Array) -> Array:
        return pull


class Hinge(Loss):
    """Hinge loss `l(f) = max(0, 1 - f)` (P21 Table 4), `h(a) = a` on [0, 1]: the dual is a box QP.

    The weight at the kink `f = 1` is any value of [0, 1]; `weight` gives 1/2 there.

        >>> fp = gs.fixed_point(basis, gs.Hinge(), gs.WeightDecay(0.01))
        >>> print(fp.margins)
        [1. 1.]
    """

    smooth: ClassVar[bool] = False

    def value(self, f: Array) -> Float[Array, ""]:
        return jnp.sum(jax.nn.relu(1 - f))

    def weight(self, f: Array) -> Array:
        return jnp.heaviside(1 - f, jnp.asarray(0.5, f.dtype))

    def root_curvature(self, f: Array) -> Array:
        return jnp.zeros_like(f)

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        inside = jnp.all((alpha >= 0) & (alpha <= 1))
        return jnp.where(inside, jnp.sum(alpha), -jnp.inf)

    def slope(self, alpha: Array) -> Array:
        return jnp.ones_like(alpha)

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        # h has no curvature; fixed_points adds the bound from the kernel's smallest eigenvalue
        return jnp.sqrt(jnp.asarray(alpha.size, alpha.dtype))


def _hellinger(edge: Array, root: Array) -> Array:
    """From `sum_i (sqrt(a_i) - sqrt(a_i*))^2 <= root^2 / 2`: tight where the largest `edge` is small."""
    return root * (jnp.sqrt(2 * edge) + root / 2)
