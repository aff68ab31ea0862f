"""The training loop: optax steps inside one compiled loop, with chosen observables recorded on the way."""

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
from gsdyn._traced import error_if
from gsdyn.training._params import split
from gsdyn.training._trainer import Params, Trainer, Watch, each
from gsdyn.training.batches import Batches, Data, FullBatch
from gsdyn.training.checkpoints import Checkpoint
from gsdyn.training.methods import ERM, Method
from gsdyn.training.pieces import Progress, train_in_pieces


class Run(eqx.Module):
    """A finished training run.

    - `steps`: the steps asked for, shape (T,).
    - `params`: the parameters after the last of them.
    - `observed`: what `observe` gave at each, every leaf with a leading axis T.
    - `watched`: the `Watch` at each, likewise; None without one.

        >>> objective = gs.training.BinaryObjective(net.apply)
        >>> seen = lambda p: net.apply(p, x)
        >>> run = gs.training.train(params, objective, (x, y), optax.sgd(0.1), [0, 20], observe=seen)
        >>> print(run.steps, np.all(y * run.observed[1] > y * run.observed[0]))
        [ 0 20] True
    """

    steps: Int[Array, " T"]
    params: Params
    observed: Any
    watched: Any


def parameters(params: Params) -> Params:
    """The floating-point arrays of a network, what `train` observes by default."""
    return eqx.filter(params, eqx.is_inexact_array)


def train(
    params: Params,
    objective: Callable[..., Array] | Method,
    data: Data,
    optimizer: optax.GradientTransformation,
    steps: ArrayLike,
    *,
    observe: Callable[[Params], Any] = parameters,
    watch: Watch | None = None,
    batches: Batches | None = None,
    key: PRNGKeyArray | None = None,
    many: bool = False,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> Run:
    """Trains `params` by gradient steps on `objective` and records what `observe` sees after chosen steps.

    **Arguments:**

    - `params`: the parameters: any pytree of floating-point arrays (Flax linen's too), an Equinox module or a Flax nnx
      module. Functions, integers and whatever else a module holds stay as they are; so does their dtype. A network
      whose outputs for one example depend on the others in the batch (batch normalisation in training) is trained as
      it is on every batch, but nothing that it keeps beside its parameters (running averages) is updated.
    - `objective`: from parameters and the arrays of a batch to a number, such as `BinaryObjective(apply)`; or a
      `Method`, such as `GroupDRO`, which has a memory.
    - `data`: arrays with one row for each example, such as `(x, y)`.
    - `optimizer`: any optax optimiser, those that search along a line (`optax.lbfgs`) or use the value
      (`optax.polyak_sgd`) too. Its learning rate may be traced: `optax.sgd(rate)` inside a `jit` or `vmap`.
    - `steps`: after how many steps to record, integers >= 0 in ascending order, shape (T,). May be traced, so that runs
      with other step counts compile once.
    - `observe`: from parameters to a pytree of arrays, by default the parameters themselves.
    - `watch`: what to follow at every step.
    - `batches`: `FullBatch()` (default), `Shuffled(size)`, `Drawn(size)` or `Keyed(...)`; the last three need a `key`.
    - `many`: train many networks at once. Every array in `params`, `objective`, `data`, `observe`, `watch` and `key`
      then has a leading axis over them (`stacked` makes it from a list), and so has every array of the result.
    - `checkpoint`: where to keep the state. A run that was stopped, in whatever way, goes on from there to the very
      numbers it would have reached; a finished one is read back, and goes on to later `steps` where they are asked for.
      Another run is refused there.
    - `progress`: called with the name of the stage, the steps done and the steps in all.

    The whole run is one compiled loop. To compile it once for several runs pass the same function objects again (not
    new lambdas), or call `train` inside your own `jit` (without `checkpoint` and `progress`, which need the host).

    **Returns:** a `Run`.

    **Raises:** `ValueError`, in one line that names the argument, for anything outside what is said above: labels that
    the objective does not take, steps that are not ascending integers >= 0, data of unequal lengths or without
    examples, a key that is missing, a checkpoint of another run or one that cannot be read.

        run = train(net.init(key, 2), BinaryObjective(net.apply), (x, y), optax.adam(1e-2), [0, 100, 1000])

        >>> objective = gs.training.BinaryObjective(net.apply)
        >>> seen = lambda p: net.apply(p, x)
        >>> run = gs.training.train(params, objective, (x, y), optax.sgd(0.1), [0, 20], observe=seen)
        >>> print(run.steps, run.observed.shape)
        [ 0 20] (2, 4)
    """
    many = _checks.flag("many", many)
    data = check_data(data, many)
    steps = _check_steps(steps)
    if key is not None:
        _checks.random_key("key", key)
    _check_arguments(objective, optimizer, observe, watch, batches, checkpoint, progress)
    method = objective if isinstance(objective, Method) else ERM(objective)
    arrays, rest = split(params)
    if many:
        _check_leading(data[0].shape[0], params=arrays, objective=objective, observe=observe, watch=watch, key=key)
    data = check_rows(method, rest, arrays, data, many)
    trainer = Trainer(method, rest, data, optimizer, observe, watch, batches or FullBatch())
    if checkpoint is None and progress is None:
        arrays, observed, watched = _train(trainer, arrays, key, steps, many)
    elif not _checks.is_concrete((arrays, key, trainer, steps)):
        raise ValueError("checkpoint and progress must be None inside jit, vmap or grad")
    else:
        arrays, observed, watched = train_in_pieces(trainer, arrays, key, steps, many, checkpoint, progress)
    return Run(steps, rest.whole(arrays), observed, watched)


@eqx.filter_jit
def _train(trainer: Trainer, arrays: Any, key: PRNGKeyArray | None, steps: Array, many: bool) -> tuple[Any, Any, Any]:
    def run(trainer, arrays, key):
        def stretch(state, count):
            state = trainer.advance(state, count)
            return state, trainer.seen(state)

        counts = jnp.diff(steps, prepend=0)
        state, (observed, watched) = jax.lax.scan(stretch, trainer.start(arrays, key), counts)
        return state.arrays, observed, watched

    return each(run, many)(trainer, arrays, key)


def stacked(runs: Sequence[Any]) -> Any:
    """One pytree whose every array is those of `runs` stacked: what `train(..., many=True)` takes. The rest of them,
    such as functions, must be equal and is kept. Raises `ValueError` where there are none or they differ in form.

        >>> seeds = [net.init(jax.random.key(seed), 2) for seed in range(3)]
        >>> print(gs.training.stacked(seeds)[0].weight.shape)
        (3, 2, 8)
    """
    if isinstance(runs, str | bytes) or not isinstance(runs, Sequence) or not runs:
        raise ValueError(f"runs must be a list with at least one entry, got {_checks.in_short(runs)}")
    arrays, rest = eqx.partition(list(runs), eqx.is_array)
    try:
        return eqx.combine(jax.tree.map(lambda *parts: jnp.stack(parts), *arrays), rest[0])
    except (TypeError, ValueError):
        raise ValueError("runs must hold arrays of the same shapes in the same places") from None


def check_data(data: Any, many: bool = False) -> Data:
    """The data as a tuple of arrays of one length."""
    needed = "data must be a tuple of arrays with at least one row each"
    if not isinstance(data, (tuple, list)):
        raise ValueError(f"{needed}, such as (x, y), got a value of type {type(data).__name__}")
    try:
        data = tuple(_checks.numbers("data", part) for part in data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{needed}: {str(error).splitlines()[0]}") from None
    if not data or any(part.ndim <= many for part in data) or 0 in data[0].shape[: 1 + many]:
        raise ValueError(f"{needed}, got shapes {[part.shape for part in data]}")
    for part in data[1:]:
        if part.shape[: 1 + many] != data[0].shape[: 1 + many]:
            raise ValueError(
                f"data must have as many rows as its first array {data[0].shape}, got an array of shape {part.shape}"
            )
    return data


def check_rows(method: Method, rest: Any, arrays: Any, data: Data, many: bool) -> Data:
    """The data, row by row in the form `method` takes; those of many networks one after another."""
    if not many:
        return method.check(rest.whole(arrays), *data)
    first = [
        jax.tree.map(lambda part: part[0] if eqx.is_array(part) else part, tree) for tree in (method, rest, arrays)
    ]
    networks, rows = data[0].shape[:2]
    flat = first[0].check(first[1].whole(first[2]), *(part.reshape(-1, *part.shape[2:]) for part in data))
    return tuple(part.reshape(networks, rows, *part.shape[1:]) for part in flat)


def _check_arguments(objective, optimizer, observe, watch, batches, checkpoint, progress) -> None:
    if not isinstance(objective, Method):
        _checks.function("objective", objective)
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise ValueError(f"optimizer must be an optax optimiser, got a value of type {type(optimizer).__name__}")
    _checks.function("observe", observe)
    for name, value, kind in (
        ("watch", watch, Watch),
        ("batches", batches, Batches),
        ("checkpoint", checkpoint, Checkpoint),
    ):
        if value is not None:
            _checks.instance(name, value, kind)
    if progress is not None:
        _checks.progress(progress)


def _check_leading(networks: int, **trees: Any) -> None:
    for name, tree in trees.items():
        for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)):
            if leaf.shape[:1] != (networks,):
                raise ValueError(
                    f"{name} must hold arrays with a leading axis over the {networks} networks (`stacked` makes it), "
                    f"got one of shape {leaf.shape}"
                )


def _check_steps(steps: ArrayLike) -> Int[Array, " T"]:
    if not _checks.is_concrete(steps):
        array = jnp.asarray(steps)
        _check_form(array)
        return error_if(array, (jnp.diff(array, prepend=0) < 0).any(), "steps must be >= 0 and ascending")
    try:
        values = np.asarray(steps)
    except (TypeError, ValueError):
        raise ValueError(f"steps must be a vector of integers, got {_checks.in_short(steps)}") from None
    _check_form(values)
    wide = [int(value) for value in values]
    if wide[0] < 0 or wide != sorted(wide):
        raise ValueError(f"steps must be >= 0 and ascending, got {wide if len(wide) < 9 else values}")
    most = np.iinfo(jnp.asarray(0).dtype).max
    if wide[-1] > most:
        raise ValueError(f"steps must be at most {most}, got {wide[-1]}")
    return jnp.asarray(values.astype(jnp.asarray(0).dtype))


def _check_form(steps: Any) -> None:
    if steps.ndim != 1 or steps.size == 0 or not np.issubdtype(steps.dtype, np.integer):
        raise ValueError(f"steps must be a vector of integers, got shape {steps.shape} and dtype {steps.dtype}")
