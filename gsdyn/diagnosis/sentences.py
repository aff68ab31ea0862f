"""The sentences of a verdict: what a record, or a part of the dataset, says in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr


def group(ds: xr.Dataset, attribute: str, kind: str) -> int:
    return int(np.flatnonzero((ds.group_attribute.values == attribute) & (ds.group_kind.values == kind))[0])


def number(value: float | None) -> float:
    return float("nan") if value is None else value


def percent(r: dict[str, Any], kind: str) -> str:
    value, low, high = (100 * r[f"accuracy_{kind}{end}"] for end in ("", "_low", "_high"))
    return f"{value:.0f}% [{low:.0f}, {high:.0f}]"


def shortcut(r: dict[str, Any]) -> str:
    others = f" (with {len(r['features']) - 1} others)" if len(r["features"]) > 1 else ""
    where = {"test": "new", "held-out": "held-out", "train": "training"}[r["split"]]
    return (
        f"{quoted(r['attribute'])} is a shortcut: feature {r['feature']} follows it "
        f"(R^2 = {r['r2']:.2f} [{r['r2_low']:.2f}, {r['r2_high']:.2f}]) and{others} carries "
        f"{100 * r['gap_share']:.0f}% of the gap of {r['gap']:.2g} between the margins of examples where it agrees "
        f"with the label and of those where it does not; plain training classifies {percent(r, 'aligned')} of the "
        f"aligned {where} examples rightly and {percent(r, 'conflicting')} of the conflicting ones."
    )


def none(records: list[dict[str, Any]]) -> str:
    untied = [r for r in records if not r["features"]]
    told = [f"{quoted(r['attribute'])}: {r['reason']}" for r in records if r["features"]]
    if untied:
        names = ", ".join(quoted(r["attribute"]) for r in untied[:4])
        more = f" and {len(untied) - 4} more" if len(untied) > 4 else ""
        least = min(number(r["p_corrected"]) for r in untied)
        told.insert(0, f"no feature is tied to {names}{more} beyond chance (least corrected p {least:.2g})")
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def transient(ds: xr.Dataset, r: dict[str, Any]) -> str:
    """How spectral decoupling moves the conflicting examples: from the switch to the peak to the end."""
    if not ds.sizes["switch"] or not ds.sizes["decoupling"]:
        return ""
    path = ds.accuracy_switch.sel(split=r["split"]).isel(group=group(ds, r["attribute"], "conflicting"))
    if not bool(path.notnull().any()):
        return ""
    i, j, k = np.unravel_index(np.nanargmax(path.values), path.shape)
    along, peak = path[int(i), int(j)], path[int(i), int(j), int(k)]
    start, top, end = (100 * float(v) for v in (along[0], peak, along[-1]))
    falls = f"falls back to {end:.0f}% by {float(along.after[-1]):.2g}" if end < top - 1 else "stays there"
    return (
        f"Spectral decoupling {float(peak.decoupling):g} from time {float(peak.switch):.2g} on takes the conflicting "
        f"{r['split']} examples from {start:.0f}% to {top:.0f}% at {float(peak.after):.2g} after the switch, and then "
        f"{falls}: it unlearns the strongest features first."
    )


def choice(ds: xr.Dataset, r: dict[str, Any]) -> str:
    """The best setting by the worst group, in words."""
    select = ds.attrs["select"]
    own = ds.sel(attribute=r["attribute"])
    worst = own.choice_worst.sel(split=select).values
    if not np.isfinite(worst).any():
        return ""
    best = own.isel(strategy=int(np.nanargmax(worst)))
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


def starving(ds: xr.Dataset) -> str:
    if not ds.sizes["decay"]:
        return ""
    first = ds.isel(decay=0)
    count = first.starves_decay.sum("feature").values
    if not count.max(initial=0):
        return "No feature starves another for certain at the least weight decay."
    i = int(np.argmax(count))
    harm = np.where(first.starves_decay.values[:, i], first.elasticity_decay.values[:, i], 0.0)
    most = int(np.argmin(harm))
    return (
        f"At weight decay {float(first.decay):.2g} feature {i + 1} starves {int(count[i])} of the other "
        f"{ds.sizes['feature'] - 1} leading features for certain, feature {most + 1} most: 1% more of its "
        f"squared strength takes {-float(harm[most]):.2g}% of that response."
    )


def without(ds: xr.Dataset) -> str:
    """What gains most by the absence of the feature taken out first, of the features that end with some response."""
    if not ds.sizes["removed"]:
        return ""
    removed = ds.isel(removed=0)
    cause = int(removed.removed)
    size = np.abs(ds.response_time.values[-1])
    share = ds.half_time.values / removed.half_time_without.values
    large = (size >= 0.1 * size.max()) & (ds.feature.values != cause) & np.isfinite(share)
    gain = np.where(large, removed.response_gain.values, np.nan)
    if not np.isfinite(gain).any():
        return ""
    j = int(np.nanargmax(gain))
    if float(gain[j]) <= 1:
        return f"Without feature {cause} no other of the large features is learnt more by the plain stop."
    return (
        f"Without feature {cause}, feature {j + 1} has {float(gain[j]):.2g} times the response when plain "
        f"training stops, and half of its end {float(share[j]):.2g} times as early."
    )


def quoted(name: str) -> str:
    return f"'{name}'"
