"""Functions that treat a whole batch at once, in chunks that fit the cache, under any nesting of `vmap`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array

P = TypeVar("P")
S = TypeVar("S")


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
    """`solve` for the first `count` problems, `size` at a time on a CPU; the last chunk overlaps the one before it.

    `empty` has the shapes and dtypes of the whole answer, and holds what is not solved.
    """
    m = jax.tree.leaves(problems)[0].shape[0]
    size = min(size, m) if jax.default_backend() == "cpu" else m

    def place(i: Array, out: S) -> S:
        start = jnp.minimum(i * size, m - size)
        part = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, size), problems)
        return jax.tree.map(
            lambda whole, piece: jax.lax.dynamic_update_slice_in_dim(whole, piece, start, axis=0), out, solve(part)
        )

    return jax.lax.fori_loop(0, -(-jnp.minimum(count, m) // size), place, empty)


def _spread(size: int, in_batched: P, problems: P) -> P:
    return jax.tree.map(lambda x, b: x if b else jnp.broadcast_to(x[None], (size, *x.shape)), problems, in_batched)


def _all_batched(out: S) -> tuple[S, Any]:
    return out, jax.tree.map(lambda _: True, out)
