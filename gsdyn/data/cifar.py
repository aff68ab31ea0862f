"""CIFAR-10 and CIFAR-100 from their files, Python's pickles or binary batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.typing import DTypeLike

from gsdyn import _checks
from gsdyn.data._decoded import Cache, content, decoded, folder_of
from gsdyn.data._pickles import read_pickle
from gsdyn.data.images import Images, assembled

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
BYTES = 3 * SIDE * SIDE


class _Version(NamedTuple):
    """One of the data sets: its files by split, its columns of labels (pickle's name, classes), the last the class."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    columns: tuple[tuple[bytes, int], ...]
    below: tuple[str, ...]


_TEN = _Version(
    "cifar10",
    tuple(f"data_batch_{i}" for i in range(1, 6)),
    ("test_batch",),
    ((b"labels", 10),),
    ("cifar-10-batches-py", "cifar-10-batches-bin"),
)
_HUNDRED = _Version(
    "cifar100",
    ("train",),
    ("test",),
    ((b"coarse_labels", 20), (b"fine_labels", 100)),
    ("cifar-100-python", "cifar-100-binary"),
)


def cifar10(folder: Any, split: str | None = None, *, dtype: DTypeLike = float, cache: Cache = None) -> Images:
    """CIFAR-10's photographs of ten classes, 32 x 32 pixels in colour, from the files in a folder of yours.

    - `folder`: has `data_batch_1` to `data_batch_5` and `test_batch`, the pickles of Python's version, or the same
      names with `.bin`, the binary version; also in `cifar-10-batches-py` or `cifar-10-batches-bin` below.
    - `split`: "train" (50,000 images), "test" (10,000), or None for both, one after the other.
    - `dtype`: of the images. `cache`: a folder to keep the decoded arrays in; by default gsdyn's, False for none.

    Pickles are read without running what they may contain. Raises `ValueError` in one line for files that are missing
    or damaged.

    Reference: Krizhevsky, Learning multiple layers of features from tiny images (2009).

        >>> data = gs.data.cifar10("~/cifar")  # doctest: +SKIP
        >>> pair = data.take((data.label == 0) | (data.label == 7))  # doctest: +SKIP
    """
    return _load(_TEN, folder, split, TEN, dtype, cache)


def cifar100(folder: Any, split: str | None = None, *, dtype: DTypeLike = float, cache: Cache = None) -> Images:
    """CIFAR-100's photographs of a hundred classes, whose twenty kinds are the attribute "coarse".

    - `folder`: has `train` and `test`, pickles, or `train.bin` and `test.bin`; also in `cifar-100-python` or
      `cifar-100-binary` below.
    - `split`, `dtype`, `cache`: as in `cifar10`. Classes are called by their numbers.

    Raises `ValueError` in one line for files that are missing or damaged.

        >>> coarse = gs.data.cifar100("~/cifar", "train").attribute("coarse")  # doctest: +SKIP
    """
    return _load(_HUNDRED, folder, split, tuple(map(str, range(100))), dtype, cache)


def _load(
    version: _Version, folder: Any, split: str | None, classes: tuple[str, ...], dtype: DTypeLike, cache: Cache
) -> Images:
    splits = ("train", "test")
    wanted = splits if split is None else (_checks.one_of("split", split, splits),)
    files = {part: _files(version, folder, version.train if part == "train" else version.test) for part in wanted}
    every = [file for part in files.values() for file in part]

    def decode() -> dict[str, np.ndarray]:
        read = [(_binary if file.suffix == ".bin" else _pickled)(version, file) for file in every]
        _same_size(every[: len(files.get("train", ()))], read)
        number = np.repeat([_number(part) for part in files for _ in files[part]], [len(part[0]) for part in read])
        pixels, labels = (np.concatenate(parts) for parts in zip(*read, strict=True))
        return {"pixels": pixels, "labels": labels, "split": number}

    stored = decoded(version.name, every, split, decode, cache)
    pixels = stored["pixels"].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    labels = stored["labels"]
    names = ("coarse",) if labels.shape[1] == 2 else ()
    return assembled(
        pixels, labels[:, -1], stored["split"], classes, attributes=labels[:, :-1], names=names, dtype=dtype
    )


def _number(part: str) -> int:
    return 0 if part == "train" else 2


def _files(version: _Version, folder: Any, names: tuple[str, ...]) -> list[Path]:
    """The files of a split, all of one version."""
    folders = folder_of(folder, version.below)
    best: tuple[Path, list[str]] | None = None
    for place in folders:
        for suffix in ("", ".bin"):
            missing = [name + suffix for name in names if not (place / (name + suffix)).is_file()]
            if not missing:
                return [place / (name + suffix) for name in names]
            if best is None or len(missing) < len(best[1]):
                best = place, missing
    assert best is not None
    place, missing = best
    others = "" if len(missing) < len(names) else f" (or {', '.join(name + '.bin' for name in names)})"
    raise ValueError(f"folder must hold {', '.join(missing)}{others}, got {place} without")


def _same_size(files: list[Path], read: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Batches to train on are all of one size; a shorter one lost its end."""
    sizes = [len(part[0]) for part in read[: len(files)]]
    for file, size in zip(files, sizes, strict=True):
        if size != max(sizes):
            raise ValueError(f"folder must hold batches of one size, got {size} images in {file}, {max(sizes)} beside")


def _binary(version: _Version, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Records of a byte for each label, then 3,072 of the image: red, green, blue, row by row."""
    raw, columns = content(path), len(version.columns)
    record = columns + BYTES
    if not raw or len(raw) % record:
        raise ValueError(f"folder must hold whole batches of {record} bytes an image, got {len(raw)} bytes in {path}")
    rows = np.frombuffer(raw, np.uint8).reshape(-1, record)
    return rows[:, columns:], _labels(version, path, lambda i: rows[:, i], len(rows))


def _pickled(version: _Version, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A dictionary with the images as rows of bytes, and lists of labels."""
    batch = read_pickle(path)
    if isinstance(batch, dict):
        batch = {key.encode() if isinstance(key, str) else key: value for key, value in batch.items()}
    pixels = batch.get(b"data") if isinstance(batch, dict) else None
    if not (isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 2 and len(pixels)):
        raise ValueError(f"folder must hold batches with rows of bytes called data, got {path} without")
    if pixels.shape[1] != BYTES:
        raise ValueError(f"folder must hold batches of {BYTES} bytes an image, got {pixels.shape[1]} in {path}")
    return pixels, _labels(version, path, lambda i: batch.get(version.columns[i][0]), len(pixels))


def _labels(version: _Version, path: Path, column: Callable[[int], Any], count: int) -> np.ndarray:
    """The columns of labels, (count, columns)."""
    found = []
    for i, (name, classes) in enumerate(version.columns):
        try:
            values = np.asarray(column(i))
        except ValueError:
            values = np.zeros(0)
        whole = values.shape == (count,) and values.dtype.kind in "iu"
        if not whole or values.min() < 0 or values.max() >= classes:
            raise ValueError(
                f"folder must hold batches with a number 0 to {classes - 1} for each image called {name.decode()}, "
                f"got {path} without"
            )
        found.append(values.astype(np.int64))
    return np.stack(found, axis=1)
