"""What reports say of real digits in colours, of gray ones and of a table, with attributes that mean nothing."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import gsdyn as gs

pytestmark = pytest.mark.slow


def test_the_colour_of_digits_is_the_shortcut():
    """THEORY sections 9 and 10."""
    data = gs.data.colour_digits(2000, 1000)
    report = gs.diagnose(
        data.train.x,
        data.train.y,
        attributes={"colour": data.train.colour},
        test={"x": data.test.x, "y": data.test.y, "attributes": {"colour": data.test.colour}},
        progress=False,
    )
    assert report.verdict.kind == "shortcut"
    (record,) = report.verdict.shortcuts
    assert record["feature"] == 2
    assert record["r2"] == pytest.approx(0.90, abs=0.01)
    assert record["gap_share_feature"] == pytest.approx(1.0, abs=0.15)
    assert "Spectral decoupling 2 from time 60 on takes the conflicting test examples from" in str(report.verdict)
    ds = report.dataset
    conflicting = int(np.flatnonzero(ds.group_kind.values == "conflicting")[0])
    plain = ds.accuracy_time.sel(split="test").isel(group=conflicting)
    assert float(plain.max()) < 0.15
    decoupled = ds.accuracy_switch.sel(split="test", decoupling=2.0).isel(group=conflicting, switch=-1)
    assert 0.5 < float(decoupled.max()) < 0.65
    assert float(decoupled[0]) < 0.15
    assert float(decoupled[-1]) < 0.2
    # chosen without the test set
    own = ds.sel(attribute="colour")
    assert float(own.choice_worst.sel(strategy="switch", split="test")) > 0.4
    assert float(own.choice_worst.sel(strategy="plain", split="test")) < 0.1
    without = ds.accuracy_without.sel(split="test", removed=2).isel(group=conflicting)
    assert float(without.sel(time=ds.attrs["plain_time"], method="nearest")) > 0.5


def nothing(n, seed):
    rng = np.random.default_rng(seed)
    return {f"a{i}": rng.integers(2, size=n) for i in range(20)}


def test_gray_digits_and_attributes_that_mean_nothing():
    data = gs.data.colour_digits(500, 300)
    test = {"x": data.test.gray, "y": data.test.y, "attributes": nothing(300, 1)}
    report = gs.diagnose(data.train.gray, data.train.y, attributes=nothing(500, 0), test=test, progress=False)
    assert report.verdict.kind == "no shortcut"


@pytest.mark.parametrize("scaled", [True, False])
def test_a_table_and_attributes_that_mean_nothing(scaled):
    table = load_breast_cancer()
    x = (table.data - table.data.mean(axis=0)) / table.data.std(axis=0) if scaled else table.data
    y = table.target_names[table.target]
    report = gs.diagnose(x, y, attributes=nothing(len(y), 2), columns=table.feature_names, progress=False)
    assert report.verdict.kind == "no shortcut"
    assert report.dataset.attrs["labels"] == "y: benign read as -1, malignant as +1"
    assert report.dataset.input_name.values[0] == "mean radius"
