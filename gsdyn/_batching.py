"""Functions that treat a whole batch at once, in chunks that fit the cache, under any nesting of `vmap`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool

BLOCK = 1024
ACCELERATED = 512  # what an accelerator takes at a time, in chunks of a CPU
P = TypeVar("P")
S = TypeVar("S")
K = TypeVar("K")


def batched(alone: Callable[[P], S], many: Callable[[P], S]) -> Callable[[P], S]:
    """`alone` for one problem, a pytree of arrays; under `vmap` `many`, which takes all along one leading axis."""

    @custom_vmap
    def one(problem: P) -> S:
        return alone(problem)

    @custom_vmap
    def flat(problems: P) -> S:
        return many(problems)

    @one.def_vmap
    def _(size: int, in_batched: list, problems: P) -> tuple[S, Any]:
        return _all_batched(flat(_spread(size, in_batched[0], problems)))

    @flat.def_vmap
    def _(size: int, in_batched: list, problems: P) -> tuple[S, Any]:
        whole = _spread(size, in_batched[0], problems)
        out = flat(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), whole))
        return _all_batched(jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), out))

    return one


def in_chunks(solve: Callable[[P], S], problems: P, empty: S, size: int, count: Array | int) -> S:
    """`solve` for the first `count` problems, `size` of them at a time; the last chunk overlaps the one before it.

    `empty` has the shapes and dtypes of the whole answer, and holds what is not solved.
    """
    return in_chunks_with(lambda part, kept: (solve(part), kept), lambda size: None, problems, empty, size, count)


def in_chunks_with(
    solve: Callable[[P, K], tuple[S, K]],
    memory: Callable[[int], K],
    problems: P,
    empty: S,
    size: int,
    count: Array | int,
) -> S:
    """`in_chunks` for a `solve` that takes, leaves and returns arrays to work in, `memory(size)` at first."""
    m = jax.tree.leaves(problems)[0].shape[0]
    size = size if jax.default_backend() == "cpu" else ACCELERATED * size
    size = -(-m // -(-m // size))

    def place(i: Array, state: tuple[S, K]) -> tuple[S, K]:
        out, kept = state
        start = jnp.minimum(i * size, m - size)
        part, kept = solve(jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, size), problems), kept)
        out = jax.tree.map(
            lambda whole, piece: jax.lax.dynamic_update_slice_in_dim(whole, piece, start, axis=0), out, part
        )
        return out, kept

    return jax.lax.fori_loop(0, -(-jnp.minimum(count, m) // size), place, (empty, memory(size)))[0]


def finish(solve: Callable[[P], S], problems: P, out: S, todo: Bool[Array, " m"], size: int) -> S:
    """`out`, the problems that are `todo` gathered, solved in chunks and put back."""
    m = todo.size
    room = min(m, max(size, m // 32))

    def again(state: tuple[S, Array]) -> tuple[S, Array]:
        out, todo = state
        index, count = _where(todo, room)
        some = jax.tree.map(lambda x: jnp.take(x, index, axis=0, mode="clip"), problems)
        empty = jax.tree.map(lambda x: jnp.zeros((room, *x.shape[1:]), x.dtype), out)
        new = in_chunks(solve, some, empty, size, count)
        out = jax.tree.map(lambda x, y: x.at[index].set(y, mode="drop"), out, new)
        return out, todo.at[index].set(False, mode="drop")

    return jax.lax.while_loop(lambda s: jnp.any(s[1]), again, (out, todo))[0]


def _where(todo: Bool[Array, " m"], room: int) -> tuple[Array, Array]:
    """The first `room` places where `todo` holds, and how many there are; `jnp.nonzero` at twice its speed."""
    m = todo.size
    inside = jnp.cumsum(jnp.pad(todo, (0, -m % BLOCK)).reshape(-1, BLOCK), axis=1, dtype=jnp.int32)
    before = jnp.cumsum(inside[:, -1], dtype=jnp.int32)
    total = (inside + (before - inside[:, -1])[:, None]).reshape(-1)
    rank = jnp.arange(1, room + 1, dtype=jnp.int32)
    return jnp.minimum(jnp.searchsorted(total, rank), m), before[-1]


def _spread(size: int, in_batched: P, problems: P) -> P:
    return jax.tree.map(lambda x, b: x if b else jnp.broadcast_to(x[None], (size, *x.shape)), problems, in_batched)


def _all_batched(out: S) -> tuple[S, Any]:
    return out, jax.tree.map(lambda _: True, out)
