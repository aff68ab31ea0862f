"""A store met again: whether it holds this sweep, and how far it is to grow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gsdyn.sweeps import _files, _store
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
        attributes = _store.read_attributes(path)
        if attributes is None and ((path / _files.LOCK).exists() or not any(path.iterdir())):
            return None  # killed before there was a store, or an empty folder
        content = json.loads((attributes or {}).get(RECORD, "{}"))
        if content.get("format") == FORMAT:
            return Record(content["identity"], tuple(content["block"]), content["lanes"], content["dims"])
    raise ValueError(f"out must be a new path or the store of a sweep, got {path}, which is neither")


def sizes(path: Path) -> tuple[int, ...]:
    """How many values the dimensions of a store have."""
    return _store.read_variables(path)[_store.COMPUTED].shape


def merged(path: Path, record: Record, wanted: Sequence[Dimension], extend: bool) -> tuple[Dimension, ...]:
    """The dimensions of the store, with the values of `wanted` that it lacks appended where `extend` allows it.

    Raises `ValueError` for a grid that is not that of the store.
    """
    names = {dimension.name: list(dimension.parameters) for dimension in wanted}
    if list(names.items()) != list(record.dims.items()):
        raise _refused(path, f"its grid is over {_words(record.dims)}, not {_words(names)}", "choose another out")
    variables = _store.read_variables(path)
    return tuple(_merge(path, variables, dimension, extend) for dimension in wanted)


def same_program(path: Path, record: Record, lanes: int | None, identity: str) -> None:
    """Raise `ValueError` if the store's results were computed by another program."""
    if lanes != record.lanes:
        raise _refused(path, f"it was made with lanes {record.lanes}, not {lanes}", "")
    if identity != record.identity:
        raise _refused(path, "another function, or another version or platform of jax, made it", "choose another out")


def _merge(path: Path, variables: dict[str, _store.Variable], wanted: Dimension, extend: bool) -> Dimension:
    stored = {name: _store.read_coordinate(path, name, variables[name]) for name in wanted.parameters}
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
