"""Hinge beside cross-entropy (C18 Fig 4 right), its curves (Fig 6), and many points (C.2)."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

TIME = "time $t$, learning rate × steps"


def draw_hinge(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.hinge`: four panels; lines are theory, symbols trained networks."""
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 5.4))
        (curves, learnt), (times, points) = figure.subplots(2, 2)
        _curves(curves, dataset)
        _learnt(learnt, dataset)
        _times(times, dataset)
        _points(points, dataset)
    return figure


def _marks(i: int, every: int) -> dict:
    return {"color": style.COLOURS[i], "markerfacecolor": "white", "markevery": (2 * i, every)}


def _curves(axes: Axes, dataset: xr.Dataset) -> None:
    trained = dataset.isel(learning_rate=-1)
    for i, curve in enumerate(dataset["curve"].values):
        part = dataset.sel(curve=curve)
        text = f"$c={float(part['c']):g}$, $r={float(part['norm']):g}$"
        axes.plot(part["time"], part["u"], color=style.COLOURS[i], label=text)
        axes.plot(part["time"], part["y"], color=style.COLOURS[i], linestyle=style.DASHES[1])
        for name in ("u_trained", "y_trained"):
            axes.plot(part["time"], trained[name].sel(curve=curve), style.MARKERS[i], **_marks(i, 12))
    axes.set_xlabel(style.label(dataset["time"], TIME))
    axes.set_ylabel(style.label(dataset["u"], "logit $u$ (solid), $y$ (dashed)"))
    axes.set_ylim(0, 1.95)
    axes.legend(loc="upper left", ncols=2)
    style.letter(axes, 0, "hinge, one point a class (Fig. 6)")


def _cases(dataset: xr.Dataset):
    for i, loss in enumerate(dataset["loss"].values):
        for j, share in enumerate(dataset["share"].values):
            yield 2 * i + j, dataset.sel(loss=loss, share=share), f"{loss}, $p={share:.2g}$"


def _learnt(axes: Axes, dataset: xr.Dataset) -> None:
    for i, part, text in _cases(dataset):
        axes.plot(part["long_time"], part["learnt"], color=style.COLOURS[i], linestyle=style.DASHES[i], label=text)
        axes.plot(part["long_time"], part["learnt_trained"], style.MARKERS[i], **_marks(i, 12))
    axes.set_xlabel(style.label(dataset["long_time"], TIME))
    axes.set_ylabel(style.label(dataset["learnt"], "confidence $P$"))
    style.letter(axes, 1, "learning curves (Fig. 4 right)")


def _times(axes: Axes, dataset: xr.Dataset) -> None:
    for i, part, text in _cases(dataset):
        looks = {"color": style.COLOURS[i], "linestyle": style.DASHES[i], "label": text}
        axes.plot(part["confidence"], part["time_to"].where(part["time_to"] > 1e-9), **looks)
        axes.plot(
            part["confidence"], part["time_to_trained"], style.MARKERS[i], **_marks(0, 1) | {"color": looks["color"]}
        )
    axes.set_yscale("log")
    axes.set_ylim(top=2e3)
    axes.legend(loc="upper left")
    axes.set_xlabel(style.label(dataset["confidence"], "confidence $P$"))
    axes.set_ylabel(style.label(dataset["time_to"], "time to confidence $t$"))
    style.letter(axes, 2, "time to confidence (Fig. 4 right)")


def _points(axes: Axes, dataset: xr.Dataset) -> None:
    trained = dataset["margin_trained"].isel(learning_rate=-1)
    last = dataset["input"].values[-1]
    until = 1.6 * float(dataset["stop"].max())
    for i, number in enumerate(dataset["input"].values):
        part = dataset.sel(input=number, time=slice(0, until))
        text = "held out" if number == last else f"point {number}"
        looks = {"color": style.COLOURS[i], "linestyle": style.DASHES[i]}
        axes.plot(part["time"], part["margin"], label=text, **looks)
        axes.plot(part["time"], trained.sel(input=number, time=slice(0, until)), style.MARKERS[i], **_marks(i, 5))
        if number != last:
            axes.axvline(float(part["stop"]), color=style.COLOURS[i], linewidth=0.6, linestyle=":")
    axes.set_xlabel(style.label(dataset["time"], TIME))
    axes.set_ylabel(style.label(dataset["margin"], "margin $z\\,w\\cdot x$"))
    axes.legend(loc="lower right")
    style.letter(axes, 3, "many points (C.2); dotted: a point stops")
