"""One mode of depth two under cross-entropy from any start, by quadrature (C18-Eq19-21, §3.3, A.7)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn.modes._passage import angle_after, time_along
from gsdyn.modes.clock import Clock
from gsdyn.modes.hyperbola import Hyperbola


class HyperbolaCrossEntropy(Clock):
    """Cross-entropy along a hyperbola: `theta' = 2 r / (1 + e^u)` (C18-Eq20).

    `2 r t = int_theta0^theta (1 + e^u) d theta`, with `u = (c / 2r) sinh theta` (C18-Eq21) written so that
    `c = 0`, the decay on `y_0 = -r z_0` (A.7) and the neuron that dies are ordinary cases.
    """

    path: Hyperbola
    rate: Float[Array, "..."]

    @property
    def start(self):
        return self.path.u0

    @property
    def death(self):
        dies = self.path.active & (self.path.end < jnp.inf)
        end = jnp.where(dies, self.path.end, 0)
        time = self._time_along(end, jnp.zeros_like(end))
        return jnp.where(self.path.active, jnp.where(dies, time, jnp.inf), 0)

    def logit(self, t):
        return self.path.logit(self._angle(t))

    def weights(self, t):
        return self.path.weights(self._angle(t))

    def time(self, u):
        angle = self.path.angle(u)
        reached = angle < jnp.inf
        time = self._time_along(jnp.where(reached, angle, 0), jnp.where(reached, u, self.path.u0))
        return jnp.where(reached, time, jnp.inf)

    def _time_along(self, angle: Array, u: Array) -> Array:
        path = self.path
        return time_along(angle, path.u0, u, path.growing, path.shrinking, 2 * path.norm * self.rate)

    def _angle(self, t: Array) -> Array:
        path = self.path
        return angle_after(t, path.u0, path.growing, path.shrinking, path.end, 2 * path.norm * self.rate)
