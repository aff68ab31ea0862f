"""One class dark, the other bright: what becomes of new images, and of untouched ones by the size of the shift."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

CLASSES = {-1: "class −1 dark", 1: "class +1 dark"}


def draw_brightness(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.brightness`: (a) the three sets at the full shift beside C18's numbers, (b, c)
    accuracy on untouched images against the size of the shift, a panel for each class that is dark. Means over seeds
    and their standard deviation."""
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 2.9))
        first, *others = figure.subplots(1, 3, sharey=True, width_ratios=(1.1, 1, 1))
        _full_shift(first, dataset)
        for i, (axes, dark) in enumerate(zip(others, dataset["dark"].values, strict=True)):
            _gradual(axes, dataset["accuracy"].sel(dark=dark, set="untouched test"))
            style.letter(axes, i + 1, f"untouched, {CLASSES[int(dark)]}")
        first.set_ylim(0.35, 1.04)
        first.legend(loc="lower left", fontsize=6.5)
        figure.legend(*others[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        figure.suptitle(style.made_on(dataset), fontsize=7, color="0.35")
    return figure


def _full_shift(axes: Axes, dataset: xr.Dataset) -> None:
    values = dataset["accuracy"].isel(shift=-1)
    place = np.arange(values.sizes["set"])
    for j, dark in enumerate(values["dark"].values):
        for i, model in enumerate(values["model"].values):
            part = values.sel(model=model, dark=dark)
            x = place + 0.09 * (i - 1.5) + 0.4 * (j - 0.5)
            axes.errorbar(x, part.mean("seed"), style.spread(part), fmt=style.MARKERS[i], color=style.COLOURS[i + 1],
                          markerfacecolor="white" if j else style.COLOURS[i + 1], elinewidth=0.8)  # fmt: skip
    axes.plot(place, dataset.attrs["published"], "_", color="0.3", markersize=30)
    axes.plot([], [], "_", color="0.3", label="C18, cats and dogs")
    axes.plot([], [], "o", color="0.3", label=CLASSES[-1])
    axes.plot([], [], "o", color="0.3", markerfacecolor="white", label=CLASSES[1])
    axes.set_xticks(place, [str(name).replace(" ", "\n") for name in values["set"].values])
    axes.set_ylabel(style.label(values))
    style.letter(axes, 0, "full shift")


def _gradual(axes: Axes, values: xr.DataArray) -> None:
    place = np.arange(values.sizes["shift"])
    axes.axhline(0.5, color="0.5", linewidth=0.6, linestyle=":")
    for i, model in enumerate(values["model"].values):
        part = values.sel(model=model)
        looks = {"color": style.COLOURS[i + 1], "linestyle": style.DASHES[i], "marker": style.MARKERS[i]}
        axes.errorbar(place, part.mean("seed"), style.spread(part), label=str(model), elinewidth=0.8, **looks)
    axes.set_xticks(place, [_fraction(float(shift)) for shift in values["shift"]])
    axes.set_xlabel("size of the shift")


def _fraction(value: float) -> str:
    return f"{value:g}" if value in (0, 1) else f"1/{1 / value:.0f}"
