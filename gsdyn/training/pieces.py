"""The same compiled loop in pieces, between which the host writes checkpoints and tells how far it is.

Every piece is one call of one compiled program, so that where the pieces begin and end changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from gsdyn.training._trainer import State, Trainer, each
from gsdyn.training.checkpoints import Checkpoint, identity

Progress = Callable[[str, int, int], None]


@eqx.filter_jit
def _start(trainer: Trainer, arrays: Any, key: PRNGKeyArray | None, many: bool) -> State:
    return each(lambda trainer, arrays, key: trainer.start(arrays, key), many)(trainer, arrays, key)


@eqx.filter_jit
def _advance(trainer: Trainer, state: State, count: Array, many: bool) -> State:
    return each(lambda trainer, state: trainer.advance(state, count), many)(trainer, state)


@eqx.filter_jit
def _seen(trainer: Trainer, state: State, many: bool) -> Any:
    return each(lambda trainer, state: trainer.seen(state), many)(trainer, state)


def train_in_pieces(
    trainer: Trainer,
    arrays: Any,
    key: PRNGKeyArray | None,
    steps: Array,
    many: bool,
    checkpoint: Checkpoint | None,
    progress: Progress | None,
) -> tuple[Any, Any, Any]:
    """The arrays after the last step, and what was observed and watched."""
    state = _start(trainer, arrays, key, many)
    wanted = np.asarray(steps)
    shapes = eqx.filter_eval_shape(_seen, trainer, state, many)
    records = jax.tree.map(lambda part: np.zeros((len(wanted), *part.shape), part.dtype), shapes)
    every = checkpoint.every if checkpoint else max(1, int(wanted[-1]) // 50)
    place, row, who = 0, 0, ""
    if checkpoint is not None:
        program = _advance.lower(trainer, state, jnp.asarray(0), many).as_text()
        who = identity(program, (eqx.filter(trainer, eqx.is_array), state), (str(many), str(shapes)))
        kept = checkpoint.load(who, (state, records, wanted, np.zeros((), np.int64)))
        if kept is not None:
            state, found, known, place = (*kept[:3], int(kept[3]))
            row = _recall(checkpoint, records, wanted, found, known, place)
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
                done = jax.tree.map(lambda record: record[:row], records)  # noqa: B023
                checkpoint.save(who, (state, done, wanted[:row], np.asarray(place, np.int64)))
            if progress is not None:
                progress("training", place, int(wanted[-1]))
    axis = int(many)
    observed, watched = jax.tree.map(lambda part: jnp.moveaxis(jnp.asarray(part), 0, axis), records)
    return state.arrays, observed, watched


def _recall(checkpoint: Checkpoint, records: Any, wanted: np.ndarray, found: Any, known: np.ndarray, place: int) -> int:
    """Fills the records of steps that were kept, and says how many there are. What was passed by is not known."""
    row = int(np.searchsorted(wanted, place, side="right"))
    missing = [int(step) for step in wanted[:row] if step not in known]
    # at `place` itself the state is there, and is seen again
    if missing and missing[0] == place:
        row, missing = int(np.searchsorted(wanted, place)), []
    if missing or wanted[-1] < place:
        told = known.tolist() if len(known) < 9 else f"{len(known)} steps up to {known[-1]}"
        raise ValueError(
            f"steps must go on from the run kept in {checkpoint.path}, which is at step {place} and recorded {told}: "
            "use another path to train anew"
        )
    where = np.searchsorted(known, wanted[:row])
    for record, kept in zip(jax.tree.leaves(records), jax.tree.leaves(found), strict=True):
        record[:row] = kept[where]
    return row


def _write(records: Any, row: int, seen: Any) -> None:
    for record, now in zip(jax.tree.leaves(records), jax.tree.leaves(seen), strict=True):
        record[row] = np.asarray(now)
