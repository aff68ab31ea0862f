"""Where the theory of independent modes stops: H1, H2, H3 violated by degrees."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

AMOUNTS = {
    "H1": "cosine",
    "H2": "leak $b_0/a_0$",
    "H3": "$r z_0/y_0$",
}
FLOOR = 1e-5


def draw_broken_modes(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.broken_modes`: a column per assumption.

    Above, the first class's logit in three degrees: theory of independent modes (dashed), trained network (solid, with
    symbols), a bar where an active set first changes; under H2 also the theory of A.6 (dotted). Below, the largest
    error of a logit against the degree, over the whole curve and before that change.
    """
    names = [str(name) for name in dataset["assumption"].values]
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 4.8))
        grid = figure.subplots(2, len(names), squeeze=False)
        for j, name in enumerate(names):
            part = dataset.sel(assumption=name)
            _curves(grid[0, j], part, dataset["competition"] if name == "H2" else None)
            _errors(grid[1, j], part, dataset["competition_error"] if name == "H2" else None)
            style.letter(grid[0, j], j, f"{name} violated")
            grid[0, j].set_xlabel(style.label(dataset["time"], "time $t$"))
            grid[1, j].set_xlabel(style.label(dataset["amount"], AMOUNTS[name]))
        grid[0, 0].set_ylabel(style.label(dataset["margin"], "logit of class 1"))
        grid[1, 0].set_ylabel(style.label(dataset["error"], "largest error of a logit"))
    return figure


def _curves(axes: Axes, dataset: xr.Dataset, rival: xr.DataArray | None) -> None:
    number = dataset["degree"].values
    for i, degree in enumerate((number[0], number[len(number) // 2 + 1], number[-1])):
        part = dataset.sel(degree=degree, point=1)
        colour = style.COLOURS[i]
        axes.plot(part["time"], part["theory"], color=colour, linestyle=style.DASHES[1])
        axes.plot(part["time"], part["margin"], color=colour, marker=style.MARKERS[i], markerfacecolor="white",
                  markevery=(6 * i, 24), label=f"{float(part['amount']):g}")  # fmt: skip
        if rival is not None:
            axes.plot(part["time"], rival.sel(degree=degree, point=1), color=colour, linestyle=":", linewidth=2)
        if np.isfinite(part["changed"]):
            place = float(part["changed"])
            axes.plot(place, np.interp(place, part["time"], part["margin"]), "|", color=colour, markersize=14)
    axes.legend(loc="best", title="degree")


def _errors(axes: Axes, dataset: xr.Dataset, rival: xr.DataArray | None) -> None:
    lines = [
        (dataset["error"], "whole curve"),
        (dataset["error_before"], "until an active set changes"),
    ]
    if rival is not None:
        lines.append((rival, "theory of A.6, whole curve"))
    for i, (values, text) in enumerate(lines):
        shown = style.above_rounding(values.clip(min=FLOOR))
        axes.plot(dataset["amount"], shown, color=style.COLOURS[i], marker=style.MARKERS[i],
                  linestyle=style.DASHES[i], label=text)  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(FLOOR, 2e3)
    axes.legend(loc="upper left", fontsize=6.5)
