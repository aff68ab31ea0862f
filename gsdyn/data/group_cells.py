"""Digits in two colours, as many of each label and colour as asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Int

from gsdyn import _checks
from gsdyn.data.colour_digits import Coloured, in_colour

Cell = tuple[int, int]
CELEBA: dict[Cell, int] = {(-1, -1): 71_629, (-1, 1): 66_874, (1, -1): 22_880, (1, 1): 1_387}
"""CelebA's 162,770 training images: (dark or blond, woman or man). Blond men are 0.85%."""


def group_cells(images: ArrayLike, y: ArrayLike, counts: Mapping[Cell, int], *, seed: int = 0) -> Coloured:
    """Gray images in one of two colours, so many of each label and colour.

    - `images`: shape (n, d), finite. `y`: their labels, -1 and +1, shape (n,).
    - `counts`: how many images of each cell, `{(label, colour): count}`, both -1 or +1: a cell not named has none. No
      image is used twice. `gs.data.cell_counts(n, gs.data.CELEBA)` has CelebA's proportions.
    - `seed`: an integer in [0, 2^32).

    Returns images in random order, without label noise, all of environment 0. Raises `ValueError` for counts that are
    none, and for more images of a label than there are.

        >>> images, labels, _ = gs.data.digits()
        >>> cells = gs.data.group_cells(images, labels, gs.data.cell_counts(1000, gs.data.CELEBA))
        >>> print(cells.x.shape, int(((cells.y > 0) & (cells.colour > 0)).sum()))
        (1000, 128) 8
    """
    images, y = _checks.finite("images", images, ndim=2), _checks.labels("y", y)
    _checks.same_length("y", y, "images", images)
    seed = _checks.integer("seed", seed, 0, 2**32 - 1)
    wanted = _wanted(counts)
    rng = np.random.default_rng(seed)
    rows, colours = [], []
    for label in (-1, 1):
        own = rng.permutation(np.flatnonzero(np.asarray(y) == label))
        need = {colour: wanted.get((label, colour), 0) for colour in (-1, 1)}
        if sum(need.values()) > len(own):
            raise ValueError(
                f"counts must be at most the {len(own)} images of label {label:+d}, got {sum(need.values())}"
            )
        rows.append(own[: sum(need.values())])
        colours.append(np.repeat(list(need), list(need.values())))
    order = rng.permutation(sum(len(part) for part in rows))
    row, colour = np.concatenate(rows)[order], np.concatenate(colours)[order]
    label = y[row].astype(images.dtype)
    column = jnp.asarray(colour, images.dtype)
    return Coloured(in_colour(images[row], column), label, column, label, jnp.zeros_like(label))


def cell_rows(
    y: ArrayLike, attribute: ArrayLike, counts: Mapping[Cell, int], *, seed: int = 0
) -> Int[np.ndarray, " m"]:
    """Rows of a data set that has an attribute already, so many of each (label, attribute) cell, in random order.

    - `y`, `attribute`: whole numbers, shape (n,). `counts`: `{(label, attribute): count}`; no row is drawn twice.
    - `seed`: an integer in [0, 2^32).

    Raises `ValueError` for counts that are none, and for more rows of a cell than there are.

        >>> rows = gs.data.cell_rows(y, [0, 0, 1, 1], {(1, 0): 1, (1, 1): 1})
        >>> print(sorted(rows.tolist()))
        [0, 2]
    """
    label, value = (np.asarray(_checks.finite(*given, ndim=1)) for given in (("y", y), ("attribute", attribute)))
    if label.shape != value.shape:
        raise ValueError(f"attribute must have as many rows as y {label.shape}, got shape {value.shape}")
    rng = np.random.default_rng(_checks.integer("seed", seed, 0, 2**32 - 1))
    rows = []
    for cell, count in _wanted(counts, any_value=True).items():
        own = rng.permutation(np.flatnonzero((label == cell[0]) & (value == cell[1])))
        if count > len(own):
            raise ValueError(f"counts must be at most the {len(own)} rows of the cell {cell}, got {count}")
        rows.append(own[:count])
    return rng.permutation(np.concatenate(rows))


def cell_counts(n: int, shares: Mapping[Cell, float]) -> dict[Cell, int]:
    """Counts that sum to n in the proportions of `shares`, by largest remainders; every share > 0 has at least 1.

    - `n`: at least the number of cells. `shares`: `{(label, attribute): share}`, finite and > 0, of any sum.

    Raises `ValueError` outside these ranges.

        >>> print(gs.data.cell_counts(2000, gs.data.CELEBA))
        {(-1, -1): 880, (-1, 1): 822, (1, -1): 281, (1, 1): 17}
    """
    weights = np.asarray(_checks.positive("shares", np.asarray(list(dict(shares).values())), ndim=1))
    n = _checks.integer("n", n, max(1, len(weights)))
    if not len(weights):
        raise ValueError("shares must name at least one cell, got none")
    exact = n * weights / weights.sum()
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    for empty in np.flatnonzero(counts == 0):
        counts[np.argmax(counts)] -= 1
        counts[empty] = 1
    return dict(zip(shares, counts.tolist(), strict=True))


def _wanted(counts: Any, any_value: bool = False) -> dict[Cell, int]:
    """The counts, checked."""
    cells = dict(counts) if isinstance(counts, Mapping) else {}
    for cell in cells:
        if not isinstance(cell, tuple) or len(cell) != 2 or not (any_value or set(cell) <= {-1, 1}):
            values = "whole numbers" if any_value else "-1 or +1"
            raise ValueError(f"counts must have cells (label, attribute) of {values}, got {_checks.in_short(cell)}")
    found = {cell: _checks.integer(f"counts[{cell}]", count, 0) for cell, count in cells.items()}
    if not sum(found.values()):
        raise ValueError(f"counts must name at least one image, got {_checks.in_short(counts)}")
    return found
