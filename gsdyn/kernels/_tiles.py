"""A large kernel in tiles of one shape: spread over all devices, placed in one result, kept on disk where asked."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Int

from gsdyn.kernels import _memory
from gsdyn.kernels._tile_store import TileStore

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the tiles done in it and the tiles it has."""

AHEAD = 2  # tiles asked of each device before the first is waited for


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def even(n: int, tile: int) -> int:
    """The size of equal tiles, at most `tile`, that cover `n` rows."""
    return -(-n // -(-n // tile))


def padded(x: Array, tile: int) -> Array:
    """`x` with its last example repeated until its tiles are full."""
    widths = ((0, -x.shape[0] % tile), *((0, 0),) * (x.ndim - 1))
    return jnp.pad(x, widths, mode="edge")


@dataclasses.dataclass(frozen=True)
class Grid:
    """The tiles of an (n1, n2) kernel whose entries have the shape `pair`; of a symmetric one half of them."""

    n1: int
    n2: int
    height: int
    width: int
    symmetric: bool
    pair: tuple[int, ...]
    dtype: Any

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Where they start."""
        rows, columns = range(0, self.n1, self.height), range(0, self.n2, self.width)
        return [(i, j) for i in rows for j in columns if j >= i or not self.symmetric]

    def shape(self, i: int, j: int) -> tuple[int, int]:
        """The part of the tile at (i, j) that lies inside the kernel."""
        return min(self.height, self.n1 - i), min(self.width, self.n2 - j)

    def require_memory(self, what: str, scratch: int) -> None:
        """Raise where the result and `scratch` bytes on each device do not fit."""
        entry = math.prod(self.pair) * jnp.dtype(self.dtype).itemsize
        tiles = len(jax.local_devices()) * (AHEAD + 1) * self.height * self.width
        needed = (self.n1 * self.n2 + tiles) * entry + scratch
        _memory.require(needed, f"{what} of {self.n1} x {self.n2} examples in {jnp.dtype(self.dtype)}")


def assemble(
    grid: Grid,
    inputs: Any,
    block: Callable[[Any, int, int], tuple[Array, Bool[Array, ""]]],
    *,
    store: TileStore | None,
    progress: Progress,
    stage: str,
) -> Array:
    """The kernel. `block` computes, from `inputs` on some device, the tile at (i, j) and whether it is finite."""
    devices = jax.local_devices()[: len(grid.tiles)]
    copies = [_on(device, inputs) if len(devices) > 1 else inputs for device in devices]
    result = jnp.zeros((grid.n1, grid.n2, *grid.pair), grid.dtype)
    pending = collections.deque()
    done, total, turn = 0, len(grid.tiles), 0

    def settle(i: int, j: int, tile: Array, good: Bool[Array, ""] | None) -> None:
        nonlocal result, done
        if good is not None:
            if not bool(good):
                raise ValueError(f"{stage} must be finite, got infinite or undefined entries: scale inputs or weights")
            tile = _symmetrised(tile) if grid.symmetric and i == j else tile
            if len(devices) > 1:
                tile = jax.device_put(tile, devices[0])
            if store is not None:
                store.write(i, j, tile)
        result = _place(result, tile, i, j, grid.shape(i, j), grid.symmetric and i != j)
        done += 1
        progress(stage, done, total)

    for i, j in grid.tiles:
        kept = None if store is None else store.read(i, j)
        if kept is not None:
            settle(i, j, jnp.asarray(kept), None)
            continue
        pending.append((i, j, *block(copies[turn % len(devices)], i, j)))
        turn += 1
        if len(pending) >= AHEAD * len(devices):
            settle(*pending.popleft())
    while pending:
        settle(*pending.popleft())
    return result


def _on(device: Any, inputs: Any) -> Any:
    arrays, rest = eqx.partition(inputs, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, device), rest)


@functools.partial(jax.jit, static_argnums=(4, 5), donate_argnums=0)
def _place(
    result: Array, tile: Array, i: Int[ArrayLike, ""], j: Int[ArrayLike, ""], shape: tuple[int, int], mirror: bool
) -> Array:
    """Write a tile into the result, in its own memory, and where asked its mirror image too."""
    rest = (0,) * (result.ndim - 2)
    tile = tile[: shape[0], : shape[1]]
    result = jax.lax.dynamic_update_slice(result, tile, (i, j, *rest))
    return jax.lax.dynamic_update_slice(result, mirrored(tile), (j, i, *rest)) if mirror else result


@functools.partial(jax.jit, donate_argnums=0)
def place_rows(result: Array, rows: Array, i: Int[ArrayLike, ""]) -> Array:
    """Write rows into the result, in its own memory; rows that pass its end move back."""
    return jax.lax.dynamic_update_slice_in_dim(result, rows, i, 0)


@jax.jit
def _symmetrised(tile: Array) -> Array:
    # Not where the tile is computed: XLA would fuse the two and round both sides differently.
    return (tile + mirrored(tile)) / 2


def mirrored(tile: Array) -> Array:
    """A tile (n1, n2) or (n1, n2, C, C) seen from the other side of the diagonal."""
    tile = tile.swapaxes(0, 1)
    return tile if tile.ndim == 2 else tile.swapaxes(2, 3)
