"""From what was solved to the labelled dataset of a report (its schema: `gsdyn.diagnosis.report`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from gsdyn.diagnosis import _schema, choices, features, groups, ties
from gsdyn.diagnosis.attributes import RARE
from gsdyn.diagnosis.groups import Groups
from gsdyn.diagnosis.paths import Grids
from gsdyn.diagnosis.problem import Problem
from gsdyn.diagnosis.solutions import Solutions
from gsdyn.diagnosis.starving import HOLDS
from gsdyn.special import r_lambertw

_AXES = {"time": ("time",), "decay": ("decay",), "switch": ("switch", "decoupling", "after")}


def assemble(problem: Problem, found: Solutions, select: str, attrs: Mapping[str, Any]) -> xr.Dataset:
    """The dataset, all but the verdict."""
    seen, names = _groups(problem, found), [a.name for a in problem.attributes]
    values = {
        **_features(problem, found),
        **_responses(found),
        **found.ties,
        **_starvation(found),
        **seen,
        **_without(problem, found),
        **choice_values(found.groups, seen, names, select, found.plain_at, found.grids),
        "duality_gap": found.optima["duality_gap"],
        "alpha_error": found.starvation["optimum_error"],
        "flow_reached": np.array(list(found.reached.values())),
        "attribute_agreement": np.array([a.agreement(problem.y) for a in problem.attributes], float),
        "attribute_feature": ties.told_of(found.ties, found.gap_share) + 1,
        "attribute_split": np.array([found.groups.judged_on(a.name) for a in problem.attributes], str),
        "attribute_reading": np.array([a.reading for a in problem.attributes], str),
    }
    variables = {name: _schema.variable(name, value) for name, value in values.items()}
    return xr.Dataset(variables, coords=_coordinates(problem, found, values), attrs=dict(attrs))


def _coordinates(problem: Problem, found: Solutions, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    k = len(found.features["s"])
    number = np.arange(1, k + 1)
    plain: dict[str, Any] = {
        "feature": number,
        "cause": number,
        "attribute": np.array([a.name for a in problem.attributes], str),
        "split": np.array(problem.splits),
        **found.grids.axes,
        "removed": np.array([j + 1 for j in found.removed], int),
        "carrier": np.arange(values["carrier_example"].shape[1]),
        "strategy": np.array(choices.STRATEGIES),
        "path": np.array(list(found.reached)),
    }
    coords: dict[str, Any] = dict(_schema.coordinates(plain))
    coords |= group_coordinates("group", found.groups)
    if "direction" in values:
        count = values["direction"].shape[1]
        names = problem.columns or tuple(f"pixel {i}" for i in range(count))
        coords["input"] = ("input", np.arange(count))
        coords["input_name"] = ("input", np.array(names, str))
    return coords


def group_coordinates(dim: str, found: Groups) -> dict[str, Any]:
    """Numbers and names of groups along a dimension."""
    parts = ("name", "kind", "attribute", "label", "value")
    words = {f"{dim}_{part}": (dim, np.array([getattr(g, part) for g in found.all], str)) for part in parts}
    return {dim: (dim, np.arange(len(found.all))), **words}


def _features(problem: Problem, found: Solutions) -> dict[str, np.ndarray]:
    part, U = found.features, found.features["U"]
    order, weight = features.carriers(U)
    margins = found.margins["time"]["train"]
    z = margins @ U
    mean = margins[found.plain_at].mean()
    values = {
        "strength": part["s"],
        "strength_share": part["strength_share"],
        "eigen_residual": part["eigen_residual"],
        "repeated": part["repeated"],
        "half_time": features.half_times(found.grids.ts, z, z[-1]),
        "large": features.large(z[-1]),
        "mean_margin_share": z[found.plain_at] * U.mean(axis=0) / mean if mean else np.full(U.shape[1], np.nan),
        "carrier_example": problem.rows[order],
        "carrier_weight": weight,
        "carrier_label": np.where(problem.y[order] > 0, problem.names[1], problem.names[0]),
    }
    if problem.x is not None:
        values["direction"], values["input_std"] = features.directions(U, problem.y, problem.x)
    return values


def _responses(found: Solutions) -> dict[str, np.ndarray]:
    U, time = found.features["U"], found.margins["time"]["train"]
    z = time @ U
    total = U.sum(axis=0)
    lams = found.grids.decouplings
    even = np.asarray(r_lambertw(jnp.asarray(1 / lams))) if len(lams) else np.zeros(0)
    return {
        "response_time": z,
        "response_time_rest": np.linalg.norm(time - z @ U.T, axis=1),
        "response_decay": found.starvation["response"],
        "response_decay_error": found.starvation["response_error"],
        "response_decoupling": even[:, None] * total[None, :],
        "response_decoupling_error": 64 * np.finfo(float).eps * even[:, None] * np.abs(U).sum(axis=0)[None, :],
        "response_switch": found.margins["switch"]["train"] @ U,
    }


def _starvation(found: Solutions) -> dict[str, np.ndarray]:
    part = found.starvation
    return {
        "starvation_decay": part["matrix"],
        "starvation_decay_error": part["error"],
        "elasticity_decay": part["elasticity"],
        "starves_decay": part["starves"],
        **found.over_time,
    }


def group_values(found: Groups, margins: Mapping[str, Mapping[str, np.ndarray]], names: list[str]) -> dict[str, Any]:
    """Counts of groups, their accuracies and margins, and the gaps of attributes, `names`, along every path of
    `margins[path][split]`, (*path, m), all splits together."""
    splits = list(found.members)
    contrasts = {split: groups.contrasts(found, split, names) for split in splits}
    values: dict[str, Any] = {"count": np.stack([found.count(split) for split in splits])}
    for path, by_split in margins.items():
        rows = [groups.metrics(found, split, by_split[split]) for split in splits]
        for name, end in (("accuracy", ""), ("low", "_low"), ("high", "_high")):
            values[f"accuracy_{path}{end}"] = np.stack([row[name] for row in rows])
        values[f"margin_{path}"] = np.stack([row["margin"] for row in rows])
        gaps = [groups.gap(contrasts[split], by_split[split]) for split in splits]
        values[f"gap_{path}"] = np.stack(gaps)
    return values


def _groups(problem: Problem, found: Solutions) -> dict[str, np.ndarray]:
    """The same of the problem, and what its features carry of the gaps."""
    splits = problem.splits
    values = group_values(found.groups, found.margins, [a.name for a in problem.attributes])
    for path in _AXES:
        carried = np.stack([_by_features(found, path, split) for split in splits])
        values[f"gap_rest_{path}"] = values[f"gap_{path}"] - carried
    values["kappa"] = np.stack([_kappa(found, split) for split in splits])
    values["gap_share"] = found.gap_share.T
    return values


def _kappa(found: Solutions, split: str) -> np.ndarray:
    """(attribute, feature); NaN of examples held out."""
    rows = found.weights(split)
    if rows is None:
        return np.full((len(found.contrasts[split]), len(found.features["s"])), np.nan)
    return found.contrasts[split] @ rows


def _by_features(found: Solutions, path: str, split: str) -> np.ndarray:
    """What the features carry of the gap along a path, (attribute, *path)."""
    z = found.margins[path]["train"] @ found.features["U"]
    return np.moveaxis(z @ _kappa(found, split).T, -1, 0)


def _without(problem: Problem, found: Solutions) -> dict[str, np.ndarray]:
    part = found.without
    shape = (len(found.removed), len(problem.splits), len(found.groups.all), len(found.grids.ts))
    accuracy = np.full(shape, np.nan)
    for i, split in enumerate(problem.splits):
        name = {"train": "margins", "test": "new"}.get(split)
        if name is not None:
            accuracy[:, i] = np.moveaxis(groups.metrics(found.groups, split, part[name])["accuracy"], 0, 1)
    return {
        "response_without": part["response"],
        "half_time_without": part["half_time"],
        "response_gain": part["gain"],
        "accuracy_without": accuracy,
    }


def choice_values(
    found: Groups, values: Mapping[str, np.ndarray], names: list[str], select: str, plain_at: int, grids: Grids
) -> dict[str, np.ndarray]:
    """The best of each strategy for each attribute, `names`, from what `group_values` gave."""
    accuracies = {path: dict(zip(found.members, values[f"accuracy_{path}"], strict=True)) for path in _AXES}
    made = choices.choose(found, accuracies, names, select, plain_at)
    axes = grids.axes
    chosen = {f"choice_{axis}": np.full((len(names), len(choices.STRATEGIES)), np.nan) for axis in axes}
    for j, strategy in enumerate(choices.STRATEGIES):
        for place, axis in enumerate(choices.axes(strategy)):
            at = made["index"][:, j, place]
            if len(axes[axis]):
                chosen[f"choice_{axis}"][:, j] = np.where(at >= 0, axes[axis][np.maximum(at, 0)], np.nan)
    return {**chosen, "choice_worst": made["worst"], "choice_average": made["average"]}


def attributes_of(problem: Problem, found: Solutions, given: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the attributes of the dataset."""
    shape = [] if problem.x is None else list(problem.x.shape[1:])
    return {
        "title": "Starvation report",
        "n": problem.n,
        "n_given": problem.given,
        "n_held_out": int(problem.held_out.sum()),
        "n_test": 0 if problem.test is None else len(problem.test),
        "features": len(found.features["s"]),
        "negative": problem.names[0],
        "positive": problem.names[1],
        "labels": problem.labels,
        "input_shape": json.dumps(shape),
        "plain_time": float(found.grids.ts[found.plain_at]),
        "subsample": problem.subsample,
        "rare": RARE,
        "holds": HOLDS,
        **given,
    }
