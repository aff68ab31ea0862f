"""The path of one neuron through its weights: a hyperbola in (z, y), the same for every loss (C18-Eq1, A.3).

A loss decides only how fast the path is run through. Along it `y + r z` grows and `y - r z` shrinks by the
same factor,

    y + r z = (y_0 + r z_0) e^(a/2),      y - r z = (y_0 - r z_0) e^(-a/2),

where the angle `a = theta - theta_0` is the paper's hyperbolic angle (C18-Eq19) measured from the start.
Written so, nothing is singular: not the degenerate hyperbola `c = 0`, nor a start left of `z = 0`.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Hyperbola(eqx.Module):
    """The hyperbola `y^2 - r^2 z^2 = const` through a start (C18-Eq12); all fields have one shape.

    - `norm`: r = |x|.
    - `plus`, `minus`: `y_0 + r z_0` and `y_0 - r z_0`.
    - `u0`: the logit at the start, `y_0 z_0`.
    - `active`: whether `y_0 > 0`. An inactive neuron never moves, and its class has logit 0.
    """

    norm: Float[Array, "..."]
    plus: Float[Array, "..."]
    minus: Float[Array, "..."]
    u0: Float[Array, "..."]
    active: Bool[Array, "..."]

    @classmethod
    def through(cls, norm: Array, y0: Array, z0: Array) -> Hyperbola:
        """The hyperbola through `(z0, y0)`.

        A start within rounding of `y_0 = -r z_0` counts as on it: no float could tell `norm * z0` from `-y0`.
        """
        reach = norm * z0
        plus = y0 + reach
        near = jnp.abs(plus) <= 4 * jnp.finfo(plus.dtype).eps * jnp.abs(y0)
        active = y0 > 0
        return cls(norm, jnp.where(near, 0, plus), y0 - reach, jnp.where(active, y0 * z0, 0), active)

    @property
    def invariant(self) -> Float[Array, "..."]:
        """`y^2 - r^2 z^2`, with its sign; the paper's `c` is its size."""
        return self.plus * self.minus

    @property
    def growing(self) -> Float[Array, "..."]:
        """`G = (y_0 + r z_0)^2 / 2r`, of the logit `u = (G e^a - K e^-a) / 2`."""
        return self.plus * self.plus / (2 * self.norm)

    @property
    def shrinking(self) -> Float[Array, "..."]:
        """`K = (y_0 - r z_0)^2 / 2r`, of the logit `u = (G e^a - K e^-a) / 2`."""
        return self.minus * self.minus / (2 * self.norm)

    @property
    def end(self) -> Float[Array, "..."]:
        """The angle at which y reaches 0, when `y_0 < -r z_0`; infinite otherwise, 0 if inactive."""
        dies = self.active & (self.plus < 0)
        ratio = jnp.where(dies, self.minus, 1) / jnp.where(dies, -self.plus, 1)
        return jnp.where(dies, jnp.log(ratio), jnp.where(self.active, jnp.inf, 0))

    def logit(self, angle: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logit `u = y z` at an angle: 0 from the end on."""
        stopped = angle >= self.end
        inside = jnp.where(stopped, 0, angle)
        u = logit_at(inside, self.u0, self.growing, self.shrinking)
        return jnp.where(stopped, 0, jnp.where(u < self.u0, self.u0, u))

    def weights(self, angle: Float[Array, "..."]) -> tuple[Array, Array]:
        """`(y, z)` at an angle (C18-Eq19); they stay where they are from the end on."""
        half = jnp.minimum(angle, self.end) / 2
        up, down = self.plus * jnp.exp(half), self.minus * jnp.exp(-half)
        dead = self.active & (angle >= self.end)
        return jnp.where(dead, 0, (up + down) / 2), (up - down) / (2 * self.norm)

    def angle(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """The angle at which the logit is `u >= u_0`; infinite if the path ends below `u`."""
        never = (u > 0) & (self.end < jnp.inf) | (u >= 0) & (self.plus == 0)
        never = never | ~self.active & (u > 0)
        usual = self.active & ~never
        found = angle_between(jnp.where(usual, self.u0, 1), jnp.where(usual, u, 1), self.growing, self.shrinking)
        return jnp.where(never, jnp.inf, jnp.where(usual, found, 0))


def logit_at(angle: Array, u0: Array, growing: Array, shrinking: Array) -> Array:
    """`u = (G e^a - K e^-a) / 2` for a finite angle, with the digits of `u0 = (G - K) / 2` kept."""
    rise = jnp.expm1(angle)
    factor = 1 + rise
    # a start right of zero only adds; left of zero the two terms may cancel, but only where u crosses zero
    added = u0 + rise * ((growing * rise + (growing + shrinking)) / (2 * factor))
    return jnp.where(u0 >= 0, added, (growing * factor - shrinking / factor) / 2)


def angle_between(u0: Array, u: Array, growing: Array, shrinking: Array) -> Array:
    """The angle from the start to the logit `u >= u_0`.

    `asinh(u / k) - asinh(u_0 / k)` with `k^2 = G K`, or `log(u / u_0)` at `k = 0`, by a form in which neither
    cancels. It must be finite: not `G = 0` and `u >= 0`.
    """
    speed0, kappa2 = (growing + shrinking) / 2, growing * shrinking
    speed = jnp.sqrt(u * u + kappa2)
    same_side = u * u0 > 0
    total = jnp.where(same_side, u * speed0 + u0 * speed, 1)
    nonzero = jnp.where(same_side | (kappa2 == 0), 1, kappa2)
    sinh = jnp.where(same_side, (u - u0) * ((u + u0) / total), (u * speed0 - u0 * speed) / nonzero)
    return jnp.arcsinh(sinh)
