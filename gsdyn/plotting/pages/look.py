"""One look for every page: figures, sliders, colours and the style sheet."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from bokeh.models import CustomJSTickFormatter, Div, Slider, Span
from bokeh.palettes import interp_palette
from bokeh.plotting import figure as bokeh_figure

INK, SOFT, LINE, PAPER = "#1d2733", "#5f6b7a", "#dfe4ea", "#ffffff"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
"""Told apart by colour-blind readers, as in the figures on paper."""
STRONG, WEAK = COLOURS[:2]
ORANGE_TO_PURPLE = ("#7f3b08", "#b35806", "#e08214", "#fdb863", "#fee0b6", "#f7f7f7", "#d8daeb", "#b2abd2", "#8073ac",
                    "#542788", "#2d004b")  # fmt: skip
DIVERGING = interp_palette(ORANGE_TO_PURPLE, 101)
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

STYLE = f"""
:root {{ --ink: {INK}; --soft: {SOFT}; --line: {LINE}; --accent: {COLOURS[0]}; }}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; }}
body {{ margin: 0; background: #f4f6f8; color: var(--ink); font: 16px/1.55 {FONT}; }}
header {{ background: #14202d; color: #fff; padding: 1.1rem 0 1rem; }}
header h1 {{ margin: 0; font-size: 1.45rem; font-weight: 650; letter-spacing: -.01em; }}
header p {{ margin: .2rem 0 0; color: #b9c4d0; font-size: .95rem; }}
.wrap {{ max-width: 1180px; margin: 0 auto; padding: 0 1.1rem; }}
nav {{ margin-top: .7rem; display: flex; gap: 1.2rem; flex-wrap: wrap; }}
nav a {{ color: #b9c4d0; text-decoration: none; padding-bottom: .15rem; border-bottom: 2px solid transparent; }}
nav a:hover {{ color: #fff; }} nav a.here {{ color: #fff; border-color: #56B4E9; }}
main.wrap {{ padding: 1.1rem 1.1rem 3rem; }}
.key {{ display: flex; flex-wrap: wrap; gap: .15rem 1rem; font-size: .85rem; margin: .1rem 0 .3rem; }}
.key span {{ white-space: nowrap; }}
.key i {{ display: inline-block; width: 1.5rem; border-top: 3px solid; margin-right: .4rem; vertical-align: .22em; }}
.card {{ background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; margin: 0 0 1rem;
  min-width: 0; }}
.card h2 {{ margin: 0 0 .35rem; font-size: 1.08rem; font-weight: 650; }}
.card h3 {{ margin: 1rem 0 .3rem; font-size: .95rem; font-weight: 650; }}
.card > p, .caption {{ color: var(--soft); font-size: .9rem; margin: .2rem 0 .7rem; max-width: 85ch; }}
.bench {{ display: grid; grid-template-columns: 320px minmax(0, 1fr); gap: 1rem; align-items: start; }}
.pair {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; }}
.pair > .card {{ margin: 0; }} .pair {{ margin: 0 0 1rem; }}
.sticky {{ position: sticky; top: .8rem; }}
table.values {{ border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }}
table.values th, table.values td {{ text-align: left; padding: .28rem .6rem .28rem 0; vertical-align: top; }}
table.values th {{ font-weight: 600; color: {SOFT}; }}
table.values tr + tr > * {{ border-top: 1px solid {LINE}; }}
.scroll {{ overflow-x: auto; }}
footer {{ color: var(--soft); font-size: .85rem; }}
iframe.whole {{ width: 100%; height: calc(100vh - 8rem); border: 0; background: #fff; }}
@media (max-width: 900px) {{
  .bench, .pair {{ grid-template-columns: minmax(0, 1fr); }} .sticky {{ position: static; }}
  body {{ font-size: 15px; }}
}}
"""
TABLE = f"""
table.values {{ border-collapse: collapse; width: 100%; font: 14px/1.45 {FONT}; color: {INK};
  font-variant-numeric: tabular-nums; }}
table.values th {{ text-align: left; font-weight: 600; color: {SOFT}; padding: 4px 10px 4px 0; vertical-align: top; }}
table.values td {{ padding: 4px 6px 4px 0; vertical-align: top; }}
table.values tr + tr > * {{ border-top: 1px solid {LINE}; }}
p {{ margin: 8px 0 0; font: 14px/1.5 {FONT}; color: {INK}; }} .soft {{ color: {SOFT}; }}
"""
"""What tables inside Bokeh's widgets, which no outer style sheet reaches, look like."""


def figure(title: str, x: str, y: str, *, height: int = 300, **options: Any) -> Any:
    """A figure as wide as its place, with named axes and quiet tools."""
    tools = "pan,wheel_zoom,box_zoom,reset,save"
    plot: Any = bokeh_figure(
        title=title, x_axis_label=x, y_axis_label=y, height=height, sizing_mode="stretch_width",
        **{"tools": tools, "toolbar_location": "right", **options},
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.min_border_left, plot.min_border_right = 4, 12
    plot.outline_line_color = None
    plot.background_fill_color = plot.border_fill_color = PAPER
    plot.title.text_font, plot.title.text_font_size, plot.title.text_color = FONT, "14px", INK
    plot.grid.grid_line_color = "#edf0f3"
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = "#9aa5b1"
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_color = axis.major_label_text_color = SOFT
        axis.axis_label_text_font_size, axis.major_label_text_font_size = "13px", "12px"
    return plot


def key(entries: Iterable[tuple[str, str]], *, dash: Sequence[str] = ()) -> str:
    """The legend of a figure, as HTML that wraps: colours and what they stand for; those in `dash` are drawn dashed."""
    items = (
        f'<span><i style="border-top-style:{"dashed" if name in dash else "solid"};border-top-color:{colour}"></i>'
        f"{html.escape(name)}</span>"
        for colour, name in entries
    )
    return f'<div class="key">{"".join(items)}</div>'


def marker(dimension: Any = "height", **options: Any) -> Span:
    """A line across a whole figure, such as the stopping time."""
    given = {"line_color": INK, "line_dash": "dotted", "line_width": 1.5, "level": "underlay", **options}
    return Span(dimension=dimension, **given)


def slider(name: str, title: str, start: float, end: float, value: float, step: float) -> Slider:
    """A slider for a quantity itself."""
    return Slider(name=name, title=title, start=start, end=end, value=value, step=step, sizing_mode="stretch_width")


def log_slider(
    name: str, title: str, low: float, high: float, value: float, *, off: bool = False, step: float = 0.05
) -> Slider:
    """A slider for the decimal logarithm of a quantity from 10^low to 10^high, shown as the quantity itself; with
    `off`, its left end means 0. `log_value` reads it."""
    left = "tick <= {low} ? '0' : " if off else ""
    code = (
        "return " + left.replace("{low}", repr(low + step / 2)) + "Number(Math.pow(10, tick).toPrecision(3)).toString()"
    )
    at = low if off and value <= 0 else math.log10(value)
    made = slider(name, title, low, high, at, step)
    made.format = CustomJSTickFormatter(code=code)
    made.tags = ["off"] if off else []
    return made


def log_value(made: Slider) -> float:
    """The quantity that a `log_slider` stands at."""
    off = "off" in made.tags and made.value <= made.start + made.step / 2
    return 0.0 if off else 10.0 ** float(made.value)


def table_div(name: str) -> Div:
    """A place for a table of values that changes."""
    return Div(name=name, text="", sizing_mode="stretch_width", stylesheets=[TABLE])


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values as a table; neither is read as HTML."""
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f'<table class="values">{cells}</table>'


def number(value: Any, digits: int = 4) -> str:
    """A number as people read it; a dash where there is none."""
    value = float(value)
    if math.isnan(value):
        return "–"
    return f"{value:.{digits}g}"


def nav(pages: Sequence[tuple[str, str]], here: str) -> str:
    """Links to the pages, with the one that is open marked."""
    links = (
        f'<a href="{html.escape(at)}"{" class=here" if at == here else ""}>{html.escape(name)}</a>'
        for at, name in pages
    )
    return f"<nav>{''.join(links)}</nav>"
