"""Functions that treat a whole batch at once, in chunks that fit the cache or one by one, under any `vmap`s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool

from gsdyn._numerics.precision import full_precision

WORD = 32
ACCELERATED = 512  # what an accelerator takes at a time, in chunks of a CPU
P = TypeVar("P")
S = TypeVar("S")
K = TypeVar("K")


def batched(alone: Callable[[P], S], many: Callable[[P], S]) -> Callable[[P], S]:
    """`alone` for one problem, a pytree of arrays; under `vmap` `many`, which takes all along one leading axis."""
    alone, many = full_precision(alone), full_precision(many)

    @custom_vmap
    def one(problem: P) -> S:
        return alone(problem)

    @custom_vmap
    def flat(problems: P) -> S:
        return many(problems)

    @one.def_vmap
    def _(size: int, in_batched: list, problems: P) -> tuple[S, Any]:
        return _all_batched(flat(spread(size, in_batched[0], problems)))

    @flat.def_vmap
    def _(size: int, in_batched: list, problems: P) -> tuple[S, Any]:
        whole = spread(size, in_batched[0], problems)
        out = flat(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), whole))
        return _all_batched(jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), out))

    return one


@custom_vmap
def anywhere(x: Bool[Array, ""]) -> Bool[Array, ""]:
    """`x`; under `vmap` whether it holds in any problem.

    As the condition of a loop whose turns leave alone what is done, so that `vmap` need not choose between old and new.
    """
    return x


@anywhere.def_vmap
def _(size: int, in_batched: list, x: Bool[Array, " m"]) -> tuple[Array, bool]:
    return anywhere(jnp.any(x, axis=0)), False


def in_double(solve: Callable[..., S]) -> Callable[..., S]:
    """`solve`, a function of arrays only that computes in double precision, also where `jax_enable_x64` is off.

    Whatever traces it again, a batch under `vmap`, is traced with doubles switched on too.
    """
    solve = full_precision(solve)

    @custom_vmap
    def one(*args: Any) -> S:
        with jax.enable_x64(True):
            return solve(*args)

    @one.def_vmap
    def _(size: int, in_batched: list, *args: Any) -> tuple[S, Any]:
        axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched))
        return _all_batched(in_double(jax.vmap(solve, in_axes=axes, axis_size=size))(*args))

    return one


def in_turn(alone: Callable[[P], S], in_batch: Callable[[P], S] | None = None) -> Callable[[P], S]:
    """`alone` for one problem, a pytree of arrays; under `vmap` for one problem after the other, by `in_batch` if
    given, which may take longer to compile.

    On a CPU's factorisations that is the quickest: a problem stays in the cache, and none waits for the steps of
    another. An accelerator takes a batch as it is.
    """
    alone = full_precision(alone)
    if jax.default_backend() != "cpu":
        return alone

    @custom_vmap
    def one(problem: P) -> S:
        return alone(problem)

    @one.def_vmap
    @full_precision
    def _(size: int, in_batched: list, problems: P) -> tuple[S, Any]:
        leaves, tree = jax.tree.flatten(problems)
        each = jax.tree.leaves(in_batched[0])

        def solve(own: list[Array]) -> S:
            own = own[::-1]
            problem = tree.unflatten([own.pop() if b else x for x, b in zip(leaves, each, strict=True)])
            return in_turn(in_batch or alone)(problem)

        return _all_batched(jax.lax.map(solve, [x for x, b in zip(leaves, each, strict=True) if b]))

    return one


def in_chunks(solve: Callable[[P], S], problems: P, empty: S, size: int) -> S:
    """`solve` for all problems, `size` of them at a time; the last chunk overlaps the one before it.

    `empty` has the shapes and dtypes of the whole answer.
    """
    return in_chunks_with(lambda part, kept: (solve(part), kept), lambda size: None, problems, empty, size)


def in_chunks_with(
    solve: Callable[[P, K], tuple[S, K]], memory: Callable[[int], K], problems: P, empty: S, size: int
) -> S:
    """`in_chunks` for a `solve` that takes, leaves and returns arrays to work in, `memory(size)` at first."""
    m = jax.tree.leaves(problems)[0].shape[0]
    size = -(-m // -(-m // _at_once(size)))

    def place(i: Array, state: tuple[S, K]) -> tuple[S, K]:
        out, kept = state
        start = jnp.minimum(i * size, m - size)
        part, kept = solve(jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, size), problems), kept)
        out = jax.tree.map(
            lambda whole, piece: jax.lax.dynamic_update_slice_in_dim(whole, piece, start, axis=0), out, part
        )
        return out, kept

    return jax.lax.fori_loop(0, -(-m // size), place, (empty, memory(size)))[0]


def finish(solve: Callable[[P], S], problems: P, out: S, todo: Bool[Array, " m"], size: int) -> S:
    """`out`, the problems that are `todo` gathered, solved in chunks and put back."""
    m = todo.size
    size = min(m, _at_once(size))
    room = size * -(-m // (WORD * size))

    def again(state: tuple[S, Array]) -> tuple[S, Array]:
        out, todo = state
        index, count = _where(todo, room)

        def place(i: Array, new: S) -> S:
            some = jax.lax.dynamic_slice_in_dim(index, i * size, size)
            part = solve(jax.tree.map(lambda x: jnp.take(x, some, axis=0, mode="clip"), problems))
            return jax.tree.map(lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y, i * size, axis=0), new, part)

        empty = jax.tree.map(lambda x: jnp.zeros((room, *x.shape[1:]), x.dtype), out)
        new = jax.lax.fori_loop(0, -(-jnp.minimum(count, room) // size), place, empty)
        out = jax.tree.map(lambda x, y: x.at[index].set(y, mode="drop"), out, new)
        return out, todo.at[index].set(False, mode="drop")

    return jax.lax.while_loop(lambda s: jnp.any(s[1]), again, (out, todo))[0]


def finish_each(solve: Callable[[P], S], problems: P, out: S, todo: Bool[Array, " m"]) -> S:
    """`out`, with the problems that are `todo`, a few, solved one by one."""

    def again(state: tuple[S, Array]) -> tuple[S, Array]:
        out, todo = state
        i = jnp.argmax(todo)
        part = solve(jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), problems))
        out = jax.tree.map(lambda x, y: jax.lax.dynamic_update_index_in_dim(x, y, i, axis=0), out, part)
        return out, todo & (jnp.arange(todo.size) != i)

    return jax.lax.while_loop(lambda s: jnp.any(s[1]), again, (out, todo))[0]


def _at_once(size: int) -> int:
    return size if jax.default_backend() == "cpu" else ACCELERATED * size


def _where(todo: Bool[Array, " m"], room: int) -> tuple[Array, Array]:
    """The first `room` places where `todo` holds, filled up with `m`, and in how many it holds.

    A place is a bit of one of `m / WORD` words; only these are summed up, where `jnp.nonzero` sums over all places.
    """
    m = todo.size
    bits = jnp.pad(todo, (0, -m % WORD)).reshape(-1, WORD).astype(jnp.uint32)
    words = jnp.sum(bits << jnp.arange(WORD, dtype=jnp.uint32)[None, :], axis=1, dtype=jnp.uint32)
    counts = jax.lax.population_count(words).astype(jnp.int32)
    upto = jnp.cumsum(counts, dtype=jnp.int32)
    rank = jnp.arange(room, dtype=jnp.int32)
    column = jnp.minimum(jnp.searchsorted(upto, rank, side="right"), words.size - 1).astype(jnp.int32)
    word, rank_inside, row = words[column], rank - (upto - counts)[column], jnp.zeros(room, jnp.int32)
    for half in (16, 8, 4, 2, 1):
        below = jax.lax.population_count(word & jnp.uint32((1 << half) - 1)).astype(jnp.int32)
        above = rank_inside >= below
        row = row + jnp.where(above, half, 0)
        rank_inside = rank_inside - jnp.where(above, below, 0)
        word = jnp.where(above, word >> half, word)
    return jnp.where(rank < upto[-1], column * WORD + row, m), upto[-1]


def spread(size: int, in_batched: P, problems: P) -> P:
    return jax.tree.map(lambda x, b: x if b else jnp.broadcast_to(x[None], (size, *x.shape)), problems, in_batched)


def _all_batched(out: S) -> tuple[S, Any]:
    return out, jax.tree.map(lambda _: True, out)
