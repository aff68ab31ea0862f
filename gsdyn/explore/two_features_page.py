"""The page of the two-feature model: sliders, the plane of responses, curves over time and over the decay."""

from __future__ import annotations

import numpy as np
from bokeh.document import Document
from bokeh.models import Band, ColumnDataSource, Select, Span

from gsdyn.explore import two_features
from gsdyn.explore._bench import fill
from gsdyn.explore.two_features import DECAYS, LOSSES, Law, Settings, View
from gsdyn.plotting.pages import look

LEAD = "Two examples and two features (Eq. 15 of the paper), trained from zero. Every move is solved anew, with bounds."
TWO = look.key([(look.STRONG, "feature 1"), (look.WEAK, "feature 2")])
ANSWERS = look.key([(look.WEAK, "dz₂/d(s₁²): feature 2 to 1"), (look.STRONG, "dz₁/d(s₂²): feature 1 to 2")])
WAYS = look.key([(look.STRONG, "gradient flow"), (look.SOFT, "dual flow")], dash=["dual flow"])
CAPTIONS = {
    "plane": WAYS
    + "The responses z₁ and z₂ on their way: along gradient descent (solid) and along the dual flow (dashed), "
    "which end at the same optimum (cross). The dot is the stopping time.",
    "responses": TWO
    + "How strongly each feature is learnt by each time (learning rate times steps). Dashed: where it ends.",
    "over_time": ANSWERS
    + "How the response of one feature answers to the strength of the other, by each time. Below zero, "
    "feature 1 starves feature 2. The band is how far the values can be off.",
    "over_decay": ANSWERS
    + "The same at the optimum, for every weight decay, at the decoupling set. Dotted: the decay set.",
}


def page(document: Document) -> None:
    """Fill a document of Bokeh's server with the page."""
    fill(document, _Bench(), "/two-features", LEAD, CAPTIONS)


class _Bench:
    """Widgets, sources and figures of one visitor."""

    def __init__(self) -> None:
        d = Settings()
        self.s1 = look.slider("s1", "strength s₁ of feature 1", 0.5, 10, d.s1, 0.1)
        self.s2 = look.slider("s2", "strength s₂ of feature 2", 0.5, 10, d.s2, 0.1)
        self.delta = look.slider("delta", "overlap δ", 0.0, 0.95, d.delta, 0.01)
        self.decay = look.log_slider("decay", "weight decay λ₁", -5, 1, d.decay, off=True)
        self.decoupling = look.log_slider("decoupling", "spectral decoupling λ₂", -5, 1, d.decoupling, off=True)
        self.time = look.log_slider("time", "stopping time", -2, 5, d.time)
        self.loss = Select(name="loss", title="loss", options=[*LOSSES], value=d.loss, sizing_mode="stretch_width")
        self.widgets = [self.s1, self.s2, self.delta, self.decay, self.decoupling, self.time, self.loss]
        self.values = look.table_div("values")
        names = ("path", "dual", "dot", "optimum", "curve")
        self.sources = {name: ColumnDataSource(name=f"{name}_source") for name in names}
        self.stop = [look.marker(), look.marker()]
        self.ends = [Span(dimension="width", line_color=c, line_dash="dashed", line_alpha=0.7) for c in look.COLOURS]
        self.chosen = look.marker()
        self.show()
        self.figures = {
            "plane": self._plane(),
            "responses": self._responses(),
            "over_time": self._over_time(),
            "over_decay": self._over_decay(),
        }

    def settings(self) -> Settings:
        """What the sliders say."""
        s1, s2, delta = (float(slider.value) for slider in (self.s1, self.s2, self.delta))
        decay, decoupling, time = (look.log_value(slider) for slider in (self.decay, self.decoupling, self.time))
        return Settings(s1, s2, delta, decay, decoupling, time, str(self.loss.value))

    def show(self) -> None:
        """Compute, and move everything."""
        settings = self.settings()
        seen = two_features.view(settings)
        path, curve, now = seen.path, seen.curve, int(seen.path.now)
        z, matrix, error = np.asarray(path.z), np.asarray(path.matrix), np.asarray(path.error)
        self.sources["path"].data = {
            "t": np.asarray(path.ts), "z1": z[:, 0], "z2": z[:, 1], **_entry("g21", matrix, error, 1, 0),
            **_entry("g12", matrix, error, 0, 1),
        }  # fmt: skip
        dual = np.empty((0, 2)) if seen.dual is None else np.asarray(seen.dual)
        end = np.empty((0, 2)) if seen.end is None else np.asarray(seen.end.z)[None]
        self.sources["dual"].data = {"z1": dual[:, 0], "z2": dual[:, 1]}
        self.sources["dot"].data = {"z1": z[[now], 0], "z2": z[[now], 1]}
        self.sources["optimum"].data = {"z1": end[:, 0], "z2": end[:, 1]}
        matrix, error = np.asarray(curve.matrix), np.asarray(curve.error)
        self.sources["curve"].data = {
            "decay": DECAYS, "z1": np.asarray(curve.z)[:, 0], "z2": np.asarray(curve.z)[:, 1],
            **_entry("g21", matrix, error, 1, 0), **_entry("g12", matrix, error, 0, 1),
        }  # fmt: skip
        for span in self.stop:
            span.location = settings.time
        for j, span in enumerate(self.ends[:2]):
            span.visible = seen.end is not None
            span.location = float(end[0, j]) if len(end) else 0.0
        self.chosen.visible, self.chosen.location = settings.decay > 0, max(settings.decay, float(DECAYS[0]))
        law = two_features.law(settings, seen)
        self.values.text = look.table(values(settings, seen)) + f"<p>{say(settings, law)}</p>"

    def _plane(self):
        plot = look.figure("The way of the responses", "response z₁", "response z₂")
        plot.line("z1", "z2", source=self.sources["path"], color=look.STRONG, line_width=2.5)
        plot.line("z1", "z2", source=self.sources["dual"], color=look.SOFT, line_width=1.5, line_dash="dashed")
        plot.scatter("z1", "z2", source=self.sources["optimum"], marker="x", size=13, line_width=2.5, color=look.INK)
        plot.scatter("z1", "z2", source=self.sources["dot"], size=11, color=look.WEAK, line_color="white")
        return plot

    def _responses(self):
        plot = look.figure("Responses over time", "time", "response", x_axis_type="log")
        for name, colour in (("z1", look.STRONG), ("z2", look.WEAK)):
            plot.line("t", name, source=self.sources["path"], color=colour, line_width=2.5)
        for span in (self.stop[0], *self.ends[:2]):
            plot.add_layout(span)
        return plot

    def _over_time(self):
        plot = look.figure("Starvation over time", "time", "dz/d(s²)", x_axis_type="log")
        self._answers(plot, "t", self.sources["path"])
        plot.add_layout(self.stop[1])
        return plot

    def _over_decay(self):
        plot = look.figure("Starvation at the optimum", "weight decay λ₁", "dz*/d(s²)", x_axis_type="log")
        self._answers(plot, "decay", self.sources["curve"])
        plot.add_layout(self.chosen)
        return plot

    def _answers(self, plot, x: str, source: ColumnDataSource) -> None:
        for name, colour in (("g21", look.WEAK), ("g12", look.STRONG)):
            band = Band(base=x, lower=f"{name}_low", upper=f"{name}_high", source=source, fill_color=colour,
                        fill_alpha=0.2, line_alpha=0)  # fmt: skip
            plot.add_layout(band)
            plot.line(x, name, source=source, color=colour, line_width=2.5)
        plot.add_layout(Span(dimension="width", location=0, line_color=look.SOFT, line_width=1))


def _entry(name: str, matrix: np.ndarray, error: np.ndarray, j: int, i: int) -> dict[str, np.ndarray]:
    """`G[j, i]` and both ends of what it can be, as columns."""
    value, off = matrix[:, j, i], error[:, j, i]
    return {name: value, f"{name}_low": value - off, f"{name}_high": value + off}


def values(settings: Settings, seen: View) -> list[tuple[str, str]]:
    """The numbers beside the sliders, each with what it is worth."""
    path, now, n = seen.path, int(seen.path.now), look.number
    rows = [
        ("z at the stopping time", f"{n(path.z[now, 0], 6)}, {n(path.z[now, 1], 6)}"),
        ("dz₂/d(s₁²) then", f"{n(path.matrix[now, 1, 0], 6)} ± {n(path.error[now, 1, 0], 2)}"),
        ("steps of the flow", f"{int(path.steps.accepted)}" if path.succeeded else "not all times were reached"),
    ]
    end = seen.end
    if end is None:
        return [*rows, ("optimum", "none without a penalty: margins grow for ever")]
    return [
        *rows,
        ("z* at the optimum", f"{n(end.z[0], 6)}, {n(end.z[1], 6)}"),
        ("dz₂*/d(s₁²)", f"{n(end.matrix[1, 0], 6)} ± {n(end.error[1, 0], 2)}"),
        ("primal minus dual", f"≤ {n(end.gap, 2)}"),
        ("|α − α*|", f"≤ {n(end.error_bound, 2)}"),
        ("Newton steps", f"{int(end.iterations)}, {'converged' if end.converged else 'not converged'}"),
    ]


def say(settings: Settings, law: Law) -> str:
    """Theorem 2 in a sentence, and whether the numbers bear it out."""
    if settings.loss == "squared error":
        return "Squared error has the same curvature at every margin, so no feature starves another."
    s1, s2, delta = settings.s1, settings.s2, settings.delta
    weaker = 2 if s1 >= s2 else 1
    if law.said == 0:
        why = "the features do not overlap" if delta == 0 else "the strengths are equal"
        return f"Sign law (Theorem 2): {why}, so feature 1 neither starves feature 2 nor helps it."
    words = {-1: "starves", 1: "helps", 0: "leaves open, within its error, what it does to"}
    side = "<" if delta < 0.5**0.5 else ">"
    told = (
        f"Sign law (Theorem 2): s₁ {'>' if weaker == 2 else '<'} s₂ and δ {side} 1/√2, so feature 1 "
        f"<b>{words[law.said]}</b> feature 2"
    )
    told += " at every time. " if law.proven else " where there is weight decay (proven at the optimum). "
    found = [("by the stopping time", law.by_now)] + ([] if law.at_end is None else [("at the optimum", law.at_end)])
    seen = "; ".join(f"{where}: {words[sign] if sign else 'undecided within the error'}" for where, sign in found)
    return told + f"Computed {seen}."
