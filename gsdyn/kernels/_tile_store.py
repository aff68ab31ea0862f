"""Finished tiles of a kernel on disk, each whole or not there, in a Zarr store that any reader of Zarr opens."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import ArrayLike

from gsdyn import _files, _provenance

# Keys of what made a store that must agree before its tiles are taken for one's own.
_BINDING = ("kind", "network", "inputs", "probe", "shape", "dtype", "tile")


class TileStore:
    """One tile a chunk, uncompressed Zarr of format 2, whose chunks are plain bytes.

    A chunk gets its name only when it is complete and on disk, so that a tile that is there was finished, whatever
    happened since. Of a symmetric kernel the mirror image of a tile comes first.

    - `path`: the store, new or one that the same call has begun.
    - `made`: what makes the kernel. Raises `ValueError` where it differs from what is at `path`.
    """

    def __init__(
        self, path: str | Path, made: Mapping[str, Any], shape: tuple[int, ...], chunk: tuple[int, ...], symmetric: bool
    ) -> None:
        path = _files.as_path("out", path)
        self._array = path / "theta"
        self._shape, self._chunk, self._symmetric = shape, chunk, symmetric
        made = {**made, "shape": list(shape), "tile": list(chunk[:2]), "symmetric": symmetric}
        self._dtype = np.dtype(made["dtype"])
        if path.exists():
            _require_same(path, made)
        try:
            _files.make_folder(self._array)
        except OSError as error:
            raise ValueError(f"out must be a folder to write to, got {path}: {error.strerror}") from None
        dimensions = ["example", "other_example", "output", "other_output"][: len(shape)]
        header = {
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": list(chunk),
            "dtype": self._dtype.str,
            "compressor": None,
            "fill_value": None,
            "order": "C",
            "filters": None,
        }
        _files.write(self._array / ".zarray", json.dumps(header).encode())
        _files.write(self._array / ".zattrs", json.dumps({"_ARRAY_DIMENSIONS": dimensions}).encode())
        _files.write(path / ".zgroup", json.dumps({"zarr_format": 2}).encode())
        _files.write(path / ".zattrs", json.dumps(made, indent=1).encode())

    def read(self, i: int, j: int) -> np.ndarray | None:
        """The tile that starts at (i, j), or None if it is not finished."""
        path = self._file(i, j)
        if not path.exists() or path.stat().st_size != math.prod(self._chunk) * self._dtype.itemsize:
            return None
        return np.frombuffer(path.read_bytes(), self._dtype).reshape(self._chunk)

    def write(self, i: int, j: int, tile: jax.Array) -> None:
        """Keep a finished tile for good."""
        if self._symmetric and i != j:
            swapped = np.swapaxes(tile, 0, 1)
            self._keep(j, i, swapped if tile.ndim == 2 else np.swapaxes(swapped, 2, 3))
        self._keep(i, j, tile)

    def _keep(self, i: int, j: int, tile: jax.Array | np.ndarray) -> None:
        _files.write(self._file(i, j), np.ascontiguousarray(tile).reshape(-1).view(np.uint8).data)

    def _file(self, i: int, j: int) -> Path:
        name = (i // self._chunk[0], j // self._chunk[1], *(0,) * (len(self._shape) - 2))
        return self._array / ".".join(map(str, name))


def unfinished(path: Path) -> tuple[int, int]:
    """Tiles that a store lacks, and tiles that it should have."""
    header = json.loads((path / "theta" / ".zarray").read_text())
    counts = [-(-n // c) for n, c in zip(header["shape"], header["chunks"], strict=True)]
    names = [".".join(map(str, index)) for index in np.ndindex(*counts)]
    return sum(not (path / "theta" / name).exists() for name in names), len(names)


def digest(*arrays: Any) -> str:
    """A fingerprint of arrays: their values, shapes and dtypes."""
    total = hashlib.sha256()
    for array in map(np.asarray, arrays):
        total.update(f"{array.dtype} {array.shape} ".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def made(net: Any, probe: ArrayLike) -> dict[str, Any]:
    """What says how a kernel came about: names, and a few of its values for networks whose names do not tell all."""
    name = f"{net.__module__}.{net.__qualname__}" if hasattr(net, "__qualname__") else repr(net)
    values = np.asarray(probe)
    return {
        "network": re.sub(r" at 0x[0-9a-f]+", "", name),
        "probe": [f"{value:.5e}" for value in values.ravel().tolist()],
        "dtype": str(values.dtype),
        **versions(),
    }


def versions() -> dict[str, str]:
    """What computed a kernel."""
    return _provenance.versions("jax", "jaxlib", "numpy")


def _require_same(path: Path, made: Mapping[str, Any]) -> None:
    try:
        before = dict(json.loads((path / ".zattrs").read_text()))
    except (OSError, ValueError, TypeError):
        raise ValueError(f"out must be a new store or one that this call began, got {str(path)!r}") from None
    for key in _BINDING:
        if before.get(key) != made.get(key):
            raise ValueError(
                f"out must be a new store or one that this call began, got {str(path)!r} with the {key} "
                f"{_short(before.get(key))} in place of {_short(made.get(key))}"
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
