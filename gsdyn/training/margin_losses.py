"""Losses that control margins instead of maximising them (Puli et al. 2023, MARG-CTRL), for `BinaryObjective`.

They are sums over examples of a function of the margin `f = y yhat` that has its minimum, or turns, at a finite margin.
They are not convex, so that the theory of `gsdyn.losses` (duals, certificates) does not hold for them.
Reference: Puli, Zhang, Wald, Ranganath, Don't blame dataset shift! (2023), arXiv:2308.12553.
"""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks


class MarginLoss(eqx.Module):
    """A function of the margin, summed over examples.

    >>> print(f"{gs.training.MarginLog(0.1).value(jnp.array([0.0, 2.0])):.4f}")
    0.9810
    """

    @abc.abstractmethod
    def value(self, f: Float[Array, " n"]) -> Float[Array, ""]:
        """The sum of the losses of margins `f`."""


class MarginLog(MarginLoss):
    """`log(1 + e^-f) + lam log(1 + f^2)`: the cross-entropy and a penalty that grows with the logarithm of the margin.

    - `lam`: finite and >= 0, a scalar.

        >>> print(f"{gs.training.MarginLog(0.1).value(jnp.array([0.0, 2.0])):.4f}")
        0.9810
    """

    lam: Float[Array, ""]

    def __init__(self, lam: ArrayLike):
        self.lam = _checks.nonnegative("lam", lam, ndim=0)

    def value(self, f: Float[Array, " n"]) -> Float[Array, ""]:
        # log(1 + f^2) = 2 log|f| + log(1 + f^-2) where f^2 would overflow
        size = jnp.abs(f)
        large = size > 1e6
        small, big = jnp.where(large, 1.0, size), jnp.where(large, size, 1.0)
        log = jnp.where(large, 2 * jnp.log(big), jnp.log1p(small * small))
        return jnp.sum(jax.nn.softplus(-f) + self.lam.astype(f.dtype) * log)


class MarginDamp(MarginLoss):
    """`log(1 + exp(-f (1 - sigma(f/T))))`: margins far above T are damped away, and with them their pull.

    - `temperature`: T, finite and > 0, a scalar.

        >>> print(f"{gs.training.MarginDamp(1.0).value(jnp.array([0.0, 2.0])):.4f}")
        1.2742
    """

    temperature: Float[Array, ""]

    def __init__(self, temperature: ArrayLike):
        self.temperature = _checks.positive("temperature", temperature, ndim=0)

    def value(self, f: Float[Array, " n"]) -> Float[Array, ""]:
        return jnp.sum(jax.nn.softplus(-f * jax.nn.sigmoid(-f / self.temperature.astype(f.dtype))))


class MarginStitch(MarginLoss):
    """`log(1 + e^-r(f))` with `r(f) = f` up to the margin u and `2u - f` above: margins are pulled back to u.

    - `turn`: u, finite, a scalar. The loss has a kink there; at u itself the derivative is that from below.

        >>> print(f"{gs.training.MarginStitch(1.0).value(jnp.array([0.0, 2.0])):.4f}")
        1.3863
    """

    turn: Float[Array, ""]

    def __init__(self, turn: ArrayLike):
        self.turn = _checks.finite("turn", turn, ndim=0)

    def value(self, f: Float[Array, " n"]) -> Float[Array, ""]:
        turn = self.turn.astype(f.dtype)
        return jnp.sum(jax.nn.softplus(-jnp.where(f > turn, 2 * turn - f, f)))
