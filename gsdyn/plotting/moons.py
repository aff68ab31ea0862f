"""Decision boundaries on the two moons (P21 Figs 1 and 7), and margins in input space."""

from __future__ import annotations

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, SubFigure

from gsdyn.plotting import style

PALE = ListedColormap(matplotlib.colormaps["PuOr"](np.linspace(0.25, 0.75, 256)), "pale")
LEVELS = 9
COLUMNS = 5
NAMES = "ERM: cross-entropy alone. SD: with spectral decoupling. The number is the margin between the two moons."


def draw_moons(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.moons`: mean logits at both times for every variant, and margins in input space.

    "ERM -0.1" is the loss alone (empirical risk minimisation) on moons with a margin of -0.1, which overlap; "SD" has
    spectral decoupling beside it.
    """
    steps, variants = dataset["step"].values, dataset["variant"].values
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 1.9 + 1.8 * len(steps)))
        above, below = _halves(figure, 1.8 * len(steps), 1.9)
        above.suptitle(NAMES, fontsize=7)
        grid = above.subplots(len(steps), len(variants), squeeze=False, sharex=True, sharey=True)
        for i, step in enumerate(steps):
            for j, variant in enumerate(variants):
                style.letter(grid[i, j], i * len(variants) + j, str(variant))
                draw_boundary(grid[i, j], dataset.sel({"variant": variant, "step": step}))
        _frame(dataset, grid)
        for axes, step in zip(grid[:, 0], steps, strict=True):
            axes.set_ylabel(f"{step:,} steps\n{axes.get_ylabel()}")
        panels = below.subplots(1, 2)
        for i, name in enumerate(("mean_margin", "least_margin")):
            _bars(panels[i], dataset, name)
            style.letter(panels[i], len(steps) * len(variants) + i, dataset[name].attrs["long_name"])
        panels[1].legend(loc="upper left")
    return figure


def _halves(figure: Figure, above: float, below: float) -> list[SubFigure]:
    """Two parts of a figure, one above the other, each with a layout of its own."""
    return list(np.atleast_1d(np.asarray(figure.subfigures(2, 1, height_ratios=[above, below]), object)))


def draw_boundary(axes: Axes, dataset: xr.Dataset) -> None:
    """The mean logit, shaded by its level, the decision boundary (heavy) and the points of the first seed."""
    first, second, logit = dataset["first"], dataset["second"], dataset["logit"].values.T
    top = max(float(np.abs(logit).max()), 1e-6)
    levels = np.linspace(-top, top, LEVELS + 1)
    axes.contourf(first, second, logit, levels, cmap=PALE)
    axes.contour(first, second, logit, levels, colors=style.BLACK, linewidths=0.15, linestyles="-")
    axes.contour(first, second, logit, [0.0], colors=style.BLACK, linewidths=1.4)
    for label, marker, face in ((1, "^", "white"), (-1, "o", style.BLACK)):
        points = dataset["input"].values[dataset["label"].values == label]
        axes.plot(*points.T, marker, color=style.BLACK, markerfacecolor=face, markersize=1.7, markeredgewidth=0.35)
    axes.set_aspect("equal")
    axes.set_xlim(-2, 2)
    axes.set_ylim(-2, 2)
    axes.set_xticks([-2, 0, 2])
    axes.set_yticks([-2, 0, 2])


def _frame(dataset: xr.Dataset, grid: np.ndarray) -> None:
    for axes in grid[-1]:
        axes.set_xlabel(style.label(dataset["first"], "$x_1$"))
    for axes in grid[:, 0]:
        axes.set_ylabel(style.label(dataset["second"], "$x_2$"))


def _bars(axes: Axes, dataset: xr.Dataset, name: str) -> None:
    """Every seed, and the mean over seeds with its standard deviation, for every variant and time."""
    variants, steps = dataset["variant"].values, dataset["step"].values
    for j, step in enumerate(steps):
        values = dataset[name].sel({"step": step})
        place = np.arange(len(variants)) + 0.32 * (j - (len(steps) - 1) / 2)
        for k, x in enumerate(place):
            axes.plot(np.full(values.sizes["seed"], x), values.isel(variant=k), ".", color="#7F7F7F", markersize=2)
        axes.errorbar(place + 0.1, values.mean("seed"), style.spread(values), fmt=style.MARKERS[j], color=style.BLACK,
                      markerfacecolor=style.BLACK if j else "white", capsize=2, label=f"{step:,} steps")  # fmt: skip
    axes.axhline(0.0, color=style.BLACK, linewidth=0.5)
    axes.set_xticks(np.arange(len(variants)), variants)
    axes.set_ylabel(style.label(dataset[name], "distance"))


def draw_moons_regularisers(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.moons_regularisers`: mean logits of every variant, and margins in input space."""
    variants = [str(name) for name in dataset["variant"].values]
    part = dataset.isel(step=-1)
    rows = -(-len(variants) // COLUMNS)
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 1.55 * rows + 2.2))
        above, below = _halves(figure, 1.55 * rows, 2.2)
        grid = above.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
        for axes in grid.ravel()[len(variants) :]:
            axes.set_axis_off()
        usual = int(part["runs"].max())
        for axes, variant in zip(grid.ravel(), variants, strict=False):
            count = int(part["runs"].sel({"variant": variant}))
            axes.set_title(
                variant if count == usual else f"{variant} ({count} seed{'s' if count > 1 else ''})",
                loc="left",
                fontsize=7,
            )
            draw_boundary(axes, part.sel({"variant": variant}))
        _frame(dataset, grid)
        panels = below.subplots(1, 2, sharey=True)
        for i, name in enumerate(("mean_margin", "least_margin")):
            _ranked(panels[i], part, name, variants)
            style.letter(panels[i], i, part[name].attrs["long_name"])
    return figure


def _ranked(axes: Axes, dataset: xr.Dataset, name: str, variants: list[str]) -> None:
    values = dataset[name]
    place = np.arange(len(variants))[::-1]
    for k, y in enumerate(place):
        axes.plot(values.isel(variant=k), np.full(values.sizes["seed"], y), ".", color="#7F7F7F", markersize=2.5)
    axes.errorbar(values.mean("seed"), place - 0.25, xerr=style.spread(values), fmt="o", color=style.BLACK,
                  markersize=3, capsize=2)  # fmt: skip
    axes.axvline(float(values.mean("seed")[-1]), color=style.BLACK, linewidth=0.6, linestyle=style.DASHES[1])
    axes.set_yticks(place, variants)
    axes.set_ylim(-0.7, len(variants) - 0.5)
    axes.set_xlabel(style.label(values, "distance: seeds, their mean and s.d."))
