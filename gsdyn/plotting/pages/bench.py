"""The part of the report that moves: sliders over the grids that were computed, and the figures they move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from bokeh.document import Document
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    FactorRange,
    HoverTool,
    LinearColorMapper,
    Model,
    RadioButtonGroup,
    Select,
    Slider,
    Span,
    Whisker,
)
from bokeh.models.layouts import Column

from gsdyn.plotting.pages import look, tables
from gsdyn.plotting.pages.moves import GROUPS, MOVE

SCENARIOS = ("stop training", "weight decay", "decouple")
SHOWN = "return values[Math.max(0, Math.min(values.length - 1, Math.round(tick)))]"
SPLITS = ("test", "held-out", "train")  # the one that tells most first
FAINT = "#c9d1da"
RISES, FALLS, TOTAL = look.COLOURS[1], look.COLOURS[2], look.INK


def bench(dataset: xr.Dataset) -> dict[str, Model]:
    """Sliders, figures and values by name, of a document that sets them to the plain stop when it is opened."""
    widgets = _widgets(dataset)
    figures, sources, parts = _figures(dataset)
    values = look.table_div("values")
    move = CustomJS(code=GROUPS + MOVE, args={**widgets, **sources, **parts, **_tables(dataset), "values": values})
    for widget in widgets.values():
        widget.js_on_change("active" if isinstance(widget, RadioButtonGroup) else "value", move)
    shown = list(widgets.values())
    if not dataset.sizes["attribute"]:
        shown.remove(widgets["attribute_choice"])
        del figures["gap"]
    document = Document()
    document.title = "Starvation report"
    document.js_on_event("document_ready", move)
    roots = {"controls": Column(children=[*shown, values], sizing_mode="stretch_width"), **figures}
    for root in roots.values():
        document.add_root(root)
    return roots


def default_split(dataset: xr.Dataset) -> str:
    """The examples to show first: new ones where there are any."""
    return next(split for split in SPLITS if split in dataset["split"].values)


def _widgets(dataset: xr.Dataset) -> dict[str, Any]:
    stop = int(np.argmin(np.abs(dataset["time"].values - float(dataset.attrs["plain_time"]))))
    names = [str(name) for name in dataset["attribute"].values]
    shortcut = [str(v) == "shortcut" for v in dataset["attribute_verdict"].values]
    first = names[int(np.argmax(shortcut))] if names else ""
    last = {name: dataset.sizes[name] - 1 for name in ("switch", "decoupling", "after")}
    wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
    splits: Any = [str(s) for s in dataset["split"].values]
    return {
        "scenario": RadioButtonGroup(name="scenario", labels=[*SCENARIOS], active=0, **wide),
        "time": _on_grid("time", "stopping time", dataset["time"].values, stop),
        "decay": _on_grid("decay", "weight decay", dataset["decay"].values, dataset.sizes["decay"] // 2),
        "switched": _on_grid("switched", "decoupling sets in at time", dataset["switch"].values, last["switch"]),
        "decoupling": _on_grid("decoupling", "its strength", dataset["decoupling"].values, last["decoupling"]),
        "after": _on_grid("after", "stopped so long after", dataset["after"].values, last["after"] // 2),
        "split_choice": Select(
            name="split_choice", title="seen on the examples of", value=default_split(dataset),
            options=splits, **wide),
        "attribute_choice": Select(name="attribute_choice", title="groups by", value=first, options=[*names], **wide),
    }  # fmt: skip


def _on_grid(name: str, title: str, values: np.ndarray, at: int) -> Slider:
    """A slider over the entries of a grid, which shows their values."""
    last = max(len(values) - 1, 0)
    slider = look.slider(name, title, 0, max(last, 1), min(at, last), 1)
    slider.disabled = last == 0
    slider.format = CustomJSTickFormatter(code=SHOWN, args={"values": [look.number(v, 3) for v in values]})
    return slider


def _tables(dataset: xr.Dataset) -> dict[str, Any]:
    """All grids in one form: (..., switch, decoupling, along), of one switch and decoupling where there is none."""
    grids = {}
    for name, label in (
        ("time", "time of plain training"),
        ("decay", "weight decay"),
        ("switch", "time since the switch"),
    ):
        along = "after" if name == "switch" else name

        def grid(variable: str, *leading: str, along: str = along) -> np.ndarray:
            column = dataset[variable]
            column = column.expand_dims([dim for dim in ("switch", "decoupling") if dim not in column.dims])
            last = [dim for dim in ("feature", "cause") if dim in column.dims]
            return column.transpose(*leading, "switch", "decoupling", along, *last).values.astype(np.float32)

        grids[name] = {
            "x": dataset[along].values.astype(float),
            "label": label,
            "z": grid(f"response_{name}"),
            "accuracy": grid(f"accuracy_{name}", "split", "group"),
            "low": grid(f"accuracy_{name}_low", "split", "group"),
            "high": grid(f"accuracy_{name}_high", "split", "group"),
            "gap": grid(f"gap_{name}", "split", "attribute"),
            "rest": grid(f"gap_rest_{name}", "split", "attribute"),
            **_matrices(dataset, name, grid),
        }
    return {
        "tables": grids,
        "kappa": dataset["kappa"].transpose("split", "attribute", "feature").values.astype(np.float32),
        "splits": [str(s) for s in dataset["split"].values],
        "attributes": [str(a) for a in dataset["attribute"].values],
        "features": [int(f) for f in dataset["feature"].values],
        "groups": groups(dataset),
        **_ranked(dataset),
        "rare": int(dataset.attrs["rare"]),
        "holds": float(dataset.attrs["holds"]),
        "most_cells": tables.CELLS,
        "rises": RISES,
        "falls": FALLS,
        "total": TOTAL,
    }


def _ranked(dataset: xr.Dataset) -> dict[str, Any]:
    """The rank of every feature by its largest response in plain training, from 0, and a colour for the first."""
    size = np.nan_to_num(np.abs(dataset["response_time"].transpose("time", "feature").values)).max(axis=0)
    rank = np.argsort(np.argsort(-size, kind="stable"), kind="stable")
    colours = [look.COLOURS[r] if r < len(look.COLOURS) else FAINT for r in rank]
    return {"rank": [int(r) for r in rank], "colours": colours}


def _matrices(dataset: xr.Dataset, name: str, grid: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """Elasticities and what starves for certain, of the leading features for which they are known; nothing of reports
    of before that lack them."""
    if f"elasticity_{name}" not in dataset:
        return {part: np.empty((0,), np.float32) for part in ("elasticity", "starves", "few_error")}
    few_error = grid(f"few_error_{name}") if f"few_error_{name}" in dataset else np.empty((0,), np.float32)
    elasticity, starves = grid(f"elasticity_{name}"), grid(f"starves_{name}").astype(np.uint8)
    known = np.flatnonzero(np.isfinite(elasticity).any(axis=(0, 1, 2, 3)))
    few = int(known[-1]) + 1 if known.size else 1
    elasticity, starves = elasticity[..., :few, :few], starves[..., :few, :few]
    return {"elasticity": elasticity, "starves": starves, "few_error": few_error}


def groups(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Every group with its name, kind, attribute, sizes and colour: aligned and conflicting ones stand out."""
    fixed = {"all": look.INK, "aligned": look.COLOURS[0], "conflicting": look.COLOURS[1]}
    cells, others = iter(range(1000)), look.COLOURS[2:7]
    found, before = [], None
    for g in range(dataset.sizes["group"]):
        kind, attribute = str(dataset["group_kind"].values[g]), str(dataset["group_attribute"].values[g])
        if attribute != before:
            cells, before = iter(range(1000)), attribute
        colour = fixed[kind] if kind in fixed else others[next(cells) % len(others)]
        count = [int(c) for c in dataset["count"].transpose("split", "group").values[:, g]]
        name = str(dataset["group_name"].values[g])
        found.append({"name": name, "kind": kind, "attribute": attribute, "count": count, "colour": colour})
    return found


def _figures(dataset: xr.Dataset) -> tuple[dict[str, Any], dict[str, ColumnDataSource], dict[str, Any]]:
    """Figures, the sources they draw from, and what else of them moves."""
    columns = {
        "curves": ["x", "y", "name", "colour"], "group_curves": ["x", "y", "name", "colour"],
        "responses": ["feature", "z", "colour"], "group_bars": ["group", "accuracy", "low", "high", "colour"],
        "waterfall": ["part", "bottom", "top", "colour", "value"], "matrix": ["cause", "feature", "value", "mark"],
    }  # fmt: skip
    sources = {name: ColumnDataSource({c: [] for c in of}, name=f"{name}_source") for name, of in columns.items()}
    k = [str(f) for f in dataset["feature"].values]
    spans = [look.marker(), look.marker()]
    over = _lines("Responses", "response z", sources["curves"], spans[0])
    of_groups = _lines("Accuracy of the groups", "accuracy", sources["group_curves"], spans[1])
    of_groups.y_range.start, of_groups.y_range.end = -0.02, 1.02
    bars = _bars(sources["responses"], k)
    shares, group_range = _shares(sources["group_bars"])
    gap, gap_range = _waterfall(sources["waterfall"])
    matrix, mapper = _matrix(sources["matrix"], k)
    figures = {
        "over": over, "groups_over": of_groups, "responses": bars, "shares": shares, "gap": gap, "matrix": matrix,
    }  # fmt: skip
    parts = {
        "spans": spans, "axes": [over.xaxis[0], of_groups.xaxis[0]], "group_range": group_range,
        "waterfall_range": gap_range, "mapper": mapper, "matrix_title": matrix.title, "gap_title": gap.title,
    }  # fmt: skip
    return figures, sources, parts


def _lines(title: str, y: str, source: ColumnDataSource, span: Span) -> Any:
    plot = look.figure(title, "time of plain training", y, x_axis_type="log")
    lines = plot.multi_line("x", "y", source=source, color="colour", line_width=2.2, hover_line_width=4)
    plot.add_tools(HoverTool(renderers=[lines], tooltips=[("", "@name"), (y, "$y{0.000}")], line_policy="interp"))
    plot.add_layout(span)
    return plot


def _bars(source: ColumnDataSource, k: list[str]) -> Any:
    plot = look.figure("Responses there", "feature", "response z", x_range=FactorRange(factors=k))
    _upright(plot, k)
    drawn = plot.vbar(x="feature", top="z", width=0.75, source=source, color="colour", line_color=None)
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("feature", "@feature"), ("z", "@z{0.0000}")]))
    plot.xgrid.visible = False
    return plot


def _upright(plot: Any, k: list[str]) -> None:
    """The numbers of many features written upwards, where they would run into each other."""
    if len(k) > 12:
        plot.xaxis.major_label_orientation = "vertical"


def _shares(source: ColumnDataSource) -> tuple[Any, FactorRange]:
    span = FactorRange()
    plot = look.figure("Accuracy there", "accuracy", "", y_range=span, x_range=(0, 1), height=340)
    drawn = plot.hbar(
        y="group", right="accuracy", height=0.6, source=source, color="colour", line_color=None, alpha=0.85
    )
    plot.add_layout(Whisker(base="group", lower="low", upper="high", source=source, dimension="width", line_width=1.5,
                            line_color=look.INK))  # fmt: skip
    tips = [("", "@group"), ("accuracy", "@accuracy{0.0%}"), ("95%", "@low{0.0%} to @high{0.0%}")]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
    plot.ygrid.visible = False
    return plot, span


def _waterfall(source: ColumnDataSource) -> tuple[Any, FactorRange]:
    span = FactorRange()
    plot = look.figure("What carries the gap", "", "aligned less conflicting margin", x_range=span, height=340)
    drawn = plot.vbar(x="part", bottom="bottom", top="top", width=0.7, source=source, color="colour", line_color=None)
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("", "@part"), ("carries", "@value{0.0000}")]))
    plot.add_layout(Span(dimension="width", location=0, line_color=look.SOFT))
    plot.xaxis.major_label_orientation = 0.7
    plot.xgrid.visible = False
    return plot, span


def _matrix(source: ColumnDataSource, k: list[str]) -> tuple[Any, LinearColorMapper]:
    mapper = LinearColorMapper(palette=look.DIVERGING, low=-1, high=1, nan_color="#eef1f4")
    plot = look.figure("Who starves whom", "strength of feature", "response of feature", height=340,
                       x_range=FactorRange(factors=k), y_range=FactorRange(factors=k[::-1]))  # fmt: skip
    plot.title.name = "matrix_title"
    _upright(plot, k)
    fill = {"field": "value", "transform": mapper}
    drawn = plot.rect(x="cause", y="feature", width=0.96, height=0.96, source=source, fill_color=fill, line_color=None)
    plot.text(x="cause", y="feature", text="mark", source=source, text_align="center", text_baseline="middle",
              text_font_size="9px", text_color=look.INK)  # fmt: skip
    tips = [("1% more of", "feature @cause"), ("changes", "feature @feature by @value{0.0000}%")]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
    plot.grid.visible = False
    return plot, mapper
