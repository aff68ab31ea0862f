"""A rare feature starved by a frequent one (C18 Figs 5 and 7, Table 1)."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

TITLES = {
    "b0 = q a0": "$b_0 = q a_0$, bound of Thm 5.1 (Fig. 7)",
    "b0 = a0": "$b_0 = a_0$, bound of Thm D.2 (Fig. 5)",
}
BOUNDS = {"b0 = q a0": "Thm 5.1", "b0 = a0": "Thm D.2"}


def draw_rare_feature(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.rare_feature`: the confidence on the rare feature against that on the data.

    Dashed: the paper's bound; solid: Eq. 7 integrated; symbols: trained networks. Below: Table 1, with the bound
    that holds from that start.
    """
    starts = [str(name) for name in dataset["start"].values]
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 4.6))
        grid = figure.subplots(2, len(starts), height_ratios=(3, 1.1), squeeze=False)
        for i, (axes, start) in enumerate(zip(grid[0], starts, strict=True)):
            _panel(axes, dataset.sel(start=start))
            style.letter(axes, i, TITLES[start])
        grid[0, 0].legend(loc="upper left", title="dashed: bound; solid: Eq. 7; symbols: trained", title_fontsize=7)
        for axes, start in zip(grid[1], starts, strict=True):
            _table(axes, dataset.sel(start=start))
    return figure


def _panel(axes: Axes, dataset: xr.Dataset) -> None:
    for i, fraction in enumerate(dataset["fraction"].values):
        part = dataset.sel(fraction=fraction)
        colour = style.COLOURS[i]
        axes.plot(part["confidence"], part["paper_bound"], color=colour, linestyle=style.DASHES[1], linewidth=0.9)
        axes.plot(part["confidence"], part["integrated"], color=colour, label=f"$q = {fraction:g}$")
        axes.plot(part["data_trained"], part["rare_trained"], style.MARKERS[i], color=colour, markerfacecolor="white",
                  markevery=(2 * i, 9), label="_")  # fmt: skip
    axes.plot([0.5, 1], [0.5, 1], color="0.7", linewidth=0.6, zorder=0)
    axes.set_xlim(0.5, 1.005)
    axes.set_ylim(0.495, 1.005)
    axes.set_xlabel(style.label(dataset["confidence"], "confidence on the data $1-\\epsilon$"))
    axes.set_ylabel(style.label(dataset["bound"], "confidence on the rare feature"))


def _table(axes: Axes, dataset: xr.Dataset) -> None:
    fractions, levels = dataset["fraction"].values, dataset["table_eps"].values
    columns = [f"$q={fraction:g}$" for fraction in fractions]
    bound = BOUNDS[str(dataset["start"].values)]
    rows, cells = [], []
    for eps in levels:
        part = dataset.sel(table_eps=eps)
        for name, text in (("table_bound", bound), ("table_integrated", "Eq. 7"), ("table_trained", "trained")):
            rows.append(f"{1 - eps:.4g}, {text}")
            cells.append([f"{float(value):.1%}" for value in part[name]])
    table = axes.table(cells, rowLabels=rows, colLabels=columns, loc="center", cellLoc="center", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    table.scale(0.8, 0.9)
    axes.set_axis_off()
