"""Theory against training: networks of finite width beside the prediction."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from gsdyn.plotting import style


def draw_width(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.width`: responses of the narrowest and widest networks beside the theory, the
    error against width with its fitted exponent, who starves whom, and the two places where the prediction breaks."""
    problems = [str(name) for name in dataset["problem"].values]
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 4.9))
        grid = figure.subplots(2, 3)
        shown = [grid[0, 0], grid[0, 1]][: len(problems)]
        for i, name in enumerate(problems[:2]):
            _paths(shown[i], _known(dataset.sel({"problem": name})))
            style.letter(shown[i], i, name)
        for axes in (grid[0, 0], grid[0, 1])[len(problems) :]:
            axes.set_axis_off()
        _errors(grid[0, 2], dataset)
        style.letter(grid[0, 2], 2, "error of the path")
        _changes(grid[1, 0], dataset)
        style.letter(grid[1, 0], 3, "feature 1 made stronger")
        _standard(grid[1, 1], dataset)
        style.letter(grid[1, 1], 4, "standard parameterisation")
        _rates(grid[1, 2], dataset)
        style.letter(grid[1, 2], 5, f"large steps, width {int(dataset.attrs['rate_width']):,}")
    return figure


def _known(part: xr.Dataset) -> xr.Dataset:
    """Without the widths that were not trained."""
    return part.dropna("width", subset=["end_error"])


def _paths(axes: Axes, part: xr.Dataset) -> None:
    """Responses over the size of their prediction at the end, so that all five show."""
    end = abs(part["theory"].isel(record=-1))
    for i, number in enumerate(part["number"].values):
        looks = {"color": style.COLOURS[i], "linestyle": style.DASHES[i % 4], "label": f"$z_{{{number}}}$"}
        axes.plot(part["time"], (part["theory"] / end).isel(feature=i), **looks)
        for w, face in ((0, "white"), (-1, style.COLOURS[i])):
            trained = (part["trained"] / end).isel(width=w, seed=0, feature=i)
            axes.plot(part["time"], trained, style.MARKERS[i], color=style.COLOURS[i], markerfacecolor=face,
                      markersize=2.8, markeredgewidth=0.6, markevery=(2 * i + w, 10))  # fmt: skip
    narrow, wide = (int(part["width"].values[w]) for w in (0, -1))
    axes.plot([], [], "o", color="black", markerfacecolor="white", markersize=2.8, label=f"width {narrow:,}")
    axes.plot([], [], "o", color="black", markersize=2.8, label=f"width {wide:,}")
    axes.set_xscale("log")
    axes.set_xlabel(style.label(part["time"], "time"))
    axes.set_ylabel(style.label(part["trained"], r"$z_j(t)/|z_j(\infty)|$"))
    axes.legend(loc="best", fontsize=6.5, handlelength=1.6, labelspacing=0.25)


def _errors(axes: Axes, dataset: xr.Dataset) -> None:
    widths = dataset["width"].values
    for i, name in enumerate(dataset["problem"].values):
        for k, prediction in enumerate(dataset["prediction"].values):
            part = dataset.sel({"problem": name, "prediction": prediction})
            text = f"{name}, {prediction}: ${float(part['exponent']):.2f}$"
            mean = part["path_error"].median("seed")
            looks = {"color": style.COLOURS[i], "linestyle": style.DASHES[k], "marker": style.MARKERS[2 * i + k]}
            axes.plot(widths, mean, label=text, markerfacecolor="white" if k else style.COLOURS[i], **looks)
            for seed in range(part.sizes["seed"]):
                axes.plot(widths, part["path_error"].isel(seed=seed), ".", color=style.COLOURS[i], markersize=1.5)
    _logarithmic(axes, dataset["width"], "width")
    axes.set_ylabel(style.label(dataset["path_error"], "relative error"))
    low, high = axes.get_ylim()
    axes.set_ylim(low / 12, high)
    axes.legend(loc="lower left", fontsize=6, title="NTK: exponent", title_fontsize=6)


def _changes(axes: Axes, dataset: xr.Dataset) -> None:
    """Changes of the five responses, predicted and of the widest networks, over the size of the largest."""
    place = np.arange(1, dataset.sizes["feature"] + 1)
    for i, name in enumerate(dataset["problem"].values):
        part = dataset.sel({"problem": name})
        scale = float(abs(part["change_theory"]).max())
        x = place + 0.36 * (i - (dataset.sizes["problem"] - 1) / 2)
        axes.bar(x, part["change_theory"] / scale, 0.34, color="white" if i else "#D0D0D0", edgecolor=style.BLACK,
                 linewidth=0.6, label=f"{name}: theory")  # fmt: skip
        part = _known(part)
        widest = part["change"].isel(width=-1) / scale
        axes.errorbar(x, widest.mean("seed"), style.spread(widest), fmt=style.MARKERS[i], color=style.COLOURS[i + 1],
                      capsize=1.5, elinewidth=0.8, label=f"{name}: width {int(part['width'][-1]):,}")  # fmt: skip
    axes.axhline(0, color=style.BLACK, linewidth=0.5)
    axes.set_yscale("symlog", linthresh=0.02, linscale=0.6)
    axes.set_xticks(place)
    axes.set_xlabel("rank of the feature")
    axes.set_ylabel(style.label(dataset["change"], r"$\Delta z_j/\max|\Delta z|$"))
    axes.set_ylim(top=60)
    axes.set_yticks([-0.1, -0.01, 0, 0.01, 0.1, 1], ["-0.1", "-0.01", "0", "0.01", "0.1", "1"])
    axes.legend(loc="upper right", fontsize=6.5, labelspacing=0.2)


def _standard(axes: Axes, dataset: xr.Dataset) -> None:
    for k, prediction in enumerate(dataset["prediction"].values):
        error = dataset["standard_error"].sel({"prediction": prediction})
        looks = {"color": style.COLOURS[k], "linestyle": style.DASHES[k], "marker": style.MARKERS[k]}
        axes.plot(dataset["width"], error.median("seed"), label=f"NTK {prediction}", **looks)
    _logarithmic(axes, dataset["width"], "width")
    axes.set_ylabel(style.label(dataset["standard_error"], "relative error"))
    axes.legend(loc="best", fontsize=6.5)


def _rates(axes: Axes, dataset: xr.Dataset) -> None:
    error = dataset["rate_error"]
    axes.plot(dataset["rate"], error.mean("seed"), color=style.BLACK, marker="o")
    for seed in range(error.sizes["seed"]):
        axes.plot(dataset["rate"], error.isel(seed=seed), ".", color="#7F7F7F", markersize=2.5)
    axes.axvline(1.0, color=style.BLACK, linewidth=0.6, linestyle=style.DASHES[1])
    _logarithmic(axes, dataset["rate"], "rate / stable rate")
    axes.set_ylabel(style.label(error, "relative error"))


def _logarithmic(axes: Axes, variable: xr.DataArray, symbol: str) -> None:
    axes.loglog()
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(style.label(variable, symbol))
