"""The colour probe: accuracy and entropy of every method on four versions of the test images."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style
from gsdyn.plotting.colour_digits import LOOKS

SYMBOLS = {"accuracy": "accuracy", "entropy": "mean entropy in nats"}


def draw_colour_probe(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.colour_probe`: a panel each for accuracy and entropy, means over seeds with their
    standard deviation, and the level of a coin's throw."""
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 2.9))
        for index, (axes, name, coin) in enumerate(
            zip(figure.subplots(1, 2), ("accuracy", "entropy"), (0.5, float(np.log(2))), strict=True)
        ):
            axes.axhline(coin, color="0.5", linewidth=0.6, linestyle=":")
            _points(axes, dataset[name])
            axes.set_ylabel(style.label(dataset[name], SYMBOLS[name]))
            style.letter(axes, index, name)
            axes.set_ylim(-0.03, 1.08 if name == "accuracy" else 0.75)
        figure.axes[0].text(0.99, 0.51, "a coin's throw ", fontsize=6.5, color="0.35", va="bottom", ha="right",
                            transform=figure.axes[0].get_yaxis_transform())  # fmt: skip
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7)
        figure.suptitle(dataset.attrs["data"], fontsize=7, color="0.35")
    return figure


def _points(axes: Axes, values: xr.DataArray) -> None:
    place = np.arange(values.sizes["variant"])
    runs = [str(name) for name in values["run"].values]
    for i, name in enumerate(runs):
        part = values.sel(run=name)
        x = place + 0.12 * (i - (len(runs) - 1) / 2)
        axes.errorbar(x, part.mean("seed"), style.spread(part), fmt=style.MARKERS[i], color=LOOKS[name]["color"],
                      markersize=4, elinewidth=0.8, capsize=1.5, label=name)  # fmt: skip
    axes.set_xticks(place, [str(name) for name in values["variant"].values])
