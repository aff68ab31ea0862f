"""Geometric skew: the widest margin leans on a coordinate that few examples contradict (Nagarajan et al. 2021)."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style


def draw_geometric_skew(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.geometric_skew`: the spurious weight against the minority, and why: the norm that the
    minority needs by itself."""
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 2.9))
        left, right = figure.subplots(1, 2)
        for i, name in enumerate(dataset["data"].values):
            part, look = dataset.sel(data=name), {"color": style.COLOURS[i + 1], "marker": style.MARKERS[i]}
            _band(left, part["share"], label=name, **look)
            _band(right, part["norm_minority"] / part["norm_all"], label=name, **look)
        values = dataset.attrs["published"]
        left.plot([0.5, 0.01], values, "X", color=style.BLACK, markersize=6, label="obesity table, published")
        left.set_ylabel("spurious weight over norm")
        right.set_ylabel("norm for the minority over norm for all")
        right.set_yscale("log")
        for i, (axes, title) in enumerate(((left, "what the widest margin uses"), (right, "why: few need little"))):
            axes.set_xscale("log")
            axes.set_xlabel(style.label(dataset["minority"], "share of the minority"))
            axes.legend(loc=("upper right", "center left")[i])
            style.letter(axes, i, title)
    return figure


def _band(axes: Axes, values: xr.DataArray, label: str, color: str, marker: str) -> None:
    x = values["minority"]
    axes.plot(x, values.mean("seed"), marker=marker, color=color, label=label)
    axes.fill_between(x, values.min("seed"), values.max("seed"), color=color, alpha=0.2, linewidth=0)
