"""Risk extrapolation (V-REx)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn.training.environments import EnvironmentObjective, Mean


class VREx(EnvironmentObjective):
    """V-REx: the risk is a **sum** over environments, the penalty the sum of squared differences of all pairs,

        risk = sum_e R_e,   penalty = sum_(e < e') (R_e - R_e')^2 = E^2 Var_e(R_e)

    with the variance over the E environments (divided by E). For two that is `(R_1 + R_2) + weight (R_1 - R_2)^2`, the
    published code's; the paper's `beta Var` there is `weight = beta/4`. All of it is divided by `max(weight, 1)`: see
    `EnvironmentObjective`, which has the arguments.

    Reference: Krueger et al., Out-of-distribution generalization via risk extrapolation (2021), and its published code.

        >>> objective = gs.training.VREx(gs.training.BinaryObjective(lambda w, x: x @ w), 1.0)
        >>> print(f"{objective(np.ones(2), x, y, np.array([0, 0, 1, 1])):.4f}")
        0.6829
    """

    def compared(self, losses: Mean, f: Array, y: Array) -> tuple[Float[Array, ""], Float[Array, ""]]:
        risks = losses(self.objective.losses(f, y))
        both = (losses.present[:, None] & losses.present[None, :]).astype(f.dtype)
        return jnp.sum(risks), jnp.sum(both * (risks[:, None] - risks[None, :]) ** 2) / 2
