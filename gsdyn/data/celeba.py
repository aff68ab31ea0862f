"""CelebA: 202,599 aligned faces with forty attributes each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data._decoded import Cache, content, folder_of, found
from gsdyn.data._photographs import photographs
from gsdyn.data.images import SPLITS, Images, assembled, chosen

FACES = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba")


def celeba(
    folder: Any,
    split: str | None = None,
    *,
    label: str = "Blond_Hair",
    at_most: int | None = None,
    pixels: int = 64,
    gray: bool = False,
    dtype: DTypeLike = np.float32,
    cache: Cache = None,
    progress: Progress = silent,
) -> Images:
    """CelebA's aligned faces, their attributes and the official split, from the files in a folder of yours.

    - `folder`: has `img_align_celeba/`, `list_attr_celeba.txt` and `list_eval_partition.txt` (or `.csv`; also in `Anno`
      and `Eval`). Only images that are asked for need be there.
    - `split`: "train" (162,770 images), "validation" (19,867), "test" (19,962), or None for all, one after the other.
    - `label`: the attribute that is the class, 1 where a face has it. All are in `attributes`, 0 or 1.
    - `at_most`: so many of each split, evenly spaced among them; None for all.
    - `pixels`: the side of the images: the middle square of each file is scaled to it. `gray`: without colour.
    - `dtype`: of the images. `cache`: a folder to keep the decoded arrays in; by default gsdyn's, False for none.
    - `progress`: called as `progress(stage, done, total)`.

    Raises `ValueError` in one line for files that are missing, damaged or contradict each other.

    Reference: Liu, Luo, Wang, Tang, Deep learning face attributes in the wild (2015).

        >>> data = gs.data.celeba("~/celeba", "train", at_most=20000)  # doctest: +SKIP
        >>> blond, man = 2 * data.label - 1, data.attribute("Male")  # doctest: +SKIP
    """
    folders = folder_of(folder, ("Anno", "Eval"))
    names, table = _attributes(found(folders, ("list_attr_celeba.txt", "list_attr_celeba.csv")))
    _checks.one_of("label", label, names)
    where = found(folders, ("list_eval_partition.txt", "list_eval_partition.csv"))
    splits = {cells[0]: cells[1:] for cells in _rows(where) if cells[0] != "image_id"}
    files = list(table)
    number = np.array([_partition(where, file, splits.get(file)) for file in files])
    rows = chosen(number, split, at_most)
    columns = np.array([table[files[i]] for i in rows], int).reshape(len(rows), len(names))
    places = [folders[0] / name for name in FACES if (folders[0] / name).is_dir()]
    if not places:
        raise ValueError(f"folder must hold img_align_celeba, got {folders[0]} without")
    images = photographs(
        "celeba", places[0], [files[i] for i in rows], pixels=pixels, gray=gray, cache=cache, progress=progress
    )
    own = columns[:, names.index(label)]
    return assembled(images, own, number[rows], (f"not {label}", label), attributes=columns, names=names, dtype=dtype)


def _rows(path: Path) -> list[list[str]]:
    """The lines of a table as lists of words; commas count as spaces."""
    text = content(path).decode("utf-8", "replace")
    return [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]


def _attributes(path: Path) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """The names of the attributes, and every file's, 0 or 1."""
    rows = _rows(path)
    counted = len(rows) > 1 and len(rows[0]) == 1
    if counted:
        (count,), *rows = rows
    names = tuple(name for name in rows[0] if name != "image_id") if rows else ()
    if counted and count != str(len(rows) - 1):
        raise ValueError(f"folder must hold whole tables, got {len(rows) - 1} rows instead of {count} in {path}")
    table = {}
    for file, *values in rows[1:]:
        if len(values) != len(names) or not set(values) <= {"-1", "0", "1"}:
            raise ValueError(f"folder must hold tables of {len(names)} times -1 or 1 a row, got {file} in {path}")
        table[file] = [int(value == "1") for value in values]
    if len(table) != len(rows) - 1 or not table:
        raise ValueError(f"folder must hold tables with each image once, got {len(table)} images in {path}")
    return names, table


def _partition(path: Path, file: str, cells: list[str] | None) -> int:
    if cells is None or len(cells) != 1 or cells[0] not in ("0", "1", "2"):
        given = "nothing" if cells is None else _checks.in_short(" ".join(cells))
        raise ValueError(
            f"folder must hold a split 0 to {len(SPLITS) - 1} for each image, got {given} for {file} in {path}"
        )
    return int(cells[0])
