"""Invariant risk minimisation (IRMv1)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn.training.environments import EnvironmentObjective, Mean


class IRM(EnvironmentObjective):
    """IRMv1: the risk and penalty are **means** over environments,

        risk = mean_e R_e,   penalty = mean_e (d/dw R_e(w f) at w = 1)^2

    so that for the cross-entropy the penalty is the mean over environments of `(mean_i f_i (sigma(f_i) - 1))^2`, with
    margins f, the same number as `(mean_i yhat_i (sigma(yhat_i) - y_i))^2` with labels 0 and 1. All of it is divided
    by `max(weight, 1)`: see `EnvironmentObjective`, which has the arguments. The authors' coloured digits anneal it:

        Switched(IRM(objective, 1.0, l2=0.0011), IRM(objective, 91257.0, l2=0.0011), 190)

    Reference: Arjovsky, Bottou, Gulrajani, Lopez-Paz, Invariant risk minimization (2019), and its published code.

        >>> objective = gs.training.IRM(gs.training.BinaryObjective(lambda w, x: x @ w), 1.0)
        >>> print(f"{objective(np.ones(2), x, y, np.array([0, 0, 1, 1])):.4f}")
        0.4040
    """

    def compared(self, losses: Mean, f: Array, y: Array) -> tuple[Float[Array, ""], Float[Array, ""]]:
        values, slopes = jax.jvp(
            lambda scale: self.objective.losses(scale * f, y), (jnp.ones((), f.dtype),), (jnp.ones((), f.dtype),)
        )
        count = jnp.maximum(jnp.sum(losses.present.astype(f.dtype)), 1)
        return jnp.sum(losses(values)) / count, jnp.sum(losses(slopes) ** 2) / count
