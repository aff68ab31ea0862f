"""The sentences of a verdict: what a record, or a part of the dataset, says in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

NOTABLE = 1.05  # times earlier


def group(ds: xr.Dataset, attribute: str, kind: str) -> int:
    return int(np.flatnonzero((ds.group_attribute.values == attribute) & (ds.group_kind.values == kind))[0])


def number(value: float | None) -> float:
    return float("nan") if value is None else value


def about(value: Any) -> str:
    """Two digits of a number."""
    return f"{float(f'{float(value):.2g}'):g}"


def kind(split: str) -> str:
    """What the examples of a split are called."""
    return "training" if split == "train" else split


def percent(r: dict[str, Any], group: str) -> str:
    value, low, high = (100 * r[f"accuracy_{group}{end}"] for end in ("", "_low", "_high"))
    return f"{value:.0f}% [{low:.0f}, {high:.0f}]"


def shortcut(r: dict[str, Any]) -> str:
    count = len(r["features"]) - 1
    others = f" ({100 * r['gap_share']:.0f}% with {count} more that are tied to it)" if count else ""
    where = kind(r["split"])
    return (
        f"{quoted(r['attribute'])} is a shortcut: feature {r['feature']} follows it "
        f"(R^2 = {r['r2']:.2f} [{r['r2_low']:.2f}, {r['r2_high']:.2f}]) and carries {100 * r['gap_share_feature']:.0f}%"
        f"{others} of the gap of {about(r['gap'])} between the margins of examples where it agrees with the label and "
        f"of those where it does not; plain training classifies {percent(r, 'aligned')} of the aligned {where} "
        f"examples rightly and {percent(r, 'conflicting')} of the conflicting ones."
    )


def none(records: list[dict[str, Any]]) -> str:
    untied = [r for r in records if not r["features"]]
    told = [f"{quoted(r['attribute'])}: {r['reason']}" for r in records if r["features"]]
    if untied:
        names = ", ".join(quoted(r["attribute"]) for r in untied[:4])
        more = f" and {len(untied) - 4} more" if len(untied) > 4 else ""
        least = min(number(r["p_corrected"]) for r in untied)
        told.insert(0, f"no feature is tied to {names}{more} beyond chance (least corrected p {about(least)})")
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
    where = kind(r["split"])
    if top <= start + 1:
        return f"No spectral decoupling that was tried makes more of the conflicting {where} examples right."
    falls = f", and then falls back to {end:.0f}%: it unlearns the strongest features first" if end < top - 1 else ""
    return (
        f"Spectral decoupling {about(peak.decoupling)} {_since(peak.switch)} takes the conflicting {where} examples "
        f"from {start:.0f}% to {top:.0f}% at {about(peak.after)} after it sets in{falls}."
    )


def choice(ds: xr.Dataset, r: dict[str, Any]) -> str:
    """The best setting by the worst cell, in words."""
    select = ds.attrs["select"]
    own = ds.sel(attribute=r["attribute"])
    worst = own.choice_worst.sel(split=select).values
    if not np.isfinite(worst).any():
        return ""
    best = own.isel(strategy=int(np.nanargmax(worst)))
    chooser = {"test": "the test set", "train": "the training data"}.get(select, f"{select} training data")
    judge = f"the worst cell of label and {quoted(r['attribute'])} on {chooser}{_uncounted(ds, r['attribute'], select)}"
    if str(best.strategy.values) == "plain":
        return (
            f"By {judge}, {100 * np.nanmax(worst):.0f}% there, no stopping time, weight decay or decoupling that was "
            "tried does better than plain training."
        )
    chosen = {
        "stopped": f"to stop plain training at {about(best.choice_time)}",
        "decay": f"weight decay {about(best.choice_decay)}",
        "switch": f"spectral decoupling {about(best.choice_decoupling)} {_since(best.choice_switch)}, stopped "
        f"{about(best.choice_after)} later",
    }[str(best.strategy.values)]
    parts = []
    for split in [select, *([r["split"]] if r["split"] != select else [])]:
        now, then = (100 * float(v.choice_worst.sel(split=split)) for v in (own.sel(strategy="plain"), best))
        if np.isfinite([now, then]).all():
            parts.append(f"{then:.0f}% instead of {now:.0f}% ({split})")
    return f"Chosen by {judge}: {chosen}, for a worst cell of {', '.join(parts)}."


def _since(switch: Any) -> str:
    return f"from time {about(switch)} on" if float(switch) else "from the start"


def _uncounted(ds: xr.Dataset, attribute: str, split: str) -> str:
    """Which cells of an attribute are too small to count among those whose worst decides, in words."""
    own = (ds.group_attribute.values == attribute) & (ds.group_kind.values == "cell")
    small = ds["count"].sel(split=split).values[own] < ds.attrs["rare"]
    if not small.any():
        return ""
    return f" (of its {small.size} cells {small.sum()} with fewer than {ds.attrs['rare']} examples do not count)"


def starving(ds: xr.Dataset) -> str:
    """The largest certain harm of one feature to another, at the weight decay nearest to one over the plain stop."""
    if not ds.sizes["decay"]:
        return ""
    at = ds.isel(decay=int(np.argmin(np.abs(np.log(ds.decay.values * max(ds.attrs["plain_time"], 1e-300))))))
    elastic = np.where(at.starves_decay.values, at.elasticity_decay.values, 0.0)
    lost = -elastic * np.abs(at.response_decay.values)[:, None]
    if not lost.max(initial=0.0) > 0:
        return f"At weight decay {about(at.decay)} no feature starves another for certain."
    j, i = np.unravel_index(np.argmax(lost), lost.shape)
    count = int(at.starves_decay.values[:, i].sum())
    return (
        f"At weight decay {about(at.decay)} the largest certain starvation is that of feature {j + 1} by feature "
        f"{i + 1}: 1% more of its squared strength takes {about(-elastic[j, i])}% of that response; feature {i + 1} "
        f"starves {count} of the other {len(lost) - 1} leading features."
    )


def without(ds: xr.Dataset, r: dict[str, Any] | None) -> str:
    """What the absence of the feature taken out first does to the others it starves, and to conflicting examples."""
    if not ds.sizes["removed"]:
        return ""
    removed = ds.isel(removed=0)
    cause = int(removed.removed)
    earlier = ds.half_time.values / removed.half_time_without.values
    large = ds.large.values & (ds.feature.values != cause) & np.isfinite(earlier)
    parts = []
    if large.any():
        j = int(np.argmax(np.where(large, earlier, -np.inf)))
        if earlier[j] > NOTABLE:
            gain = float(removed.response_gain[j])
            grown = (
                "and the same" if abs(gain - 1) < 0.05 else f"{'and' if gain > 1 else 'but'} {about(gain)} times its"
            )
            parts.append(
                f"feature {j + 1} has half of its end {about(earlier[j])} times as early, {grown} response when "
                "plain training stops"
            )
        else:
            parts.append("no other large feature is learnt notably earlier")
    if r is not None and r["split"] != "held-out":
        path = removed.accuracy_without.sel(split=r["split"]).isel(group=group(ds, r["attribute"], "conflicting"))
        value = float(path.sel(time=ds.attrs["plain_time"], method="nearest"))
        parts.append(f"{100 * value:.0f}% of the conflicting {kind(r['split'])} examples would then be right")
    return f"Without feature {cause}, {'; '.join(parts)}." if parts else ""


def quoted(name: str) -> str:
    return f"'{name}'"
