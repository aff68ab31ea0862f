"""Coloured digits: trained networks, the kernel flow that predicts them, and the features behind it."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

BLACK, BLUE, RED, GREEN, PINK, ORANGE, SKY, GREY = style.COLOURS
LOOKS = {
    "ERM": {"color": GREY, "linestyle": "-"},
    "SD": {"color": BLUE, "linestyle": "-", "linewidth": 1.6},
    "SD, fresh Adam": {"color": RED, "linestyle": "-"},
    "IRM": {"color": PINK, "linestyle": style.DASHES[1]},
    "V-REx": {"color": ORANGE, "linestyle": style.DASHES[3]},
    "oracle": {"color": GREEN, "linestyle": "-"},
}
KERNEL = {"color": BLACK, "linestyle": (0, (4, 1.5)), "linewidth": 1.2}
GROUPS = {"all": (BLACK, "-"), "aligned": (SKY, style.DASHES[1]), "conflicting": (RED, style.DASHES[3])}
SINCE = "time since switch"
LEGEND = {"fontsize": 6.3, "handlelength": 2.0, "columnspacing": 1.0, "labelspacing": 0.25}


def draw_colour_digits(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.colour_digits`, in five panels.

    Test accuracy of trained networks over steps with the kernel's prediction; the same flow in its own time, by groups,
    with its peak and its end; which features are unlearnt when; what they add to the margins of conflicting images; and
    a wide network by gradient descent. Lines are means and bands standard deviations over seeds.
    """
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 5.2))
        grid = figure.add_gridspec(2, 6, height_ratios=(1.2, 1))
        places = [grid[0, :3], grid[0, 3:], grid[1, :2], grid[1, 2:4], grid[1, 4:]]
        panels = [figure.add_subplot(place) for place in places]
        _trained(panels[0], dataset)
        _groups(panels[1], dataset)
        _left(panels[2], dataset)
        _margins(panels[3], dataset)
        _wide(panels[4], dataset)
        seeds = dataset.sizes["seed"]
        titles = (
            f"test accuracy, {seeds} {'seed' if seeds == 1 else 'seeds'}",
            "the kernel flow after the switch",
            "features left to unlearn",
            "conflicting test images",
            dataset.attrs["wide"],
        )
        for index, (axes, title) in enumerate(zip(panels, titles, strict=True)):
            style.letter(axes, index, title)
        figure.suptitle(dataset.attrs["data"], fontsize=7, color="0.35")
    return figure


def _band(axes: Axes, x: xr.DataArray, values: xr.DataArray, **looks) -> None:
    """The mean over seeds, and its standard deviation on either side."""
    mean, off = values.mean("seed"), style.spread(values)
    axes.plot(x, mean, **looks)
    axes.fill_between(x, mean - off, mean + off, color=looks["color"], alpha=0.18, linewidth=0)


def _trained(axes: Axes, dataset: xr.Dataset) -> None:
    for name, looks in LOOKS.items():
        part = dataset["accuracy"].sel(run=name, row="test, all").dropna("step", how="all")
        _band(axes, part["step"], part, label=name, **looks)
    predicted = dataset["predicted"].sel(kernel_row="test, all").dropna("step", how="all").mean("seed")
    axes.plot(predicted["step"], predicted, label="SD by the kernel flow", zorder=5, **KERNEL)
    switch = dataset.attrs["switch_step"]
    axes.axvline(switch, color="0.5", linewidth=0.6, linestyle=":")
    axes.text(switch, 0.02, " SD is switched on", fontsize=6.5, color="0.35", va="bottom")
    axes.set_xlim(0, float(dataset["step"].max()))
    axes.set_ylim(0, 1.05)
    axes.set_yticks(np.linspace(0, 0.8, 5))
    axes.set_xlabel(style.label(dataset["step"], "steps of Adam"))
    axes.set_ylabel(style.label(dataset["accuracy"], "test accuracy"))
    axes.legend(loc="upper center", ncols=3, **LEGEND)


def _groups(axes: Axes, dataset: xr.Dataset) -> None:
    time = dataset["time"]
    fit = dataset["flow"].sel(kernel_row="train, all")
    _band(axes, time, fit, color=GREY, linewidth=0.9, linestyle=style.DASHES[2], label="training images")
    for name, (colour, dashes) in GROUPS.items():
        wide = 1.6 if name == "all" else 1.1
        _band(axes, time, dataset["flow"].sel(kernel_row=f"test, {name}"), color=colour, linestyle=dashes,
              linewidth=wide, label=f"test, {name}")  # fmt: skip
    test = dataset["flow"].sel(kernel_row="test, all").mean("seed")
    best = _peak(dataset)
    top = float(test.sel(time=best))
    axes.plot(best, top, marker="o", color=BLACK, markersize=4, zorder=6)
    axes.annotate(f"peak {100 * top:.0f}%", (best, top), (0, 7), textcoords="offset points", ha="center", fontsize=6.5)
    end = float(dataset["end"].sel(kernel_row="test, all").mean())
    axes.axhline(end, color="0.5", linewidth=0.6, linestyle=":")
    axes.text(1.3e-4, 0.02, f"dotted: least squares {100 * end:.0f}%", fontsize=6.5, color="0.35", va="bottom")
    last = _last(dataset)
    axes.axvspan(float(time[0]), last, color=BLUE, alpha=0.07, linewidth=0)
    past = f" steps up to\n {int(dataset['step'].max()):,} in (a)"
    axes.text(last, 0.02, past, fontsize=6.5, color=BLUE, va="bottom")
    _time_axis(axes, time)
    axes.set_ylim(0, 1.3)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_ylabel(style.label(dataset["flow"], "accuracy"))
    axes.legend(loc="upper center", ncols=2, **LEGEND)


def _left(axes: Axes, dataset: xr.Dataset) -> None:
    """A line for every band, named where half is left: the colour in its own colour, the others from dark to light."""
    names = [str(name) for name in dataset["band"].values]
    for i, name in enumerate(names):
        shade = str(0.1 + 0.6 * (i - 1) / max(1, len(names) - 2))
        looks = {"color": RED, "linewidth": 2.2, "zorder": 5} if i == 0 else {"color": shade, "linewidth": 1.0}
        left = dataset["left"].isel(band=i)
        axes.plot(dataset["time"], left, **looks)
        half = float(dataset["time"][int(np.argmax(left.values < 0.5))])
        axes.text(half, 0.5, name, rotation=90, fontsize=5.6, color=looks["color"], ha="center", va="center", zorder=6,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # fmt: skip
    _mark_peak(axes, dataset)
    _time_axis(axes, dataset["time"])
    axes.set_ylim(0, 1.05)
    axes.set_ylabel(style.label(dataset["left"], "distance from the end"))


def _margins(axes: Axes, dataset: xr.Dataset) -> None:
    part = dataset["part"]
    axes.axhline(0, color="0.6", linewidth=0.6)
    axes.plot(dataset["time"], part.isel(band=0), color=RED, linewidth=2.2, label="the colour")
    axes.plot(dataset["time"], part.isel(band=slice(1, None)).sum("band"), color=BLUE, linestyle=style.DASHES[1],
              label="all others")  # fmt: skip
    axes.plot(dataset["time"], part.sum("band"), color=BLACK, linestyle=style.DASHES[3], label="together")
    _mark_peak(axes, dataset)
    _time_axis(axes, dataset["time"])
    axes.set_ylabel(style.label(part, "mean margin"))
    axes.legend(loc="lower right", **LEGEND)


def _wide(axes: Axes, dataset: xr.Dataset) -> None:
    later = dataset.isel(wide_time=np.flatnonzero(dataset["wide_time"].values > 0))
    time = later["wide_time"]
    flow = later["wide_flow"].sel(kernel_row="test, all")
    axes.plot(time, flow.sel(kernel="infinite width"), color="0.6", linewidth=2.5, label="kernel, infinite width")
    axes.plot(time, flow.sel(kernel="at the start"), **KERNEL, label="kernel at the start", zorder=5)
    for scale, face in zip(later["scale"].values, ("white", BLUE), strict=True):
        network = later["wide_network"].sel(scale=scale, kernel_row="test, all")
        keep = _apart(time.values, 26)
        axes.plot(time[keep], network[keep], "o", color=BLUE, markerfacecolor=face, markersize=3, markeredgewidth=0.7,
                  label=f"network, weights x {scale:g}")  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(0, 1.05)
    axes.set_yticks(np.linspace(0, 0.8, 5))
    axes.set_xlabel(style.label(time, SINCE))
    axes.set_ylabel(style.label(dataset["wide_network"], "test accuracy"))
    axes.legend(loc="upper center", **LEGEND)


def _apart(time: np.ndarray, count: int) -> np.ndarray:
    """Places of about `count` times, evenly in the logarithm."""
    wanted = np.geomspace(time[0], time[-1], count)
    return np.unique(np.searchsorted(time, wanted * (1 - 1e-12)))


def _peak(dataset: xr.Dataset) -> float:
    return float(dataset["flow"].sel(kernel_row="test, all").mean("seed").idxmax("time"))


def _mark_peak(axes: Axes, dataset: xr.Dataset) -> None:
    axes.axvline(_peak(dataset), color="0.5", linewidth=0.6, linestyle=":")


def _last(dataset: xr.Dataset) -> float:
    """The kernel time of the networks' last step."""
    return float(dataset.attrs["last_time"])


def _time_axis(axes: Axes, time: xr.DataArray) -> None:
    axes.set_xscale("log")
    axes.set_xlim(float(time[0]), float(time[-1]))
    axes.set_xlabel(style.label(time, SINCE))
