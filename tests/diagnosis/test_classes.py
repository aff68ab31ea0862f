"""Several classes: one report along a dimension, and out of it each class as it was."""

import json

import numpy as np
import pytest
import xarray as xr

import gsdyn as gs
from gsdyn.diagnosis import Report, Verdict
from gsdyn.diagnosis.classes import joined
from gsdyn.diagnosis.measured import _with as with_measured

SIZES = {"feature": 2, "time": 3}


def small(name, kind, *, removed, splits, attributes=("site",)):
    """A report with what joining has to mind: splits and removed features that differ."""
    rng = np.random.default_rng(len(name))
    paths = ["plain", *(["held-out"] if "held-out" in splits else [])]
    shortcuts = ({"attribute": "site", "feature": 1},) if kind == "shortcut" else ()
    verdict = Verdict(kind, (f"{kind} it is.", "More."), shortcuts, ({"attribute": "site", "verdict": kind},))
    dataset = xr.Dataset(
        {
            "count": (("split", "group"), np.full((len(splits), 2), 7)),
            "accuracy_time": (("split", "group", "time"), rng.random((len(splits), 2, 3))),
            "response_without": (("removed", "time", "feature"), rng.random((len(removed), 3, 2))),
            "flow_reached": ("path", np.ones(len(paths), bool)),
            "large": ("feature", [True, len(removed) > 1]),
            "attribute_feature": ("attribute", [len(removed)]),
        },
        coords={"attribute": [*attributes], "split": splits, "removed": removed, "time": [1.0, 2.0, 3.0], "path": paths,
                "group_name": ("group", ["all", f"y = {name}"])},
        attrs={"n": 9, "notes": json.dumps(["two columns", f"{name} read as +1", "site: yes or no"]),
               "positive": name, "rare": 5, "holds": 0.1, "plain_time": float(len(name)),
               "verdict": json.dumps(verdict.as_dict())},
    )  # fmt: skip
    return Report(dataset, verdict)


@pytest.fixture
def parts():
    return {
        "cat": small("cat", "no shortcut", removed=[2, 1], splits=["train", "held-out", "test"]),
        "wolf": small("wolf", "shortcut", removed=[3], splits=["train", "test"]),
        "mouse": small("mouse", "undecided", removed=[1, 3], splits=["train", "held-out", "test"]),
    }


def test_each_class_comes_back_as_it_was(parts, tmp_path):
    whole = joined(parts)
    assert whole.classes == ("cat", "wolf", "mouse")
    assert whole.dataset["accuracy_time"].dims[0] == "class"
    assert json.loads(whole.dataset.attrs["notes"]) == ["two columns", "site: yes or no"]
    for report in (whole, Report.load(whole.save(tmp_path / "r.zarr")), Report.load(whole.save(tmp_path / "r.json"))):
        assert report.verdict == whole.verdict
        for name, part in parts.items():
            one = report.of(name)
            assert one.verdict == part.verdict
            xr.testing.assert_equal(one.dataset, part.dataset)
            assert one.dataset["count"].dtype == part.dataset["count"].dtype
            assert one.dataset.attrs == part.dataset.attrs
    with pytest.raises(ValueError, match="name must be one of the classes cat, wolf, mouse, got 'dog'"):
        whole.of("dog")
    with pytest.raises(ValueError, match="name must be left to a report on several classes, got 'cat' for one on two"):
        parts["cat"].of("cat")


def test_the_verdict_is_a_shortcut_where_one_class_has_one(parts):
    verdict = joined(parts).verdict
    assert verdict.kind == "shortcut"
    assert verdict.sentences == (
        "'site' is a shortcut for 1 of 3 classes, each learnt against the rest: wolf.",
        "Undecided for 1 of them: mouse.",
        "wolf: shortcut it is.",
        "mouse: undecided it is.",
    )
    assert [record["class"] for record in verdict.attributes] == ["cat", "wolf", "mouse"]
    assert verdict.shortcuts == ({"class": "wolf", "attribute": "site", "feature": 1},)
    del parts["wolf"]
    assert joined(parts).verdict.kind == "undecided"
    del parts["mouse"]
    assert joined(parts).verdict.sentences == ("No shortcut found for any of 1 classes, each learnt against the rest.",)


@pytest.mark.slow
def test_three_classes_are_the_report_of_each_against_the_rest(monkeypatch):
    rng = np.random.default_rng(0)
    n, decomposed = 90, []
    number = np.arange(n) % 3
    site = np.where(rng.random(n) < 0.85, number == 1, rng.random(n) < 0.5).astype(int)
    x = np.stack([4.0 * site - 2, *(np.eye(3)[number].T + 0.8 * rng.normal(size=(3, n)))], axis=1)
    y = np.array(["cat", "dog", "owl"])[number]
    given = {
        "attributes": {"site": site}, "features": 6, "ts": np.geomspace(0.01, 10, 6), "decays": [0.1, 1.0],
        "switch_times": [1.0], "decouplings": [1.0], "progress": False, "network": gs.networks.Linear(),
    }  # fmt: skip
    once = gs.FeatureBasis.from_kernel

    def counted(theta, *args, **options):
        decomposed.append(len(theta))
        return once(theta, *args, **options)

    monkeypatch.setattr(gs.FeatureBasis, "from_kernel", counted)
    whole = gs.diagnose(x, y, **given)
    assert decomposed == [n]
    assert whole.dataset.sizes["class"] == 3
    for name in ("cat", "dog"):
        alone = gs.diagnose(x, y, **given, positive=name, level=0.05 / 3)
        one = whole.of(name)
        assert one.verdict == alone.verdict
        xr.testing.assert_equal(one.dataset, alone.dataset)


def test_what_was_measured_is_of_one_class(parts):
    part = xr.Dataset(
        {"lazy_until": 2.0, "lazy_kernel_change": ("lazy_time", [0.1, 0.2])},
        coords={"lazy_time": [1.0, 2.0]},
        attrs={"lazy": "Lazy."},
    )
    whole = with_measured(joined(parts), [part], ["Lazy."], "wolf")
    assert whole.verdict.sentences[-1] == "wolf: Lazy."
    of_one, of_other = (whole.of(name).dataset for name in ("wolf", "cat"))
    assert float(of_one["lazy_until"]) == 2.0
    assert of_one.attrs["lazy"] == "Lazy."
    assert not {"lazy_until", "lazy_time"} & set(of_other.variables)
