"""What a report comes to. The rule, for each attribute:

A shortcut is an attribute

1. to which at least one of the leading features is tied beyond what the label explains and beyond chance, at the level
   (5%) for all features and attributes together (`ties`);
2. of whose gap between aligned and conflicting examples the features so tied carry more than half, and the gap is
   positive: aligned examples have the larger margins;
3. whose conflicting examples are less often right than the aligned ones, with 95% intervals that do not meet.

Gap and accuracies are those of plain training where it stops by the least loss on held-out examples, on new examples
where both groups are known there, else on held-out ones. Where 1 fails there is no shortcut; nor where 2 or 3 fails. It
is undecided where groups of fewer than five examples, or an attribute that tells the label in every example, leave
nothing to compare; and where 1 and 2 hold and the intervals meet while conflicting examples do worse by ten points or
more, which more of them would decide. As all parts must hold, the probability that any of a number of attributes that
have nothing to do with the inputs is called a shortcut is at most the level.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from gsdyn.diagnosis._schema import VARIABLES
from gsdyn.diagnosis.attributes import RARE
from gsdyn.diagnosis.report import Kind, Report, Verdict

NOTABLE = 0.1  # a difference of accuracies that intervals which meet leave open


def judge(ds: xr.Dataset) -> Verdict:
    """The verdict on a finished dataset."""
    records = [_record(ds, str(name)) for name in ds.attribute.values]
    shortcuts = sorted((r for r in records if r["verdict"] == "shortcut"), key=lambda r: -_number(r["gap"]))
    open_ = [r for r in records if r["verdict"] == "undecided"]
    kind: Kind = "shortcut" if shortcuts else "undecided" if open_ or not records else "no shortcut"
    sentences = [_shortcut(r) for r in shortcuts]
    if not records:
        sentences.append("No attribute was named, so none could be called a shortcut.")
    elif not shortcuts:
        clear = [r for r in records if r["verdict"] == "no shortcut"]
        sentences += ["No shortcut found."] if not open_ else []
        sentences += [_none(ds, clear)] if clear else []
    sentences += [f"Undecided for {_quoted(r['attribute'])}: {r['reason']}." for r in open_]
    sentences += [s for r in shortcuts[:1] for s in (_transient(ds, r), _choice(ds, r)) if s]
    sentences += [s for s in (_starving(ds), _without(ds), str(ds.attrs["subsample"])) if s]
    if not bool(ds.flow_reached.all()):
        sentences.append("Some flows did not reach all their times: see flow_reached.")
    return Verdict(kind, tuple(s if s.endswith(".") else f"{s}." for s in sentences), tuple(shortcuts), tuple(records))


def deciding_split(ds: xr.Dataset, attribute: str) -> str:
    """The split on which an attribute is judged: "test" where both groups are there, else "held-out", else "train"."""
    splits = [str(s) for s in ds.split.values]
    for split in ("test", "held-out"):
        if split in splits and min(_count(ds, split, attribute, kind) for kind in ("aligned", "conflicting")) >= RARE:
            return split
    return "train"


def _count(ds: xr.Dataset, split: str, attribute: str, kind: str) -> int:
    return int(ds["count"].sel(split=split).values[_group(ds, attribute, kind)])


def _group(ds: xr.Dataset, attribute: str, kind: str) -> int:
    return int(np.flatnonzero((ds.group_attribute.values == attribute) & (ds.group_kind.values == kind))[0])


def _record(ds: xr.Dataset, name: str) -> dict[str, Any]:
    """All numbers that decide on an attribute, and the verdict."""
    split = deciding_split(ds, name)
    at = {"time": ds.attrs["plain_time"]}
    own = ds.sel(attribute=name)
    tied = np.flatnonzero(own.tied.values)
    share = own.gap_share.values
    lead = int(tied[np.argmax(share[tied])]) if len(tied) else int(np.argmax(own.tie_given_label.fillna(0).values))
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
        "gap_share": _float(share[tied].sum() if len(tied) else 0.0),
    }
    for kind in ("aligned", "conflicting"):
        group = _group(ds, name, kind)
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
    if not r["features"]:
        return "no shortcut", f"no feature is tied to it beyond chance (least corrected p {r['p_corrected']:.2g})"
    if few < RARE:
        return "undecided", f"only {few} {r['split']} examples are in one of its two groups"
    if not (_number(r["gap"]) > 0 and r["gap_share"] > 0.5):
        part = f"{100 * r['gap_share']:.0f}% of a gap of {_number(r['gap']):.2g}"
        return "no shortcut", f"features tied to it carry {part} between its groups"
    apart = r["accuracy_aligned"] - r["accuracy_conflicting"]
    if r["accuracy_aligned_low"] > r["accuracy_conflicting_high"]:
        return "shortcut", "tied features carry the gap, and conflicting examples are less often right"
    shown = (
        f"{_percent(r, 'conflicting')} of the conflicting examples are right, {_percent(r, 'aligned')} of the aligned"
    )
    return ("undecided" if apart > NOTABLE else "no shortcut"), shown


def _percent(r: dict[str, Any], kind: str) -> str:
    value, low, high = (100 * r[f"accuracy_{kind}{end}"] for end in ("", "_low", "_high"))
    return f"{value:.0f}% [{low:.0f}, {high:.0f}]"


def _shortcut(r: dict[str, Any]) -> str:
    others = f" (with {len(r['features']) - 1} others)" if len(r["features"]) > 1 else ""
    where = {"test": "new", "held-out": "held-out", "train": "training"}[r["split"]]
    return (
        f"{_quoted(r['attribute'])} is a shortcut: feature {r['feature']} follows it "
        f"(R^2 = {r['r2']:.2f} [{r['r2_low']:.2f}, {r['r2_high']:.2f}]) and{others} carries "
        f"{100 * r['gap_share']:.0f}% of the gap of {r['gap']:.2g} between the margins of examples where it agrees "
        f"with the label and of those where it does not; plain training classifies {_percent(r, 'aligned')} of the aligned "
        f"{where} examples rightly and {_percent(r, 'conflicting')} of the conflicting ones."
    )


def _none(ds: xr.Dataset, records: list[dict[str, Any]]) -> str:
    untied = [r for r in records if not r["features"]]
    told = [f"{_quoted(r['attribute'])}: {r['reason']}" for r in records if r["features"]]
    if untied:
        names = ", ".join(_quoted(r["attribute"]) for r in untied[:4])
        more = f" and {len(untied) - 4} more" if len(untied) > 4 else ""
        least = min(_number(r["p_corrected"]) for r in untied)
        told.insert(0, f"no feature is tied to {names}{more} beyond chance (least corrected p {least:.2g})")
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def _transient(ds: xr.Dataset, r: dict[str, Any]) -> str:
    """How spectral decoupling moves the conflicting examples: from the switch to the peak to the end."""
    if not ds.sizes["switch"] or not ds.sizes["decoupling"]:
        return ""
    path = ds.accuracy_switch.sel(split=r["split"]).isel(group=_group(ds, r["attribute"], "conflicting"))
    if not bool(path.notnull().any()):
        return ""
    peak = path.isel(path.argmax(...))  # type: ignore[arg-type]
    along = path.sel(switch=float(peak.switch), decoupling=float(peak.decoupling))
    start, top, end = (100 * float(v) for v in (along[0], peak, along[-1]))
    falls = f"falls back to {end:.0f}% by {float(along.after[-1]):.2g}" if end < top - 1 else "stays there"
    return (
        f"Spectral decoupling {float(peak.decoupling):g} from time {float(peak.switch):.2g} on takes the conflicting "
        f"{r['split']} examples from {start:.0f}% to {top:.0f}% at {float(peak.after):.2g} after the switch, and then "
        f"{falls}: it unlearns the strongest features first."
    )


def _choice(ds: xr.Dataset, r: dict[str, Any]) -> str:
    """The best setting by the worst group, in words."""
    select = ds.attrs["select"]
    own = ds.sel(attribute=r["attribute"])
    worst = own.choice_worst.sel(split=select)
    if not bool(worst.notnull().any()):
        return ""
    best = own.sel(strategy=worst.strategy[int(worst.fillna(-1).argmax())])
    chosen = {
        "plain": "to stop as plain training does",
        "stopped": f"to stop plain training at {float(best.choice_time):.2g}",
        "decay": f"weight decay {float(best.choice_decay):.2g}",
        "switch": f"spectral decoupling {float(best.choice_decoupling):g} from time {float(best.choice_switch):.2g} "
        f"on, stopped {float(best.choice_after):.2g} later",
    }[str(best.strategy.values)]
    parts = []
    for split in [select, *([r["split"]] if r["split"] != select else [])]:
        now, then = (100 * float(v.choice_worst.sel(split=split)) for v in (own.sel(strategy="plain"), best))
        if np.isfinite([now, then]).all():
            parts.append(f"{then:.0f}% instead of {now:.0f}% ({split})")
    chooser = "the test set" if select == "test" else f"{select} training data"
    return f"Chosen by the worst group on {chooser}: {chosen}, for a worst group of {', '.join(parts)}."


def _starving(ds: xr.Dataset) -> str:
    if not ds.sizes["decay"]:
        return ""
    first = ds.isel(decay=0)
    count = first.starves_decay.sum("feature")
    if not int(count.max()):
        return "No feature starves another with certainty at the least weight decay."
    cause = first.cause[int(count.argmax())]
    harm = first.elasticity_decay.sel(cause=cause).where(first.starves_decay.sel(cause=cause))
    most = int(harm.fillna(0).argmin())
    return (
        f"At weight decay {float(first.decay):.2g} feature {int(cause)} starves {int(count.max())} of the other "
        f"{ds.sizes['feature'] - 1} leading features for certain, feature {int(ds.feature[most])} most: 1% more of its "
        f"squared strength takes {-float(harm[most]):.2g}% of that response."
    )


def _without(ds: xr.Dataset) -> str:
    """What gains most by the absence of the feature taken out first, of the features that end with some response."""
    if not ds.sizes["removed"]:
        return ""
    removed = ds.isel(removed=0)
    cause = int(removed.removed)
    size = np.abs(ds.response_time.isel(time=-1))
    share = (ds.half_time / removed.half_time_without).where((size >= 0.1 * size.max()) & (ds.feature != cause))
    gain = removed.response_gain.where(share.notnull())
    if not bool(gain.notnull().any()):
        return ""
    j = int(gain.fillna(-np.inf).argmax())
    if float(gain[j]) <= 1:
        return f"Without feature {cause} no other of the large features is learnt more by the plain stop."
    return (
        f"Without feature {cause}, feature {int(ds.feature[j])} has {float(gain[j]):.2g} times the response when plain "
        f"training stops, and half of its end {float(share[j]):.2g} times as early."
    )


def _quoted(name: str) -> str:
    return f"'{name}'"


def _float(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def finished(ds: xr.Dataset) -> Report:
    """The report of a dataset, which then says its verdict too."""
    found = judge(ds)
    words = np.array([r["verdict"] for r in found.attributes], str)
    about = VARIABLES["attribute_verdict"]
    ds["attribute_verdict"] = (about.dims, words, {"units": about.units, "description": about.description})
    ds.attrs["verdict"] = json.dumps(found.as_dict())
    return Report(ds, found)
