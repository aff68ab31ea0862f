"""What one step of training needs and does, and the state that it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from gsdyn import _checks
from gsdyn.training._params import Rest
from gsdyn.training.batches import Batches, Data
from gsdyn.training.methods import Method

Params = Any


class Watch(eqx.Module):
    """Something followed at every step, also between records: whether a sign ever changed, how often a class was drawn.

    - `start`: a pytree of arrays before the first step.
    - `update`: from it, the parameters after a step and the batch of that step to its next value, of the same shapes.

        >>> objective = gs.training.BinaryObjective(lambda w, x: x @ w)
        >>> largest = gs.training.Watch(jnp.zeros(()), lambda most, w, batch: jnp.maximum(most, w[0]))
        >>> run = gs.training.train(jnp.zeros(2), objective, (x, y), optax.sgd(0.1), [10], watch=largest)
        >>> print(run.watched)
        [0.42]
    """

    start: Any
    update: Callable[[Any, Params, Data], Any]

    def __check_init__(self) -> None:
        _checks.function("update", self.update)


class State(NamedTuple):
    """What a step changes: the arrays of the network, the optimiser's state, the method's memory, the state of the
    batches, and the `Watch`."""

    arrays: Any
    moments: Any
    memory: Any
    sampler: Any
    watched: Any


class Trainer(eqx.Module):
    """What one step needs beside the state it changes."""

    method: Method
    rest: Rest
    data: Data
    optimizer: optax.GradientTransformation
    observe: Callable[[Params], Any]
    watch: Watch | None
    batches: Batches

    def start(self, arrays: Any, key: PRNGKeyArray | None) -> State:
        """The state before the first step."""
        watched = None if self.watch is None else self.watch.start
        memory = self.method.start(self.rest.whole(arrays), self.data)
        return State(arrays, self._moments(arrays), memory, self.batches.init(self.data, key), watched)

    def advance(self, state: State, count: Int[Array, ""]) -> State:
        """The state `count` steps later."""
        return jax.lax.fori_loop(0, count, lambda _, state: self._step(state), state)

    def seen(self, state: State) -> tuple[Any, Any]:
        """What is recorded of a state."""
        observed = self.observe(self.rest.whole(state.arrays))
        return jax.tree.map(
            lambda leaf: jnp.asarray(leaf) if eqx.is_array_like(leaf) else None, observed
        ), state.watched

    def _step(self, state: State) -> State:
        arrays, moments, memory, sampler, watched = state
        batch, sampler = self.batches.draw(self.data, sampler)
        gradients, memory = self.method.gradients(self.rest.whole(arrays), memory, batch)
        anew = self.method.restarts(memory)
        if anew is not None:
            moments = jax.tree.map(lambda a, b: jnp.where(anew, a, b), self._moments(arrays), moments)

        def value(arrays: Any) -> Array:
            return self.method.value(self.rest.whole(arrays), memory, batch)

        arrays, moments = self._updated(gradients, moments, arrays, value)
        if self.watch is not None:
            watched = self.watch.update(watched, self.rest.whole(arrays), batch)
        return State(arrays, moments, memory, sampler, watched)

    # optax mixes dtypes and is content with JAX's defaults; who runs gsdyn under stricter ones keeps them elsewhere

    def _moments(self, arrays: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return self.optimizer.init(arrays)

    def _updated(self, gradients: Any, moments: Any, arrays: Any, value: Callable[[Any], Array]) -> tuple[Any, Any]:
        """One step of optax. What an optimiser does not ask for is never computed."""
        optimizer = optax.with_extra_args_support(self.optimizer)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, later = optimizer.update(
                gradients, moments, arrays, value=value(arrays), grad=gradients, value_fn=value
            )
            arrays = optax.apply_updates(arrays, updates)
        # under 64 bits some optimisers of 32-bit parameters widen their state in its first step
        return arrays, jax.tree.map(lambda new, old: jnp.asarray(new, jnp.asarray(old).dtype), later, moments)


def each(function: Callable, many: bool) -> Callable:
    """`function` of one network, or of many at once."""
    return eqx.filter_vmap(function) if many else function
