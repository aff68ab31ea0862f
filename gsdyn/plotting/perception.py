"""A shortcut beside the label itself: the transition at d = n, and the way there (Puli et al. 2023)."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style


def draw_perception(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.perception`: the worst group at the optimum of spectral decoupling against d/n, and
    along training for one ratio on either side."""
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 2.9))
        panels = figure.subplots(1, 3, sharey=True)
        _transition(panels[0], dataset)
        style.letter(panels[0], 0, "where spectral decoupling ends")
        for i, (axes, ratio) in enumerate(zip(panels[1:], dataset["problem"].values, strict=True), 1):
            _training(axes, dataset.sel(problem=ratio), dataset.attrs, float(ratio))
            style.letter(axes, i, f"on the way, $d/n = {ratio:g}$")
        panels[0].set_ylabel("accuracy where the shortcut is wrong")
        panels[2].legend(loc="upper left")
    return figure


def _transition(axes: Axes, dataset: xr.Dataset) -> None:
    value, colour = dataset["optimum"], style.COLOURS[1]
    axes.axvline(1.0, color="0.7", linewidth=0.6)
    below = value["ratio"].values < 1
    for part in (value[:, below], value[:, ~below]):
        axes.plot(part["ratio"], part.mean("seed"), color=colour)
        axes.fill_between(part["ratio"], part.min("seed"), part.max("seed"), color=colour, alpha=0.25, linewidth=0)
    axes.plot(value["ratio"], value.mean("seed"), "o", color=colour, label="closed form")
    ends = dataset.attrs["published_ends"]
    axes.plot(dataset["problem"], ends, "X", color=style.COLOURS[2], markersize=6, label="published")
    axes.set_xlabel(style.label(dataset["ratio"], "$d/n$"))
    axes.set_ylim(-0.03, 1.05)
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.75))


def _training(axes: Axes, dataset: xr.Dataset, settings: dict, ratio: float) -> None:
    for i, loss in enumerate(dataset["loss"].values):
        part, colour = dataset.sel(loss=loss), style.COLOURS[(2, 1)[i]]
        path = part["path"]
        axes.plot(path["time"], path.mean("seed"), color=colour, linestyle=style.DASHES[(1, 0)[i]], label=loss)
        axes.fill_between(path["time"], path.min("seed"), path.max("seed"), color=colour, alpha=0.2, linewidth=0)
        axes.plot(path["time"], part["descent"].mean("seed"), style.MARKERS[i], color=colour, markerfacecolor="white",
                  markevery=3, label="_" if i else "gradient descent")  # fmt: skip
        level = settings["published"][i]
        if ratio == settings["published_ratio"][i]:
            axes.axhline(level, color=colour, linewidth=0.8, linestyle=style.DASHES[2])
            axes.text(1000, level + 0.015, f"published {level:.3f}", fontsize=7, color=colour, ha="right")
    axes.set_xscale("log")
    axes.set_xlabel(style.label(dataset["time"], "learning rate × steps"))
