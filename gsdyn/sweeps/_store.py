"""The Zarr store of a sweep (format 2, no compression), written so that it is valid at every moment.

A block of results is one chunk of every variable. Its chunks are written first and `computed`, which marks its cells as
done, last; `.zmetadata`, which tells readers what there is, is written after all it names. Every write is one rename.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gsdyn.sweeps import _files
from gsdyn.sweeps._blocks import Block

COMPUTED = "computed"
METADATA, ATTRIBUTES = ".zmetadata", ".zattrs"
LEAST = 1024  # entries in a chunk of coordinates, which may grow


@dataclasses.dataclass(frozen=True)
class Variable:
    """An array of the store: `chunks` is the shape of its chunks, which stay when the array grows."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    attributes: Mapping[str, str]

    def metadata(self) -> dict[str, Any]:
        """What Zarr writes into `.zarray`."""
        return {
            "zarr_format": 2,
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "dtype": self.dtype.str,
            "compressor": None,
            "fill_value": "NaN" if self.dtype.kind == "f" else None,
            "filters": None,
            "order": "C",
            "dimension_separator": ".",
        }

    def empty_chunk(self) -> np.ndarray:
        """A chunk with nothing in it."""
        return np.full(self.chunks, np.nan if self.dtype.kind == "f" else 0, self.dtype)


@dataclasses.dataclass(frozen=True)
class Store:
    """A folder with the variables of a sweep; `blocks` names those that are written block by block."""

    path: Path
    variables: Mapping[str, Variable]
    blocks: Sequence[str]

    def create(self, coordinates: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
        """Write coordinates and metadata: of a new store, or of one whose variables have grown."""
        for name, variable in self.variables.items():
            folder = self.path / name
            folder.mkdir(parents=True, exist_ok=True)
            if name in coordinates:
                _write_whole(folder, variable, coordinates[name])
            _files.write_json(folder / ".zarray", variable.metadata())
            _files.write_json(folder / ATTRIBUTES, _attributes(variable))
            _files.settle(folder)
        _files.write_json(self.path / ".zgroup", {"zarr_format": 2})
        _files.write_json(self.path / ATTRIBUTES, attributes)
        index: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ATTRIBUTES: attributes}
        for name, variable in self.variables.items():
            index[f"{name}/.zarray"] = variable.metadata()
            index[f"{name}/{ATTRIBUTES}"] = _attributes(variable)
        _files.write_json(self.path / METADATA, {"metadata": index, "zarr_consolidated_format": 1})
        _files.settle(self.path)

    def write(self, block: Block, results: Mapping[str, np.ndarray]) -> None:
        """Keep a block: its results, then that it is done. Cells that were done before stay as they are."""
        for name in self.blocks:
            self._write_chunk(name, block, results[name])
            if block.todo is not None:  # else a lost name shows as a missing file
                _files.settle(self.path / name)
        self._write_chunk(COMPUTED, block, np.ones(block.count, bool))
        _files.settle(self.path / COMPUTED)

    def has(self, block: Block) -> bool:
        """Whether all wanted cells of a block are done."""
        if not all(self._is_whole(name, block.index) for name in (COMPUTED, *self.blocks)):
            return False
        flags = self._read_chunk(COMPUTED, block.index)[tuple(map(slice, block.sizes))]
        return bool(flags.all() if block.todo is None else flags[block.todo].all())

    def computed(self) -> np.ndarray:
        """Which cells are done; those of a block with a missing or broken chunk are not."""
        variable = self.variables[COMPUTED]
        done = np.zeros(variable.shape, bool)
        counts = (range(-(-size // step)) for size, step in zip(variable.shape, variable.chunks, strict=True))
        for index in itertools.product(*counts):
            pairs = zip(index, variable.chunks, strict=True)
            place = done[tuple(slice(i * step, (i + 1) * step) for i, step in pairs)]
            if all(self._is_whole(name, index) for name in (COMPUTED, *self.blocks)):
                flags = self._read_chunk(COMPUTED, index)
                place[...] = flags[tuple(map(slice, place.shape))]
        return done

    def _write_chunk(self, name: str, block: Block, results: np.ndarray) -> None:
        variable = self.variables[name]
        if block.todo is None and block.sizes == block.shape:
            chunk = np.ascontiguousarray(results)
        else:
            fresh = block.todo is None or not self._is_whole(name, block.index)
            chunk = variable.empty_chunk() if fresh else self._read_chunk(name, block.index)
            block.scatter(results, chunk[tuple(map(slice, block.sizes))])
        _files.write(self.path / name / _key(block.index, variable), chunk.reshape(-1).view(np.uint8).data)

    def _read_chunk(self, name: str, index: tuple[int, ...]) -> np.ndarray:
        variable = self.variables[name]
        content = (self.path / name / _key(index, variable)).read_bytes()
        return np.frombuffer(bytearray(content), variable.dtype).reshape(variable.chunks)

    def _is_whole(self, name: str, index: tuple[int, ...]) -> bool:
        variable = self.variables[name]
        try:
            size = (self.path / name / _key(index, variable)).stat().st_size
        except FileNotFoundError:
            return False
        return size == int(np.prod(variable.chunks)) * variable.dtype.itemsize


def read_coordinate(path: Path, name: str, variable: Variable) -> np.ndarray:
    """The values of a coordinate that `Store.create` wrote."""
    chunks = -(-variable.shape[0] // variable.chunks[0])
    parts = [(path / name / _key((i,), variable)).read_bytes() for i in range(chunks)]
    whole = np.frombuffer(b"".join(parts), variable.dtype).reshape(-1, *variable.shape[1:])
    return whole[: variable.shape[0]].copy()


def read_attributes(path: Path) -> dict[str, Any] | None:
    """The attributes of a store that is ready, else None."""
    if not (path / METADATA).is_file():
        return None
    return json.loads((path / METADATA).read_text())["metadata"].get(ATTRIBUTES, {})


def read_variables(path: Path) -> dict[str, Variable]:
    """The variables of a store that is ready."""
    index = json.loads((path / METADATA).read_text())["metadata"]
    found = {}
    for key, entry in index.items():
        name, _, kind = key.rpartition("/")
        if kind == ".zarray":
            attributes = dict(index[f"{name}/{ATTRIBUTES}"])
            dims = tuple(attributes.pop("_ARRAY_DIMENSIONS"))
            shape, chunks = tuple(entry["shape"]), tuple(entry["chunks"])
            found[name] = Variable(dims, shape, chunks, np.dtype(entry["dtype"]), attributes)
    return found


def coordinate(dims: tuple[str, ...], values: np.ndarray, attributes: Mapping[str, str]) -> Variable:
    """A coordinate whose first dimension may grow."""
    return Variable(dims, values.shape, (max(LEAST, len(values)), *values.shape[1:]), values.dtype, attributes)


def _attributes(variable: Variable) -> dict[str, Any]:
    return {**variable.attributes, "_ARRAY_DIMENSIONS": list(variable.dims)}


def _write_whole(folder: Path, variable: Variable, values: np.ndarray) -> None:
    step = variable.chunks[0]
    for i in range(0, len(values), step):
        chunk = variable.empty_chunk()
        part = values[i : i + step]
        chunk[: len(part)] = part
        _files.write(folder / _key((i // step,), variable), chunk.tobytes())


def _key(index: tuple[int, ...], variable: Variable) -> str:
    rest = len(variable.chunks) - len(index)  # a cell's own dimensions are one chunk
    return ".".join(map(str, (*index, *(0,) * rest)))
