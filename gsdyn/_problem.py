"""What basis, loss and penalty make together: the problem that everything solves."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn import _checks
from gsdyn._numerics import eigen, linear
from gsdyn.features import FeatureBasis
from gsdyn.losses import Loss
from gsdyn.penalties import Penalty, Tilt, WeightDecay


class Problem(eqx.Module):
    """The minimum over `z` of `sum_i l(f_i) + sum_j z_j^2 / (2 c_j)`, `f = U z`, and the quadratic of a tilt in `f`.

    `log_c`, if known, is `log c` where `c > 0`, of which `c` then takes its derivatives.
    """

    U: Float[Array, "n k"]
    c: Float[Array, " k"]
    loss: Loss
    tilt: Tilt | None
    log_c: Float[Array, " k"] | None = None

    @classmethod
    def of(cls, basis: FeatureBasis, loss: Loss, penalty: Penalty) -> Problem:
        """The problem of three parts, after checking that they fit."""
        tilt = fitting(basis, loss, penalty)
        c = penalty.filter(basis.s * basis.s).astype(basis.U.dtype)
        live = c > 0
        log_c = penalty.log_filter(2 * jnp.log(jnp.where(live, basis.s, 1.0))).astype(c.dtype)
        log_c = jnp.where(jnp.isfinite(log_c), log_c, 0.0)  # of `c` at the end of the floats
        return cls(basis.U, jnp.where(live, following(c, log_c), c), loss, tilt, log_c)

    @classmethod
    def aligned(cls, basis: FeatureBasis, loss: Loss, penalty: Penalty) -> Problem:
        """The same, with derivatives of `U c U^T` that are right where strengths repeat."""
        given = cls.of(basis, loss, penalty)
        return cls(aligned(basis, penalty).U, given.c, loss, given.tilt, given.log_c)

    @property
    def B(self) -> Float[Array, "n k"]:
        """`U sqrt(c)`: what responses `y` do that are normalised, `z = sqrt(c) y`."""
        return self.U * jnp.sqrt(self.c)[None, :]

    def margins(self, z: Array) -> Array:
        """`f = U z`."""
        return linear.product(self.U, z)

    def gather(self, a: Array) -> Array:
        """`U^T a`."""
        return linear.adjoint(self.U, a)

    def pull(self, f: Array) -> Array:
        """`a(f)`, with what a tilt adds to it: the optimum is `z = c U^T pull(U z)`."""
        return self.tilted(self.loss.weight(f), f)

    def tilted(self, a: Array, f: Array) -> Array:
        """Weights `a` at margins `f`, with what a tilt adds to them."""
        return a if self.tilt is None else a - self.tilt.curvature * f + self.tilt.pull

    def gathered_pull(self, f: Array, z: Array, alpha: Array) -> Array:
        """`U^T pull` at the optimum, from margins, responses and dual variables, the more exact of two ways to it.

        Margins are known to rounding, and the sum answers to them by its curvature `U^T W U`, in which `a = 1 - f` of
        the squared error loses all digits that are small; `z/c` answers to them by `1/c`.
        """
        summed = self.gather(self.tilted(self.loss.dual_to_pull(alpha, f), f))
        c = self.c.reshape((-1,) + (1,) * (z.ndim - 1))
        inverse = 1 / jnp.where(c > 0, c, 1.0)
        if self.log_c is not None:
            inverse = following(inverse, -self.log_c.reshape(c.shape))
        return jnp.where(self.by_responses(f, alpha), z * inverse, summed)

    def by_responses(self, f: Array, alpha: Array) -> Array:
        """Where `z/c` is the more exact way to `U^T pull`: at strong features of curved examples or those at a kink."""
        curvature = self.root_curvature(f) ** 2 if f.ndim == 1 else alpha * (1 - alpha)
        if not self.loss.smooth:
            curvature = curvature + ((alpha > 0) & (alpha < 1)).astype(f.dtype)
        c = self.c.reshape((-1,) + (1,) * (f.ndim - 1))
        return c * ((self.U**2).T @ curvature) > 1

    def root_curvature(self, f: Array) -> Array:
        """`R` with `R^T R` the curvature of the loss and the tilt at margins `f`."""
        root = self.loss.root_curvature(f)
        if self.tilt is None:
            return root
        # the root of the sum, never of the curvature alone: that is 0 in some example, where its derivative is infinite
        total = root * root + self.tilt.curvature
        return jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1.0)), root)

    def objective(self, f: Array, z: Array, p: Array) -> Float[Array, ""]:
        """The minimum, up to a constant of the tilt, at margins `f`, responses `z` and gathered pulls `p`."""
        # z p / 2 = z^2 / (2 c) at the optimum, also where c = 0
        value = self.loss.value(f) + jnp.sum(z * p) / 2
        return value if self.tilt is None else value + jnp.sum(self.tilt.curvature * f * f / 2 - self.tilt.pull * f)


def following(c: Array, log_c: Array) -> Array:
    """The value of `c` with the derivatives of `c = e^log_c`."""
    return jax.lax.stop_gradient(c) * jnp.exp(log_c - jax.lax.stop_gradient(log_c))


def check_parts(basis: FeatureBasis, loss: Loss, penalty: Penalty) -> None:
    """The three parts must be what they are called; `jit` has messages of its own for what it cannot take."""
    _checks.instance("basis", basis, FeatureBasis, "FeatureBasis.from_kernel(theta, y) makes one of a kernel")
    _checks.instance("loss", loss, Loss)
    _checks.instance("penalty", penalty, Penalty)


def fitting(basis: FeatureBasis, loss: Loss, penalty: Penalty) -> Tilt | None:
    """The tilt of a problem, with or without an optimum, after checking that its three parts fit."""
    check_parts(basis, loss, penalty)
    tilt = penalty.tilt(basis.examples)
    loss.check(basis.examples, tilt is not None)
    if tilt is not None:
        tilt = Tilt(tilt.curvature.astype(basis.U.dtype), tilt.pull.astype(basis.U.dtype))
    return tilt


def aligned(basis: FeatureBasis, penalty: Penalty) -> FeatureBasis:
    """The same basis, with derivatives of `U c U^T` that are right where strengths repeat."""
    if isinstance(penalty, WeightDecay):  # c is a multiple of s^2, for which those of the basis are
        return basis
    s2 = basis.s * basis.s
    c, slope = (x.astype(basis.U.dtype) for x in (penalty.filter(s2), penalty.filter_slope(s2)))
    return FeatureBasis._of(eigen.aligned(basis.U, s2, c, slope), basis.s)
