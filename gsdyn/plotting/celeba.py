"""The worst group of six methods: where training stops, and on the way."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

MARKERS = (*style.MARKERS[:5], ">")  # all of them can be open


PANELS = (("last step", "at the last step"), ("worst group on validation", "stopped by validation"))


def draw_celeba(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.celeba`: worst group of every seed with its Wilson interval, average accuracy, and
    what was published for CelebA, (a) at the last step, (b) at the step chosen by the worst group of validation images;
    (c) the worst group along training, mean over seeds, and the band from the least to the greatest."""
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 3.4))
        *ends, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.25), sharey=True)
        for i, (axes, (choice, title)) in enumerate(zip(ends, PANELS, strict=True)):
            _at_the_end(axes, dataset.sel(choice=choice))
            style.letter(axes, i, title)
        ends[0].legend(loc="center right", bbox_to_anchor=(1, 0.62), fontsize=6.5)
        ends[0].set_ylabel("share of right decisions")
        _along(right, dataset["accuracy"].min("cell"))
        style.letter(right, 2, "worst group on the way")
        figure.suptitle(style.made_on(dataset), fontsize=7, color="0.35")
    return figure


def _at_the_end(axes: Axes, part: xr.Dataset) -> None:
    methods, seeds = [str(name) for name in part["run"].values], part.sizes["seed"]
    for i, method in enumerate(methods):
        own = part.sel(run=method)
        x = i + 0.5 * (np.arange(seeds) - (seeds - 1) / 2) / max(seeds, 3)
        worst, low, high = (own[name].values for name in ("worst", "worst_low", "worst_high"))
        axes.errorbar(x, worst, (worst - low, high - worst), fmt=MARKERS[i], color=style.COLOURS[i + 1], elinewidth=0.7)
        axes.plot(x, own["average"], MARKERS[i], color=style.COLOURS[i + 1], markerfacecolor="white")
    axes.plot(range(len(methods)), part["published_worst"], "_", color="0.3", markersize=12)
    axes.plot(range(len(methods)), part["published_average"], "_", color="0.65", markersize=12)
    axes.plot([], [], "o", color="0.3", label="worst group")
    axes.plot([], [], "o", color="0.3", markerfacecolor="white", label="average")
    axes.plot([], [], "_", color="0.3", markersize=9, label="published, CelebA")
    axes.set_xlim(-0.6, len(methods) - 0.4)
    axes.set_xticks(range(len(methods)), methods, rotation=35, ha="right")
    axes.set_ylim(-0.03, 1.03)


def _along(axes: Axes, worst: xr.DataArray) -> None:
    for i, method in enumerate(worst["run"].values):
        own, colour = worst.sel(run=method), style.COLOURS[i + 1]
        axes.fill_between(own["step"], own.min("seed"), own.max("seed"), color=colour, alpha=0.12, linewidth=0)
        axes.plot(own["step"], own.mean("seed"), color=colour, marker=MARKERS[i], label=str(method))
    axes.set_xscale("log")
    axes.set_xlabel("steps of Adam")
    axes.set_ylim(-0.03, 1.03)
    axes.legend(loc="upper left", fontsize=6.5, ncols=2)
