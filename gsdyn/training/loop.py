"""The training loop: optax steps inside one compiled loop, with chosen observables recorded on the way.

With a checkpoint or a progress callback the same compiled loop runs in pieces, between which the host writes and tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Int, PRNGKeyArray

from gsdyn import _checks
from gsdyn.training.batches import Batches, Data, FullBatch
from gsdyn.training.checkpoints import Checkpoint, identity

Params = Any
Progress = Callable[[str, int, int], None]


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
    many: bool = False,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
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
    - `batches`: `FullBatch()` (default), `Shuffled(size)`, `Drawn(size)` or `Keyed(...)`; the last three need a `key`.
    - `many`: train many networks at once. Every array in `params`, `objective`, `data`, `observe`, `watch` and `key`
      then has a leading axis over them (`stacked` makes it from a list), and so has every array of the result.
    - `checkpoint`: where to keep the state. A run that was stopped, in whatever way, goes on from there to the very
      numbers it would have reached; a finished one is read back. Another run is refused there.
    - `progress`: called with the name of the stage, the steps done and the steps in all.

    The whole run is one compiled loop. To compile it once for several runs pass the same function objects again (not
    new lambdas), or call `train` inside your own `jit` (without `checkpoint` and `progress`, which need the host).

    **Returns:** a `Run`.

    **Raises:** `ValueError` for steps that are not ascending integers >= 0, for data of unequal lengths or without
    examples, for a key that is missing, for a checkpoint of another run or one that cannot be read.
    """
    data = tuple(jnp.asarray(part) for part in data)
    if not data or any(part.ndim <= many for part in data) or 0 in data[0].shape[: 1 + many]:
        raise ValueError("data must be a tuple of arrays with at least one row each")
    for part in data[1:]:
        _checks.same_length("data", part, "its first array", data[0])
    steps = _check_steps(steps)
    trainer = Trainer(objective, data, optimizer, observe, watch, batches or FullBatch())
    if checkpoint is None and progress is None:
        return _train(trainer, params, key, steps, many)
    if not _checks.is_concrete((params, key, trainer, steps)):
        raise ValueError("checkpoint and progress must be None inside jit, vmap or grad")
    return _train_in_pieces(trainer, params, key, steps, many, checkpoint, progress)


class Trainer(eqx.Module):
    """What one step needs beside the state it changes."""

    objective: Callable[..., Array]
    data: Data
    optimizer: optax.GradientTransformation
    observe: Callable[[Params], Any]
    watch: Watch | None
    batches: Batches

    def start(self, params: Params, key: PRNGKeyArray | None) -> Any:
        """The state before the first step."""
        watched = None if self.watch is None else self.watch.start
        with jax.numpy_dtype_promotion("standard"):
            return params, self.optimizer.init(params), self.batches.init(self.data, key), watched

    def advance(self, state: Any, count: Int[Array, ""]) -> Any:
        """The state `count` steps later."""

        def step(_, state):
            params, moments, sampler, watched = state
            batch, sampler = self.batches.draw(self.data, sampler)
            gradients = jax.grad(self.objective)(params, *batch)
            params, moments = _updated(self.optimizer, gradients, moments, params)
            watched = None if self.watch is None else self.watch.update(watched, params, batch)
            return params, moments, sampler, watched

        return jax.lax.fori_loop(0, count, step, state)

    def seen(self, state: Any) -> Any:
        """What is recorded of a state."""
        return self.observe(state[0]), state[3]


@eqx.filter_jit
def _train(trainer: Trainer, params: Params, key: PRNGKeyArray | None, steps: Array, many: bool) -> Run:
    def run(trainer, params, key):
        def stretch(state, count):
            state = trainer.advance(state, count)
            return state, trainer.seen(state)

        (params, *_), (observed, watched) = jax.lax.scan(
            stretch, trainer.start(params, key), jnp.diff(steps, prepend=0)
        )
        return params, observed, watched

    return Run(steps, *_each(run, many)(trainer, params, key))


def _each(function: Callable, many: bool) -> Callable:
    return eqx.filter_vmap(function) if many else function


@eqx.filter_jit
def _start(trainer: Trainer, params: Params, key: PRNGKeyArray | None, many: bool) -> Any:
    return _each(lambda trainer, params, key: trainer.start(params, key), many)(trainer, params, key)


@eqx.filter_jit
def _advance(trainer: Trainer, state: Any, count: Array, many: bool) -> Any:
    return _each(lambda trainer, state: trainer.advance(state, count), many)(trainer, state)


@eqx.filter_jit
def _seen(trainer: Trainer, state: Any, many: bool) -> Any:
    return _each(lambda trainer, state: trainer.seen(state), many)(trainer, state)


def _train_in_pieces(
    trainer: Trainer,
    params: Params,
    key: PRNGKeyArray | None,
    steps: Array,
    many: bool,
    checkpoint: Checkpoint | None,
    progress: Progress | None,
) -> Run:
    """Every piece is one call of one compiled loop, so that where the pieces begin and end changes no bit."""
    state = _start(trainer, params, key, many)
    wanted = np.asarray(steps)
    shapes = eqx.filter_eval_shape(_seen, trainer, state, many)
    records = jax.tree.map(lambda part: np.zeros((len(wanted), *part.shape), part.dtype), shapes)
    every = checkpoint.every if checkpoint else max(1, int(wanted[-1]) // 50)
    place, row = np.zeros((), np.int64), np.zeros((), np.int64)
    who = ""
    if checkpoint is not None:
        program = _advance.lower(trainer, state, jnp.asarray(0), many).as_text()
        who = identity(program, (eqx.filter(trainer, eqx.is_array), state, steps), (str(many), str(wanted.dtype)))
        state, records, place, row = checkpoint.load(who, (state, records, place, row)) or (state, records, place, row)
    place, row = int(place), int(row)
    while row < len(wanted):
        # to the next record, or to the next multiple of `every`
        target = min(int(wanted[row]), (place // every + 1) * every)
        state = _advance(trainer, state, jnp.asarray(target - place), many)
        place = target
        while row < len(wanted) and wanted[row] == place:
            _write(records, row, _seen(trainer, state, many))
            row += 1
        if (place and place % every == 0) or row == len(wanted):
            if checkpoint is not None:
                checkpoint.save(who, (state, records, np.asarray(place), np.asarray(row)))
            if progress is not None:
                progress("training", place, int(wanted[-1]))
    axis = int(many)
    observed, watched = jax.tree.map(lambda part: jnp.moveaxis(jnp.asarray(part), 0, axis), records)
    return Run(steps, state[0], observed, watched)


def _write(records: Any, row: int, seen: Any) -> None:
    for record, now in zip(jax.tree.leaves(records), jax.tree.leaves(seen), strict=True):
        record[row] = np.asarray(now)


def stacked(runs: Sequence[Any]) -> Any:
    """One pytree whose every array is those of `runs` stacked: what `train(..., many=True)` takes. The rest of them,
    such as functions, must be equal and is kept."""
    arrays, rest = eqx.partition(list(runs), eqx.is_array)
    return eqx.combine(jax.tree.map(lambda *parts: jnp.stack(parts), *arrays), rest[0])


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
