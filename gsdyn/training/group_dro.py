"""Group distributionally robust optimisation."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.training.batches import Data
from gsdyn.training.environments import Mean
from gsdyn.training.methods import Method
from gsdyn.training.objectives import NetworkLoss, columns_of, same_rows


class Weights(NamedTuple):
    """What group DRO remembers: the logarithms of the groups' weights, and `C/sqrt(n_g)`."""

    log: Float[Array, " G"]
    adjustment: Float[Array, " G"]


class GroupDRO(Method):
    """Group DRO: the weights of groups follow their losses by exponentiated gradient ascent,

        q_g <- q_g exp(rate (L_g + C/sqrt(n_g))), normalised;   value = sum_g q_g (L_g + C/sqrt(n_g))

    with `L_g` the **mean** loss of the batch's examples of group g, 0 for a group that the batch lacks, and `n_g` the
    group's examples in the training data. A step uses the weights that its own batch has moved. The adjustment moves
    the weights alone: it adds a constant to the loss.

    The data are `(x, y, group)`, the last a column of integers 0..G-1, and every group must have an example.

    - `objective`: a `BinaryObjective` or `SoftmaxObjective`; its `mean` plays no part.
    - `groups`: G, at least 1.
    - `rate`: of the ascent, finite and >= 0. `adjustment`: C, finite and >= 0.

    Reference: Sagawa, Koh, Hashimoto, Liang, Distributionally robust neural networks (2020), and its published code.

        >>> method = gs.training.GroupDRO(gs.training.BinaryObjective(lambda w, x: x @ w), 2, rate=0.1)
        >>> print(gs.training.train(jnp.zeros(2), method, (x, y, np.array([0, 0, 1, 1])), optax.sgd(0.1), [10]).params)
        [0.42 0.  ]
    """

    objective: NetworkLoss
    groups: int = eqx.field(static=True)
    rate: Float[Array, ""]
    adjustment: Float[Array, ""]

    def __init__(self, objective: NetworkLoss, groups: int, *, rate: ArrayLike = 0.01, adjustment: ArrayLike = 0.0):
        _checks.instance("objective", objective, NetworkLoss)
        self.objective = objective
        self.groups = _checks.integer("groups", groups, 1)
        self.rate = _checks.nonnegative("rate", rate, ndim=0)
        self.adjustment = _checks.nonnegative("adjustment", adjustment, ndim=0)

    def check(self, params: Any, *data: Array) -> Data:
        x, y, group = columns_of(data, "x, y, group")
        x, y = self.objective.check(params, x, y)
        (group,) = same_rows(x, group=_checks.classes("group", group, self.groups))
        if _checks.is_concrete(group) and len(set(group.tolist())) < self.groups:
            raise ValueError(
                f"group must have an example of each of the {self.groups} groups, got {set(group.tolist())}"
            )
        return x, y, group

    def start(self, params: Any, data: Data) -> Weights:
        x, _, group = data
        dtype = eqx.filter_eval_shape(self.objective.outputs, params, x).dtype
        size = jnp.sum(Mean(group, self.groups, dtype).member, axis=1)
        even = jnp.full((self.groups,), -jnp.log(jnp.asarray(self.groups, dtype)))
        return Weights(even, self.adjustment.astype(dtype) / jnp.sqrt(jnp.maximum(size, 1)))

    def remembered(self, params: Any, memory: Weights, batch: Data) -> Weights:
        moved = memory.log + self.rate.astype(memory.log.dtype) * (self._losses(params, batch) + memory.adjustment)
        return Weights(jax.nn.log_softmax(moved), memory.adjustment)

    def value(self, params: Any, memory: Weights, batch: Data) -> Float[Array, ""]:
        weights = jax.lax.stop_gradient(jnp.exp(memory.log))
        return jnp.sum(weights * (self._losses(params, batch) + memory.adjustment))

    def _losses(self, params: Any, batch: Data) -> Float[Array, " G"]:
        x, y, group = batch
        f = self.objective.margins(self.objective.outputs(params, x), y)
        return Mean(group, self.groups, f.dtype)(self.objective.losses(f, y))
