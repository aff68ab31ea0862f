"""The tables of P21's experiments on two moons, two features, losses and networks of finite width."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from gsdyn.experiments._tables import tabulated
from gsdyn.experiments.catalogue import Table

PAGE = {2.0: (6.11, 1.64), 4.0: (7.82, 1.45), 6.0: (9.14, 1.12), 8.0: (10.31, 0.82)}
"""Ends of the responses under weight decay, by `s_1`, that the authors' page draws, which are not converged."""


def table_moons(dataset: xr.Dataset) -> Table:
    """Every way of training at every recorded step: margins in input space, accuracy and loss."""
    columns = {"margin": "mean_margin", "least margin": "least_margin", "accuracy": "accuracy", "loss": "loss"}
    return tabulated(
        ("variant", "step"),
        {
            "steps taken": dataset["steps_taken"],
            "seeds": dataset["runs"],
            **{text: dataset[name] for text, name in columns.items()},
        },
    )


def table_moons_responses(dataset: xr.Dataset) -> Table:
    """The size of every response at the last step, and the strength of its feature."""
    return tabulated(
        ("variant", "feature"), {"|z|": abs(dataset["response"].isel(step=-1)), "strength": dataset["strength"]}
    )


def table_theory_in_one_figure(dataset: xr.Dataset) -> Table:
    """Fixed points of every dynamics, how far flows and trained networks end from them, and the authors' page."""
    ends = {f"z{int(j)}": dataset["end"].sel(feature=j) for j in dataset["feature"]}
    drawn = dataset["distance"].dims
    page = {
        f"authors' page, z{j + 1}": xr.DataArray(
            np.array([[PAGE.get(float(s), (math.nan,) * 2)[j] if i == 0 else math.nan for s in dataset["s1"]]
                      for i in range(dataset.sizes["method"])]), coords=dataset["distance"].coords, dims=drawn)
        for j in range(2)
    }  # fmt: skip
    errors = {"flow's distance": dataset["distance"], "networks' distance from the flow": dataset["trained_error"]}
    return tabulated(("method", "s1"), {**ends, **errors, **page})


def table_legendre(dataset: xr.Dataset) -> Table:
    """For every loss how far a tangent line rises above it, and how far it lies below at its own point."""
    above, gap = (dataset["bound"] - dataset["value"]).max("margin"), abs(dataset["gap"]).max("margin")
    return tabulated(("loss",), {"lines above the loss": above, "own line below the loss": gap})


def table_width(dataset: xr.Dataset) -> Table:
    """Networks of every width against predictions by the kernel: along the path, by feature, and at the end."""
    errors = {"path": dataset["path_error"], "five features, worst": dataset["feature_error"].max("feature"),
              "end": dataset["end_error"], "where a feature is stronger": dataset["change_error"]}  # fmt: skip
    exponent = {name.replace("_", ", "): dataset[name] for name in ("exponent", "exponent_low", "exponent_high")}
    return tabulated(("problem", "prediction", "width"), {**errors, **exponent})
