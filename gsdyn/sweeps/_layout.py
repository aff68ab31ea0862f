"""The variables of a sweep's dataset: coordinates and results, with dimensions, chunks and attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from gsdyn import _checks
from gsdyn.sweeps._blocks import Block
from gsdyn.sweeps._plan import Plan
from gsdyn.sweeps._program import Output
from gsdyn.sweeps._store import COMPUTED, FORMAT_3, Variable, coordinate
from gsdyn.sweeps.grids import Dimension, as_values
from gsdyn.sweeps.labels import Label

Labels = Mapping[str, Label]


def coordinates(
    dimensions: Sequence[Dimension], labels: Labels, coords: Mapping[str, np.ndarray]
) -> tuple[dict[str, Variable], dict[str, np.ndarray]]:
    """Variables and values of the parameters, and of the dimensions that results have of their own."""
    variables, values = {}, {}
    for dimension in dimensions:
        for name, along in dimension.parameters.items():
            label = labels.get(name, Label())
            dims = (dimension.name, *_own_dims(name, along.shape[1:], label))
            variables[name], values[name] = coordinate(dims, along, label.attributes()), along
    for name, along in coords.items():
        if along.ndim != 1 or name in values:
            raise ValueError(f"coords must be vectors named otherwise than the parameters, got {name}")
        variables[name] = coordinate((name,), along, labels.get(name, Label()).attributes())
        values[name] = along
    return variables, values


def results(dimensions: Sequence[Dimension], plan: Plan, labels: Labels) -> dict[str, Variable]:
    """Variables of the results, and the one that says which cells are done."""
    outer = tuple(dimension.name for dimension in dimensions)
    sizes = tuple(dimension.size for dimension in dimensions)

    def variable(output: Output, label: Label) -> Variable:
        dims = (*outer, *_own_dims(output.name, output.shape, label))
        return Variable(dims, (*sizes, *output.shape), (*plan.block, *output.shape), output.dtype, label.attributes())

    done = Output(COMPUTED, (), np.dtype(bool))
    return {
        **{output.name: variable(output, labels.get(output.name, Label())) for output in plan.outputs},
        COMPUTED: variable(done, Label("whether the cell is done", None)),
    }


def check(variables: Mapping[str, Variable], plan: Plan, given: Mapping[str, Variable], labels: Labels) -> None:
    """Raise `ValueError` where names clash or sizes differ, or a label belongs to nothing."""
    for output in plan.outputs:
        if output.name in given or output.name == COMPUTED:
            raise ValueError(f"fn must return names of their own, got {output.name}, which the sweep has already")
    for name in variables:  # each is a folder of a store
        if not name.strip() or name[0] == "." or not name.isprintable() or set(name) & set("/\\"):
            raise ValueError(f"fn, and coords, must give names that can be those of folders, got {name!r}")
        if name == FORMAT_3 or len(name.encode()) > 200:
            raise ValueError(f"fn, and coords, must give names that Zarr can keep, got {name!r}")
    sizes: dict[str, int] = {}
    for name, variable in variables.items():
        if len(set(variable.dims)) < len(variable.dims):
            raise ValueError(f"labels must give dimensions of different names, got {variable.dims} for {name}")
        for dim, size in zip(variable.dims, variable.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                raise ValueError(f"dimension {dim} must have one size, got {size} in {name} beside {sizes[dim]}")
    for name, variable in variables.items():
        if name in sizes and variable.dims != (name,):
            raise ValueError(f"fn must return names other than those of dimensions, got {name}")
    unknown = sorted(set(labels) - set(variables))
    if unknown:
        raise ValueError(f"labels must name parameters, results or coords, got {', '.join(unknown)}")


class Memory:
    """Results that are kept in memory."""

    def __init__(self, variables: Mapping[str, Variable], names: Sequence[str]) -> None:
        self._arrays = {name: np.empty(variables[name].shape, variables[name].dtype) for name in names}

    def write(self, block: Block, results: Mapping[str, np.ndarray]) -> None:
        for name, array in self._arrays.items():
            block.scatter(results[name], array[block.place])

    def dataset(self, variables: Mapping[str, Variable], values: Mapping[str, np.ndarray]) -> xr.Dataset:
        """All of it, labelled."""

        def labelled(name: str, array: np.ndarray) -> xr.Variable:
            return xr.Variable(variables[name].dims, array, variables[name].attributes)

        return xr.Dataset(
            {name: labelled(name, array) for name, array in self._arrays.items()},
            coords={name: labelled(name, array) for name, array in values.items()},
        )


def as_coords(coords: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    """`coords` as vectors: numbers as JAX has them, or text."""
    found = {}
    for name, values in _named("coords", coords):
        try:
            array = np.asarray(values)
            found[name] = array if array.dtype.kind == "U" and array.size else as_values(name, array)
        except ValueError as error:
            raise ValueError(f"coords must be vectors of numbers or words, got {name}: {error}") from None
    return found


def as_labels(labels: Mapping[str, Label] | None) -> dict[str, Label]:
    """`labels` as a dictionary, after a look at what is in it."""
    found = dict(_named("labels", labels))
    for name, label in found.items():
        if not isinstance(label, Label):
            raise ValueError(f"labels must hold a Label for every name, got {_checks.in_short(label)} for {name}")
    return found


def _named(argument: str, values: Any) -> Iterable[tuple[str, Any]]:
    if values is None:
        return ()
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{argument} must be a dictionary by name, got a value of type {type(values).__name__}")
    return values.items()


def _own_dims(name: str, shape: tuple[int, ...], label: Label) -> tuple[str, ...]:
    if not label.dims:
        return tuple(f"{name}_{i}" for i in range(len(shape)))
    if len(label.dims) != len(shape):
        raise ValueError(f"the label of {name} must name {len(shape)} dimensions of its own, got {label.dims}")
    return label.dims
