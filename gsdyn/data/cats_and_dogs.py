"""Folders of cats and dogs, as Kaggle has them."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from gsdyn._progress import Progress, silent
from gsdyn.data._decoded import Cache, folder_of
from gsdyn.data._photographs import photographs
from gsdyn.data.images import Images, assembled, chosen

CLASSES = ("cat", "dog")
SUFFIXES = {".jpg", ".jpeg", ".png"}
BELOW = ("train", "PetImages", "train/train")


def cats_and_dogs(
    folder: Any,
    *,
    leave_out: Collection[str] = (),
    at_most: int | None = None,
    pixels: int = 64,
    gray: bool = False,
    dtype: DTypeLike = np.float32,
    cache: Cache = None,
    progress: Progress = silent,
) -> Images:
    """Photographs of cats (class 0) and dogs (class 1), all to train on, from the files in a folder of yours.

    - `folder`: has `cat.0.jpg`, `dog.0.jpg`, ... (Kaggle's competition) or folders `Cat` and `Dog` (Microsoft's); also
      in `train` or `PetImages` below. Other files are passed over.
    - `leave_out`: files that are not to be read, such as `Cat/666.jpg` and `Dog/11702.jpg`, which are empty in
      Microsoft's archive. A damaged file is an error that names it.
    - `at_most`: so many of all, evenly spaced among them, cats first; None for all.
    - `pixels`: the side of the images: the middle square of each file is scaled to it. `gray`: without colour.
    - `dtype`: of the images. `cache`: a folder to keep the decoded arrays in; by default gsdyn's, False for none.
    - `progress`: called as `progress(stage, done, total)`.

    Raises `ValueError` in one line for a folder without cats or dogs, and for damaged files.

        >>> left = ("Cat/666.jpg", "Dog/11702.jpg")
        >>> data = gs.data.cats_and_dogs("~/PetImages", leave_out=left, gray=True)  # doctest: +SKIP
        >>> shifted = gs.data.brightness(data.x, 2 * data.label - 1)  # doctest: +SKIP
    """
    folders = folder_of(folder, BELOW)
    root, animals = next(((place, files) for place in folders if all(files := _animals(place))), (folders[0], ([], [])))
    if not all(animals):
        raise ValueError(f"folder must hold cat.0.jpg and dog.0.jpg, or folders Cat and Dog, got {root} without")
    skipped = {str(Path(name)) for name in leave_out}
    unknown = sorted(skipped - {file for files in animals for file in files})
    if unknown:
        raise ValueError(f"leave_out must name files in {root}, got {unknown[0]}")
    files = [[file for file in own if file not in skipped] for own in animals]
    every = [file for own in files for file in own]
    label = np.repeat([0, 1], [len(own) for own in files])
    rows = chosen(np.zeros(len(every), int), None, at_most)
    seen = photographs(
        "cats-and-dogs", root, [every[i] for i in rows], pixels=pixels, gray=gray, cache=cache, progress=progress
    )
    return assembled(seen, label[rows], np.zeros(len(rows), int), CLASSES, dtype=dtype)


def _animals(root: Path) -> tuple[list[str], list[str]]:
    """The files of cats and of dogs, in the order of their numbers."""
    inside: dict[str, list[str]] = {kind: [] for kind in CLASSES}
    for entry in root.iterdir():
        kind = entry.name.lower().removesuffix("s").partition(".")[0]
        if kind not in inside:
            continue
        if entry.is_dir():
            inside[kind] += [f"{entry.name}/{file.name}" for file in entry.iterdir() if _is_image(file)]
        elif _is_image(entry):
            inside[kind].append(entry.name)
    cats, dogs = (sorted(inside[kind], key=_in_order) for kind in CLASSES)
    return cats, dogs


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _in_order(name: str) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", name)], name
