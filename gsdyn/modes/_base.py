"""What the modes have in common: fields of one shape, arguments that broadcast against them, a loss that is read."""

from __future__ import annotations

from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.losses import CrossEntropy, Hinge, Loss
from gsdyn.modes._arrays import check_times
from gsdyn.modes.clock import Confidence, LinearConfidence, SigmoidConfidence


class Batch(eqx.Module):
    """Problems of one shape, an entry each: every array among the fields has it."""

    def _over(self, x: Array) -> Self:
        """These problems with the shape of `x`."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, x.shape), self)

    def _with(self, **argument: ArrayLike) -> tuple[Self, Array]:
        """These problems and one named argument, in one shape."""
        like = jax.tree.leaves(self)[0]
        x, _ = _checks.together(**argument, mode=like)
        return self._over(x), x

    def _during(self, t: ArrayLike) -> tuple[Self, Array]:
        return self._with(t=_checks.nonnegative("t", t))


class Learner(eqx.Module):
    """What learns under a loss that reads its logit as a confidence."""

    loss: eqx.AbstractVar[Loss]

    @property
    def reading(self) -> Confidence:
        """How the loss reads a logit as a confidence."""
        return LinearConfidence() if isinstance(self.loss, Hinge) else SigmoidConfidence()


class Triple(Batch):
    """Two input weights and one output weight, which keep `a^2 + b^2 - z^2`; mapped over times that come last."""

    a0: eqx.AbstractVar[Float[Array, "..."]]
    b0: eqx.AbstractVar[Float[Array, "..."]]
    z0: eqx.AbstractVar[Float[Array, "..."]]

    @property
    def invariant(self) -> Float[Array, "..."]:
        """`a^2 + b^2 - z^2`, constant as long as both directions learn."""
        return self.a0**2 + (self.b0 - self.z0) * (self.b0 + self.z0)

    def _times(self, ts: ArrayLike) -> Array:
        return check_times("ts", ts).astype(self.a0.dtype)


def check_loss(loss: Loss | None) -> Loss:
    """`loss`, which must be one that modes have closed forms for; cross-entropy if none is given."""
    if loss is None:
        return CrossEntropy()
    if not isinstance(loss, CrossEntropy | Hinge):
        raise ValueError(f"loss must be CrossEntropy() or Hinge(), got {_checks.in_short(loss)}")
    return loss
