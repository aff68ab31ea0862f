"""The equations of the hinge's optimum on one support, and what undoes them.

    f_i = 1  (support),    p_i + T_i f_i = a_i + pull_i  (others),    z = c U^T p,    f = U z

Nothing in them is eliminated, so that filters of any size may stand side by side. From a rough inverse steps of
refinement reach a solution whose data are off by rounding, entry by entry. `Rough` inverts the whole matrix, whatever
its scales; `Condensed` only the kernel between support examples, at a tenth of the cost, and knows what it lacks.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn._numerics import dense, linear
from gsdyn._numerics.batching import in_turn

LACK = 0.01  # of what is left of responses where large ones cancel

Pair = tuple[Array, Array]


class System(NamedTuple):
    """The matrix of the pulls `p` and responses `z` on a given support; a little compliance keeps it regular."""

    U: Float[Array, "n k"]
    c: Float[Array, " k"]
    T: Float[Array, " n"]
    inside: Bool[Array, " n"]
    compliance: Float[Array, " n"]

    def __call__(self, x: Pair) -> Pair:
        (own, other), _ = self.rest(jax.tree.map(jnp.zeros_like, x), x)
        return -own, -other

    def rest(self, b: Pair, x: Pair) -> tuple[Pair, Array]:
        """What `x` leaves of `b`, and its margins."""
        p, z = x
        f = self.U @ z
        own = jnp.where(self.inside, self.compliance * p + f, p + self.T * f)
        return (b[0] - own, b[1] - (z - self.c * linear.adjoint(self.U, p))), f

    def size(self, x: Pair) -> tuple[Array, Array, Array]:
        """The sum of the sizes of all terms of each equation, and of those of the margins."""
        p, z = jnp.abs(x[0]), jnp.abs(x[1])
        f = jnp.abs(self.U) @ z
        return jnp.where(self.inside, f, p + self.T * f), z + self.c * linear.adjoint(jnp.abs(self.U), p), f

    def matrix(self) -> Float[Array, "m m"]:
        inside = self.inside.astype(self.U.dtype)
        upper = jnp.diag(1 - inside + inside * self.compliance), jnp.where(self.inside, 1.0, self.T)[:, None] * self.U
        lower = -self.c[:, None] * self.U.T, jnp.eye(len(self.c), dtype=self.U.dtype)
        return jnp.concatenate([jnp.concatenate(upper, axis=1), jnp.concatenate(lower, axis=1)])


class Rough(NamedTuple):
    """The inverse of a system's matrix, but for rounding."""

    X: Float[Array, "m m"]
    refinements = 3

    @classmethod
    def of(cls, system: System) -> Rough:
        matrix = system.matrix()
        rows, columns = jnp.ones(len(matrix), matrix.dtype), jnp.ones(len(matrix), matrix.dtype)

        def balanced(_: int, scales: tuple[Array, Array]) -> tuple[Array, Array]:
            rows, columns = scales
            rows = rows / jnp.sqrt(jnp.max(jnp.abs(matrix) * rows[:, None] * columns[None, :], axis=1))
            size = jnp.abs(matrix) * rows[:, None] * columns[None, :]
            return rows, columns / jnp.sqrt(jnp.max(size, axis=0))

        rows, columns = jax.lax.fori_loop(0, 5, balanced, (rows, columns))
        found = dense.inverse(matrix * rows[:, None] * columns[None, :])
        return cls(columns[:, None] * found * rows[None, :])

    def __call__(self, system: System, b: Pair) -> Pair:
        x = self.X @ jnp.concatenate(b)
        return x[: len(b[0])], x[len(b[0]) :]

    def errors(self, system: System, rest: Pair) -> Pair:
        """How far residuals of these sizes can move the pulls, and the margins outside the support.

        Errors of the responses that go together are added before they count.
        """
        n = len(rest[0])
        errors = 2 * (jnp.abs(jnp.concatenate([self.X[:n], system.U @ self.X[n:]])) @ jnp.concatenate(rest))
        return errors[:n], errors[n:]


def kernel(U: Float[Array, "n k"], c: Float[Array, " k"]) -> Float[Array, "n n"]:
    """`K = U c U^T`."""
    return (U * c[None, :]) @ U.T


class Condensed(NamedTuple):
    """The inverse without a tilt, by that of the kernel `K = U c U^T` between support examples, `G`:

        dp = G (b_p - U b_z),    dz = b_z + c U^T dp    (on the support; other pulls are known).

    `H = K G`; what `1 - H` leaves on the support, `lack`, is what `G` is short of.
    """

    G: Float[Array, "n n"]
    H: Float[Array, "n n"]
    lack: Float[Array, "n n"]
    refinements = 2

    @classmethod
    def of(cls, system: System) -> Condensed:
        inside = system.inside
        K = kernel(system.U, system.c)
        scale = jnp.where(inside, 1 / jnp.sqrt(jnp.where(inside, jnp.diagonal(K), 1.0)), 0.0)
        on = scale[:, None] * K * scale[None, :] + jnp.diag(jnp.where(inside, 0.0, 1.0))
        G = scale[:, None] * dense.spd_inverse(on) * scale[None, :]
        H = K @ G
        lack = jnp.where(inside[:, None], jnp.diag(inside.astype(K.dtype)) - H, 0.0)
        return cls(G, H, jnp.abs(lack))

    def __call__(self, system: System, b: Pair) -> Pair:
        U, c = system.U, system.c
        known = jnp.where(system.inside, 0.0, b[0])
        z = b[1] + c * linear.adjoint(U, known)
        own = self.G @ (b[0] - U @ z)
        return known + own, z + c * linear.adjoint(U, own)

    def errors(self, system: System, rest: Pair) -> Pair:
        """`Rough.errors`, infinite where `G` lacks too much: with `E` what it lacks, `K^-1 = G + G E (1 - E)^-1`."""
        U, G, H = jnp.abs(system.U), jnp.abs(self.G), jnp.abs(self.H)
        eps = float(jnp.finfo(U.dtype).eps)
        own, z = jnp.where(system.inside, rest[0], 0.0), rest[1]
        both = jnp.where(system.inside, own + U @ z, 0.0)
        short, made = self.lack @ both, U @ (system.c * linear.adjoint(U, G @ both))
        total = short + sum(U.shape) * eps * jnp.where(system.inside, made, 0.0)  # with the rounding of `K` and `H`
        little = jnp.all(short <= eps ** (1 / 3) * both) & jnp.all(total <= own)  # no more than the residuals
        dp = G @ (own + 2 * total) + jnp.abs(self.G @ system.U) @ z
        df = H @ (own + 2 * total) + jnp.abs(system.U - self.H @ system.U) @ z
        return jnp.where(little, dp, jnp.inf), jnp.where(little, df, jnp.inf)

    def matrix(self, system: System) -> Float[Array, "m m"]:
        """The inverse written out."""
        U, c, inside = system.U, system.c, system.inside
        n, k = U.shape
        known = jnp.diag(jnp.where(inside, 0.0, 1.0).astype(U.dtype))
        own = jnp.where(inside[None, :], self.G, -self.H.T)
        upper = jnp.concatenate([own + known, -self.G @ U], axis=1)
        return jnp.concatenate([upper, c[:, None] * (U.T @ upper) + jnp.eye(k, n + k, n, dtype=U.dtype)])

    def enough(self, system: System) -> Bool[Array, ""]:
        """Whether `matrix` has the digits that steps of refinement need."""
        size = jnp.sqrt(jnp.where(system.inside, (system.U * system.U) @ system.c, 1.0))
        lacks = jnp.max((self.lack @ size) / size)
        spread = jnp.max(size * (jnp.abs(self.G) @ size))
        return (lacks * spread < LACK) & jnp.all(system.inside | (system.T == 0))


def inverse(system: System) -> Float[Array, "m m"]:
    """A rough inverse of the system's matrix; in a batch condensed, where that is enough."""

    def rough(system: System) -> Array:
        return Rough.of(system).X

    def condensed(system: System) -> Array:
        found = Condensed.of(system)
        return jax.lax.cond(found.enough(system), found.matrix, rough, system)

    return in_turn(rough, condensed)(system)
