"""The page of the two moons: sliders, the decision boundary, accuracies and responses over time."""

from __future__ import annotations

from typing import Any

import contourpy
import numpy as np
from bokeh.document import Document
from bokeh.models import ColumnDataSource, LinearColorMapper

from gsdyn.explore import two_moons
from gsdyn.explore._bench import fill
from gsdyn.explore.two_moons import CELLS, EXAMPLES, FOLLOWED, HEIGHT, NEW, WIDTH, Settings, View
from gsdyn.plotting.pages import look

LEAD = (
    f"{EXAMPLES} points that the first axis alone can tell apart, and an infinitely wide ReLU network of three layers. "
    "Its training is followed exactly, by the flow of its kernel."
)
ENDS = look.key([(look.INK, "boundary at the stopping time"), (look.INK, "at the end")], dash=["at the end"])
CAPTIONS = {
    "boundary": ENDS
    + "The output of the network (orange: class −1, purple: class +1), its boundary at the stopping time "
    "(solid) and where training would end (dashed). A boundary that stands upright uses the first axis alone.",
    "accuracy": look.key([(look.STRONG, "training"), (look.WEAK, "new points")])
    + f"Share of the training points, and of {NEW} new points of the same moons, on the right side.",
    "margins": "The margin of the training point that is worst off.",
    "responses": look.key([(look.COLOURS[j], f"feature {j + 1}") for j in range(FOLLOWED)])
    + "How strongly each of the strongest features of the kernel is learnt by each time.",
}


def page(document: Document) -> None:
    """Fill a document of Bokeh's server with the page."""
    fill(document, _Bench(), "/two-moons", LEAD, CAPTIONS)


class _Bench:
    """Widgets, sources and figures of one visitor."""

    def __init__(self) -> None:
        d = Settings()
        self.margin = look.slider("margin", "margin along the first axis", -0.3, 0.3, d.margin, 0.02)
        self.decay = look.log_slider("decay", "weight decay λ₁", -5, 1, d.decay, off=True)
        self.decoupling = look.log_slider("decoupling", "spectral decoupling λ₂", -4, 1, d.decoupling, off=True)
        self.switch = look.log_slider("switch", "decoupling sets in at time", -1, 4, d.switch)
        self.time = look.log_slider("time", "stopping time", -2, 4, d.time)
        self.widgets = [self.margin, self.decay, self.decoupling, self.switch, self.time]
        self.values = look.table_div("values")
        names = ("picture", "points", "now", "end", "time")
        self.sources = {name: ColumnDataSource(name=f"{name}_source") for name in names}
        self.mapper = LinearColorMapper(palette=look.DIVERGING, low=-1, high=1)
        self.stop = [look.marker() for _ in range(3)]
        self.change = [look.marker(line_alpha=0.35) for _ in range(3)]
        self.show()
        self.figures = {
            "boundary": self._boundary(),
            "accuracy": self._over_time("Accuracy over time", "share on the right side",
                                        ["accuracy", "accuracy_new"], 0),
            "responses": self._over_time("Responses over time", "response",
                                         [f"z{j}" for j in range(FOLLOWED)], 1),
            "margins": self._over_time("Least margin over time", "least margin", ["least"], 2),
        }  # fmt: skip

    def settings(self) -> Settings:
        """What the sliders say."""
        moved = (self.decay, self.decoupling, self.switch, self.time)
        decay, decoupling, switch, time = (look.log_value(slider) for slider in moved)
        return Settings(round(float(self.margin.value), 10), decay, decoupling, switch, time)

    def show(self) -> None:
        """Compute, and move everything."""
        settings = self.settings()
        seen = two_moons.view(settings)
        scene = seen.scene
        size = float(np.quantile(np.abs(seen.outputs), 0.9)) or 1.0
        self.mapper.low, self.mapper.high = -size, size
        self.sources["picture"].data = {"outputs": [seen.outputs.astype(np.float32)]}
        colours = np.where(scene.y > 0, look.ORANGE_TO_PURPLE[-2], look.ORANGE_TO_PURPLE[1])
        self.sources["points"].data = {"x": scene.x[:, 0], "y": scene.x[:, 1], "colour": colours}
        self.sources["now"].data = boundary(seen.outputs)
        self.sources["end"].data = boundary(seen.end_outputs)
        self.sources["time"].data = {
            "t": np.asarray(seen.run.ts), "accuracy": seen.accuracy, "accuracy_new": seen.accuracy_new,
            "least": seen.least_margin, **{f"z{j}": seen.z[:, j] for j in range(FOLLOWED)},
        }  # fmt: skip
        for span in self.stop:
            span.location = settings.time
        for span in self.change:
            span.location, span.visible = settings.switch, settings.decoupling > 0
        self.values.text = look.table(values(settings, seen))

    def _boundary(self):
        plot = look.figure("Decision boundary", "first axis", "second axis", height=420, x_range=WIDTH, y_range=HEIGHT)
        # each cell of the picture lies around its point of the grid
        step = (WIDTH[1] - WIDTH[0]) / (CELLS - 1)
        size = CELLS * step
        plot.image("outputs", source=self.sources["picture"], x=WIDTH[0] - step / 2, y=HEIGHT[0] - step / 2, dw=size,
                   dh=size, color_mapper=self.mapper, alpha=0.75)  # fmt: skip
        plot.scatter("x", "y", source=self.sources["points"], size=7, color="colour", line_color="white")
        plot.multi_line("x", "y", source=self.sources["end"], color=look.INK, line_width=1.5, line_dash="dashed")
        plot.multi_line("x", "y", source=self.sources["now"], color=look.INK, line_width=3)  # fmt: skip
        plot.grid.visible = False
        return plot

    def _over_time(self, title: str, y: str, lines: list[str], number: int):
        plot = look.figure(title, "time", y, x_axis_type="log")
        for name, colour in zip(lines, look.COLOURS, strict=False):
            plot.line("t", name, source=self.sources["time"], color=colour, line_width=2.5)
        plot.add_layout(self.stop[number])
        plot.add_layout(self.change[number])
        return plot


def boundary(outputs: np.ndarray | None) -> dict[str, Any]:
    """The lines on which the outputs on the grid are zero, as columns for `multi_line`."""
    if outputs is None:
        return {"x": [], "y": []}
    axes = np.linspace(*WIDTH, CELLS), np.linspace(*HEIGHT, CELLS)
    lines = [np.asarray(line) for line in contourpy.contour_generator(*axes, outputs).lines(0.0)]
    return {"x": [line[:, 0] for line in lines], "y": [line[:, 1] for line in lines]}


def values(settings: Settings, seen: View) -> list[tuple[str, str]]:
    """The numbers below the sliders, each with what it is worth."""
    now, n = seen.now, look.number
    rows = [
        ("training accuracy", f"{seen.accuracy[now]:.1%}"),
        ("accuracy on new points", f"{seen.accuracy_new[now]:.1%}"),
        ("least margin", n(seen.least_margin[now], 5)),
        (
            "steps of the flow",
            f"{int(seen.run.steps.accepted)}" if seen.run.succeeded else "not all times were reached",
        ),
        ("error of a step", f"≤ {two_moons.RTOL:g} of the largest margin"),
    ]
    if seen.end is None:
        return [*rows, ("end of training", "none without a penalty: margins grow for ever")]
    end = seen.end
    return [
        *rows,
        ("least margin at the end", n(np.min(np.asarray(end.margins)), 5)),
        ("primal minus dual there", f"≤ {n(end.gap, 2)}"),
        ("|α − α*| there", f"≤ {n(end.error_bound, 2)}"),
        ("Newton steps", f"{int(end.iterations)}, {'converged' if end.converged else 'not converged'}"),
    ]
