"""One mode of a network of any depth from a balanced start, in closed form (C18-Thm3.2, Eq4).

Balanced means `y = r z_1 = ... = r z_(N-1)`, as in the paper's appendix B; at depth two that is `c = 0`.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn import special
from gsdyn.modes.clock import Clock


class BalancedCrossEntropy(Clock):
    """Cross-entropy at depth N: `u' = N r^(2/N) u^(2 - 2/N) / (1 + e^u)` (C18-Eq4).

    In closed form for every N >= 2, whole or not: with `a = 2/N - 1`,

        N r^(2/N) t = int_u0^u x^(a-1) (1 + e^x) dx,

    which at N = 2 is `log u + Ei(u) - log u_0 - Ei(u_0)` (C18-Eq2) and else
    `[(x^a / a) (1 + 1F1(a; a+1; x))]_u0^u`.
    """

    norm: Float[Array, "..."]
    depth: Float[Array, "..."]
    rate: Float[Array, "..."]
    u0: Float[Array, "..."]

    @property
    def start(self):
        return self.u0

    def logit(self, t):
        return special.logit_after(self.u0, t, power(self.depth), self.rate * pace(self.norm, self.depth))

    def time(self, u):
        return special.passage_time(self.u0, u, power(self.depth), self.rate * pace(self.norm, self.depth))

    def weights(self, t):
        return balanced_weights(self.norm, self.depth, self.logit(t))


def power(depth: Array) -> Array:
    """`a = 2/N - 1`, in (-1, 0], exactly 0 at depth two."""
    return (2 - depth) / depth


def pace(norm: Array, depth: Array) -> Array:
    """`N r^(2/N)`."""
    return depth * jnp.power(norm, 2 / depth)


def balanced_weights(norm: Array, depth: Array, u: Array) -> tuple[Array, Array]:
    """`(y, z)` with `u = r z^N` and `y = r z`."""
    z = jnp.power(u / norm, 1 / depth)
    return norm * z, z
