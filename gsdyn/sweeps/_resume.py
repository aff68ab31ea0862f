"""A store met again: whether it holds this sweep, and how far it is to grow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gsdyn import _files
from gsdyn.sweeps import _store
from gsdyn.sweeps.grids import Dimension

RECORD = "sweep"
FORMAT = 1


class Record(NamedTuple):
    """What a store remembers of the sweep that it holds."""

    identity: str
    block: tuple[int, ...]
    lanes: int | None
    dims: dict[str, list[str]]

    def text(self) -> str:
        """As an attribute of the store."""
        return json.dumps({"format": FORMAT, **self._asdict()})


def read_record(path: Path) -> Record | None:
    """The record of the store at `path`; None where there is none yet. Raises `ValueError` for anything else there."""
    if not path.exists():
        return None
    if path.is_dir():
        index = _store.read_index(path)
        entries = [] if index else list(path.iterdir())
        begun = not entries or path / _files.LOCK in entries
        if index is None and begun and all(map(_store.is_leftover, entries)):
            return None  # killed before there was a store, or an empty folder
        with _store.whole(path):
            content = json.loads((index or {}).get(_store.ATTRIBUTES, {}).get(RECORD, "{}"))
            if content.get("format") == FORMAT:
                dims = {name: list(parameters) for name, parameters in content["dims"].items()}
                return Record(content["identity"], tuple(content["block"]), content["lanes"], dims)
    raise ValueError(f"out must be a new path or the store of a sweep, got {path}, which is neither")


def sizes(path: Path) -> tuple[int, ...]:
    """How many values the dimensions of a store have."""
    return _store.read_variable(path, _store.COMPUTED).shape


def merged(path: Path, record: Record, wanted: Sequence[Dimension], extend: bool) -> tuple[Dimension, ...]:
    """The dimensions of the store, with the values of `wanted` that it lacks appended where `extend` allows it.

    Raises `ValueError` for a grid that is not that of the store.
    """
    names = {dimension.name: list(dimension.parameters) for dimension in wanted}
    if list(names.items()) != list(record.dims.items()):
        raise _refused(path, f"its grid is over {_words(record.dims)}, not {_words(names)}", "choose another out")
    return tuple(_merge(path, dimension, extend) for dimension in wanted)


def same_program(path: Path, record: Record, lanes: int | None, identity: str) -> None:
    """Raise `ValueError` if the store's results were computed by another program."""
    if lanes != record.lanes:
        raise _refused(path, f"it was made with lanes {record.lanes}, not {lanes}", "")
    if identity != record.identity:
        raise _refused(path, "another function, or another version or platform of jax, made it", "choose another out")


def _merge(path: Path, wanted: Dimension, extend: bool) -> Dimension:
    stored = {name: _store.read_coordinate(path, name) for name in wanted.parameters}
    for name, values in wanted.parameters.items():
        if (values.dtype, values.shape[1:]) != (stored[name].dtype, stored[name].shape[1:]):
            had = f"{stored[name].dtype} of shape {stored[name].shape[1:]}"
            raise _refused(path, f"its {name} is {had}, not {values.dtype} of shape {values.shape[1:]}", "")
    if all(np.array_equal(stored[name], values) for name, values in wanted.parameters.items()):
        return wanted
    if not extend:
        raise _refused(path, f"it has other values along {wanted.name}", "extend it, or choose another out")
    new = _missing(_rows(stored), _rows(wanted.parameters))
    grown = {name: np.concatenate([stored[name], values[new]]) for name, values in wanted.parameters.items()}
    return Dimension(wanted.name, grown)


def _missing(stored: list[bytes], wanted: list[bytes]) -> list[int]:
    """Which rows of `wanted` are not among `stored`; a row that repeats counts as often as it is there."""
    there = Counter(stored)
    new = []
    for i, row in enumerate(wanted):
        if there[row]:
            there[row] -= 1
        else:
            new.append(i)
    return new


def _rows(parameters: dict[str, np.ndarray]) -> list[bytes]:
    columns = [[row.tobytes() for row in values] for values in parameters.values()]
    return [b"".join(row) for row in zip(*columns, strict=True)]


def _refused(path: Path, reason: str, remedy: str) -> ValueError:
    advice = f"; {remedy}" if remedy else ""
    return ValueError(f"out must be a new path or hold this very sweep, got {path}: {reason}{advice}")


def _words(dims: dict[str, list[str]]) -> str:
    return ", ".join(name if parameters == [name] else f"{name} ({', '.join(parameters)})"
                     for name, parameters in dims.items())  # fmt: skip
