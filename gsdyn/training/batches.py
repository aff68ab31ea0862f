"""How a step gets its examples: all of them, shuffled in epochs, or drawn at random; with noise or without."""

from __future__ import annotations

import abc
import numbers
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from gsdyn import _checks

Data = tuple[Array, ...]


class Batches(eqx.Module):
    """A rule by which every step gets a batch of the data, arrays with one row for each example.

    >>> objective = gs.training.BinaryObjective(lambda w, x: x @ w)
    >>> drawn = {"batches": gs.training.Shuffled(2), "key": jax.random.key(0)}
    >>> print(gs.training.train(jnp.zeros(2), objective, (x, y), optax.sgd(0.1), [10], **drawn).params)
    [0.42 0.  ]
    """

    @abc.abstractmethod
    def init(self, data: Data, key: PRNGKeyArray | None) -> Any:
        """The state before the first step."""

    @abc.abstractmethod
    def draw(self, data: Data, state: Any) -> tuple[Data, Any]:
        """The batch of one step, and the next state."""


class FullBatch(Batches):
    """Every step sees all the data: gradient descent. It needs no key.

    >>> (images, labels), _ = gs.training.FullBatch().draw((x, y), None)
    >>> print(images.shape)
    (4, 2)
    """

    def init(self, data: Data, key: PRNGKeyArray | None) -> Any:
        return None

    def draw(self, data: Data, state: Any) -> tuple[Data, Any]:
        return data, state


class Shuffled(Batches):
    """SGD in epochs: a new random order of the data, from which every step takes the next `size` examples.

    What is left of an epoch and does not fill a batch is not used, so `size` must be at most the number of examples.

        >>> batches = gs.training.Shuffled(2)
        >>> data = (jnp.asarray(x), jnp.asarray(y))
        >>> (images, labels), _ = batches.draw(data, batches.init(data, jax.random.key(0)))
        >>> print(images.shape)
        (2, 2)
    """

    size: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        _check_size(self.size)

    def init(self, data: Data, key: PRNGKeyArray | None) -> Any:
        n = data[0].shape[0]
        if self.size > n:
            raise ValueError(f"size must be at most the {n} examples of the data, got {self.size}")
        order = jnp.arange(n)
        return _needed(key), order, jnp.asarray(n)

    def draw(self, data: Data, state: Any) -> tuple[Data, Any]:
        key, order, place = state
        ended = place + self.size > order.size

        def shuffled(key: PRNGKeyArray) -> tuple[PRNGKeyArray, Array]:
            key, now = jax.random.split(key)
            return key, jax.random.permutation(now, order.size)

        key, order = jax.lax.cond(ended, shuffled, lambda key: (key, order), key)
        place = jnp.where(ended, 0, place)
        rows = jax.lax.dynamic_slice_in_dim(order, place, self.size)
        return tuple(part[rows] for part in data), (key, order, place + self.size)


class Drawn(Batches):
    """SGD by independent draws: every step draws `size` examples at random, with replacement.

    >>> batches = gs.training.Drawn(2)
    >>> data = (jnp.asarray(x), jnp.asarray(y))
    >>> (images, labels), _ = batches.draw(data, batches.init(data, jax.random.key(0)))
    >>> print(images.shape)
    (2, 2)
    """

    size: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        _check_size(self.size)

    def init(self, data: Data, key: PRNGKeyArray | None) -> Any:
        return _needed(key)

    def draw(self, data: Data, state: Any) -> tuple[Data, Any]:
        key, now = jax.random.split(state)
        rows = jax.random.randint(now, (self.size,), 0, data[0].shape[0])
        return tuple(part[rows] for part in data), key


class Keyed(Batches):
    """Another rule's batches, each with a fresh random key behind its arrays: for dropout and other noise.

    The objective is called with that key as its last argument.

        >>> batches = gs.training.Keyed()
        >>> data = (jnp.asarray(x), jnp.asarray(y))
        >>> batch, _ = batches.draw(data, batches.init(data, jax.random.key(0)))
        >>> print(len(batch))
        3
    """

    inner: Batches = eqx.field(default_factory=FullBatch)

    def __check_init__(self) -> None:
        _checks.instance("inner", self.inner, Batches)

    def init(self, data: Data, key: PRNGKeyArray | None) -> Any:
        own, inner = jax.random.split(_needed(key))
        return own, self.inner.init(data, inner)

    def draw(self, data: Data, state: Any) -> tuple[Data, Any]:
        key, inner = state
        key, now = jax.random.split(key)
        batch, inner = self.inner.draw(data, inner)
        return (*batch, now), (key, inner)


def _check_size(size: object) -> None:
    if isinstance(size, bool) or not isinstance(size, numbers.Integral) or size < 1:
        raise ValueError(f"size must be an integer of at least 1, got {_checks.in_short(size)}")


def _needed(key: PRNGKeyArray | None) -> PRNGKeyArray:
    if key is None:
        raise ValueError("key must be a random key for batches that are drawn, such as jax.random.key(0), got None")
    return key
