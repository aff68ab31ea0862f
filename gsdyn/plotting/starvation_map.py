"""The map of the starvation derivative over (lambda, delta)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from gsdyn.plotting import style

BOUNDARY = 2**-0.5


def draw_map(dataset: xr.Dataset) -> Figure:
    """`d z_2*/d(s_1^2)` over the grid of `experiments.starvation_curves`, its sign legible without colour.

    The positive side is hatched, and the zero contour drawn beside the law's `delta = 1/sqrt(2)`.

        >>> from gsdyn.experiments.curves import starvation_curves
        >>> ds = starvation_curves([0.01, 0.1], [0.1, 0.3], integrated=0)
        >>> print(len(gs.plotting.draw_map(ds).axes) > 1)
        True
    """
    if min(dataset.sizes["lam"], dataset.sizes["delta"]) < 2:
        raise ValueError("dataset must have more than one value of lam and of delta to draw a map")
    exact = dataset["starvation"].sel({"method": "exact"})
    with style.styled():
        figure = Figure(figsize=(4.2, 3.2))
        axes = figure.subplots()
        _derivative(axes, exact)
        axes.set_xscale("log")
        axes.set_xlabel(style.label(dataset["lam"], "regularisation strength $\\lambda$"))
        axes.set_ylabel(style.label(dataset["delta"], "overlap $\\delta$"))
        axes.set_title(f"{style.problem(dataset)}\nhatched: feature 2 grows with $s_1$; plain: it starves")
    return figure


def _derivative(axes: Axes, exact: xr.DataArray) -> None:
    lam, delta = exact["lam"].values, exact["delta"].values
    value = exact.transpose("delta", "lam").values
    value = np.where(np.abs(value) > style.ROUNDING, value, 0.0)
    top = float(np.abs(value).max()) or 1.0
    scale = SymLogNorm(linthresh=top / 1e3, vmin=-top, vmax=top)
    mesh = axes.pcolormesh(lam, delta, value, norm=scale, cmap=style.DIVERGING, shading="nearest", rasterized=True)
    axes.figure.colorbar(mesh, ax=axes, label="$\\mathrm{d}z_2^*/\\mathrm{d}(s_1^2)$")
    if value.max() > 0:
        axes.contourf(lam, delta, value, levels=[style.ROUNDING, np.inf], colors="none", hatches=["////"])
    if not value.min() < 0 < value.max():
        return
    axes.contour(lam, delta, value, levels=[0], colors=style.BLACK, linewidths=1.2)
    if delta.min() < BOUNDARY < delta.max():
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axes.axhline(BOUNDARY, color="white", linewidth=1.2, linestyle=(0, (2, 2)))
        axes.annotate(
            "$\\delta = 1/\\sqrt{2}$", (0.03, BOUNDARY), xycoords=("axes fraction", "data"),
            xytext=(0, 4), textcoords="offset points", va="bottom", bbox=box,
        )  # fmt: skip
