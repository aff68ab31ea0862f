"""Responses on the two moons along training (P21 Fig 2)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from gsdyn.plotting import style


def draw_moons_responses(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.moons_responses`: the size of followed responses along training, a panel for
    each margin of the data; and that of every feature at the end. Bands and bars: standard deviation over seeds. Names
    are those of `draw_moons`: "ERM" is the loss alone, "SD" has spectral decoupling, the number is the margin."""
    variants = [str(name) for name in dataset["variant"].values]
    size: xr.DataArray = abs(dataset["response"])
    followed = [int(number) for number in np.atleast_1d(dataset.attrs["followed"])]
    margins = list(dict.fromkeys(name.split()[-1] for name in variants))
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 2.7))
        panels = np.atleast_1d(figure.subplots(1, len(margins) + 1))
        for i, margin in enumerate(margins):
            for j, name in enumerate(v for v in variants if v.endswith(margin)):
                for k, number in enumerate(followed):
                    part = size.sel(variant=name, feature=number)
                    looks = {"color": style.COLOURS[k], "linestyle": style.DASHES[j]}
                    mean, spread = part.mean("seed"), style.spread(part)
                    panels[i].plot(part["step"], mean, label=f"{name.split()[0]}, feature {number}", **looks)
                    band = {"color": style.COLOURS[k], "alpha": 0.15, "linewidth": 0}
                    panels[i].fill_between(part["step"], mean - spread, mean + spread, **band)
            panels[i].set_xscale("symlog", linthresh=10)
            panels[i].set_xlabel(style.label(dataset["step"], "steps"))
            style.letter(panels[i], i, f"margin of the data ${margin}$")
        panels[0].set_ylabel(style.label(dataset["response"], "$|z_j|$, mean over seeds"))
        panels[0].legend(loc="upper left")
        _at_the_end(panels[-1], size.isel(step=-1), variants)
        style.letter(panels[-1], len(margins), f"after {int(dataset['step'][-1]):,} steps")
    return figure


def _at_the_end(axes, size: xr.DataArray, variants: list[str]) -> None:
    for j, name in enumerate(variants):
        part = size.sel(variant=name)
        place = part["feature"] + 0.16 * (j - (len(variants) - 1) / 2)
        axes.errorbar(place, part.mean("seed"), style.spread(part), fmt=style.MARKERS[j], color=style.COLOURS[j],
                      markerfacecolor="white" if name.startswith("ERM") else style.COLOURS[j], elinewidth=0.6,
                      label=name)  # fmt: skip
    axes.set_yscale("log")
    axes.set_xticks(size["feature"].values)
    axes.set_xlabel("feature")
    axes.legend(loc="upper right", fontsize=6.5, ncols=2, columnspacing=0.8, handletextpad=0.2)
    axes.set_ylim(0.1, 8 * float(size.mean("seed").max()))
