"""A grid cut into blocks of cells: the unit that is computed, stored and done again."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from gsdyn.sweeps.grids import Dimension

FEWEST, MOST, PARTS = 256, 65_536, 64


def cells_per_block(sizes: Sequence[int]) -> int:
    """How many cells make a block where nobody says: a 64th of all, but 256 to 65,536."""
    return min(MOST, max(FEWEST, math.prod(sizes) // PARTS))


def block_shape(sizes: Sequence[int], cells: int) -> tuple[int, ...]:
    """The shape of blocks of at most `cells` cells: long along the last dimensions, cut evenly."""
    shape = []
    for size in reversed(sizes):
        parts = -(-size // max(1, min(size, cells)))
        shape.append(-(-size // parts))
        cells //= shape[-1]
    return tuple(reversed(shape))


@dataclasses.dataclass(frozen=True)
class Block:
    """Some cells of a grid: which they are and where their results belong.

    - `index`: of the block, along every dimension. `shape`: of a whole block; the last ones may have fewer cells.
    - `dimensions`: the values of the parameters along this part of every dimension.
    - `todo`: which cells are wanted; None means all.
    """

    index: tuple[int, ...]
    shape: tuple[int, ...]
    dimensions: tuple[Dimension, ...]
    todo: np.ndarray | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many cells it has along every dimension."""
        return tuple(dimension.size for dimension in self.dimensions)

    @property
    def count(self) -> int:
        """How many cells are wanted."""
        return math.prod(self.sizes) if self.todo is None else int(self.todo.sum())

    @property
    def place(self) -> tuple[slice, ...]:
        """Its place in the grid."""
        pairs = zip(self.index, self.shape, self.sizes, strict=True)
        return tuple(slice(i * step, i * step + size) for i, step, size in pairs)

    def parameters(self) -> dict[str, np.ndarray]:
        """Every parameter in every wanted cell, the last cell again and again to fill a whole block."""
        full = math.prod(self.shape)
        cells = {}
        for axis, dimension in enumerate(self.dimensions):
            outer = (1,) * axis, (1,) * (len(self.sizes) - axis - 1)
            for name, values in dimension.parameters.items():
                spread = values.reshape(*outer[0], -1, *outer[1], *values.shape[1:])
                spread = np.broadcast_to(spread, (*self.sizes, *values.shape[1:]))
                wanted = spread.reshape(-1, *values.shape[1:]) if self.todo is None else spread[self.todo]
                missing = full - len(wanted)
                cells[name] = np.concatenate([wanted, np.repeat(wanted[-1:], missing, 0)]) if missing else wanted
        return cells

    def scatter(self, results: np.ndarray, into: np.ndarray) -> None:
        """Put the wanted cells' results, one after the other, into an array of this block's cells."""
        if self.todo is None:
            into[...] = results[: self.count].reshape(into.shape)
        else:
            into[self.todo] = results[: self.count]


def blocks(dimensions: Sequence[Dimension], shape: tuple[int, ...], done: np.ndarray | None = None) -> Iterator[Block]:
    """The blocks of a grid with cells to compute, those that `done` marks left out."""
    parts = [-(-dimension.size // step) for dimension, step in zip(dimensions, shape, strict=True)]
    cut = functools.cache(lambda axis, i: _cut(dimensions[axis], i * shape[axis], shape[axis]))
    for index in itertools.product(*(range(count) for count in parts)):
        block = Block(index, shape, tuple(cut(axis, i) for axis, i in enumerate(index)))
        if done is not None:
            todo = ~done[block.place]
            if not todo.any():
                continue
            block = block if todo.all() else dataclasses.replace(block, todo=todo)
        yield block


def _cut(dimension: Dimension, start: int, size: int) -> Dimension:
    return Dimension(dimension.name, {n: v[start : start + size] for n, v in dimension.parameters.items()})
