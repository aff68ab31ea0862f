"""What the pages share: sliders that are computed once however fast they move, and the frame around them."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bokeh.document import Document
from bokeh.models import Div, Model
from bokeh.models.layouts import Column
from bokeh.models.widgets.widget import Widget

from gsdyn.plotting.pages import look

PAGES = (("/two-features", "Two features"), ("/two-moons", "Two moons"), ("/report", "Report"))
PAUSE_MS = 10  # to gather the moves that came in meanwhile


class Bench(Protocol):
    """Widgets, figures by name, and a table of values, which `show` brings up to date."""

    @property
    def widgets(self) -> Sequence[Any]: ...

    @property
    def figures(self) -> Mapping[str, Any]: ...

    @property
    def values(self) -> Div: ...

    def show(self) -> None: ...


def fill(document: Document, bench: Bench, here: str, lead: str, captions: dict[str, str]) -> None:
    """Fill a document of Bokeh's server with the page `here`: the sliders of a bench, and its figures."""
    told = look.table_div("told")
    on_moves(document, bench.widgets, bench.show, told)
    controls = Column(children=[*bench.widgets, bench.values, told], sizing_mode="stretch_width")
    frame(document, here, lead, {"controls": controls, **bench.figures}, captions)


def on_moves(document: Document, widgets: Sequence[Widget], work: Callable[[], None], told: Div) -> None:
    """Do `work` now and after moves of any widget, once for all moves that wait. Bad input is `told` in a line."""
    waiting = False

    def settle() -> None:
        nonlocal waiting
        waiting = False
        try:
            work()
            told.text = ""
        except ValueError as error:
            told.text = f"<p>{html.escape(str(error))}</p>"

    def moved(attr: str, old: object, new: object) -> None:
        nonlocal waiting
        if not waiting:
            waiting = True
            document.add_timeout_callback(settle, PAUSE_MS)

    for widget in widgets:
        widget.on_change("value", moved)
    settle()


def frame(document: Document, here: str, lead: str, roots: dict[str, Model], captions: dict[str, str]) -> None:
    """The page: what stands on it by name, the sliders first, and a caption for each figure."""
    from jinja2 import Template

    for name, root in roots.items():
        root.name = name
        document.add_root(root)
    figures = [name for name in roots if name != "controls"]
    title = dict(PAGES)[here]
    document.title = f"gsdyn: {title.lower()}"
    document.template = Template(_FRAME)
    document.template_variables.update(
        style=look.STYLE, nav=look.nav(PAGES, here), title=title, lead=lead, figures=figures, captions=captions
    )


_FRAME = """
{% from macros import embed %}
{% extends base %}
{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>{{ style }}</style>
{% endblock %}
{% block contents %}
<header><div class="wrap"><h1>{{ title }}</h1><p>{{ lead }}</p>{{ nav }}</div></header>
<main class="wrap"><div class="bench">
<section class="card sticky">{{ embed(roots.controls) }}</section>
<div class="pair">
{% for name in figures %}<section class="card">{{ embed(roots[name]) }}
<div class="caption">{{ captions[name] }}</div></section>
{% endfor %}
</div></div></main>
{% endblock %}
"""
