"""Datasets of starvation reports, made up: every variable that `gsdyn.diagnosis.report` describes, of random numbers
that keep what holds exactly (the gap is the sum of its parts)."""

import json
from types import SimpleNamespace

import numpy as np
import xarray as xr

from gsdyn.diagnosis import _schema

SPLITS = ["train", "held-out", "test"]
GRIDS = {"time": ("time",), "decay": ("decay",), "switch": ("switch", "decoupling", "after")}


def verdict(kind="shortcut", sentences=("'colour' is a shortcut.", "It is.")):
    return SimpleNamespace(kind=kind, sentences=sentences)


def dataset(*, attributes=("colour", "hospital"), shape=(6, 5), features=10, times=12, removed=(2,), seed=0):
    """A report's dataset: `attributes` of two values each, inputs of a `shape` (None: none)."""
    rng = np.random.default_rng(seed)
    sizes = {
        "feature": features, "cause": features, "attribute": len(attributes), "time": times, "decay": 5, "switch": 3,
        "decoupling": 2, "after": 7, "removed": len(removed), "carrier": 8, "strategy": 4, "split": 3, "path": 4,
        "group": 1 + 6 * len(attributes),
    }  # fmt: skip
    if shape is not None:
        sizes["input"] = int(np.prod(shape))
    made: dict = {}

    def put(name, *dims, low=0.0, high=1.0):
        made[name] = (dims, rng.uniform(low, high, [sizes[d] for d in dims]))

    for name in ("strength", "strength_share", "eigen_residual", "half_time", "mean_margin_share"):
        put(name, "feature")
    made["large"] = (("feature",), np.arange(features) % 3 != 2)
    made["repeated"] = (("feature",), np.zeros(features, bool))
    made["carrier_example"] = (("feature", "carrier"), rng.integers(0, 99, (features, 8)))
    put("carrier_weight", "feature", "carrier", low=-1)
    made["carrier_label"] = (("feature", "carrier"), np.full((features, 8), "a <b>"))
    if shape is not None:
        put("direction", "feature", "input", low=-1)
        put("input_std", "input", low=1, high=2)
    put("response_decoupling", "decoupling", "feature")
    for name in ("tie", "tie_low", "tie_high", "tie_given_label", "tie_given_others", "tie_p", "tie_p_corrected"):
        put(name, "feature", "attribute")
    made["tied"] = (("feature", "attribute"), rng.random((features, len(attributes))) < 0.2)
    put("attribute_agreement", "attribute")
    put("gap_share", "attribute", "feature")
    put("kappa", "split", "attribute", "feature", low=-1)
    for along, dims in GRIDS.items():
        put(f"elasticity_{along}", *dims, "feature", "cause", low=-0.5, high=0.5)
        made[f"starves_{along}"] = (made[f"elasticity_{along}"][0], made[f"elasticity_{along}"][1] < -0.2)
    put("response_gain", "removed", "feature")
    put("half_time_without", "removed", "feature")
    kappa = made["kappa"][1]
    for path, along in GRIDS.items():
        put(f"response_{path}", *along, "feature", low=-1, high=9)
        for part in ("", "_low", "_high"):
            put(f"accuracy_{path}{part}", "split", "group", *along)
        put(f"margin_{path}", "split", "group", *along)
        put(f"gap_rest_{path}", "split", "attribute", *along, low=-1)
        rest = made[f"gap_rest_{path}"][1]
        total = np.tensordot(kappa, made[f"response_{path}"][1], ((-1,), (-1,))) + rest
        made[f"gap_{path}"] = (("split", "attribute", *along), total)
        rest[SPLITS.index("held-out")] = np.nan
    kappa[SPLITS.index("held-out")] = np.nan
    for name in ("time", "decay", "switch", "decoupling", "after"):
        put(f"choice_{name}", "attribute", "strategy")
    put("choice_worst", "attribute", "strategy", "split")
    put("choice_average", "attribute", "strategy", "split")
    put("duality_gap", "decay", high=1e-9)
    put("alpha_error", "decay", high=1e-9)
    put("few_error_time", "time", high=0.1)
    put("few_error_switch", *GRIDS["switch"], high=0.3)
    made["flow_reached"] = (("path",), np.ones(4, bool))
    made["count"] = (("split", "group"), rng.integers(5, 99, (3, sizes["group"])))
    made["attribute_feature"] = (("attribute",), rng.integers(1, features + 1, len(attributes)))
    made["attribute_verdict"] = (("attribute",), [("no shortcut", "shortcut")[a == 0] for a in range(len(attributes))])
    return xr.Dataset(made, coords=_coords(sizes, attributes, removed), attrs=_attrs(shape, features, times))


def _coords(sizes, attributes, removed):
    kinds = [("", "all", "all")]
    for name in attributes:
        kinds += [(name, f"{name} = {value}, y = {label}", "cell") for label in (0, 1) for value in (0, 1)]
        kinds += [(name, f"{name}: {kind}", kind) for kind in ("aligned", "conflicting")]
    coords = {
        "feature": np.arange(1, sizes["feature"] + 1), "cause": np.arange(1, sizes["feature"] + 1),
        "attribute": np.array(attributes, str), "split": SPLITS, "removed": np.array(removed, int),
        "strategy": ["plain", "stopped", "decay", "switch"], "time": np.geomspace(1e-2, 1e2, sizes["time"]),
        "decay": np.geomspace(1e-2, 10, sizes["decay"]), "switch": [0.0, 1.0, 5.0], "decoupling": [0.2, 2.0],
        "after": np.geomspace(1e-3, 1e2, sizes["after"]), "group": np.arange(sizes["group"]),
    }  # fmt: skip
    for i, name in enumerate(("group_attribute", "group_name", "group_kind")):
        coords[name] = ("group", np.array([kind[i] for kind in kinds]))
    if "input" in sizes:
        coords["input_name"] = ("input", [f"column {i}" for i in range(sizes["input"])])
    return coords


def _attrs(shape, features, times):
    return {
        "title": "Starvation report", "n": 99, "features": features, "kernel": "NTK of a network", "select": "held-out",
        "labels": "0 read as -1, 1 as +1", "input_shape": json.dumps(list(shape or ())), "rtol": 1e-6, "subsample": "",
        "plain_time": float(np.geomspace(1e-2, 1e2, times)[times // 2]), "notes": json.dumps(["a note"]),
        "gsdyn_version": "0", "rare": 5, "holds": 0.1,
    }  # fmt: skip


def with_all(given, *, seed=2):
    """The dataset with what a report on several classes says of all together; no class holds examples out."""
    rng = np.random.default_rng(seed)
    sizes = dict(given.sizes) | {"all_group": given.sizes["group"]}
    part = xr.Dataset({
        name: _schema.variable(name, rng.uniform(0, 1, [sizes[dim] for dim in about.dims]))
        for name, about in _schema.TOGETHER.items()
    })  # fmt: skip
    count = rng.integers(5, 99, (3, sizes["group"])) * np.array([[1], [0], [1]])
    part["all_count"] = (("split", "all_group"), count)
    names = {
        f"all_group_{name}": ("all_group", given[f"group_{name}"].values) for name in ("name", "kind", "attribute")
    }
    stop = {"all_plain_time": given.attrs["plain_time"], "all_select": "train", "all_told": "All <together>."}
    return given.assign(part.assign_coords(names)).assign_attrs(stop)


def with_network(given, *, scales=(1.0, 30.0), seed=1):
    """The dataset with what `gsdyn.diagnosis.measured` adds: laziness, and training beside prediction."""
    rng = np.random.default_rng(seed)
    sizes = {
        "lazy_time": 5, "lazy_network": 2, "trained_setting": 2, "trained_seed": 3, "trained_scale": len(scales),
        "trained_split": 2, "trained_record": 6, "group": given.sizes["group"],
    }  # fmt: skip
    values = {
        name: rng.uniform(0, 1, [sizes[dim] for dim in about.dims])
        for name, about in _schema.MEASURED.items()
        if name != "trained_words"
    }
    values["trained_words"] = np.array(["cross-entropy until time 4", "decoupling <2> from time 4"])
    values["trained_time"] = np.array([np.geomspace(0.1, 4, 6), 4 + np.append(0, np.geomspace(0.1, 4, 5))])
    values["trained_since"] = np.array([values["trained_time"][0], values["trained_time"][1] - 4])
    coords = {
        "lazy_time": np.geomspace(1e-3, 1, 5), "lazy_network": ["real", "linearised"],
        "trained_setting": ["plain", "suggested"], "trained_seed": [0, 1, 2], "trained_scale": list(scales),
        "trained_split": ["train", "test"],
    }  # fmt: skip
    part = xr.Dataset(
        {name: _schema.variable(name, value) for name, value in values.items()}, coords=_schema.coordinates(coords)
    )
    words = {"lazy": "The kernel <moves> little.", "lazy_level": 0.1, "trained": "Trained (3 seeds): <well>."}
    return given.assign(part).assign_attrs(words)
