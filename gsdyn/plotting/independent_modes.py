"""Independent modes in trained networks: curves, and errors that fall with the learning rate."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style


def draw_independent_modes(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.independent_modes`: a column per case.

    Above, margins by theory (lines) and of networks trained at the smallest learning rate (symbols), one start. Below,
    the largest relative error over all inputs, starts and the whole curve, with its fitted order.
    """
    cases = [str(name) for name in dataset["case"].values]
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 4.6))
        grid = figure.subplots(2, len(cases), sharey="row", sharex="row", squeeze=False)
        for j, name in enumerate(cases):
            part = dataset.sel(case=name)
            _curves(grid[0, j], part)
            _errors(grid[1, j], part)
            style.letter(grid[0, j], j, name)
            grid[1, j].set_title(str(part["claim"].values), loc="left")
        grid[0, 0].set_ylabel(style.label(dataset["margin"], "margin"))
        grid[1, 0].set_ylabel(style.label(dataset["error"], "largest relative error"))
        handles, labels = grid[1, 0].get_legend_handles_labels()
        names = [text.rsplit(":", 1)[0] for text in labels]
        figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def _curves(axes: Axes, dataset: xr.Dataset) -> None:
    one = dataset.isel(seed=0, learning_rate=-1)
    for i, point in enumerate(dataset["point"].values):
        theory = one["theory"].sel(point=point)
        if np.isnan(theory).all():
            continue
        axes.plot(one["time"], theory, color=style.COLOURS[i], linestyle=style.DASHES[i % 4])
        for j, batches in enumerate(dataset["batches"].values[:2]):
            margin = one["margin"].sel(point=point, batches=batches)
            axes.plot(one["time"], margin, style.MARKERS[j], color=style.COLOURS[i], markerfacecolor="white",
                      markevery=(2 * i + 5 * j, 11))  # fmt: skip
    axes.set_xlabel(style.label(dataset["time"], "time $t$"))


def _errors(axes: Axes, dataset: xr.Dataset) -> None:
    rates = dataset["learning_rate"].values
    lines = [(name, "error", "order", name) for name in dataset["batches"].values]
    lines.append((lines[-1][0], "counted_error", "counted_order", f"{lines[-1][0]}, at the times counted"))
    for i, (batches, values, order, text) in enumerate(lines):
        part = dataset.sel(batches=batches)
        looks = {"color": style.COLOURS[i], "linestyle": style.DASHES[i], "marker": style.MARKERS[i]}
        axes.plot(rates, style.above_rounding(part[values]), label=f"{text}: {float(part[order]):.2f}", **looks)
        axes.annotate(f"{float(part[order]):.2f}", (rates[-1], float(part[values][-1])), xytext=(-4, 2 if i else -1),
                      textcoords="offset points", ha="right", va="bottom" if i else "top", fontsize=6.5,
                      color=style.COLOURS[i])  # fmt: skip
    axes.loglog()
    axes.margins(y=0.12)
    axes.set_xlim(left=rates[-1] / 3)
    axes.axhline(0.01, color="0.6", linewidth=0.6, zorder=0)
    # two lines: beside each other, four panels have no room for one
    axes.set_xlabel(style.label(dataset["learning_rate"], "learning rate").replace(" (", "\n("))
