"""The tables of the experiments of later papers, with what was published."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from gsdyn.experiments._tables import over_seeds, tabulated
from gsdyn.experiments.catalogue import Table


def table_perception(dataset: xr.Dataset) -> Table:
    """The worst group at the optimum for every d/n, and on the way of the two losses, beside the published numbers."""
    columns = ("loss", "d/n", "when", "worst group", "worst group sd", "published")
    rows: list[tuple[str | float, ...]] = [
        ("spectral decoupling", float(ratio), "optimum", *over_seeds(dataset["optimum"].sel(ratio=ratio)), math.nan)
        for ratio in dataset["ratio"]
    ]
    published = dict(zip(dataset["loss"].values, zip(dataset.attrs["published_ratio"], dataset.attrs["published"],
                                                     strict=True), strict=True))  # fmt: skip
    for loss in dataset["loss"].values:
        for ratio in dataset["problem"].values:
            part = dataset.sel(loss=loss, problem=ratio)
            at, value = published[loss]
            known = value if at == ratio else math.nan
            whens = {"all training examples right": part["separated"],
                     f"t = {float(dataset['time'][-1]):g}": part["path"].isel(time=-1)}  # fmt: skip
            rows += [(str(loss), float(ratio), when, *over_seeds(v), known) for when, v in whens.items()]
    return Table(columns, rows)


def table_slabs(dataset: xr.Dataset) -> Table:
    """AUC of every model on new examples, as they are and with coordinates exchanged between them."""
    published = xr.DataArray(dataset.attrs["published"], coords={"variant": dataset["variant"]}, dims="variant")
    return tabulated(("slabs", "model", "variant"), {"AUC": dataset["auc"], "published": published})


def table_geometric_skew(dataset: xr.Dataset) -> Table:
    """The share of the spurious coordinate for every minority, the norms that separate, and the published shares."""
    known = np.full(dataset.sizes["minority"], math.nan)
    known[[0, -1]] = dataset.attrs["published"]
    published = xr.DataArray(known, coords={"minority": dataset["minority"]}, dims="minority")
    names = {"share": "share", "norm": "norm", "norm, minority alone": "norm_minority", "norm, all": "norm_all"}
    columns = {text: dataset[name] for text, name in names.items()}
    return tabulated(("data", "minority"), {**columns, "published, another table": published})
