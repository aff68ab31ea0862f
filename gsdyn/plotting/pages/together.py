"""All of several classes together, the largest output of an example deciding: accuracies of groups, best settings."""

from __future__ import annotations

import html
from typing import Any

import xarray as xr
from bokeh.models import ColumnDataSource, HoverTool, Model

from gsdyn.plotting.pages import look, tables
from gsdyn.plotting.pages.bench import FAINT, default_split, groups

PREFIX = "all_"
LEAD = (
    "Every class has an output of its own, which learns that class against all others by its own cross-entropy; there "
    "is no softmax. Here the largest output of an example decides."
)
FIGURES = {"all_time": ("time", "time of plain training"), "all_decay": ("decay", "weight decay")}


def part(dataset: xr.Dataset) -> xr.Dataset:
    """What the dataset says of all classes together, by the names that a report on two classes has for it."""
    own = dataset[[name for name in dataset.data_vars if str(name).startswith(PREFIX)]]
    names = {str(name) for name in (*own.variables, *own.dims)}
    own = own.rename({name: name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)})
    return own.sel(split=own["count"].sum("group") > 0).assign_attrs(plain_time=dataset.attrs["all_plain_time"])


def figures(dataset: xr.Dataset) -> dict[str, Model]:
    """The accuracy of every group over plain training and along weight decay; cells are faint."""
    own = part(dataset)
    split = default_split(own)
    seen = own.sel(split=split)
    found = groups(own)
    order = sorted(range(len(found)), key=lambda g: found[g]["kind"] != "cell")  # what stands out is drawn last
    stop, made = float(own.attrs["plain_time"]), {}
    for name, (along, label) in FIGURES.items():
        at = seen[along].values > 0
        values = seen[f"accuracy_{along}"].transpose("group", along).values[:, at]
        columns: dict[str, Any] = {
            "x": [seen[along].values[at]] * len(order),
            "y": [values[g] for g in order],
            "name": [f"{found[g]['name']} ({seen['count'].values[g]})" for g in order],
            "colour": [FAINT if found[g]["kind"] == "cell" else found[g]["colour"] for g in order],
        }
        source = ColumnDataSource(columns, name=f"{name}_source")
        plot = look.figure("Accuracy of the groups", label, "accuracy", x_axis_type="log", y_range=(-0.02, 1.02))
        lines = plot.multi_line("x", "y", source=source, color="colour", line_width=2.2, hover_line_width=4)
        plot.add_tools(HoverTool(renderers=[lines], tooltips=[("", "@name"), ("accuracy", "$y{0.0%}")]))
        if along == "time":
            plot.add_layout(look.marker(location=stop))
        made[name] = plot
    return made


def body(dataset: xr.Dataset, divs: dict[str, str]) -> str:
    """Figures and tables."""
    own = part(dataset)
    split = default_split(own)
    aligned, conflicting = look.COLOURS[:2]
    key = look.key([(look.INK, "all"), (aligned, "aligned"), (conflicting, "conflicting"), (FAINT, "cells")])
    drawn = "".join(f"<div>{divs[name]}</div>" for name in FIGURES)
    parts = [
        f'<div class="pair">{drawn}</div><div class="caption">{key}On the {split} examples; a name shows where the '
        "pointer rests. Dotted: the plain stop, at the least loss of all outputs held out.</div>",
        f"<h3>Groups at the plain stop, on the {split} examples</h3>{tables.group_table(own, split)}",
    ]
    if own.sizes["attribute"]:
        chosen = html.escape(str(dataset.attrs["all_select"]))
        parts.append(
            f"<h3>The best of each strategy, by the worst cell of class and attribute on the {chosen} examples, of "
            f"those with {dataset.attrs['rare']} or more</h3>{tables.choices(own)}"
        )
    return "".join(parts)
