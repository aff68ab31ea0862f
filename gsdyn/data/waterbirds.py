"""Waterbirds, and other folders of images with a table beside them, as WILDS has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data._decoded import Cache, content, folder_of, found
from gsdyn.data._photographs import photographs
from gsdyn.data.images import Images, assembled, chosen

CALLED = {"0": 0, "1": 1, "2": 2, "train": 0, "val": 1, "validation": 1, "test": 2}
"""Splits as tables call them."""


def waterbirds(folder: Any, split: str | None = None, **options: Any) -> Images:
    """Waterbirds: birds of the water and of the land, before water or land.

    - `folder`: has `metadata.csv` and the images that it names; also in `waterbirds_v1.0` or
      `waterbird_complete95_forest2water2` below.
    - `split`: "train" (4,795 images, 95% of the birds where they belong), "validation" (1,199), "test" (5,794), or None
      for all.
    - `options`: `at_most`, `pixels`, `gray`, `dtype`, `cache` and `progress` as in `table_images`.

    The label is 1 for water birds, the attribute "place" is 1 for water. Raises `ValueError` in one line for files that
    are missing or damaged.

    Reference: Sagawa, Koh, Hashimoto, Liang, Distributionally robust neural networks for group shifts (2020).

        >>> data = gs.data.waterbirds("~/waterbirds", "train")  # doctest: +SKIP
        >>> bird, water = 2 * data.label - 1, data.attribute("place")  # doctest: +SKIP
    """
    classes = ("landbird", "waterbird")
    return table_images(folder, split, attributes=("place",), classes=classes, name="waterbirds", **options)


def table_images(
    folder: Any,
    split: str | None = None,
    *,
    table: str = "metadata.csv",
    image: str = "img_filename",
    label: str = "y",
    attributes: Sequence[str] = (),
    part: str = "split",
    classes: Sequence[str] | None = None,
    at_most: int | None = None,
    pixels: int = 64,
    gray: bool = False,
    dtype: DTypeLike = np.float32,
    cache: Cache = None,
    progress: Progress = silent,
    name: str = "table",
) -> Images:
    """Images that a table with a header names, with the columns that say their class, attributes and split.

    - `folder`: has the table and, below, the images. `table`: its file.
    - `split`: "train", "validation", "test", or None for all, one after the other.
    - `image`, `label`, `attributes`, `part`: the columns of the files' names relative to the table, of the classes
      0, 1, ..., of attributes (whole numbers), and of splits: 0, 1, 2 or train, val, test.
    - `classes`: their names; by default their numbers.
    - `at_most`: so many of each split, evenly spaced among them; None for all.
    - `pixels`: the side of the images: the middle square of each file is scaled to it. `gray`: without colour.
    - `dtype`: of the images. `cache`: a folder to keep the decoded arrays in; by default gsdyn's, False for none.
    - `progress`: called as `progress(stage, done, total)`. `name`: of the data set, for what is kept.

    Raises `ValueError` in one line for columns and files that are missing, and for damaged ones.

        >>> data = gs.data.table_images("~/birds", label="y", attributes=("place",))  # doctest: +SKIP
    """
    path = found(folder_of(folder, ("waterbirds_v1.0", "waterbird_complete95_forest2water2")), (table,))
    rows = _table(path, (image, label, part, *attributes))
    number = np.array([_split(path, row[part]) for row in rows])
    kept = chosen(number, split, at_most)
    labels = np.array([_whole(path, label, rows[i][label]) for i in kept], int)
    columns = np.array([[_whole(path, a, rows[i][a]) for a in attributes] for i in kept], int)
    count = max((_whole(path, label, row[label]) for row in rows), default=0) + 1
    titles = tuple(map(str, range(count))) if classes is None else tuple(classes)
    if (labels.size and labels.min() < 0) or count > len(titles):
        raise ValueError(f"folder must hold classes 0 to {len(titles) - 1}, got others in {path}")
    files = [rows[i][image] for i in kept]
    seen = photographs(name, path.parent, files, pixels=pixels, gray=gray, cache=cache, progress=progress)
    columns = columns.reshape(len(kept), len(attributes))
    return assembled(seen, labels, number[kept], titles, attributes=columns, names=attributes, dtype=dtype)


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table, which must have these columns in each."""
    reader = csv.DictReader(io.StringIO(content(path).decode("utf-8-sig", "replace")))
    try:
        header, rows = reader.fieldnames or (), list(reader)
    except csv.Error as error:
        raise ValueError(f"folder must hold tables of comma-separated values, got {path}: {error}") from None
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(f"folder must hold a table with columns {', '.join(missing)}, got {path} without")
    for i, row in enumerate(rows):
        if any(not row[name] for name in columns):
            raise ValueError(f"folder must hold whole tables, got row {i + 1} cut short in {path}")
    if not rows:
        raise ValueError(f"folder must hold tables with rows, got none in {path}")
    return rows


def _split(path: Path, given: str) -> int:
    if given not in CALLED:
        raise ValueError(f"folder must hold splits {', '.join(CALLED)}, got {_checks.in_short(given)} in {path}")
    return CALLED[given]


def _whole(path: Path, column: str, given: str) -> int:
    try:
        return int(given)
    except ValueError:
        raise ValueError(
            f"folder must hold whole numbers in column {column}, got {_checks.in_short(given)} in {path}"
        ) from None
