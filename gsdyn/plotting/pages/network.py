"""What a real network adds to the report: how lazy it is, and how it trains beside what was predicted."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import xarray as xr
from bokeh.document import Document
from bokeh.models import ColumnDataSource, CustomJS, CustomJSTickFormatter, HoverTool, Model, Select, Whisker
from bokeh.models.layouts import Column

from gsdyn.plotting.pages import look
from gsdyn.plotting.pages.bench import groups
from gsdyn.plotting.pages.look import number
from gsdyn.plotting.pages.moves import GROUPS
from gsdyn.plotting.pages.tables import CELLS, percent, table, told_groups

CHANGES = {
    "lazy_kernel_change": "change of the kernel",
    "lazy_outputs_apart": "outputs apart",
    "lazy_decisions_apart": "decisions apart",
}
SHOWN = "return values[Math.round(tick)] ?? ''"
MOVE = """
const split = Math.max(splits.indexOf(trained_split.value), 0);
const scale = Math.max(scales.indexOf(trained_network.value), 0);
const at = counted.indexOf(trained_split.value);
const here = told_groups(trained_groups.value, (n) => groups[n].count[at]);
const pick = (a, ...where) => {
  let flat = 0;
  where.forEach((w, d) => { flat = flat * a.shape[d] + w; });
  return a[flat];
};
settings.forEach((setting, s) => {
  const records = [...Array(predicted.shape[3]).keys()];
  const line = (table, g) => records.map((r) => pick(table, s, split, g, r));
  lines[s].data = {
    x: here.map(() => records), y: here.map((g) => line(predicted, g)), start: here.map((g) => line(start, g)),
    name: here.map((g) => groups[g].name), colour: here.map((g) => groups[g].colour),
  };
  const every = here.flatMap((g) => records.map((r) => [g, r]));
  const of = (table) => every.map(([g, r]) => pick(table, s, scale, split, g, r));
  points[s].data = {
    x: every.map(([, r]) => r), mean: of(mean), low: of(low), high: of(high),
    predicted: every.map(([g, r]) => pick(predicted, s, split, g, r)),
    name: every.map(([g]) => groups[g].name), colour: every.map(([g]) => groups[g].colour),
  };
});
"""


def lazy_figures(dataset: xr.Dataset) -> dict[str, Model]:
    """How far kernel and outputs are from those of the linearised network, and the accuracies of the two."""
    ts = dataset["lazy_time"].values
    changes = look.figure("What leaves the theory", "time", "share", x_axis_type="log")
    columns: dict[str, Any] = {"t": ts} | {name: dataset[name].values for name in CHANGES}
    changes_source = ColumnDataSource(columns, name="lazy_source")
    for colour, (name, words) in zip(look.COLOURS, CHANGES.items(), strict=False):
        drawn = changes.line("t", name, source=changes_source, color=colour, line_width=2.5)
        changes.scatter("t", name, source=changes_source, color=colour, size=6)
        changes.add_tools(HoverTool(renderers=[drawn], tooltips=[(words, f"@{name}{{0.000}}"), ("time", "@t")]))
    changes.add_layout(look.marker("width", location=float(dataset.attrs["lazy_level"])))
    changes.y_range.start = 0
    right = look.figure(
        "The network and itself linearised", "time", "accuracy", x_axis_type="log", y_range=(-0.02, 1.02)
    )
    accuracy = dataset["lazy_accuracy"].transpose("lazy_network", "lazy_time").values
    source = ColumnDataSource({"t": ts, "real": accuracy[0], "linear": accuracy[1]}, name="lazy_accuracy_source")
    for name, colour, dash in (("real", look.COLOURS[0], "solid"), ("linear", look.COLOURS[1], "dashed")):
        right.line("t", name, source=source, color=colour, line_width=2.5, line_dash=dash)
    return {"lazy_changes": changes, "lazy_accuracies": right}


def lazy_key() -> dict[str, str]:
    """The captions of the figures."""
    changes = look.key([(c, words) for c, words in zip(look.COLOURS, CHANGES.values(), strict=False)])
    both = look.key([(look.COLOURS[0], "the network"), (look.COLOURS[1], "linearised")], dash=["linearised"])
    return {
        "lazy_changes": changes + "Dotted: outputs further apart than this are told as a warning.",
        "lazy_accuracies": both + "On the examples that were trained on.",
    }


def lazy_table(dataset: xr.Dataset) -> str:
    """Every time that was looked at in numbers."""
    rows = [
        [number(at["lazy_time"], 3), *(percent(at[name]) for name in CHANGES), number(at["lazy_kernel_alignment"], 4)]
        for at in (dataset.isel(lazy_time=i) for i in range(dataset.sizes["lazy_time"]))
    ]
    start = float(dataset["lazy_start_apart"])
    known = f"<p>The kernel at the start is {percent(start)} away from that of infinite width.</p>"
    heads = ["time", *CHANGES.values(), "alignment of the kernel"]
    return table(heads, rows) + (known if np.isfinite(start) else "")


def trained_figures(dataset: xr.Dataset) -> dict[str, Model]:
    """Choices, and for each setting the accuracies of groups over time: lines predicted, points trained."""
    settings = [str(s) for s in dataset["trained_setting"].values]
    lines = [ColumnDataSource(name=f"trained_lines_{s}_source", data=_empty("x y start name colour")) for s in settings]
    points = [
        ColumnDataSource(name=f"trained_points_{s}_source", data=_empty("x mean low high predicted name colour"))
        for s in settings
    ]
    widgets = _choices(dataset)
    tables, names = _tables(dataset), groups(dataset)
    arguments = {
        **widgets, **tables, "groups": names, "settings": settings, "lines": lines, "points": points,
        "counted": [str(s) for s in dataset["split"].values], "most_cells": CELLS,
    }  # fmt: skip
    move = CustomJS(code=GROUPS + MOVE, args=arguments)
    for widget in widgets.values():
        widget.js_on_change("value", move)
    document = Document()
    document.js_on_event("document_ready", move)
    shown = [widget for widget in widgets.values() if len(widget.options) > 1]
    figures: dict[str, Model] = {"trained_choices": Column(children=[*shown], sizing_mode="stretch_width")}
    for s, setting in enumerate(settings):
        figures[f"trained_{setting}"] = _over_time(dataset, s, lines[s], points[s])
    for root in figures.values():
        document.add_root(root)
    return figures


def _empty(columns: str) -> dict[str, list]:
    return {name: [] for name in columns.split()}


def _choices(dataset: xr.Dataset) -> dict[str, Select]:
    splits: Any = [str(s) for s in dataset["trained_split"].values]
    networks: Any = _networks(dataset)
    attributes: Any = [str(a) for a in dataset["attribute"].values]
    wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
    return {
        "trained_network": Select(
            name="trained_network", title="the network", value=networks[0], options=networks, **wide),
        "trained_split": Select(
            name="trained_split", title="seen on the examples of", value=splits[-1], options=splits, **wide),
        "trained_groups": Select(
            name="trained_groups", title="groups by", value=attributes[0] if attributes else "", options=attributes,
            **wide),
    }  # fmt: skip


def _networks(dataset: xr.Dataset) -> list[str]:
    return [
        "as it is" if scale == 1 else f"outputs times {scale:g}: its kernel hardly moves"
        for scale in dataset["trained_scale"].values
    ]


def _tables(dataset: xr.Dataset) -> dict[str, Any]:
    """Accuracies as (setting, scale, split, group, record), those predicted without a scale."""
    order = ("trained_setting", "trained_scale", "trained_split", "group", "trained_record")
    seeds = dataset["trained_accuracy"]
    plain = [dim for dim in order if dim != "trained_scale"]
    parts = {
        "mean": seeds.mean("trained_seed").transpose(*order),
        "low": seeds.min("trained_seed").transpose(*order),
        "high": seeds.max("trained_seed").transpose(*order),
        "predicted": dataset["trained_predicted"].transpose(*plain),
        "start": dataset["trained_start"].mean("trained_seed").transpose(*plain),
    }
    return {
        **{name: part.values.astype(np.float32) for name, part in parts.items()},
        "splits": [str(s) for s in dataset["trained_split"].values],
        "scales": _networks(dataset),
    }


def _over_time(dataset: xr.Dataset, s: int, lines: ColumnDataSource, points: ColumnDataSource) -> Any:
    since = dataset["trained_since"].transpose("trained_setting", "trained_record").values[s]
    late = since[-1] != dataset["trained_time"].transpose("trained_setting", "trained_record").values[s][-1]
    axis = "time since the switch" if late else "time"
    plot = look.figure(str(dataset["trained_setting"].values[s]).capitalize(), axis, "accuracy", y_range=(-0.02, 1.02))
    plot.xaxis.formatter = CustomJSTickFormatter(code=SHOWN, args={"values": [number(v, 2) for v in since]})
    plot.xaxis.ticker = list(range(0, len(since), 2))
    plot.xaxis.major_label_orientation = 0.7
    drawn = plot.multi_line("x", "y", source=lines, color="colour", line_width=2.2)
    plot.multi_line("x", "start", source=lines, color="colour", line_width=1.4, line_dash="dashed")
    seen = plot.scatter("x", "mean", source=points, color="colour", size=6)
    plot.add_layout(Whisker(base="x", lower="low", upper="high", source=points, line_color=look.SOFT, upper_head=None,
                            lower_head=None))  # fmt: skip
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("predicted", "@name")]))
    tips = [
        ("", "@name"),
        ("trained", "@mean{0.0%}, seeds @low{0.0%} to @high{0.0%}"),
        ("predicted", "@predicted{0.0%}"),
    ]
    plot.add_tools(HoverTool(renderers=[seen], tooltips=tips))
    return plot


CAPTION = (
    "Lines: predicted by the report's kernel (solid) and by the network's own kernel at its start, mean over seeds "
    "(dashed). Points: trained, mean over seeds, with the lowest and the highest seed. Colours as in the accuracies "
    "above."
)


def trained_words(dataset: xr.Dataset, setting: str) -> str:
    """A setting in words."""
    return html.escape(str(dataset["trained_words"].sel(trained_setting=setting).values))


def trained_table(dataset: xr.Dataset) -> str:
    """One row a group and setting: what it ends at, what was predicted, and the largest distance on the way."""
    split = str(dataset["trained_split"].values[-1])
    part = dataset.sel(trained_split=split)
    end = part.isel(trained_record=-1)
    mean, told = end["trained_accuracy"].mean("trained_seed"), end["trained_predicted"]
    rows = []
    for s, setting in enumerate(str(v) for v in dataset["trained_setting"].values):
        for g in told_groups(dataset, split)[0]:
            at = {"trained_setting": s, "group": g}
            row = [setting, str(dataset["group_name"].values[g]), percent(told.isel(at))]
            for c in range(dataset.sizes["trained_scale"]):
                here = {**at, "trained_scale": c}
                apart = (part[name].isel(here) for name in ("trained_apart", "trained_start_apart"))
                row += [percent(mean.isel(here)), " / ".join(percent(v) for v in apart)]
            rows.append(row)
    heads = ["setting", "group", "predicted"]
    for name in (name.split(":")[0] for name in _networks(dataset)):
        heads += [f"trained, {name}", "furthest off"]
    told = (
        f"At the end, on the {html.escape(split)} examples; and the largest distance of the mean over seeds at any "
        "saved time from what the report predicts / from what the network's own kernel at its start does."
    )
    return f"<p>{told}</p>" + table(heads, rows)
