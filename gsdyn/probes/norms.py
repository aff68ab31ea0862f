"""Lengths of a perturbation: what an attack may spend, and how it spends it best."""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Norm(eqx.Module):
    """A length of perturbations, rows of an array (n, d).

    >>> print(gs.probes.L2(), gs.probes.Linf())
    L2() Linf()
    """

    @abc.abstractmethod
    def length(self, v: Float[Array, "n d"]) -> Float[Array, " n"]:
        """The length of every row."""

    @abc.abstractmethod
    def onto(self, v: Float[Array, "n d"], radius: Float[Array, " n"]) -> Float[Array, "n d"]:
        """The nearest rows of at most these lengths."""

    @abc.abstractmethod
    def steepest(self, gradient: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Rows of length 1 along which a function with this gradient rises most; 0 where the gradient is 0."""

    def unit(self, v: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """The rows at length 1; 0 for a row of zeros."""
        length = self.length(v)
        return v / jnp.where(length > 0, length, 1)[:, None]

    def random(self, key: PRNGKeyArray, like: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Random directions, rows of length 1."""
        return self.unit(jax.random.normal(key, like.shape, like.dtype))


class L2(Norm):
    """The Euclidean length.

    >>> print(gs.probes.L2())
    L2()
    """

    def length(self, v: Float[Array, "n d"]) -> Float[Array, " n"]:
        # scaled, so that no square is lost: gradients of a saturated network are tiny
        top = jnp.max(jnp.abs(v), axis=1, initial=0.0)
        scale = jnp.where(top > 0, top, 1)
        return scale * jnp.sqrt(jnp.sum((v / scale[:, None]) ** 2, axis=1))

    def onto(self, v: Float[Array, "n d"], radius: Float[Array, " n"]) -> Float[Array, "n d"]:
        length = self.length(v)
        return v * jnp.where(length > radius, radius / jnp.where(length > 0, length, 1), 1)[:, None]

    def steepest(self, gradient: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return self.unit(gradient)


class Linf(Norm):
    """The largest change of an entry.

    >>> print(gs.probes.Linf())
    Linf()
    """

    def length(self, v: Float[Array, "n d"]) -> Float[Array, " n"]:
        return jnp.max(jnp.abs(v), axis=1, initial=0.0)

    def onto(self, v: Float[Array, "n d"], radius: Float[Array, " n"]) -> Float[Array, "n d"]:
        return jnp.clip(v, -radius[:, None], radius[:, None])

    def steepest(self, gradient: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return jnp.sign(gradient)
