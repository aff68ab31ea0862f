"""The parts of the report that stand still: the verdict and its tables, in plain HTML."""

from __future__ import annotations

import html
import json
from typing import Any

import numpy as np
import xarray as xr

from gsdyn.plotting.pages.look import number

BADGES = {
    "shortcut": ("A shortcut was found", "#b3261e"),
    "no shortcut": ("No shortcut was found", "#1b7f4b"),
    "undecided": ("Undecided", "#8a6100"),
}
MOST = 30  # rows of a table
WHEN = {"time": "over plain training", "switch": "since a switch"}
CELLS = 12  # of an attribute that are shown


def verdict_of(verdict: Any) -> str:
    """What it comes to: a badge and the sentences, the most important first."""
    words, colour = BADGES[verdict.kind]
    first, *rest = [html.escape(sentence) for sentence in verdict.sentences] or [""]
    items = "".join(f"<li>{sentence}</li>" for sentence in rest)
    return f'<span class="badge" style="background:{colour}">{words}</span><p class="first">{first}</p>' + (
        f"<ul>{items}</ul>" if items else ""
    )


def attributes(dataset: xr.Dataset) -> str:
    """One row an attribute: its verdict, and of the features tied to it the one that carries most of the gap, or the
    one that is nearest to a tie."""
    rows = []
    for a in range(dataset.sizes["attribute"]):
        told = int(dataset["attribute_feature"].values[a])
        j = int(np.flatnonzero(dataset["feature"].values == told)[0])
        rows.append([
            str(dataset["attribute"].values[a]),
            str(dataset["attribute_verdict"].values[a]),
            percent(dataset["attribute_agreement"].values[a]),
            f"feature {told}: {interval(dataset, j, a)}",
            percent(dataset["gap_share"].values[a, j]),
        ])  # fmt: skip
    heads = ["attribute", "verdict", "agrees with the label", "its feature, R²", "share of the gap"]
    return table(heads, rows)


def features(dataset: xr.Dataset) -> str:
    """One row a feature: strength, when it is learnt, its part in the margins, what it is tied to."""
    rows = []
    names = [str(name) for name in dataset["attribute"].values]
    for j in range(min(dataset.sizes["feature"], MOST)):
        tied = [name for a, name in enumerate(names) if bool(dataset["tied"].values[j, a])]
        alike = " (shared)" if bool(dataset["repeated"].values[j]) else ""
        rows.append([
            str(int(dataset["feature"].values[j])),
            number(dataset["strength"].values[j]) + alike,
            percent(dataset["strength_share"].values[j]),
            number(dataset["half_time"].values[j], 3),
            percent(dataset["mean_margin_share"].values[j]),
            ", ".join(tied) or "–",
        ])  # fmt: skip
    heads = ["feature", "strength s", "share of the kernel", "half learnt at time", "share of the margins", "tied to"]
    return table(heads, rows)


def ties(dataset: xr.Dataset) -> str:
    """R² of every feature with every attribute, its interval, and beyond label and other attributes."""
    rows = []
    for j in range(min(dataset.sizes["feature"], MOST)):
        row = [str(int(dataset["feature"].values[j]))]
        for a in range(dataset.sizes["attribute"]):
            beyond = number(dataset["tie_given_others"].values[j, a], 2)
            text = f"{interval(dataset, j, a)}, beyond: {beyond}"
            row.append(f"● {text}" if bool(dataset["tied"].values[j, a]) else text)
        rows.append(row)
    return table(["feature", *(str(name) for name in dataset["attribute"].values)], rows)


def starving(dataset: xr.Dataset) -> str:
    """The starvations whose sign is certain that cost most of a response, at the smallest weight decay."""
    E, sure = dataset["elasticity_decay"].values[0], dataset["starves_decay"].values[0]
    lost = -E * np.abs(dataset["response_decay"].values[0])[:, None]
    found = [(float(lost[j, i]), j, i) for j, i in np.argwhere(sure) if np.isfinite(lost[j, i])]
    rows = []
    for _, j, i in sorted(found, reverse=True)[:10]:
        cause, effect = int(dataset["cause"].values[i]), int(dataset["feature"].values[j])
        z = number(dataset["response_decay"].values[0, j], 3)
        rows.append([f"feature {cause}", f"feature {effect}", z, f"{number(-E[j, i], 3)}%"])
    if not rows:
        return "<p>No feature is certain to starve another at the smallest weight decay.</p>"
    heads = ["1% more of the squared strength of", "takes from", "whose response is", "so much of it"]
    return table(heads, rows)


def without(dataset: xr.Dataset) -> str:
    """What the other features do when a strong one is gone: the problem solved again."""
    rows = []
    for r in range(dataset.sizes["removed"]):
        gain, removed = dataset["response_gain"].values[r], int(dataset["removed"].values[r])
        told = np.isfinite(gain) & dataset["large"].values & (dataset["feature"].values != removed)
        for j in [j for j in np.argsort(-np.nan_to_num(gain), kind="stable") if told[j]][:5]:
            before, after = dataset["half_time"].values[j], dataset["half_time_without"].values[r, j]
            rows.append([
                f"feature {removed}", f"feature {int(dataset['feature'].values[j])}", f"{number(gain[j], 3)} times",
                f"{number(before, 3)} → {number(after, 3)}",
            ])  # fmt: skip
    heads = ["without", "is learnt", "as strongly", "half learnt at time"]
    return table(heads, rows)


def group_table(dataset: xr.Dataset, split: str) -> str:
    """Every group at the plain stop."""
    at = int(np.argmin(np.abs(dataset["time"].values - float(dataset.attrs["plain_time"]))))
    seen = dataset.sel(split=split).isel(time=at)
    shown, left = told_groups(dataset, split)
    rows = [
        [
            str(seen["group_name"].values[g]),
            str(int(seen["count"].values[g])),
            f"{percent(seen['accuracy_time'].values[g])} [{percent(seen['accuracy_time_low'].values[g])}, "
            f"{percent(seen['accuracy_time_high'].values[g])}]",
            number(seen["margin_time"].values[g], 3),
        ]
        for g in shown
    ]
    rows += [[f"{name}: {count} smaller cells", "", "", ""] for name, count in left.items()]
    return table(["group", "examples", "accuracy, 95% interval", "mean margin"], rows)


def told_groups(dataset: xr.Dataset, split: str) -> tuple[list[int], dict[str, int]]:
    """The numbers of the groups that are shown, of an attribute of many values the `CELLS` cells with most examples in
    a split; and how many cells of which attributes are left out."""
    kinds, owners = dataset["group_kind"].values, dataset["group_attribute"].values
    count, left = dataset["count"].sel(split=split).values, {}
    shown = kinds != "cell"
    for name in dict.fromkeys(str(owner) for owner in owners[~shown]):
        cells = np.flatnonzero((kinds == "cell") & (owners == name))
        largest = cells[np.argsort(-count[cells], kind="stable")[:CELLS]]
        shown[largest] = True
        if len(cells) > len(largest):
            left[name] = len(cells) - len(largest)
    return [int(g) for g in np.flatnonzero(shown)], left


def choices(dataset: xr.Dataset) -> str:
    """For every attribute the best setting of each strategy by the worst cell, and what it reaches."""
    words = {"plain": "plain training", "stopped": "stopped earlier", "decay": "weight decay", "switch": "decoupling"}
    settings = {"time": "stop at", "decay": "decay", "switch": "from", "decoupling": "strength", "after": "for"}
    rows = []
    for a in range(dataset.sizes["attribute"]):
        for s, strategy in enumerate(str(v) for v in dataset["strategy"].values):
            chosen = {name: float(dataset[f"choice_{name}"].values[a, s]) for name in settings}
            told = ", ".join(f"{settings[n]} {number(v, 3)}" for n, v in chosen.items() if np.isfinite(v))
            worst, average = (dataset[f"choice_{name}"].values[a, s] for name in ("worst", "average"))
            row = [str(dataset["attribute"].values[a]), words.get(strategy, strategy), told or "–"]
            rows.append(row + [f"{percent(w)} / {percent(m)}" for w, m in zip(worst, average, strict=True)])
    splits = [f"{split}: worst cell / average" for split in dataset["split"].values]
    return table(["attribute", "strategy", "setting", *splits], rows)


def trust(dataset: xr.Dataset) -> str:
    """How far each number can be off, and what was done to the data."""
    a = dataset.attrs
    reached = bool(dataset["flow_reached"].values.all())
    few = {path: dataset[f"few_error_{path}"].values for path in ("time", "switch") if f"few_error_{path}" in dataset}
    rows = [
        ["primal minus dual over the objective, at most", number(largest(dataset["duality_gap"].values), 2)],
        ["|α − α*|, at most", number(largest(dataset["alpha_error"].values), 2)],
        ["residual of the features, |Ku − s²u|/s², at most", number(largest(dataset["eigen_residual"].values), 2)],
        ["flows reached all their times", "yes" if reached else "no"],
        ["tolerance of a step of a flow", number(a["rtol"], 2)],
        *([f"margins in the model of the leading features alone are off by, at most, {WHEN[path]}",
           percent(largest(values))] for path, values in few.items()),
    ]  # fmt: skip
    notes = [str(note) for note in json.loads(str(a.get("notes", "[]")))]
    told = [note for note in (str(a.get("subsample", "")), *notes) if note]
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in told)
    return table(["", ""], rows) + (f"<ul>{listed}</ul>" if listed else "")


def largest(values: np.ndarray) -> float:
    """The largest of those that are known; NaN where none is."""
    known = values[~np.isnan(values)]
    return float(known.max()) if known.size else float("nan")


def interval(dataset: xr.Dataset, j: int, a: int) -> str:
    """R² with its 95% interval."""
    value, low, high = (number(dataset[n].values[j, a], 2) for n in ("tie", "tie_low", "tie_high"))
    return f"{value} [{low}, {high}]"


def percent(share: Any) -> str:
    """A share as people read it; a dash where there is none."""
    share = float(share)
    return f"{100 * share:z.1f}%" if np.isfinite(share) else "–"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A table that scrolls by itself where it is too wide; no cell is read as HTML."""
    if not rows:
        return "<p>Nothing to show.</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    top = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="values">{top}<tbody>{body}</tbody></table></div>'
