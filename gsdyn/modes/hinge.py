"""One mode under the hinge loss, in closed form: it stops in finite time at the margin 1 (C18-Thm4.1, Eq5)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn import special
from gsdyn.modes.clock import Clock
from gsdyn.modes.depth import balanced_weights, pace, power
from gsdyn.modes.hyperbola import Hyperbola


class HyperbolaHinge(Clock):
    """Hinge along a hyperbola: `theta' = 2 r` until `u = 1`.

    `u = min(1, (c/2r) sinh(theta_0 + 2 r t))`, or `min(1, u_0 e^(2 r t))` at `c = 0` (C18-Eq5). A start beyond
    the margin stays where it is (C.1).
    """

    path: Hyperbola
    rate: Float[Array, "..."]

    @property
    def start(self):
        return self.path.u0

    @property
    def death(self):
        return self.path.end / self._pace

    def logit(self, t):
        stop = self._stop
        angle = self._pace * t
        free = self.path.logit(jnp.where(angle < stop, angle, 0))
        # at the stop the margin itself, not what rounding leaves of it
        ended = jnp.where(stop < self.path.end, jnp.maximum(1, self.path.u0), 0)
        return jnp.where(angle < stop, free, ended)

    def weights(self, t):
        return self.path.weights(jnp.minimum(self._pace * t, self._stop))

    def time(self, u):
        return self.path.angle(u) / self._pace

    @property
    def _pace(self) -> Float[Array, "..."]:
        return 2 * self.path.norm * self.rate

    @property
    def _stop(self) -> Float[Array, "..."]:
        """The angle at which training stops: at the margin or at the end of the path."""
        learns = self.path.active & (self.path.u0 < 1)
        margin = self.path.angle(jnp.where(learns, 1, self.path.u0).astype(self.path.u0.dtype))
        return jnp.minimum(jnp.where(learns, margin, 0), self.path.end)


class BalancedHinge(Clock):
    """Hinge at depth N from a balanced start: `u' = N r^(2/N) u^(2 - 2/N)` until `u = 1`.

    With `a = 2/N - 1`, `b = -a` and the time in units of `1/(N r^(2/N))`,

        u = u_0 (1 - b s)^(-1/b),  s = u_0^b t,  from the start;    u = (1 + b l)^(-1/b),  l = t_1 - t,  to the margin,

    at depth two `u_0 e^t` and `e^-l` (C18-Eq5). The one with the smaller exponent is taken, so that neither overshoots
    the margin nor loses digits but to the rounding of the time. **Beyond** the paper for N > 2.
    """

    norm: Float[Array, "..."]
    depth: Float[Array, "..."]
    rate: Float[Array, "..."]
    u0: Float[Array, "..."]

    @property
    def start(self):
        return self.u0

    def logit(self, t):
        b = -power(self.depth)
        margin = self.time(jnp.maximum(self.u0, 1))
        running = t < margin
        units = self.rate * pace(self.norm, self.depth)
        done = units * jnp.where(running, t, 0) * jnp.power(self.u0, b)
        left = units * jnp.where(running, margin - t, 0)
        early = b * done < 0.5
        grown = jnp.where(early, done, 0)
        grown = grown * _log1p_ratio(-b * grown)
        short = left * _log1p_ratio(b * left)
        near = early & (grown < short)
        # each side alone, and no further than its own end, so that the other's overflow counts for nothing
        from_start = self.u0 * jnp.exp(jnp.where(near, grown, 0))
        from_start = jnp.where(from_start < self.u0, self.u0, from_start)
        to_margin = jnp.exp(-jnp.where(near, 0, short))
        u = jnp.where(near, from_start, jnp.where(to_margin < self.u0, self.u0, to_margin))
        return jnp.where(running, u, jnp.maximum(self.u0, 1))

    def time(self, u):
        return special.free_passage_time(self.u0, u, power(self.depth), self.rate * pace(self.norm, self.depth))

    def weights(self, t):
        return balanced_weights(self.norm, self.depth, self.logit(t))


def _log1p_ratio(x: Array) -> Array:
    """`log(1 + x) / x`, smooth at 0."""
    small = jnp.abs(x) < 1e-2
    near, far = jnp.where(small, x, 0), jnp.where(small, 1, x)
    series = jnp.zeros_like(x)
    for k in range(8, -1, -1):
        series = series * near + (-1) ** k / (k + 1)
    return jnp.where(small, series, jnp.log1p(far) / far)
