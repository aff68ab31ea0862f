"""How a step gets its gradient: from one objective, from two in turn, or by a rule that remembers what it has seen."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn import _checks
from gsdyn.training._params import split
from gsdyn.training.batches import Data
from gsdyn.training.objectives import checked, value_of


class Method(eqx.Module):
    """A rule for the gradient of a step, with a memory that goes from step to step.

    A new one says how its memory begins and changes, and which number it then descends:

        memory_0 = start(params, data),   memory_t = remembered(params_t, memory_(t-1), batch_t),
        gradient_t = d/d params value(params, memory_t, batch_t)

        >>> method = gs.training.ERM(gs.training.BinaryObjective(lambda w, x: x @ w))
        >>> gradient, memory = method.gradients(jnp.zeros(2), None, (jnp.asarray(x), jnp.asarray(y)))
        >>> print(gradient)
        [-0.463 -0.   ]
    """

    @abc.abstractmethod
    def value(self, params: Any, memory: Any, batch: Data) -> Float[Array, ""]:
        """The number that this step descends; `memory` is that of this step."""

    def start(self, params: Any, data: Data) -> Any:
        """The memory before the first step, a pytree of arrays: none by default."""
        del params, data

    def remembered(self, params: Any, memory: Any, batch: Data) -> Any:
        """The memory of this step, from that of the step before: the same by default."""
        del params, batch
        return memory

    def gradients(self, params: Any, memory: Any, batch: Data) -> tuple[Any, Any]:
        """The gradient of this step, in the form of `params`, and the memory of this step."""
        memory = self.remembered(params, memory, batch)
        arrays, rest = split(params)
        return jax.grad(lambda arrays: self.value(rest.whole(arrays), memory, batch))(arrays), memory

    def restarts(self, memory: Any) -> Bool[Array, ""] | None:
        """Whether the optimiser starts anew at this step; None for never."""
        del memory

    def check(self, params: Any, *data: Array) -> Data:
        """The data in the form `value` takes its batches. Raises `ValueError` for data it cannot take."""
        del params
        return data


class ERM(Method):
    """Empirical risk minimisation: the gradient of one objective, with a penalty in it or without.

    - `objective`: from parameters and the arrays of a batch to a number. `train` makes one of a bare objective.

        >>> method = gs.training.ERM(gs.training.BinaryObjective(lambda w, x: x @ w))
        >>> run = gs.training.train(jnp.zeros(2), method, (x, y), optax.sgd(0.1), [10])
        >>> print(run.params)
        [0.42 0.  ]
    """

    objective: Callable[..., Array]

    def __check_init__(self) -> None:
        _checks.function("objective", self.objective)

    def check(self, params: Any, *data: Array) -> Data:
        return checked(self.objective, params, data)

    def value(self, params: Any, memory: Any, batch: Data) -> Float[Array, ""]:
        del memory
        return value_of(self.objective)(params, *batch)


class Switched(Method):
    """One objective for the first steps, another from then on: spectral decoupling, or an environment penalty's full
    weight, switched on in the middle.

        Switched(BinaryObjective(apply), Scaled(Decoupled(BinaryObjective(apply), 1.0), 2e-5), 450)

    - `first`, `second`: objectives of the same data. Two that differ in their numbers alone, such as
      `IRM(objective, 1.0)` and `IRM(objective, 9e4)`, cost no more than one.
    - `step`: how many steps the first has, >= 0, an integer; may be traced.
    - `fresh`: whether the optimiser starts anew at the switch; without, its state stays (as in P21's code).

        >>> inner = gs.training.BinaryObjective(lambda w, x: x @ w)
        >>> method = gs.training.Switched(inner, gs.training.Decoupled(inner, 1.0), 5)
        >>> print(gs.training.train(jnp.zeros(2), method, (x, y), optax.sgd(0.1), [10]).params)
        [0.233 0.001]
    """

    first: Callable[..., Array]
    second: Callable[..., Array]
    step: Array
    fresh: bool = eqx.field(static=True)

    def __init__(
        self, first: Callable[..., Array], second: Callable[..., Array], step: int | Array, *, fresh: bool = False
    ):
        for name, objective in (("first", first), ("second", second)):
            _checks.function(name, objective)
        self.first, self.second, self.fresh = first, second, _checks.flag("fresh", fresh)
        self.step = jnp.asarray(_checks.integer("step", step, 0) if _checks.is_concrete(step) else step)

    def start(self, params: Any, data: Data) -> Array:
        del params, data
        return jnp.zeros((), int)

    def remembered(self, params: Any, memory: Array, batch: Data) -> Array:
        del params, batch
        return memory + 1

    def restarts(self, memory: Array) -> Bool[Array, ""] | None:
        return memory == self.step + 1 if self.fresh else None

    def check(self, params: Any, *data: Array) -> Data:
        return checked(self.second, params, checked(self.first, params, data))

    def value(self, params: Any, memory: Array, batch: Data) -> Float[Array, ""]:
        later = memory > self.step
        one, two = (eqx.partition(objective, eqx.is_array) for objective in (self.first, self.second))
        if _alike(one, two):
            arrays = jax.tree.map(lambda a, b: jnp.where(later, b, a), one[0], two[0])
            return value_of(eqx.combine(arrays, one[1]))(params, *batch)
        arrays, rest = split(params)

        def of(objective):
            return lambda arrays: value_of(objective)(rest.whole(arrays), *batch)

        return jax.lax.cond(later, of(self.second), of(self.first), arrays)


def _alike(one: tuple[Any, Any], two: tuple[Any, Any]) -> bool:
    """Whether two objectives, in arrays and the rest, differ in the values of their arrays alone."""
    shapes = [[(part.shape, part.dtype) for part in jax.tree.leaves(arrays)] for arrays, _ in (one, two)]
    same = jax.tree.structure(one) == jax.tree.structure(two) and shapes[0] == shapes[1]
    return same and bool(eqx.tree_equal(one[1], two[1]))
