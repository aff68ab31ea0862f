"""Several classes, each learnt against the rest from one kernel: their reports as one, and one of them again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from gsdyn._progress import Progress
from gsdyn.diagnosis._schema import MEASURED
from gsdyn.diagnosis.report import Kind, Report, Verdict

APART = ("split", "removed", "path")  # what a class may have less or more of
FILL = {"count": 0, "flow_reached": False}  # of a split, or a flow, that a class lacks


def each(names: tuple[str, ...], tell: Progress, diagnosed: Callable[[str, Progress], Report]) -> Report:
    """The report of all classes, from what `diagnosed` makes of one against the rest."""
    found = {}
    for number, name in enumerate(names):

        def told(stage: str, done: int, total: int, number: int = number, name: str = name) -> None:
            tell(f"{name}: {stage}", number * total + done, len(names) * total)

        found[name] = diagnosed(name, told)
    return joined(found)


def joined(reports: Mapping[str, Report]) -> Report:
    """One report along a dimension `class`. What the classes differ in of the attributes is kept for `parted`."""
    every = [report.dataset for report in reports.values()]
    same = {key: value for key, value in every[0].attrs.items() if all(ds.attrs[key] == value for ds in every)}
    same.pop("verdict", None)
    own = {name: _without(report.dataset.attrs, same) for name, report in reports.items()}
    for name, report in reports.items():
        own[name]["has"] = {dim: report.dataset[dim].values.tolist() for dim in APART}
    along = xr.DataArray(np.array(list(reports), str), dims="class", name="class")
    along.attrs = {"units": "", "description": "the class that is learnt against the rest"}
    dataset = xr.concat(
        [ds.drop_attrs(deep=False) for ds in every], along, data_vars="all", coords="different", compat="equals",
        join="outer", fill_value=FILL, combine_attrs="override",
    )  # fmt: skip
    dataset = dataset.sel({dim: list(dict.fromkeys(v for ds in every for v in ds[dim].values)) for dim in APART})
    verdict = judged({name: report.verdict for name, report in reports.items()})
    told = {"notes": json.dumps(_shared_notes(every)), "classes": json.dumps(own)}
    dataset.attrs = {**same, **told, "verdict": json.dumps(verdict.as_dict())}
    return Report(dataset, verdict)


def with_all(report: Report, all_classes: xr.Dataset) -> Report:
    """The report of several classes with what all together come to: a part of its dataset, and a sentence."""
    dataset = report.dataset.merge(
        all_classes.reindex(split=report.dataset.split, fill_value={"all_count": 0}), combine_attrs="no_conflicts"
    )
    first, *others = report.verdict.sentences
    verdict = dataclasses.replace(report.verdict, sentences=(first, all_classes.attrs["all_told"], *others))
    dataset.attrs["verdict"] = json.dumps(verdict.as_dict())
    return Report(dataset, verdict)


def _shared_notes(every: list[xr.Dataset]) -> list[str]:
    """How the data were read, whatever the class."""
    first, *others = [json.loads(ds.attrs["notes"]) for ds in every]
    return [note for note in first if all(note in notes for notes in others)]


def _without(attrs: Mapping[Any, Any], same: Mapping[Any, Any]) -> dict[str, Any]:
    kept = {str(key): value for key, value in attrs.items() if key not in same}
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in kept.items()}


def judged(verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on all classes: a shortcut where it is one of any class."""
    by_kind = {kind: [n for n, v in verdicts.items() if v.kind == kind] for kind in ("shortcut", "undecided")}
    kind: Kind = "shortcut" if by_kind["shortcut"] else "undecided" if by_kind["undecided"] else "no shortcut"

    def tagged(part: str) -> tuple[dict[str, Any], ...]:
        return tuple({"class": name, **record} for name, v in verdicts.items() for record in getattr(v, part))

    total = len(verdicts)
    attributes: dict[str, list[str]] = {}
    for record in tagged("shortcuts"):
        attributes.setdefault(record["attribute"], []).append(record["class"])
    told = [
        f"'{attribute}' is a shortcut for {len(of)} of {total} classes, each learnt against the rest: {_listed(of)}."
        for attribute, of in attributes.items()
    ]
    if not told:
        told.append(f"No shortcut found for any of {total} classes, each learnt against the rest.")
    if by_kind["undecided"]:
        told.append(f"Undecided for {len(by_kind['undecided'])} of them: {_listed(by_kind['undecided'])}.")
    first = by_kind["shortcut"] + by_kind["undecided"]
    told += [f"{name}: {verdicts[name].sentences[0]}" for name in first]
    return Verdict(kind, tuple(told), tagged("shortcuts"), tagged("attributes"))


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def parted(dataset: xr.Dataset, name: str) -> Report:
    """The report of one class as it was before it was joined."""
    own = json.loads(dataset.attrs["classes"])
    if name not in own:
        raise ValueError(f"name must be one of the classes {_listed(list(own))}, got {name!r}")
    part = dataset.drop_vars([v for v in dataset.variables if str(v).startswith("all_")])
    part = part.sel({"class": name}, drop=True)
    if dataset.attrs.get("measured_class") != name:
        part = part.drop_vars([v for v in part.data_vars if v in MEASURED])
        part = part.drop_vars([c for c in part.coords if str(c).startswith(("lazy_", "trained_"))])
    part = part.sel(own[name].pop("has"))
    kept = {k: v for k, v in dataset.attrs.items() if k not in ("classes", "measured_class") and k[:4] != "all_"}
    part.attrs = {**kept, **own[name]}
    return Report(part, Verdict.from_dict(json.loads(own[name]["verdict"])))
