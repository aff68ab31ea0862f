"""The tables of C18's experiments: theory beside trained networks, and beside what the paper prints."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from gsdyn.experiments._tables import tabulated
from gsdyn.experiments.catalogue import Table
from gsdyn.modes import Outcome

TABLE_1 = {
    0.01: {0.5: 0.91, 0.2: 0.71, 0.1: 0.61, 0.01: 0.51},
    0.0001: {0.5: 0.99, 0.2: 0.86, 0.1: 0.72, 0.01: 0.52},
}
"""The bounds that the paper prints, by one less the confidence on the data and by the share of the rare feature."""


def table_phase_plane(dataset: xr.Dataset) -> Table:
    """How many starts end in which way, and how far networks are from the theory along the curves and the paths."""
    theory, trained = dataset["outcome"], dataset["outcome_trained"]
    rows: list[tuple[str | float, ...]] = []
    for end in Outcome:
        counts = [float((what == end).sum()) for what in (theory, trained)]
        rows.append((f"starts: {end.name.lower()}", *counts, float(((theory == end) != (trained == end)).sum())))
    for name in ("y_curve", "confidence", "y", "z"):
        known, seen = dataset[name], dataset[f"{name}_trained"]
        ends = [float(what.isel(time=-1).isel({known.dims[0]: -1})) for what in (known, seen)]
        rows.append(
            (f"{name.removesuffix('_curve')} of the last {known.dims[0]}, end", *ends, float(abs(seen - known).max()))
        )
    return Table(("what", "theory", "networks", "largest difference of all"), rows)


def table_depth(dataset: xr.Dataset) -> Table:
    """Every case at every learning rate: the relative error against the theory, and its order."""
    return tabulated(
        ("case", "learning_rate"),
        {"N": dataset["depth"], "r": dataset["norm"], "relative error": dataset["error"], "order": dataset["order"],
         "second class, stated start": dataset["stated"]},
    )  # fmt: skip


def table_hinge(dataset: xr.Dataset) -> Table:
    """Times to a confidence, by theory and of trained networks."""
    theory, trained = dataset["time_to"], dataset["time_to_trained"]
    return tabulated(
        ("loss", "share", "confidence"),
        {"time, theory": theory, "time, networks": trained, "relative difference": trained / theory - 1},
    )


def table_independent_modes(dataset: xr.Dataset) -> Table:
    """Every case, way of drawing batches and learning rate: errors and their orders, and what was kept."""
    names = ("claim", "error", "order", "counted_error", "counted_order", "drift", "drift_order")
    columns = {name.replace("_", " "): dataset[name] for name in names}
    return tabulated(("case", "batches", "learning_rate"), {**columns, "active sets kept": dataset["kept"]})


def table_broken_modes(dataset: xr.Dataset) -> Table:
    """Every assumption violated by every degree: when the networks leave the theory, and by how much."""
    names = ("amount", "changed", "left", "error", "error_before")
    return tabulated(("assumption", "degree"), {name.replace("_", " "): dataset[name] for name in names})


def table_rare_feature(dataset: xr.Dataset) -> Table:
    """Confidence on the rare feature alone: bound, Eq. 7 and networks, beside the paper's Table 1."""
    bound = dataset["table_bound"]
    printed = [
        [[TABLE_1.get(float(e), {}).get(float(q), math.nan) if i == 0 else math.nan for e in bound["table_eps"]]
         for q in bound["fraction"]]
        for i in range(bound.sizes["start"])
    ]  # fmt: skip
    return tabulated(
        ("start", "table_eps", "fraction"),
        {"bound": bound, "Eq. 7": dataset["table_integrated"], "networks": dataset["table_trained"],
         "paper, bound": bound.copy(data=np.array(printed))},
    )  # fmt: skip


def table_gan(dataset: xr.Dataset) -> Table:
    """Coverage against either loss at the steps whose samples are shown."""
    shown = dataset.sel(step=dataset["shown_step"].values)
    columns = {name: shown[name] for name in ("covered", "good", "divergence")}
    return tabulated(("loss", "step"), {**columns, "least covered": shown["covered"].min("seed")})
