"""Logit and confidence at depth N (C18 Fig 3), and how training approaches the theory."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from gsdyn.plotting import style


def draw_depth(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.depth`: u(t), P(t), and the error of trained networks against the learning rate.

    Lines are theory, symbols networks trained at the smallest learning rate.
    """
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 2.9))
        logit, confidence, error = figure.subplots(1, 3)
        for i, case in enumerate(dataset["case"].values):
            part = dataset.sel(case=case)
            looks = {"color": style.COLOURS[i], "linestyle": style.DASHES[i % 4]}
            marks = {"color": style.COLOURS[i], "markerfacecolor": "white", "markevery": (3 * i, 14)}
            text = f"$N={int(part['depth'])}$, $r={float(part['norm']):g}$"
            margin = part["margin"].isel(learning_rate=-1).sel(point=1)
            logit.plot(part["time"], part["logit"], label=text, **looks)
            logit.plot(part["time"], margin, style.MARKERS[i], **marks)
            confidence.plot(part["time"], part["confidence"], **looks)
            confidence.plot(part["time"], _sigma(margin), style.MARKERS[i], **marks)
            order = f"order {float(part['order']):.3f}"
            shown = style.above_rounding(part["error"])
            error.plot(dataset["learning_rate"], shown, marker=style.MARKERS[i], label=order, **looks)
        _labels(dataset, logit, confidence, error)
    return figure


def _labels(dataset: xr.Dataset, logit: Axes, confidence: Axes, error: Axes) -> None:
    for axes, name, text in ((logit, "logit", "logit $u$"), (confidence, "confidence", "confidence $P$")):
        axes.set_xlabel(style.label(dataset["time"], "time $t$"))
        axes.set_ylabel(style.label(dataset[name], text))
    logit.set_ylim(top=1.45 * float(dataset["logit"].max()))
    logit.legend(loc="upper left")
    style.letter(logit, 0, f"logit from $u_0 = {dataset.attrs['u0']:g}$")
    style.letter(confidence, 1, "confidence")
    style.letter(error, 2, "trained against Eq. 4")
    error.loglog()
    error.xaxis.set_minor_formatter(NullFormatter())
    error.set_xlabel(style.label(dataset["learning_rate"], "learning rate"))
    error.set_ylabel(style.label(dataset["error"], "largest relative error of $u$"))
    error.legend(loc="upper left")


def _sigma(u: xr.DataArray) -> np.ndarray:
    return 1 / (1 + np.exp(-u.values))
