"""What each variable of a report's dataset is, in words: dimensions, units and description, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Variable(NamedTuple):
    """Dimensions of a variable, its unit and what it is."""

    dims: tuple[str, ...]
    units: str
    description: str


_SPLIT_TIES = ("feature", "attribute")
_PATHS = {"time": ("time",), "decay": ("decay",), "switch": ("switch", "decoupling", "after")}
_SUFFIX = {"time": "over plain training", "decay": "at the optimum of each weight decay", "switch": "since the switch"}

VARIABLES: dict[str, Variable] = {
    "strength": Variable(("feature",), "root of kernel", "strength s_j of the feature"),
    "strength_share": Variable(("feature",), "1", "s_j^2 over the trace of the kernel"),
    "eigen_residual": Variable(("feature",), "1", "|K u - s^2 u| / s^2"),
    "repeated": Variable(("feature",), "1", "whether another feature has this strength, to rounding"),
    "half_time": Variable(("feature",), "time", "when plain training has half of its last response"),
    "large": Variable(("feature",), "1", "whether its last response is 2% of the largest or more"),
    "mean_margin_share": Variable(("feature",), "1", "share of the mean margin at the plain stop"),
    "carrier_example": Variable(("feature", "carrier"), "row", "training examples that carry the feature most"),
    "carrier_weight": Variable(("feature", "carrier"), "1", "weight of the feature there, U_ij"),
    "carrier_label": Variable(("feature", "carrier"), "", "the label there"),
    "direction": Variable(("feature", "input"), "of x", "mean change of the input for one standard deviation of it"),
    "input_std": Variable(("input",), "of x", "standard deviation of the input over training examples"),
    "response_time": Variable(("time", "feature"), "margin", "response z_j over plain training"),
    "response_time_rest": Variable(("time",), "margin", "norm of the margins beyond these features"),
    "response_decay": Variable(("decay", "feature"), "margin", "response at the optimum of each weight decay"),
    "response_decay_error": Variable(("decay", "feature"), "margin", "bound of the error of response_decay"),
    "response_decoupling": Variable(("decoupling", "feature"), "margin", "response at spectral decoupling's optimum"),
    "response_decoupling_error": Variable(("decoupling", "feature"), "margin", "bound of its error"),
    "response_switch": Variable(("switch", "decoupling", "after", "feature"), "margin", "response since the switch"),
    "tie": Variable(_SPLIT_TIES, "1", "R^2 of the feature function on the attribute"),
    "tie_low": Variable(_SPLIT_TIES, "1", "lower end of the 95% interval of tie (Fisher)"),
    "tie_high": Variable(_SPLIT_TIES, "1", "upper end of the 95% interval of tie (Fisher)"),
    "tie_given_label": Variable(_SPLIT_TIES, "1", "R^2 beyond what the label explains"),
    "tie_given_others": Variable(_SPLIT_TIES, "1", "R^2 beyond what label and other attributes explain"),
    "tie_p": Variable(_SPLIT_TIES, "1", "p-value of tie_given_label = 0 (F test)"),
    "tie_p_corrected": Variable(_SPLIT_TIES, "1", "the same, corrected for all features and attributes (Holm)"),
    "tied": Variable(_SPLIT_TIES, "1", "whether the corrected p-value is below the level"),
    "attribute_agreement": Variable(("attribute",), "1", "share of training examples it agrees with the label in"),
    "attribute_reading": Variable(("attribute",), "", "how the attribute was read"),
    "attribute_feature": Variable(("attribute",), "1", "number of the feature that is told for it"),
    "attribute_split": Variable(("attribute",), "", "the examples on which it is judged"),
    "attribute_verdict": Variable(("attribute",), "", "shortcut, no shortcut or undecided"),
    "response_without": Variable(("removed", "time", "feature"), "margin", "response without the removed feature"),
    "half_time_without": Variable(("removed", "feature"), "time", "when it has half of the end it has with all"),
    "response_gain": Variable(("removed", "feature"), "1", "response without over with, at the plain stop"),
    "accuracy_without": Variable(("removed", "split", "group", "time"), "1", "accuracy without the removed feature"),
    "count": Variable(("split", "group"), "examples", "examples of the group"),
    "kappa": Variable(("split", "attribute", "feature"), "1", "weight of the feature in the gap"),
    "gap_share": Variable(("attribute", "feature"), "1", "share of the gap at the plain stop, deciding split"),
    "choice_worst": Variable(("attribute", "strategy", "split"), "1", "accuracy of the worst cell there"),
    "choice_average": Variable(("attribute", "strategy", "split"), "1", "average accuracy there"),
    "duality_gap": Variable(("decay",), "1", "certified duality gap over the objective"),
    "alpha_error": Variable(("decay",), "1", "bound of the error of the dual optimum, 2-norm"),
    "flow_reached": Variable(("path",), "1", "whether the flow reached all saved times"),
}
for _path, _dims in _PATHS.items():
    _pair = (*_dims, "feature", "cause")
    VARIABLES[f"starvation_{_path}"] = Variable(_pair, "margin per squared strength", f"G {_SUFFIX[_path]}")
    VARIABLES[f"starvation_{_path}_error"] = Variable(_pair, "margin per squared strength", "bound of its error")
    VARIABLES[f"elasticity_{_path}"] = Variable(_pair, "1", f"(s_i^2/z_j) dz_j/d(s_i^2) {_SUFFIX[_path]}")
    VARIABLES[f"starves_{_path}"] = Variable(_pair, "1", "whether cause starves feature for certain")
for _path in ("time", "switch"):
    _about = f"relative error of the few features' model in margins, {_SUFFIX[_path]}"
    VARIABLES[f"few_error_{_path}"] = Variable(_PATHS[_path], "1", _about)
for _path, _dims in _PATHS.items():
    _of = ("split", "group", *_dims)
    VARIABLES[f"accuracy_{_path}"] = Variable(_of, "1", f"accuracy {_SUFFIX[_path]}")
    VARIABLES[f"accuracy_{_path}_low"] = Variable(_of, "1", "lower end of Wilson's 95% interval")
    VARIABLES[f"accuracy_{_path}_high"] = Variable(_of, "1", "upper end of Wilson's 95% interval")
    VARIABLES[f"margin_{_path}"] = Variable(_of, "margin", f"mean margin {_SUFFIX[_path]}")
    _of = ("split", "attribute", *_dims)
    VARIABLES[f"gap_{_path}"] = Variable(_of, "margin", f"gap of aligned and conflicting examples {_SUFFIX[_path]}")
    VARIABLES[f"gap_rest_{_path}"] = Variable(_of, "margin", "what features beyond these carry of it")
for _axis, _unit in (("time", "time"), ("decay", "1"), ("switch", "time"), ("decoupling", "1"), ("after", "time")):
    VARIABLES[f"choice_{_axis}"] = Variable(("attribute", "strategy"), _unit, f"{_axis} chosen; NaN where it has none")
_TOGETHER = ("count", "accuracy_", "margin_", "gap_", "choice_")
TOGETHER: dict[str, Variable] = {
    f"all_{name}": Variable(
        tuple("all_group" if dim == "group" else dim for dim in about.dims),
        about.units,
        f"{about.description}; all classes together, the largest output decides",
    )
    for name, about in VARIABLES.items()
    if name.startswith(_TOGETHER) and not name.startswith(("gap_rest", "gap_share")) and "removed" not in about.dims
}
"""What a report on several classes says of all of them together."""
_RUN = ("trained_split", "group", "trained_record")
MEASURED: dict[str, Variable] = {
    "lazy_kernel_change": Variable(("lazy_time",), "1", "change of the kernel over its size, Frobenius norm"),
    "lazy_kernel_alignment": Variable(("lazy_time",), "1", "cosine of the angle between kernel and that at the start"),
    "lazy_outputs_apart": Variable(
        ("lazy_time",), "1", "distance of the network's outputs from the linearised network's, over the size of these"
    ),
    "lazy_decisions_apart": Variable(("lazy_time",), "1", "share of examples that the two classify differently"),
    "lazy_accuracy": Variable(("lazy_network", "lazy_time"), "1", "share of the training examples that are right"),
    "lazy_until": Variable((), "time", "the time up to which outputs are within the level of the linearised network's"),
    "lazy_start_apart": Variable(
        (), "1", "distance of the kernel at the start from that at infinite width, over its size"
    ),
    "trained_time": Variable(
        ("trained_setting", "trained_record"), "time", "step of gradient descent times the number of steps"
    ),
    "trained_since": Variable(
        ("trained_setting", "trained_record"), "time", "the same since the last phase began, 0 before"
    ),
    "trained_words": Variable(("trained_setting",), "", "the setting in words"),
    "trained_accuracy": Variable(
        ("trained_setting", "trained_seed", "trained_scale", *_RUN), "1", "accuracy of the trained network"
    ),
    "trained_predicted": Variable(("trained_setting", *_RUN), "1", "accuracy that the report's kernel predicts"),
    "trained_start": Variable(
        ("trained_setting", "trained_seed", *_RUN), "1", "accuracy that the network's own kernel at its start predicts"
    ),
    "trained_apart": Variable(
        ("trained_setting", "trained_scale", *_RUN[:2]),
        "1",
        "largest distance of the trained accuracy, mean over seeds, from trained_predicted",
    ),
    "trained_start_apart": Variable(
        ("trained_setting", "trained_scale", *_RUN[:2]), "1", "the same from the mean of trained_start"
    ),
}
"""What `measured` adds to a report."""

COORDINATES = {
    "feature": ("1", "number of the feature, strongest first"),
    "cause": ("1", "number of the feature that starves"),
    "attribute": ("", "what the user named"),
    "split": ("", "examples on which margins are seen"),
    "time": ("time", "step of gradient descent times the number of steps, plain training"),
    "decay": ("1", "weight decay"),
    "switch": ("time", "when spectral decoupling sets in"),
    "decoupling": ("1", "strength of spectral decoupling"),
    "after": ("time", "time since the switch"),
    "removed": ("1", "number of the feature taken out"),
    "carrier": ("1", "rank"),
    "strategy": ("", "what is chosen"),
    "path": ("", "flow"),
}
MEASURED_COORDINATES = {
    "lazy_time": ("time", "step of gradient descent times the number of steps"),
    "lazy_network": ("", "the network itself, or linearised at its start"),
    "trained_setting": ("", "how the network was trained"),
    "trained_seed": ("", "seed of the start"),
    "trained_scale": ("1", "factor of the outputs: 1 is the network as it is"),
    "trained_split": ("", "examples on which accuracies are seen"),
}


def variable(name: str, value: Any) -> tuple[tuple[str, ...], Any, dict[str, str]]:
    """A variable as `xarray.Dataset` takes it."""
    about = (VARIABLES | TOGETHER | MEASURED)[name]
    return about.dims, value, {"units": about.units, "description": about.description}


def coordinates(values: Mapping[str, Any]) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    """Coordinates of one dimension each, likewise."""
    about = COORDINATES | MEASURED_COORDINATES
    return {
        name: (name, np.asarray(value), {"units": about[name][0], "description": about[name][1]})
        for name, value in values.items()
    }
