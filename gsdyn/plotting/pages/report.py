"""The starvation report as one HTML file that opens anywhere: nothing in it is loaded from outside."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import xarray as xr
from bokeh.embed import components
from bokeh.resources import Resources

from gsdyn.plotting.pages import look, network, tables, together
from gsdyn.plotting.pages.bench import bench, default_split
from gsdyn.plotting.pages.pictures import image_shape, pictures

STYLE = """
.badge { display: inline-block; color: #fff; border-radius: 999px; padding: .2rem .9rem; font-weight: 600; }
.card > p.first { font-size: 1.1rem; color: var(--ink); margin: .7rem 0; max-width: 80ch; }
.card p.told { color: var(--ink); max-width: 90ch; }
.card ul { margin: .3rem 0 .8rem; padding-left: 1.2rem; max-width: 90ch; } .card li { margin: .25rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(200px, 45%), 1fr)); gap: .9rem; }
.tile { margin: 0; font-size: .9rem; min-width: 0; }
.tile img { display: block; width: 100%; image-rendering: pixelated;
  border: 1px solid var(--line); border-radius: 6px; margin: .25rem 0; }
.tile figcaption { color: var(--soft); font-size: .8rem; } .none { color: var(--soft); }
table.small { font-size: .8rem; } table.small th { padding-right: .3rem; line-height: 1.2; overflow-wrap: anywhere; }
table.small td { white-space: nowrap; }
table.values thead th { border-bottom: 2px solid var(--line); white-space: nowrap; }
table.values td { padding-right: 1.1rem; } .scroll th { min-width: 4.5rem; }
.bar { position: relative; display: inline-block; width: 60px; height: .7rem; background: #eef1f4; border-radius: 2px; }
.bar i { position: absolute; top: 0; bottom: 0; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .35rem 1.1rem; margin: .4rem 0; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); max-width: 90ch; }
details.class > summary { cursor: pointer; font-weight: 650; font-size: 1.15rem; padding: .6rem .2rem; }
@media (max-width: 900px) { dl { grid-template-columns: minmax(0, 1fr); } dd { margin-bottom: .4rem; } }
"""
NAMES = (
    ("margin", "How far an example is on the right side of the decision: the label (−1 or +1) times the output."),
    ("feature", "A direction of the network's kernel, weighted with the labels: what the network can use. "
                "Feature 1 is the strongest."),
    ("strength s", "How strongly the data and the network offer a feature; a lone feature is learnt at a rate of s²."),
    ("response z", "How much of a feature is learnt. All margins are sums of responses times the weights of features."),
    ("time", "The step of gradient descent times the number of steps, for the loss summed over the examples."),
    ("starves", "A feature starves another when more strength of the first makes the response of the second smaller."),
    ("tie, R²", "The share of a feature's variance over the examples that an attribute explains."),
    ("aligned, conflicting", "Examples whose attribute agrees with the label, and those where it does not."),
    ("gap", "Mean margin of the aligned less that of the conflicting examples: what the attribute is worth."),
    ("weight decay", "A pull of the parameters to their start; the report shows where training ends under each."),
    ("spectral decoupling", "A pull of the outputs to zero; set in late, it unlearns the strongest features first."),
    ("held-out", "Training examples that a second solution has not seen, and on which settings are chosen."),
    ("plain stop", "The time at which plain training is best on held-out examples, all groups together."),
)  # fmt: skip
CAPTIONS = {
    "over": ("How strongly each of the leading features is learnt along the grid of the chosen scenario. Dotted: the "
             "slider. Colours as in the responses below; a name shows where the pointer rests."),
    "groups_over": ("The share of each group on the right side, along the same grid, on the chosen examples. Colours "
                    "as in the accuracies below."),
    "responses": "The responses where the slider stands, those that grow largest in plain training in colour.",
    "shares": ("Every group there, with its number of examples, of many cells the largest; the line is Wilson's 95% "
               "interval."),
    "gap": "The gap there, as the exact sum of what each feature carries (orange adds, green takes away).",
    "matrix": ("The response of a row to the strength of a column, in percent for one percent. Purple helps, orange "
               "starves; a dot marks what is certain to starve. Empty: not known. On the way, over time or "
               "since a switch, it is that of the strongest features alone, and nothing is certain where the margins "
               "of these are more than 10% off those of all: how far is said beside the sliders."),
}  # fmt: skip


def card(title: str, lead: str, body: str) -> str:
    """A section with its title and a sentence on what it shows."""
    return f'<section class="card"><h2>{title}</h2>{f"<p>{lead}</p>" if lead else ""}{body}</section>'


GLOSSARY = card(
    "What the names mean",
    "",
    f"<dl>{''.join(f'<dt>{html.escape(name)}</dt><dd>{html.escape(meaning)}</dd>' for name, meaning in NAMES)}</dl>",
)
MOST = 20  # classes
KINDS = ("shortcut", "undecided", "no shortcut")


def report_page(dataset: xr.Dataset, verdict: Any, classes: Mapping[str, Any] | None = None) -> str:
    """The page of a starvation report, from its dataset and verdict; it computes nothing.

    - `dataset`: as `gsdyn.diagnosis.report` describes it. `verdict`: with `kind` and `sentences`.
    - `classes`: of a report on several classes the report of each, with `dataset` and `verdict`: a section for each,
      those with a shortcut first, at most 20.

    Returns a whole HTML document that holds all that it needs.

        >>> page = gs.plotting.report_page(report.dataset, report.verdict)  # doctest: +SKIP
    """
    if classes:
        script, body = _of_classes(dataset, verdict, classes)
    else:
        script, divs = _embedded(dataset)
        body = _body(dataset, verdict, divs) + GLOSSARY
    a = dataset.attrs
    title = html.escape(str(a.get("title", "Starvation report")))
    lead = html.escape(
        f"{int(a['n']):,} examples, {int(a['features'])} leading features, {a['kernel']}. "
        + ("Every class against the rest." if classes else f"Labels: {a.get('labels', '')}.")
    )
    resources = Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).render()
    made = html.escape(f"Made by gsdyn {a.get('gsdyn_version', '')}".strip())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="data:,"><style>{look.STYLE}{STYLE}</style>{resources}'
        "</head><body>"
        f'<header><div class="wrap"><h1>{title}</h1><p>{lead}</p></div></header><main class="wrap">'
        f"{body}<footer>{made}</footer></main>{script}</body></html>\n"
    )


def _body(dataset: xr.Dataset, verdict: Any, divs: dict[str, str]) -> str:
    """The sections, one after the other."""
    named, told = dataset.sizes["attribute"] > 0, dataset.sizes["input"] > 0 if "input" in dataset.dims else False
    split = default_split(dataset)
    seen = (
        "a picture of its direction (purple grows with the feature, orange falls)"
        if image_shape(dataset)
        else "the inputs that "
    )
    seen += "" if image_shape(dataset) else "move most with it, by their correlation"
    parts = [
        card("What it comes to", "", tables.verdict_of(verdict) + (tables.attributes(dataset) if named else "")),
        card(
            "Features", "What the network can learn from these data, strongest first. Half learnt at: when plain "
            "training has half of the response it ends with. Shares of the margins are those at the plain stop.",
            tables.features(dataset)),
        card(
            "What they look like", f"For every feature {seen if told else 'the examples'}, and the rows of the "
            "training data that carry it most (with label and weight).", pictures(dataset)),
        _moving(divs),
    ]  # fmt: skip
    if named:
        parts.append(card(
            "Ties to the attributes", "R² of every feature with every attribute and its 95% interval, and what is "
            "beyond the label and the other attributes. A dot: certain, corrected for the number of tests.",
            tables.ties(dataset)))  # fmt: skip
    parts.append(card(
        "Who starves whom", "The starvations that are certain and take most, where training ends under the smallest "
        "weight decay; the sliders above show all of them, at every decay, time and switch.",
        tables.starving(dataset)))  # fmt: skip
    if dataset.sizes["removed"]:
        parts.append(card(
            "Without a strong feature", "The problem solved again without it: how much more, and how much earlier, "
            "the other large features are learnt then.", tables.without(dataset)))  # fmt: skip
    parts.append(card(
        "Groups at the plain stop", f"On the {split} examples: accuracy with Wilson's 95% interval.",
        tables.group_table(dataset, split)))  # fmt: skip
    if named:
        chosen = html.escape(str(dataset.attrs.get("select", "held-out")))
        parts.append(
            card(
                "The best of each strategy",
                f"Chosen by the worst cell of label and attribute on the {chosen} examples, of those with "
                f"{dataset.attrs['rare']} examples or more.",
                tables.choices(dataset),
            )
        )
    parts += _network(dataset, divs)
    parts.append(
        card(
            "How far to trust it",
            "Bounds and errors of what is shown, and how the data were read.",
            tables.trust(dataset),
        )
    )
    return "".join(parts)


def _of_classes(dataset: xr.Dataset, verdict: Any, classes: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict on all, all of them together, and the sections of every class, which open by themselves."""
    kinds = [str(report.verdict.kind) for report in classes.values()]
    order = sorted(range(len(kinds)), key=lambda i: (KINDS.index(kinds[i]), i))
    names = list(classes)
    rows = [[names[i], kinds[i], classes[names[i]].verdict.sentences[0]] for i in order]
    parts = [card("What it comes to", "", tables.verdict_of(verdict) + tables.table(["class", "verdict", ""], rows))]
    scripts = []
    if "all_group" in dataset.dims:  # reports of before lack it
        script, divs = components(together.figures(dataset))
        scripts.append(script)
        parts.append(card("All classes together", together.LEAD, together.body(dataset, divs)))
    for place, i in enumerate(order[:MOST]):
        report = classes[names[i]]
        script, divs = _embedded(report.dataset)
        scripts.append(script)
        head = f"{html.escape(names[i])} against the rest: {html.escape(kinds[i])}"
        body = _body(report.dataset, report.verdict, divs)
        parts.append(f'<details class="class"{"" if place else " open"}><summary>{head}</summary>{body}</details>')
    if len(order) > MOST:
        parts.append(f"<p>The first {MOST} of {len(order)} classes are shown; a saved report holds all of them.</p>")
    return "".join(scripts), "".join(parts) + GLOSSARY


def _embedded(dataset: xr.Dataset) -> tuple[str, dict[str, str]]:
    """The scripts of all figures, and a place for each by name."""
    figures = [bench(dataset)]
    if "lazy_time" in dataset.dims:
        figures.append(network.lazy_figures(dataset))
    if "trained_setting" in dataset.dims:
        figures.append(network.trained_figures(dataset))
    parts = [components(models) for models in figures]
    return "".join(script for script, _ in parts), {name: div for _, divs in parts for name, div in divs.items()}


def _network(dataset: xr.Dataset, divs: dict[str, str]) -> list[str]:
    """What was measured of the network itself: how lazy it is, and how it trains."""
    parts = []
    if "lazy_time" in dataset.dims:
        keys = network.lazy_key()
        figures = "".join(f'<div>{divs[name]}<div class="caption">{keys[name]}</div></div>' for name in keys)
        told = html.escape(str(dataset.attrs.get("lazy", "")))
        parts.append(card(
            "How lazy the network is", "The report describes the network linearised at its start. Here a few of the "
            "examples were learnt by the network itself, and by it linearised.",
            f'<p class="told">{told}</p><div class="pair">{figures}</div>{network.lazy_table(dataset)}'))  # fmt: skip
    if "trained_setting" in dataset.dims:
        names = [name for name in divs if name.startswith("trained_") and name != "trained_choices"]
        figures = "".join(
            f'<div>{divs[name]}<div class="caption">'
            f"{network.trained_words(dataset, name.removeprefix('trained_'))}</div></div>"
            for name in names
        )
        told = html.escape(str(dataset.attrs.get("trained", "")))
        parts.append(card(
            "Trained beside predicted", "The network itself, trained with the plain and with the suggested setting.",
            f'<p class="told">{told}</p>{divs["trained_choices"]}<div class="pair">{figures}</div>'
            f'<div class="caption">{network.CAPTION}</div>{network.trained_table(dataset)}'))  # fmt: skip
    return parts


def _moving(divs: dict[str, str]) -> str:
    """The sliders and what they move."""
    figures = "".join(
        f'<section class="card">{divs[name]}<div class="caption">{html.escape(CAPTIONS[name])}</div></section>'
        for name in CAPTIONS if name in divs
    )  # fmt: skip
    return (
        '<section class="card"><h2>What would change it</h2><p>Three scenarios, computed beforehand: plain training '
        "stopped at a time, weight decay trained to its end, and spectral decoupling that sets in at a time. Choose "
        "one and move its sliders: everything below follows.</p></section>"
        f'<div class="bench"><section class="card sticky">{divs["controls"]}</section>'
        f'<div class="pair">{figures}</div></div>'
    )
