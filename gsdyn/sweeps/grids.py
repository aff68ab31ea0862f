"""What a sweep runs over: products of axes, axes zipped together, random samples, and any mixture of them."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from gsdyn import _checks
from gsdyn.sweeps.distributions import Distribution


class Dimension(NamedTuple):
    """One dimension of the result: the values of one or several parameters along it."""

    name: str
    parameters: dict[str, np.ndarray]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(next(iter(self.parameters.values())))

    @property
    def is_axis(self) -> bool:
        """Whether it is the axis of one scalar parameter, whose values then label it."""
        values = self.parameters.get(self.name)
        return values is not None and len(self.parameters) == 1 and values.ndim == 1


@runtime_checkable
class Grid(Protocol):
    """Where to evaluate a function: `Product`, `Zipped` or `Samples`.

    >>> print([dimension.name for dimension in gs.sweeps.Product({"lam": [0.1, 1.0]}).dimensions()])
    ['lam']
    """

    def dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions of the result, in order."""
        ...

    def seeds(self) -> tuple[int, ...]:
        """The seeds that the values came from."""
        ...


@dataclasses.dataclass(frozen=True)
class Product:
    """Every combination of the values of several axes; a plain dictionary means the same.

    - `axes`: from the name of a dimension to the values of the parameter of that name, shape (size,) for a scalar
      parameter, (size, ...) for an array; or to a `Zipped` or `Samples`, whose parameters run along it together.

    Scalar values must be different from one another. A number along a dimension has one dtype: that of the array given,
    or JAX's default. Raises `ValueError` for axes that are empty, repeat values or are not numbers.

        >>> together = gs.sweeps.Zipped({"s1": [4.0, 3.0], "s2": [2.0, 1.0]})
        >>> grid = gs.sweeps.Product({"lam": [0.1, 1.0], "cell": together})
        >>> print([dimension.name for dimension in grid.dimensions()])
        ['lam', 'cell']
    """

    axes: Mapping[str, Any]

    def dimensions(self) -> tuple[Dimension, ...]:
        _check_axes(self.axes)
        found = [_axis(name, values) for name, values in self.axes.items()]
        dims = [dimension.name for dimension in found]
        if len(set(dims)) < len(dims):
            raise ValueError(f"grid must name every dimension once, got {', '.join(dims)}")
        names = [name for dimension in found for name in dimension.parameters]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"grid must name every parameter once, got {', '.join(repeated)} again")
        return tuple(found)

    def seeds(self) -> tuple[int, ...]:
        return tuple(seed for axis in self.axes.values() if isinstance(axis, Zipped | Samples) for seed in axis.seeds())


@dataclasses.dataclass(frozen=True)
class Zipped:
    """Parameters that change together: cell i takes the i-th value of each.

    - `axes`: from parameters to their values, shape (size, ...), of one size.
    - `name`: the dimension of the result.

        >>> ds = gs.sweep(lambda a, b: a + b, gs.sweeps.Zipped({"a": [1.0, 2.0], "b": [10.0, 20.0]}))
        >>> print(ds["value"].values)
        [11. 22.]
    """

    axes: Mapping[str, Any]
    name: str = "cell"

    def dimensions(self) -> tuple[Dimension, ...]:
        _check_axes(self.axes)
        _check_name(self.name)
        parameters = {name: as_values(name, values) for name, values in self.axes.items()}
        sizes = {name: len(values) for name, values in parameters.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"axes zipped together must be of one size, got {sizes}")
        return (Dimension(self.name, parameters),)

    def seeds(self) -> tuple[int, ...]:
        return ()


@dataclasses.dataclass(frozen=True)
class Samples:
    """Random values: cell i takes the i-th draw of every parameter.

    - `count`: how many draws, at least 1. More of them keep the first ones as they were.
    - `axes`: from parameters to a `Uniform`, `LogUniform`, `Normal` or `Integers`.
    - `seed`: the draws of a parameter depend on it and on the parameter's name, and on nothing else.
    - `name`: the dimension of the result.

        >>> ds = gs.sweep(lambda lam: lam, gs.sweeps.Samples(3, {"lam": gs.sweeps.Uniform(0.0, 1.0)}, seed=1))
        >>> print(dict(ds.sizes))
        {'sample': 3}
    """

    count: int
    axes: Mapping[str, Distribution]
    seed: int = 0
    name: str = "sample"

    def dimensions(self) -> tuple[Dimension, ...]:
        count, seed = _checks.integer("count", self.count, 1), _checks.integer("seed", self.seed, 0)
        _check_axes(self.axes)
        _check_name(self.name)
        drawn = {}
        for name, distribution in self.axes.items():
            if not isinstance(distribution, Distribution):
                given = f"{_checks.in_short(distribution)} for {name}"
                raise ValueError(f"axes must hold distributions such as Uniform(0, 1), got {given}")
            stream = np.random.default_rng([seed, zlib.crc32(str(name).encode())])
            drawn[name] = as_values(name, distribution.draw(stream, count))
            if len(drawn[name]) != count:
                raise ValueError(f"axes must hold distributions that draw {count} values, got {len(drawn[name])}")
        return (Dimension(self.name, drawn),)

    def seeds(self) -> tuple[int, ...]:
        return (self.seed,)


def as_grid(grid: Grid | Mapping[str, Any]) -> Grid:
    """`grid`, a dictionary turned into a `Product`."""
    if isinstance(grid, Mapping):
        return Product(grid)
    if not isinstance(grid, Grid):
        raise ValueError(f"grid must be a dictionary of axes, Product, Zipped or Samples, got {type(grid).__name__}")
    return grid


def _check_axes(axes: Any) -> None:
    if not isinstance(axes, Mapping):
        raise ValueError(f"axes must be a dictionary from parameters to values, got {_checks.in_short(axes)}")
    if not axes:
        raise ValueError("axes must hold at least one parameter, got none")


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name must be one word, got {_checks.in_short(name)}")


def _axis(name: str, values: Any) -> Dimension:
    if isinstance(values, Zipped | Samples):
        return dataclasses.replace(values, name=name).dimensions()[0]
    array = as_values(name, values)
    if array.ndim == 1 and len(np.unique(array)) < len(array):
        raise ValueError(f"axis {name} must hold different values, got one of them twice")
    # what labels a dimension must be one number a cell
    return Dimension(name if array.ndim == 1 else f"{name}_index", {name: array})


def as_values(name: str, values: Any) -> np.ndarray:
    """The values along an axis as an array of the dtype that JAX will compute with."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"an axis must have the name of an argument, got {_checks.in_short(name)}")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        given = _checks.in_short(values)
        raise ValueError(f"axis {name} must be numbers, and no rows of different shapes, got {given}") from None
    if array.dtype.kind not in "fiub" or array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"axis {name} must be an array of numbers, one or more along it, "
            f"got dtype {array.dtype} and shape {array.shape}"
        )
    if np.isnan(array).any():
        raise ValueError(f"axis {name} must hold numbers, got NaN")
    return np.ascontiguousarray(array.astype(jax.dtypes.canonicalize_dtype(array.dtype)))
