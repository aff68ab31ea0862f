"""The Zarr store of a sweep (format 2, no compression), written so that it is valid at every moment.

A block of results is one chunk of every variable. Its chunks are written first and `computed`, which marks its cells as
done, last; `.zmetadata`, which tells readers what there is, is written after all it names. Every write is one rename.

Until every cell is done, integers and booleans have a fill value (the least integer, the largest where there is no
sign; -128 in the byte of a boolean), so that xarray reads all results as floats, NaN where there is none yet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gsdyn import _files
from gsdyn.sweeps._blocks import Block

COMPUTED = "computed"
METADATA, ATTRIBUTES, ARRAY, GROUP = ".zmetadata", ".zattrs", ".zarray", ".zgroup"
FORMAT_3 = "zarr.json"
LEAST = 1024  # entries in a chunk of coordinates, which may grow


@dataclasses.dataclass(frozen=True)
class Variable:
    """An array of the store: `chunks` is the shape of its chunks, which stay when the array grows."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    attributes: Mapping[str, str]

    def metadata(self, complete: bool = True) -> dict[str, Any]:
        """What Zarr writes into `.zarray`, of a variable all of which is there or not."""
        fill, dtype = ("NaN", self.dtype) if self.dtype.kind == "f" else (None, self.dtype)
        if not complete and self.dtype.kind != "f":
            fill, dtype = int(self._fill), self._fill.dtype
        return {
            "zarr_format": 2,
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "dtype": dtype.str,
            "compressor": None,
            "fill_value": fill,
            "filters": None,
            "order": "C",
            "dimension_separator": ".",
        }

    def empty_chunk(self) -> np.ndarray:
        """A chunk of results with nothing in it."""
        return np.full(self.chunks, self._fill, np.int8 if self.dtype.kind == "b" else self.dtype).view(self.dtype)

    @property
    def _fill(self) -> np.generic:
        """What stands where nothing is, of the dtype itself or, for booleans, of their bytes."""
        if self.dtype.kind == "f":
            return self.dtype.type(np.nan)
        if self.dtype.kind == "b":
            return np.int8(-128)
        ends = np.iinfo(self.dtype)
        return self.dtype.type(ends.min if self.dtype.kind == "i" else ends.max)


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
            _files.write_json(folder / ARRAY, variable.metadata(name not in self.blocks))
            _files.write_json(folder / ATTRIBUTES, _attributes(variable))
            _files.settle(folder)
        _files.write_json(self.path / GROUP, {"zarr_format": 2})
        _files.write_json(self.path / ATTRIBUTES, attributes)
        index: dict[str, Any] = {GROUP: {"zarr_format": 2}, ATTRIBUTES: attributes}
        for name, variable in self.variables.items():
            index[f"{name}/{ARRAY}"] = variable.metadata(name not in self.blocks)
            index[f"{name}/{ATTRIBUTES}"] = _attributes(variable)
        self._announce(index)

    def finish(self) -> None:
        """Say, once, that every cell is done: from now on readers get integers as integers."""
        index = read_index(self.path)
        assert index is not None
        new = {name: self.variables[name].metadata() for name in self.blocks}
        new = {name: entry for name, entry in new.items() if index[f"{name}/{ARRAY}"] != entry}
        for name, entry in new.items():
            _files.write_json(self.path / name / ARRAY, entry)
            _files.settle(self.path / name)
        if new:
            self._announce({**index, **{f"{name}/{ARRAY}": entry for name, entry in new.items()}})

    def _announce(self, index: Mapping[str, Any]) -> None:
        _files.write_json(self.path / METADATA, {"metadata": index, "zarr_consolidated_format": 1})
        _files.settle(self.path)

    def remove(self, before: set[str]) -> None:
        """Take away what `create` made, but nothing whose name was in the folder `before`."""
        for name in (METADATA, ATTRIBUTES, GROUP):
            if name not in before:
                (self.path / name).unlink(missing_ok=True)
        for name in set(self.variables) - before:
            for file in (self.path / name).glob("*"):
                if is_part(file):
                    file.unlink(missing_ok=True)
            _files.remove_empty([self.path / name])

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
            empty = variable.empty_chunk() if name != COMPUTED else np.zeros(variable.chunks, bool)
            chunk = empty if fresh else self._read_chunk(name, block.index)
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


def is_part(file: Path) -> bool:
    """Whether a file within the folder of a variable is one that a store makes."""
    made = file.name in (ARRAY, ATTRIBUTES) or re.fullmatch(r"[0-9]+(\.[0-9]+)*", file.name) or _files.is_staged(file)
    return bool(made) and file.is_file()


def is_leftover(entry: Path) -> bool:
    """Whether an entry of a folder is what a sweep that was killed before its store was ready leaves there."""
    if entry.is_dir():
        return not entry.is_symlink() and all(map(is_part, entry.iterdir()))
    return entry.name in (GROUP, ATTRIBUTES, _files.LOCK) or _files.is_staged(entry)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[None]:
    """Whatever goes wrong in reading what a store says of itself is one line: it is broken."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"{path}, which is broken: {type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"out must be a new path or the store of a sweep, got {told}") from None


def read_coordinate(path: Path, name: str) -> np.ndarray:
    """The values of a coordinate that `Store.create` wrote."""
    variable = read_variable(path, name)
    with whole(path):
        chunks = -(-variable.shape[0] // variable.chunks[0])
        parts = [(path / name / _key((i,), variable)).read_bytes() for i in range(chunks)]
        values = np.frombuffer(b"".join(parts), variable.dtype).reshape(-1, *variable.shape[1:])
        if len(values) < variable.shape[0]:
            raise ValueError(f"{name} has {len(values)} of {variable.shape[0]} values")
        return values[: variable.shape[0]].copy()


def read_index(path: Path) -> dict[str, Any] | None:
    """The metadata of a store that is ready, else None."""
    with whole(path):
        if not (path / METADATA).is_file():
            return None
        if (path / FORMAT_3).exists():
            raise ValueError(f"{FORMAT_3}, which readers would take for the store's, lies beside {METADATA}")
        return dict(json.loads((path / METADATA).read_text())["metadata"])


def read_variable(path: Path, name: str) -> Variable:
    """A variable of a store that is ready."""
    index = read_index(path)
    with whole(path):
        assert index is not None
        entry, attributes = index[f"{name}/{ARRAY}"], dict(index[f"{name}/{ATTRIBUTES}"])
        dims = tuple(attributes.pop("_ARRAY_DIMENSIONS"))
        return Variable(dims, tuple(entry["shape"]), tuple(entry["chunks"]), np.dtype(entry["dtype"]), attributes)


def coordinate(dims: tuple[str, ...], values: np.ndarray, attributes: Mapping[str, str]) -> Variable:
    """A coordinate whose first dimension may grow."""
    return Variable(dims, values.shape, (max(LEAST, len(values)), *values.shape[1:]), values.dtype, attributes)


def _attributes(variable: Variable) -> dict[str, Any]:
    return {**variable.attributes, "_ARRAY_DIMENSIONS": list(variable.dims)}


def _write_whole(folder: Path, variable: Variable, values: np.ndarray) -> None:
    step = variable.chunks[0]
    for i in range(0, len(values), step):
        chunk = np.zeros(variable.chunks, variable.dtype)
        part = values[i : i + step]
        chunk[: len(part)] = part
        _files.write(folder / _key((i // step,), variable), chunk.tobytes())


def _key(index: tuple[int, ...], variable: Variable) -> str:
    rest = len(variable.chunks) - len(index)  # a cell's own dimensions are one chunk
    return ".".join(map(str, (*index, *(0,) * rest)))
