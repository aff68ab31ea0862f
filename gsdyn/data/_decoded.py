"""Decoded files kept as arrays, whole or not at all, so that the next process need not decode them again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gsdyn import _files, cache

FORM = 1  # of what is kept; another number for another meaning of the arrays
Cache = str | os.PathLike[str] | Literal[False] | None
Arrays = Mapping[str, np.ndarray]


def folder_given(folder: Any) -> Path:
    """The folder that a user names, which must be there."""
    path = _files.as_path("folder", folder)
    if not path.is_dir():
        raise ValueError(f"folder must be a folder, got {path}, which is {'a file' if path.exists() else 'not there'}")
    return path


def folder_of(folder: Any, below: Sequence[str]) -> list[Path]:
    """The folder that a user names and those of the given names in it, where files may lie."""
    path = folder_given(folder)
    return [path, *(path / name for name in below if (path / name).is_dir())]


def found(folders: Sequence[Path], names: Sequence[str]) -> Path:
    """The file of one of the names in the first of the folders that has one."""
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise ValueError(f"folder must hold {' or '.join(names)}, got {folders[0]} without")


def content(path: Path) -> bytes:
    """What is in a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"folder must hold files to read, got {path}: {error.strerror}") from None


def decoded(name: str, files: Sequence[Path], options: Any, decode: Callable[[], Arrays], keep: Cache) -> Arrays:
    """What `decode` makes of the files, from the cache where an earlier call left it.

    - `name`: of the data set. `files`: what is decoded: other sizes or times of change make another entry.
    - `options`: what else decides the result, of JSON's types.
    - `keep`: the folder to keep it in; None for `data` in the folder where `gs.enable_cache()` keeps programs; False,
      or None where GSDYN_CACHE is off, keeps nothing.
    """
    folder = _folder(keep)
    if folder is None:
        return decode()
    stamps = [[str(file.absolute()), *_stamp(file)] for file in files]
    key = hashlib.sha256(json.dumps([FORM, name, options, stamps]).encode()).hexdigest()[:32]
    path = folder / f"{name}-{key}.npz"
    kept = _files.read_arrays(path)
    if kept is not None:
        return kept
    try:
        _files.make_folder(folder)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise ValueError(f"cache must be a folder to write to, got {folder}: {error.strerror}") from None
    arrays = decode()
    _files.write_arrays(path, arrays)
    return arrays


def _folder(keep: Cache) -> Path | None:
    if keep is False:
        return None
    if keep is not None:
        return _files.as_path("cache", keep)
    if os.environ.get(cache.VARIABLE, "").lower() == "off":
        return None
    return cache.folder_of(None)[1] / "data"


def _stamp(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns
