"""The variables of a sweep's dataset: coordinates and results, with dimensions, chunks and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from gsdyn.sweeps._blocks import Block
from gsdyn.sweeps._plan import Plan
from gsdyn.sweeps._program import Output
from gsdyn.sweeps._store import COMPUTED, Variable, coordinate
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
    sizes: dict[str, int] = {}
    for name, variable in variables.items():
        for dim, size in zip(variable.dims, variable.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                raise ValueError(f"dimension {dim} must have one size, got {size} in {name} beside {sizes[dim]}")
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
    """`coords` as arrays: numbers as JAX has them, or text."""
    found = {}
    for name, values in (coords or {}).items():
        array = np.asarray(values)
        found[name] = array if array.dtype.kind == "U" and array.size else as_values(name, array)
    return found


def _own_dims(name: str, shape: tuple[int, ...], label: Label) -> tuple[str, ...]:
    if not label.dims:
        return tuple(f"{name}_{i}" for i in range(len(shape)))
    if len(label.dims) != len(shape):
        raise ValueError(f"the label of {name} must name {len(shape)} dimensions of its own, got {label.dims}")
    return label.dims
