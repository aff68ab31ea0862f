"""The phase plane of one mode and its curves in time (C18 Fig 2)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

SOLVES, DIES, DECAYS, FROZEN = range(4)
SHADES = {DIES: ("0.80", "dies"), FROZEN: ("0.62", "frozen")}


def draw_phase_plane(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.phase_plane`: paths, basins and the frozen region; y(t) and P(t).

    Lines are theory, open circles trained networks. Crosses mark starts of the grid whose trained network did not end
    as the theory says.
    """
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 3.3))
        plane, right = figure.subplots(1, 2, width_ratios=(1, 1.08))
        _plane(plane, dataset)
        _curves(right, dataset)
    return figure


def _plane(axes: Axes, dataset: xr.Dataset) -> None:
    z0, y0, slope = dataset["z0"].values, dataset["y0"].values, dataset.attrs["slope"]
    z, y = np.meshgrid(np.linspace(z0[0], z0[-1], 400), np.linspace(y0[0], y0[-1], 400))
    fate = np.where(y <= 0, FROZEN, np.where(y < -slope * z, DIES, SOLVES))
    for kind, (shade, _) in SHADES.items():
        axes.contourf(z, y, (fate == kind).astype(float), levels=[0.5, 1.5], colors=[shade])
    axes.plot(z0, slope * z0, ":", z0, -slope * z0, "--", color="0.35", linewidth=0.8)
    for path in dataset["path"].values:
        part = dataset.sel(path=path)
        inside = (part["z"] <= z0[-1]) & (part["y"] <= y0[-1])
        axes.plot(part["z"].where(inside), part["y"].where(inside), color=style.COLOURS[1])
        inside = (part["z_trained"] <= z0[-1]) & (part["y_trained"] <= y0[-1])
        marks = {"color": style.BLACK, "markerfacecolor": "white", "markersize": 3, "markevery": 8}
        axes.plot(part["z_trained"].where(inside), part["y_trained"].where(inside), "o", clip_on=True, **marks)
        axes.plot(part["z"][0], part["y"][0], "s", color=style.COLOURS[1], markersize=4)
    wrong = np.argwhere((dataset["outcome"] != dataset["outcome_trained"]).values)
    axes.plot(z0[wrong[:, 1]], y0[wrong[:, 0]], "x", color=style.COLOURS[2], markersize=3)
    axes.axhline(0, color="0.3", linewidth=0.6)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9}
    low, wide = y0[0], z0[-1] - z0[0]
    axes.text(z0[0] + 0.72 * wide, 0.93 * y0[-1], "solves", bbox=box)
    axes.text(z0[0] + 0.04 * wide, 0.1 * y0[-1], SHADES[DIES][1], bbox=box)
    axes.text(z0[0] + 0.72 * wide, 0.85 * low, SHADES[FROZEN][1], bbox=box)
    axes.text(z0[0] + 0.01 * wide, 1.04 * -slope * z0[0], "$y=-rz$", va="bottom")
    axes.set_xlim(z0[0], z0[-1])
    axes.set_ylim(y0[0], y0[-1])
    axes.set_xlabel(style.label(dataset["z"], "output weight $z$"))
    axes.set_ylabel(style.label(dataset["y"], "pre-activation $y$"))
    agree = float((dataset["outcome"] == dataset["outcome_trained"]).mean())
    style.letter(axes, 0, f"$r = {slope:g}$; {agree:.1%} of {dataset['outcome'].size} networks agree")


def _curves(axes: Axes, dataset: xr.Dataset) -> None:
    other = axes.twinx()
    for i, curve in enumerate(dataset["curve"].values):
        part = dataset.sel(curve=curve)
        colour, text = style.COLOURS[i], f"$c={float(part['c']):g}$, $r={float(part['norm']):g}$"
        axes.plot(part["time"], part["y_curve"], color=colour, label=f"$y$, {text}")
        other.plot(part["time"], part["confidence"], color=colour, linestyle=style.DASHES[1], label=f"$P$, {text}")
        marks = {"color": colour, "markerfacecolor": "white", "markevery": (3 * i, 12)}
        axes.plot(part["time"], part["y_curve_trained"], style.MARKERS[i], **marks)
        other.plot(part["time"], part["confidence_trained"], style.MARKERS[i], **marks)
    axes.set_xlabel(style.label(dataset["time"], "time $t$, learning rate × steps"))
    axes.set_ylabel(style.label(dataset["y"], "pre-activation $y$ (solid)"))
    other.set_ylabel(style.label(dataset["confidence"], "confidence $P$ (dashed)"))
    axes.set_ylim(0, 1.25 * float(dataset["y_curve"].max()))
    other.set_ylim(0.45, 1.12)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, [text.split(", ", 1)[1] for text in labels], loc="upper left", ncols=2)
    style.letter(axes, 1, "lines: theory; symbols: trained networks")
