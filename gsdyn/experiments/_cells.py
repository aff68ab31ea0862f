"""Data with a class and an attribute that goes with it, to train on, to choose by and to test on: coloured digits, or
yours."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from gsdyn import _checks
from gsdyn._files import as_path
from gsdyn._progress import Progress
from gsdyn.data import CELEBA, Coloured, Images, celeba, cell_counts, group_cells, mnist_sample, waterbirds

CELLS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
"""The cells (label, attribute), in the order of their numbers."""
SOURCES = ("digits", "celeba", "waterbirds", "embeddings")
TEST = 1500
"""So many of the 5,000 digits are kept to choose by and to test on."""
VALIDATION = 100
"""So many of those of every cell are to choose by."""


class Part(NamedTuple):
    """Inputs (n, ...), labels and attributes, both -1 or +1."""

    x: np.ndarray
    y: np.ndarray
    attribute: np.ndarray

    @property
    def cell(self) -> np.ndarray:
        """The number of every example's cell."""
        return 2 * (self.y > 0) + (self.attribute > 0)

    def counts(self) -> np.ndarray:
        """How many examples every cell has."""
        return np.bincount(self.cell, minlength=len(CELLS))

    def rows(self, which: np.ndarray) -> Part:
        """Some of them."""
        return Part(*(column[which] for column in self))


class Split(NamedTuple):
    """Examples to train on, and new ones: to choose by, and to test on."""

    train: Part
    validation: Part
    test: Part


def coloured_digits(train: int, seed: int) -> Split:
    """MNIST's digits, below 5 or not: in CelebA's four cells to train on, in equal cells to choose by and to test."""
    source = mnist_sample(14)
    order = np.random.default_rng(seed).permutation(len(source.y))
    pool, kept = order[TEST:], order[:TEST]
    cells = group_cells(source.x[pool], source.y[pool], cell_counts(train, CELEBA), seed=seed)
    each = int(min(np.sum(np.asarray(source.y[kept]) == label) for label in (-1, 1))) // 2
    new = _of_colours(group_cells(source.x[kept], source.y[kept], dict.fromkeys(CELLS, each), seed=seed))
    place = np.zeros(len(new.y), int)  # of every example among those of its cell
    for number in range(len(CELLS)):
        place[new.cell == number] = np.arange(each)
    return Split(_of_colours(cells), new.rows(place < VALIDATION), new.rows(place >= VALIDATION))


def _of_colours(data: Coloured) -> Part:
    return Part(*(np.asarray(column, np.float32) for column in (data.x, data.y, data.colour)))


def from_folder(source: str, folder: Path | None, at_most: int | None, pixels: int, progress: Progress) -> Split:
    """All three parts of the examples in a folder of yours. Raises `ValueError` in one line for what does not fit."""
    if folder is None:
        raise ValueError(f"folder must name where the files of {source} are, got None")
    if source == "embeddings":
        return embeddings(as_path("folder", folder), at_most)
    parts = []
    for split in Split._fields:
        if source == "celeba":
            found = celeba(folder, split, at_most=at_most, pixels=pixels, progress=progress)
            parts.append(_of_images(found, "Male"))
        else:
            found = waterbirds(folder, split, at_most=at_most, pixels=pixels, progress=progress)
            parts.append(_of_images(found, "place"))
    return _whole(Split(*parts))


def _of_images(found: Images, attribute: str) -> Part:
    signs = (2 * np.asarray(column) - 1 for column in (found.label, found.attribute(attribute)))
    return Part(np.asarray(found.x, np.float32), *signs)


def embeddings(folder: Path, at_most: int | None = None) -> Split:
    """What another network makes of images: `embeddings.npy` (n, d), `labels.npy`, `attributes.npy` and `split.npy`
    (n,), the second and third 0 or 1, the last 0 to train, 1 to validate and 2 to test. Of each split the first
    `at_most`."""
    arrays = [_array(folder / f"{name}.npy") for name in ("embeddings", "labels", "attributes", "split")]
    x, *columns = arrays
    if x.ndim != 2 or any(column.shape != x.shape[:1] for column in columns):
        raise ValueError(
            f"folder must hold embeddings (n, d) and columns (n,), got shapes {[a.shape for a in arrays]} in {folder}"
        )
    for name, column, allowed in zip(
        ("labels", "attributes", "split"), columns, ({0, 1}, {0, 1}, {0, 1, 2}), strict=True
    ):
        if not set(np.unique(column).tolist()) <= allowed:
            raise ValueError(f"folder must hold {name}.npy of {sorted(allowed)}, got others in {folder}")
    if not np.isfinite(x).all():
        raise ValueError(f"folder must hold finite embeddings, got others in {folder}")
    rows = [np.flatnonzero(columns[2] == number)[:at_most] for number in range(3)]
    signs = [2 * column.astype(int) - 1 for column in columns[:2]]
    return _whole(Split(*(Part(x[row].astype(np.float32), signs[0][row], signs[1][row]) for row in rows)))


def _array(path: Path) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"folder must hold arrays that NumPy saved, got {path}: {error}") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "buif":
        raise ValueError(f"folder must hold arrays of numbers, got {path}")
    return found


def _whole(split: Split) -> Split:
    """The same, with examples in every cell."""
    for name, part in split._asdict().items():
        empty = [cell for cell, count in zip(CELLS, part.counts(), strict=True) if not count]
        if empty:
            raise ValueError(
                f"folder must hold examples of all four (label, attribute), got none of {empty[0]} in {name}"
            )
    return split


def checked(source: str, at_most: int | None, pixels: int) -> None:
    """Raises `ValueError` for options that cannot be."""
    _checks.one_of("source", source, SOURCES)
    if at_most is not None:
        _checks.integer("at_most", at_most, 1)
    _checks.integer("pixels", pixels, 16)
