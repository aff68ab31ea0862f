"""The theory in one figure (P21 Fig 6): trajectories in the plane of two responses."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style


def draw_theory_in_one_figure(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.theory_in_one_figure`: (a) primal and dual flow under weight decay, (b) the primal
    flow under weight decay and under spectral decoupling. Symbols at the ends are fixed points, dots trained ones."""
    primal, dual, decoupled = dataset["method"].values
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 3.1))
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for i, other in enumerate((dual, decoupled)):
            for j, s1 in enumerate(dataset["s1"].values):
                for k, method in enumerate((primal, other)):
                    _path(panels[i], dataset.sel({"method": method, "s1": s1}), j, k)
            panels[i].set_xlabel(style.label(dataset["z"], "response $z_1$"))
            panels[i].plot([], [], color=style.BLACK, label=str(primal))
            panels[i].plot([], [], color=style.BLACK, linestyle=style.DASHES[2 - i], label=str(other))
            style.letter(panels[i], i, "the same ends" if i == 0 else "ends that do not move")
        panels[1].plot([], [], ".", color="#7F7F7F", markersize=3, label="trained linear network")
        panels[1].set_ylim(top=2.3)
        panels[0].set_ylabel(style.label(dataset["z"], "response $z_2$"))
        panels[0].legend(loc="lower right")
        panels[1].legend(loc="upper left")
        handles, labels = [], []
        for j, s1 in enumerate(dataset["s1"].values):
            handles += panels[0].plot([], [], style.MARKERS[j], color=style.COLOURS[j])
            labels.append(f"$s_1={s1:g}$")
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _path(axes: Axes, part: xr.Dataset, j: int, k: int) -> None:
    z, end, trained = part["z"], part["end"], part["trained"]
    method = str(part["method"].values)
    line = style.DASHES[0 if k == 0 else 2 if method.startswith("dual") else 1]
    axes.plot(z.sel(feature=1), z.sel(feature=2), color=style.COLOURS[j], linestyle=line)
    axes.plot(trained.sel(feature=1)[::12], trained.sel(feature=2)[::12], ".", color="#7F7F7F", markersize=2.5)
    axes.plot(end.sel(feature=1), end.sel(feature=2), style.MARKERS[j], color=style.COLOURS[j], markersize=5)
