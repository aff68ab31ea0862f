"""Losses as maxima of straight lines (P21 Fig 8), and their conjugates (Table 4)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from gsdyn.plotting import style

FORMS = {
    "cross-entropy": r"$h=-\alpha\,\ln\alpha-(1-\alpha)\,\ln(1-\alpha)$",
    "hinge": r"$h=\alpha,\ 0\leq\alpha\leq 1$",
    "squared error": r"$h=\alpha-\alpha^2/2$",
}


def draw_legendre(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.legendre`: above, every loss with some of its tangent lines; below, its conjugate."""
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 4.0))
        grid = figure.subplots(2, dataset.sizes["loss"], sharex=False)
        for j, name in enumerate(dataset["loss"].values):
            part = dataset.sel(loss=name)
            above, below = grid[:, j]
            for line in part["line"]:
                above.plot(part["margin"], part["tangent"].sel(line=line), color="#7F7F7F", linewidth=0.6,
                           linestyle=style.DASHES[1], label="tangent lines" if line == 1 else None)  # fmt: skip
            above.plot(part["margin"], part["value"], color=style.BLACK, label="loss")
            top = float(np.percentile(part["value"], 97))
            above.set_ylim(-0.45 * top, 1.05 * top)
            above.set_xlabel(style.label(dataset["margin"], "margin $f$"))
            style.letter(above, j, str(name))
            below.plot(part["alpha"], part["conjugate"], color=style.BLACK)
            below.plot(part["alpha_line"], np.interp(part["alpha_line"], part["alpha"], part["conjugate"]), "o",
                       color="#7F7F7F", label="of the lines above")  # fmt: skip
            below.set_xlabel(style.label(dataset["alpha"], r"dual variable $\alpha$"))
            style.letter(below, j + dataset.sizes["loss"], FORMS.get(str(name), ""))
        grid[0, 0].set_ylabel(style.label(dataset["value"], "loss $l(f)$"))
        grid[1, 0].set_ylabel(style.label(dataset["conjugate"], r"conjugate $h(\alpha)$"))
        grid[0, 0].legend(loc="upper right")
        grid[1, 1].legend(loc="upper left")
    return figure
