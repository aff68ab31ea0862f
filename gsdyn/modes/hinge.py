"""One mode under the hinge loss, in closed form: it stops in finite time at the margin 1 (C18-Thm4.1, Eq5)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn.modes.clock import Clock
from gsdyn.modes.depth import balanced_weights, pace, power
from gsdyn.modes.hyperbola import Hyperbola


class HyperbolaHinge(Clock):
    """Hinge along a hyperbola: `theta' = 2 r` until `u = 1`.

    `u = min(1, (c/2r) sinh(theta_0 + 2 r t))`, or `min(1, u_0 e^(2 r t))` at `c = 0` (C18-Eq5). A start beyond
    the margin stays where it is (C.1).
    """

    path: Hyperbola

    @property
    def start(self):
        return self.path.u0

    @property
    def death(self):
        return self.path.end / (2 * self.path.norm)

    def logit(self, t):
        stop = self._stop
        angle = 2 * self.path.norm * t
        free = self.path.logit(jnp.where(angle < stop, angle, 0))
        # at the stop the margin itself, not what rounding leaves of it
        ended = jnp.where(stop < self.path.end, jnp.maximum(1, self.path.u0), 0)
        return jnp.where(angle < stop, free, ended)

    def weights(self, t):
        return self.path.weights(jnp.minimum(2 * self.path.norm * t, self._stop))

    def time(self, u):
        return self.path.angle(u) / (2 * self.path.norm)

    @property
    def _stop(self) -> Float[Array, "..."]:
        """The angle at which training stops: at the margin or at the end of the path."""
        learns = self.path.active & (self.path.u0 < 1)
        margin = self.path.angle(jnp.where(learns, 1, self.path.u0).astype(self.path.u0.dtype))
        return jnp.minimum(jnp.where(learns, margin, 0), self.path.end)


class BalancedHinge(Clock):
    """Hinge at depth N from a balanced start: `u' = N r^(2/N) u^(2 - 2/N)` until `u = 1`.

    `u = min(1, u_0 (1 + a s)^(1/a))`, `s = N r^(2/N) u_0^-a t`, `a = 2/N - 1`; at depth two
    `u = min(1, u_0 e^(2 r t))` (C18-Eq5). **Beyond** the paper for N > 2.
    """

    norm: Float[Array, "..."]
    depth: Float[Array, "..."]
    u0: Float[Array, "..."]

    @property
    def start(self):
        return self.u0

    def logit(self, t):
        a = power(self.depth)
        running = t < self.time(jnp.maximum(self.u0, 1))
        s = pace(self.norm, self.depth) * jnp.where(running, t, 0) * jnp.power(self.u0, -a)
        grown = self.u0 * jnp.exp(s * _log1p_ratio(a * s))
        return jnp.where(running, jnp.where(grown < self.u0, self.u0, grown), jnp.maximum(self.u0, 1))

    def time(self, u):
        a = power(self.depth)
        growth = _log_ratio(self.u0, u)
        rise = jnp.power(self.u0, a) * growth * _expm1_ratio(a * growth)
        return rise / pace(self.norm, self.depth)

    def weights(self, t):
        return balanced_weights(self.norm, self.depth, self.logit(t))


def _log_ratio(u0: Array, u: Array) -> Array:
    """`log(u / u0)`, accurate also where the two are close."""
    near = (u < 2 * u0) & (u > 0.5 * u0)
    return jnp.where(near, jnp.log1p(jnp.where(near, (u - u0) / u0, 0)), jnp.log(u) - jnp.log(u0))


def _expm1_ratio(x: Array) -> Array:
    """`(e^x - 1) / x`, smooth at 0."""
    small = jnp.abs(x) < 1e-2
    near, far = jnp.where(small, x, 0), jnp.where(small, 1, x)
    return jnp.where(small, _series(near, (1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040)), jnp.expm1(far) / far)


def _log1p_ratio(x: Array) -> Array:
    """`log(1 + x) / x`, smooth at 0."""
    small = jnp.abs(x) < 1e-2
    near, far = jnp.where(small, x, 0), jnp.where(small, 1, x)
    return jnp.where(small, _series(near, [(-1) ** k / (k + 1) for k in range(9)]), jnp.log1p(far) / far)


def _series(x: Array, coefficients) -> Array:
    total = jnp.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total
