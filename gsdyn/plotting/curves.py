"""Starvation curves: responses and `d z_2*/d(s_1^2)`, against lambda and against delta, one line per method."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style

BOUNDARY = 2**-0.5
METHODS = {
    "exact": "exact fixed point",
    "first-order": "first order in $\\alpha$ (Eq. 10)",
    "perturbation": "first order in $\\delta$ (Lemma 1)",
    "small_overlap": "first order in $\\delta$ (Theorem 2)",
    "ode": "integrated dual flow",
}
LOOKS = {name: (style.COLOURS[i], style.DASHES[i]) for i, name in enumerate(list(METHODS)[:4])}
ROWS = {
    "z1": "response $z_1^*$",
    "z2": "response $z_2^*$",
    "starvation": "$\\mathrm{d}z_2^*/\\mathrm{d}(s_1^2)$",
    "difference": "$|z - z^*|\\,/\\,|z^*|$",
}
SYMBOLS = {"lam": "\\lambda", "delta": "\\delta"}


def draw_curves(dataset: xr.Dataset) -> Figure:
    """The curves of `experiments.starvation_curves`, cut at its `at_delta` and `at_lam`.

    A column for every axis of the grid that has more than one value; open circles where the flow was integrated. The
    last row has the distance of every method's responses from the exact ones; below 1e-12, where it is rounding, a line
    runs along the floor of its panel.

        >>> from gsdyn.experiments.curves import starvation_curves
        >>> ds = starvation_curves([0.01, 0.1], [0.1, 0.3], integrated=0)
        >>> print(len(gs.plotting.draw_curves(ds).axes))
        8
    """
    cuts = {"lam": ("delta", dataset.attrs["at_delta"]), "delta": ("lam", dataset.attrs["at_lam"])}
    columns = [axis for axis in cuts if dataset.sizes[axis] > 1]
    if not columns:
        raise ValueError("dataset must have more than one value of lam or delta to draw a curve")
    rows = list(ROWS)
    if dataset.sizes["method"] == 1 and "z_ode" not in dataset:
        rows.remove("difference")
    with style.styled():
        figure = Figure(figsize=(style.PAGE * (0.35 + 0.325 * len(columns)), 1.0 + 1.4 * len(rows)))
        grid = figure.subplots(len(rows), len(columns), sharex="col", squeeze=False)
        for j, axis in enumerate(columns):
            other, place = cuts[axis]
            cut = dataset.sel({other: place}, method="nearest")
            if "z_ode" in dataset:
                cut = cut.sel({f"{other}_ode": place}, method="nearest")
            _column(dict(zip(rows, grid[:, j], strict=True)), cut, axis)
            for i, axes in enumerate(grid[:, j]):
                title = f"at ${SYMBOLS[other]} = {place:g}$" if i == 0 else ""
                style.letter(axes, i * len(columns) + j, title)
        for axes, row in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(ROWS[row])
        handles, labels = grid[2, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, title=style.problem(dataset))
    return figure


def _column(column: dict[str, Axes], cut: xr.Dataset, axis: str) -> None:
    for row, axes in column.items():
        _lines(axes, cut, axis, row)
        if "z_ode" in cut:
            points = _variable(cut, row, "_ode")
            axes.plot(
                points[f"{axis}_ode"],
                points,
                "o",
                color=style.BLACK,
                markerfacecolor="none",
                label=METHODS["ode"],
            )
        if row == "difference":
            axes.set_yscale("log")
            axes.margins(y=0.1)
        else:
            _limit(axes, _variable(cut, row).sel({"method": "exact"}).values)
        if axis == "lam":
            axes.set_xscale("log")
        elif cut["delta"].max() > BOUNDARY:
            axes.axvline(BOUNDARY, color="0.6", linewidth=0.6, zorder=0)
    if axis == "delta" and cut["delta"].max() > BOUNDARY:
        column["starvation"].annotate(
            "$\\delta = 1/\\sqrt{2}$", (BOUNDARY, 0.85), xycoords=("data", "axes fraction"),
            xytext=(-4, 0), textcoords="offset points", ha="right", color="0.35",
        )  # fmt: skip
    name = {"lam": "regularisation strength", "delta": "overlap"}[axis]
    list(column.values())[-1].set_xlabel(style.label(cut[axis], f"{name} ${SYMBOLS[axis]}$"))


def _variable(cut: xr.Dataset, row: str, suffix: str = "") -> xr.DataArray:
    if row == "starvation":
        return cut[f"starvation{suffix}"]
    z = cut[f"z{suffix}"]
    if row != "difference":
        return z.sel(feature=int(row[1]))
    exact = cut["z"].sel({"method": "exact"})
    if suffix:
        renamed = {axis: f"{axis}{suffix}" for axis in exact.dims if axis != "feature"}
        exact = exact.rename(renamed).sel({d: z[d] for d in renamed.values()}, method="nearest")
        exact = exact.assign_coords({d: z[d] for d in renamed.values()})
    off = (((z - exact) ** 2).sum("feature") / (exact**2).sum("feature")) ** 0.5
    return style.above_rounding(off)


def _lines(axes: Axes, cut: xr.Dataset, axis: str, row: str) -> None:
    values = _variable(cut, row)
    for method in cut["method"].values:
        if row != "difference" or method != "exact":
            _line(axes, values.sel({"method": method}), axis, str(method))
    if row == "starvation" and "small_overlap" in cut:
        _line(axes, cut["small_overlap"], axis, "small_overlap")


def _line(axes: Axes, values: xr.DataArray, axis: str, method: str) -> None:
    colour, dashes = LOOKS[method]
    x, y = values[axis].values, values.values
    if method == "perturbation" and axis == "delta":
        # beyond the boundary it starts from the other permutation: no line joins the two
        after = np.searchsorted(x, BOUNDARY)
        x, y = np.insert(x, after, BOUNDARY), np.insert(y, after, np.nan)
    axes.plot(x, y, color=colour, linestyle=dashes, label=METHODS[method])


def _limit(axes: Axes, exact: np.ndarray) -> None:
    """Limits by the exact curve: an approximation may leave the panel where it fails."""
    low, high = min(exact.min(), 0.0), max(exact.max(), 0.0)
    room = 0.08 * (high - low) if high - low > style.ROUNDING else 1.0
    axes.set_ylim(low - room, high + room)
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)
