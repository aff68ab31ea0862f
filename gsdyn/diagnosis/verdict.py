"""What a report comes to. The rule, for each attribute:

A shortcut is an attribute

1. to which at least one of the leading features is tied beyond what the label explains and beyond chance, at the level
   (5%) for all features and attributes together (`ties`);
2. of whose gap between aligned and conflicting examples the features so tied carry more than half, and the gap is
   positive: aligned examples have the larger margins;
3. whose conflicting examples are less often right than the aligned ones, with 95% intervals that do not meet.

Gap and accuracies are those of plain training where it stops by the least loss on held-out examples: on the test set
where it has five aligned and five conflicting examples, else on held-out ones (with the gap of training), else on
training ones. Where 1, 2 or 3 fails there is no shortcut. It is undecided where groups of fewer than five, or an
attribute that tells the label in every example, leave nothing to compare; and where 1 and 2 hold and the intervals meet
while conflicting examples do worse by ten points or more, which more of them would decide. As all parts must hold, the
probability that any of a number of attributes that have nothing to do with the inputs is called a shortcut is at most
the level.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from gsdyn.diagnosis import _schema, sentences
from gsdyn.diagnosis.attributes import RARE
from gsdyn.diagnosis.report import Kind, Report, Verdict

NOTABLE = 0.1  # a difference of accuracies that intervals which meet leave open


def judge(ds: xr.Dataset) -> Verdict:
    """The verdict on a finished dataset."""
    records = [_record(ds, str(name)) for name in ds.attribute.values]
    shortcuts = sorted((r for r in records if r["verdict"] == "shortcut"), key=lambda r: -sentences.number(r["gap"]))
    open_ = [r for r in records if r["verdict"] == "undecided"]
    kind: Kind = "shortcut" if shortcuts else "undecided" if open_ or not records else "no shortcut"
    told = [sentences.shortcut(r) for r in shortcuts]
    told += [f"Undecided for {sentences.quoted(r['attribute'])}: {r['reason']}." for r in open_]
    if not records:
        told.append("No attribute was named, so none could be called a shortcut.")
    elif not shortcuts:
        clear = [r for r in records if r["verdict"] == "no shortcut"]
        told += [] if open_ else ["No shortcut found."]
        told += [sentences.none(clear)] if clear else []
    told += [line for r in shortcuts[:1] for line in (sentences.transient(ds, r), sentences.choice(ds, r))]
    told += [sentences.starving(ds), sentences.without(ds, shortcuts[0] if shortcuts else None)]
    told.append(f"{ds.attrs['subsample']}." if ds.attrs["subsample"] else "")
    if not ds.flow_reached.values.all():
        told.append("Some flows did not reach all their times: see flow_reached.")
    return Verdict(kind, tuple(line for line in told if line), tuple(shortcuts), tuple(records))


def _count(ds: xr.Dataset, split: str, attribute: str, kind: str) -> int:
    return int(ds["count"].sel(split=split).values[sentences.group(ds, attribute, kind)])


def _record(ds: xr.Dataset, name: str) -> dict[str, Any]:
    """All numbers that decide on an attribute, and the verdict."""
    split = str(ds.attribute_split.sel(attribute=name).values)
    at = {"time": ds.attrs["plain_time"]}
    own = ds.sel(attribute=name)
    tied = np.flatnonzero(own.tied.values)
    share = own.gap_share.values
    lead = int(np.flatnonzero(ds.feature.values == int(own.attribute_feature))[0])
    record: dict[str, Any] = {
        "attribute": name,
        "split": split,
        "feature": int(ds.feature.values[lead]),
        "features": [int(ds.feature.values[j]) for j in tied],
        "r2": _float(own.tie.values[lead]),
        "r2_low": _float(own.tie_low.values[lead]),
        "r2_high": _float(own.tie_high.values[lead]),
        "p_corrected": _float(np.nanmin(own.tie_p_corrected.values) if own.tie_p.notnull().any() else np.nan),
        "gap": _float(own.gap_time.sel(split=_gap_split(split), method=None).sel(at, method="nearest")),
        "gap_share_feature": _float(share[lead]),
        "gap_share": _float(share[tied].sum() if len(tied) else 0.0),
    }
    for kind in ("aligned", "conflicting"):
        group = sentences.group(ds, name, kind)
        there = ds.sel(split=split).isel(group=group).sel(at, method="nearest")
        for what, variable in (("", "accuracy_time"), ("_low", "accuracy_time_low"), ("_high", "accuracy_time_high")):
            record[f"accuracy_{kind}{what}"] = _float(there[variable])
        record[f"count_{kind}"] = _count(ds, split, name, kind)
    record["verdict"], record["reason"] = _decided(record, bool(own.tie_p.notnull().any()))
    return record


def _gap_split(split: str) -> str:
    """Features carry the gap of examples of which their functions are known: not of those held out."""
    return "test" if split == "test" else "train"


def _decided(r: dict[str, Any], told: bool) -> tuple[Kind, str]:
    few = min(r["count_aligned"], r["count_conflicting"])
    if not told:
        return "undecided", "it goes with the label in every training example, so that nothing tells the two apart"
    if few < RARE:
        return "undecided", f"only {few} {sentences.kind(r['split'])} examples are in one of its two groups"
    if not r["features"]:
        return "no shortcut", f"no feature is tied to it beyond chance (least corrected p {r['p_corrected']:.2g})"
    if not (sentences.number(r["gap"]) > 0 and r["gap_share"] > 0.5):
        part = f"{100 * r['gap_share']:.0f}% of a gap of {sentences.about(sentences.number(r['gap']))}"
        return "no shortcut", f"features tied to it carry {part} between its groups"
    apart = r["accuracy_aligned"] - r["accuracy_conflicting"]
    if r["accuracy_aligned_low"] > r["accuracy_conflicting_high"]:
        return "shortcut", "tied features carry the gap, and conflicting examples are less often right"
    shown = [f"{sentences.percent(r, kind)} of the {kind} examples" for kind in ("conflicting", "aligned")]
    return ("undecided" if apart > NOTABLE else "no shortcut"), f"{shown[0]} are right, {shown[1]}"


def finished(ds: xr.Dataset) -> Report:
    """The report of a dataset, which then says its verdict too."""
    found = judge(ds)
    words = np.array([r["verdict"] for r in found.attributes], str)
    ds["attribute_verdict"] = _schema.variable("attribute_verdict", words)
    ds.attrs["verdict"] = json.dumps(found.as_dict())
    return Report(ds, found)


def _float(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
