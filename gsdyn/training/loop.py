"""The training loop: optax steps inside one compiled loop, with chosen observables recorded on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Int, PRNGKeyArray

from gsdyn import _checks
from gsdyn.training.batches import Batches, Data, FullBatch

Params = Any


class Watch(eqx.Module):
    """Something followed at every step, also between records: whether a sign ever changed, how often a class was drawn.

    - `start`: a pytree of arrays before the first step.
    - `update`: from it, the parameters after a step and the batch of that step to its next value, of the same shapes.
    """

    start: Any
    update: Callable[[Any, Params, Data], Any]


class Run(eqx.Module):
    """A finished training run.

    - `steps`: the steps asked for, shape (T,).
    - `params`: the parameters after the last of them.
    - `observed`: what `observe` gave at each, every leaf with a leading axis T.
    - `watched`: the `Watch` at each, likewise; None without one.
    """

    steps: Int[Array, " T"]
    params: Params
    observed: Any
    watched: Any


def train(
    params: Params,
    objective: Callable[..., Array],
    data: Data,
    optimizer: optax.GradientTransformation,
    steps: ArrayLike,
    *,
    observe: Callable[[Params], Any] = lambda params: params,
    watch: Watch | None = None,
    batches: Batches | None = None,
    key: PRNGKeyArray | None = None,
) -> Run:
    """Trains `params` by gradient steps on `objective` and records what `observe` sees after chosen steps.

    **Arguments:**

    - `params`: any pytree of floating-point arrays.
    - `objective`: from parameters and the arrays of a batch to a number, such as `BinaryObjective(apply)`.
    - `data`: arrays with one row for each example, such as `(x, y)`.
    - `optimizer`: any optax optimiser. Its learning rate may be traced: `optax.sgd(rate)` inside a `jit` or `vmap`.
    - `steps`: after how many steps to record, integers >= 0 in ascending order, shape (T,). May be traced, so that runs
      with other step counts compile once.
    - `observe`: from parameters to a pytree of arrays, by default the parameters themselves.
    - `watch`: what to follow at every step.
    - `batches`: `FullBatch()` (default), `Shuffled(size)` or `Drawn(size)`; the last two need a `key`.

    The whole run is one compiled loop. To compile it once for several runs pass the same function objects again (not
    new lambdas), or call `train` inside your own `jit`.

    **Returns:** a `Run`.

    **Raises:** `ValueError` for steps that are not ascending integers >= 0, for data of unequal lengths or without
    examples, for a key that is missing.
    """
    data = tuple(jnp.asarray(part) for part in data)
    if not data or any(part.ndim == 0 for part in data) or data[0].shape[0] == 0:
        raise ValueError("data must be a tuple of arrays with at least one row each")
    for part in data[1:]:
        _checks.same_length("data", part, "its first array", data[0])
    steps = _check_steps(steps)
    return _train(params, objective, data, optimizer, steps, observe, watch, batches or FullBatch(), key)


@eqx.filter_jit
def _train(params, objective, data, optimizer, steps, observe, watch, batches, key) -> Run:
    def step(_, carry):
        params, state, sampler, watched = carry
        batch, sampler = batches.draw(data, sampler)
        gradients = jax.grad(objective)(params, *batch)
        params, state = _updated(optimizer, gradients, state, params)
        watched = None if watch is None else watch.update(watched, params, batch)
        return params, state, sampler, watched

    def stretch(carry, count):
        carry = jax.lax.fori_loop(0, count, step, carry)
        return carry, (observe(carry[0]), carry[3])

    start = (params, optimizer.init(params), batches.init(data, key), None if watch is None else watch.start)
    (params, *_), (observed, watched) = jax.lax.scan(stretch, start, jnp.diff(steps, prepend=0))
    return Run(steps, params, observed, watched)


def _updated(optimizer, gradients, state, params):
    # optax mixes dtypes and is content with JAX's defaults; who runs gsdyn under stricter ones keeps them elsewhere
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state


def _check_steps(steps: ArrayLike) -> Int[Array, " T"]:
    array = jnp.asarray(steps)
    if array.ndim != 1 or array.size == 0 or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"steps must be a vector of integers, got shape {array.shape} and dtype {array.dtype}")
    if not _checks.is_concrete(array):
        return eqx.error_if(array, (jnp.diff(array, prepend=0) < 0).any(), "steps must be >= 0 and ascending")
    values = np.asarray(array)
    if values[0] < 0 or (np.diff(values) < 0).any():
        raise ValueError(f"steps must be >= 0 and ascending, got {values.tolist() if values.size < 9 else values}")
    return array
