"""Objectives that compare the risks of several training environments: what IRM and V-REx share."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn.training._params import squared_norm, trainable
from gsdyn.training.objectives import NetworkLoss, Objective, columns_of, same_rows


class EnvironmentObjective(Objective):
    """The risks of E environments with a penalty on how they differ:

        (risk(R) + l2 |theta|^2 + weight * penalty) / max(weight, 1)

    where `R_e` is the mean loss of the examples of environment e. The data are `(x, y, environment)`, the last a column
    of integers 0..E-1. An environment that a batch lacks takes no part.

    - `objective`: a `BinaryObjective` or `SoftmaxObjective`; its `mean` plays no part.
    - `weight`: of the penalty, finite and >= 0. `IRM(objective, 0.0)` is the mean risk alone.
    - `environments`: E, at least 1.
    - `l2`: of the sum of squares of all parameters, without a half, finite and >= 0.
    - `rescale`: whether to divide by the weight where it is above 1, as the published code does.

        >>> objective = gs.training.VREx(gs.training.BinaryObjective(lambda w, x: x @ w), 1.0)
        >>> print(f"{objective(np.ones(2), x, y, np.array([0, 0, 1, 1])):.4f}")
        0.6829
    """

    objective: NetworkLoss
    weight: Float[Array, ""]
    environments: int = eqx.field(static=True)
    l2: Float[Array, ""]
    rescale: bool = eqx.field(static=True)

    def __init__(
        self,
        objective: NetworkLoss,
        weight: ArrayLike,
        *,
        environments: int = 2,
        l2: ArrayLike = 0.0,
        rescale: bool = True,
    ):
        _checks.instance("objective", objective, NetworkLoss)
        self.objective, self.rescale = objective, _checks.flag("rescale", rescale)
        self.weight = _checks.nonnegative("weight", weight, ndim=0)
        self.environments = _checks.integer("environments", environments, 1)
        self.l2 = _checks.nonnegative("l2", l2, ndim=0)

    @abc.abstractmethod
    def compared(self, losses: Mean, f: Array, y: Array) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The risk and the penalty, from the means over environments and the margins or logits."""

    def check(self, params: Any, *data: Array) -> tuple[Array, ...]:
        x, y, environment = columns_of(data, "x, y, environment")
        x, y = self.objective.check(params, x, y)
        (environment,) = same_rows(x, environment=_checks.classes("environment", environment, self.environments))
        return x, y, environment

    def value(self, params: Any, x: Array, y: Array, environment: Array) -> Float[Array, ""]:
        f = self.objective.margins(self.objective.outputs(params, x), y)
        risk, penalty = self.compared(Mean(environment, self.environments, f.dtype), f, y)
        weight = self.weight.astype(f.dtype)
        decay = self.l2.astype(f.dtype) * squared_norm(trainable(params)).astype(f.dtype)
        value = risk + decay + weight * penalty
        return value / jnp.maximum(weight, 1) if self.rescale else value


class Mean:
    """Means over the examples of every environment, or of every group."""

    def __init__(self, numbers: Array, count: int, dtype: Any):
        self.member = (numbers[None, :] == jnp.arange(count, dtype=numbers.dtype)[:, None]).astype(dtype)

    @property
    def present(self) -> Bool[Array, " E"]:
        """Which of them have examples."""
        return jnp.sum(self.member, axis=1) > 0

    @full_precision
    def __call__(self, values: Float[Array, " n"]) -> Float[Array, " E"]:
        """The mean of `values` in each; 0 where there are no examples."""
        return self.member @ values / jnp.maximum(jnp.sum(self.member, axis=1), 1)
