"""Work on a large matrix in tiles of one shape, placed in one result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the tiles done in it and the tiles it has."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def even(n: int, tile: int) -> int:
    """The size of equal tiles, at most `tile`, that cover `n` rows."""
    return -(-n // -(-n // tile))


def starts(n: int, tile: int) -> range:
    """Where tiles of that size start. The last may pass the end: slices are moved back to end with the rows."""
    return range(0, n, tile)


def grid(n1: int, n2: int, tile: tuple[int, int], symmetric: bool) -> Iterator[tuple[int, int]]:
    """The tiles of a matrix; of a symmetric one those on the diagonal and above it."""
    for i in starts(n1, tile[0]):
        for j in starts(n2, tile[1]):
            if not symmetric or j >= i:
                yield i, j


@functools.partial(jax.jit, donate_argnums=0)
def place_rows(result: Array, block: Array, i: Int[ArrayLike, ""]) -> Array:
    """Write rows into the result, in its own memory."""
    return jax.lax.dynamic_update_slice_in_dim(result, block, i, 0)


@functools.partial(jax.jit, static_argnums=4, donate_argnums=0)
def place(result: Array, block: Array, i: Int[ArrayLike, ""], j: Int[ArrayLike, ""], symmetric: bool) -> Array:
    """Write a tile into the result, in its own memory; into a symmetric one its mirror image too.

    A tile on the diagonal is made symmetric first, here and not where it is computed: XLA would fuse the two and
    round the two sides differently.
    """
    rest = (0,) * (result.ndim - 2)
    if symmetric and block.shape[0] == block.shape[1]:
        block = jnp.where(jnp.equal(i, j), (block + mirrored(block)) / 2, block)
    result = jax.lax.dynamic_update_slice(result, block, (i, j, *rest))
    return jax.lax.dynamic_update_slice(result, mirrored(block), (j, i, *rest)) if symmetric else result


def mirrored(block: Array) -> Array:
    """A tile (n1, n2) or (n1, n2, C, C) seen from the other side of the diagonal."""
    block = block.swapaxes(0, 1)
    return block if block.ndim == 2 else block.swapaxes(2, 3)
