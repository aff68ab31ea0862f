"""Eight Gaussians: what generators cover against either loss of the discriminator."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

PANELS = (
    ("covered", "modes covered", (-0.3, 8.3)),
    ("good", "share of good samples", (-0.03, 1.03)),
    ("divergence", "divergence (nats)", (0, 0.72)),
)


def draw_gan(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.gan`: mean and spread over seeds along training, and samples of the first seed.

    A mode is covered where a sample lies within three widths of its centre; such samples are good. The divergence is
    that of Jensen and Shannon between the good samples' shares of the modes and even shares. Bands: least and greatest
    over the seeds.
    """
    losses, shown = dataset["loss"].values, dataset["shown_step"].values
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 5.0))
        rows = figure.add_gridspec(2, 1, height_ratios=(1, 1.45))
        top, bottom = (figure.add_subfigure(rows[i]) for i in range(2))
        panels = np.atleast_1d(top.subplots(1, len(PANELS)))
        for i, (axes, (name, text, limits)) in enumerate(zip(panels, PANELS, strict=True)):
            for j, loss in enumerate(losses):
                _curve(axes, dataset[name].sel(loss=loss), j, str(loss))
            axes.set_xlabel("steps")
            axes.set_ylabel(text)
            style.letter(axes, i)
            axes.set_ylim(*limits)
            if name == "covered":
                axes.legend(loc="center right")
        grid = bottom.subplots(len(losses), len(shown), sharex=True, sharey=True, squeeze=False)
        for j, loss in enumerate(losses):
            for k, step in enumerate(shown):
                _samples(grid[j, k], dataset, dataset["samples"].sel(loss=loss, shown_step=step).isel(seed=0), j)
                if j == 0:
                    grid[j, k].set_title(f"{step:,} steps", fontsize=7.5)
            grid[j, 0].set_ylabel(str(loss))
    return figure


def _curve(axes: Axes, values: xr.DataArray, index: int, text: str) -> None:
    colour, steps = style.COLOURS[index + 1], values["step"]
    axes.fill_between(steps, values.min("seed"), values.max("seed"), color=colour, alpha=0.2, linewidth=0)
    axes.plot(steps, values.mean("seed"), color=colour, linestyle=style.DASHES[index], label=text)


def _samples(axes: Axes, dataset: xr.Dataset, samples: xr.DataArray, index: int) -> None:
    x, y = samples.isel(axis=0), samples.isel(axis=1)
    axes.plot(x, y, ".", color=style.COLOURS[index + 1], markersize=1.6, alpha=0.6, rasterized=True)
    centres = dataset["centres"]
    axes.plot(centres.isel(axis=0), centres.isel(axis=1), "+", color="0.2", markersize=6, markeredgewidth=0.7)
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
