"""Kernels and features on disk, with what made them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn import _checks, _files
from gsdyn.features import FeatureBasis
from gsdyn.kernels import _memory, _tile_store

if TYPE_CHECKING:
    import zarr


class Saved(NamedTuple):
    """What a store holds: a kernel, an NTRF matrix or a `FeatureBasis`, and what made it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gs.kernels.save(folder + "/basis.zarr", basis)
    ...     print(type(gs.kernels.load(folder + "/basis.zarr").value).__name__)
    FeatureBasis
    """

    value: Array | FeatureBasis
    made: dict[str, Any]


def save(path: str | Path, value: ArrayLike | FeatureBasis, made: Mapping[str, Any] | None = None) -> None:
    """Write a kernel, an NTRF matrix or a `FeatureBasis` as a Zarr store: `theta`, or `U` and `s`.

    - `path`: the store, which must not exist. It appears when it is complete.
    - `made`: what made it, for example `{"network": repr(net)}`; anything that JSON can hold.

    Raises `ValueError` for values that are not finite, `FileExistsError` for a path that is taken.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     gs.kernels.save(folder + "/theta.zarr", theta, {"net": "depth 2"})
        ...     print(gs.kernels.load(folder + "/theta.zarr").made["net"])
        depth 2
    """
    if made is not None:
        _checks.mapping("made", made)
    path, versions = _files.as_path("path", path), _tile_store.versions()
    if isinstance(value, FeatureBasis):
        arrays = {"U": (value.U, ("example", "feature")), "s": (value.s, ("feature",))}
    else:
        theta = _checks.finite("value", value)
        names = ("example", "other_example", "output", "other_output")[: theta.ndim]
        arrays = {"theta": (theta, names if theta.ndim != 3 else ("example", "output", "parameter"))}
    if path.exists():
        raise FileExistsError(f"path must not exist, got {str(path)!r}")
    try:
        attributes = json.loads(json.dumps({**versions, **(made or {})}))
    except TypeError:
        raise ValueError(f"made must hold what JSON can, got {_checks.in_short(made)}") from None
    import zarr  # here and below on first use: a fifth of a second

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        group = zarr.open_group(beside, mode="w", zarr_format=2, attributes=attributes)
        for name, (array, dimensions) in arrays.items():
            group.create_array(name, data=np.asarray(array), attributes={"_ARRAY_DIMENSIONS": list(dimensions)})
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load(path: str | Path) -> Saved:
    """Read what `save` wrote, or the kernel that `infinite_ntk(..., out=path)` or `empirical_ntk` did.

    Returns a `Saved` with `value` and `made`. Raises `ValueError` for a path that holds no such store, and for a kernel
    with tiles missing; a kernel of float64 needs 64 bits switched on.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     gs.kernels.save(folder + "/theta.zarr", theta)
        ...     print(np.array_equal(gs.kernels.load(folder + "/theta.zarr").value, theta))
        True
    """
    path = _files.as_path("path", path)
    try:
        found, made, missing = _read(path)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        told = f"{str(path)!r}: {type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"path must be a store of a kernel or features, got {told}") from None
    if missing:
        raise ValueError(f"path must be a finished kernel, got {str(path)!r} with {missing} tiles missing")
    arrays = {name: _loaded(name, array) for name, array in found.items()}
    return Saved(FeatureBasis(arrays["U"], arrays["s"]) if "U" in arrays else arrays["theta"], made)


def _read(path: Path) -> tuple[dict[str, zarr.Array], dict[str, Any], str]:
    """The arrays of a store, what made them, and how many tiles are missing, in words."""
    import zarr

    group = zarr.open_group(path, mode="r", zarr_format=2, use_consolidated=False)
    if not (path / "theta").is_dir() and not (path / "U").is_dir():
        raise ValueError("it holds neither theta nor U")
    missing, total = _tile_store.unfinished(path) if "tile" in group.attrs else (0, 0)
    found = {name: group[name] for name in (("U", "s") if (path / "U").is_dir() else ("theta",))}
    arrays = {name: array for name, array in found.items() if isinstance(array, zarr.Array)}
    return arrays, dict(group.attrs), f"{missing} of {total}" if missing else ""


def _loaded(name: str, array: zarr.Array) -> Array:
    _memory.require(2 * array.nbytes, f"reading {name} of shape {array.shape}")
    try:
        values = np.asarray(array[...])
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"path must be a store of a kernel or features, got a broken {name}: {error}") from None
    if jnp.asarray(values[:0]).dtype != values.dtype:
        raise ValueError(f"path must be read with 64 bits on, got {name} of {values.dtype}: jax_enable_x64")
    return jnp.asarray(values)
