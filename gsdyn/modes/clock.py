"""What every closed form of one mode offers: its logit at a time, and the time to a logit."""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Clock(eqx.Module):
    """One mode as a map between times and logits; all fields have one shape, `rate` among them."""

    @property
    @abc.abstractmethod
    def start(self) -> Float[Array, "..."]:
        """The logit at time 0."""

    @property
    def death(self) -> Float[Array, "..."]:
        """The time at which y reaches 0; infinite if it never does, 0 if inactive."""
        return jnp.full_like(self.start, jnp.inf)

    @abc.abstractmethod
    def logit(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logit at `t >= 0`."""

    @abc.abstractmethod
    def time(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """The time at which the logit is `u`, which is at least the start; infinite if it never is."""

    @abc.abstractmethod
    def weights(self, t: Float[Array, "..."]) -> tuple[Array, Array]:
        """`(y, z)` at `t >= 0`."""


class Confidence(eqx.Module):
    """How a loss reads a logit as a confidence, and the largest logit it trains towards."""

    ceiling: float = eqx.field(static=True)

    @abc.abstractmethod
    def of(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """The confidence in the right class at logit `u`."""

    @abc.abstractmethod
    def logit(self, confidence: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logit at which that confidence is met."""


class SigmoidConfidence(Confidence):
    """Cross-entropy: `P = sigma(u)`, and no logit is large enough."""

    ceiling: float = eqx.field(static=True, default=float("inf"))

    def of(self, u):
        return jax.nn.sigmoid(u)

    def logit(self, confidence):
        return jnp.log(confidence) - jnp.log1p(-confidence)


class LinearConfidence(Confidence):
    """Hinge: `P = (1 + u)/2` (C18-Fig4), 1 at the margin, where training stops."""

    ceiling: float = eqx.field(static=True, default=1.0)

    def of(self, u):
        return (1 + u) / 2

    def logit(self, confidence):
        return 2 * confidence - 1
