"""Arrays in NumPy's files; every error is one line that begins with the file's name."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in an npz file, by name. Raises `ValueError` in one line for what cannot be read."""
    content = _load(path)
    if isinstance(content, np.ndarray):
        raise ValueError(f"{path} must hold arrays by name, got a single array")
    with content:
        try:
            return {name: content[name] for name in content.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} must be whole and without Python objects, got: {_first_line(error)}") from None


def read_rows(path: Path, what: str) -> Float[np.ndarray, "n ..."]:
    """The finite array of a npy file, one example a row; `what` says what it should be."""
    content = _load(path)
    if not isinstance(content, np.ndarray):
        content.close()
        raise ValueError(f"{path} must hold one array, {what}, got an archive of several: save it by numpy.save")
    return as_rows(content, str(path), what)


def as_rows(array: Any, source: str, what: str) -> Float[np.ndarray, "n ..."]:
    """`array` as floats with one example a row; whole numbers of 8 bits are divided by 255."""
    if array.ndim < 2 or 0 in array.shape or array.dtype.kind not in "fiub":
        raise ValueError(f"{source} must hold {what}, numbers in rows, got shape {array.shape} and dtype {array.dtype}")
    rows = array / 255.0 if array.dtype == np.uint8 else array.astype(float)
    finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
    if not finite.all():
        raise ValueError(f"{source} must hold finite numbers, got others in row {int(np.argmin(finite))}")
    return rows


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"{path} must be a file, got {'a folder' if path.is_dir() else 'nothing there'}")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} must be a file of NumPy without Python objects, got: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
