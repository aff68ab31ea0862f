"""Datasets of experiments: every variable named, written as one store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import xarray as xr


def save_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as one Zarr store. Format 2, in which text coordinates and the index of a store are standard.

    >>> import pathlib, tempfile, xarray as xr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gs.experiments.save_dataset(xr.Dataset({"z": ("feature", [1.0, 2.0])}), pathlib.Path(folder) / "z.zarr")
    ...     print(xr.open_zarr(folder + "/z.zarr")["z"].values)
    [1. 2.]
    """
    dataset.to_zarr(path, mode="w", zarr_format=2, consolidated=True)


def labelled(dataset: xr.Dataset, names: Mapping[str, str]) -> xr.Dataset:
    """The dataset with a `long_name` for every variable and coordinate; every quantity here is dimensionless.

    Raises `ValueError` for a variable left without a name.

        >>> import xarray as xr
        >>> ds = xr.Dataset({"z": ("feature", [1.0, 2.0])}, {"feature": [1, 2]})
        >>> ds = gs.experiments.labelled(ds, {"z": "response", "feature": "feature"})
        >>> print(ds["z"].attrs["long_name"])
        response
    """
    for name, variable in dataset.variables.items():
        if name not in names:
            raise ValueError(f"names must cover every variable, got none for {name!r}")
        variable.attrs["long_name"] = names[str(name)]
        if variable.dtype.kind in "fi":
            variable.attrs["units"] = "1"
    return dataset
