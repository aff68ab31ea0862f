"""Planted shortcuts are in the inputs as said, and the table counts what the report says of them."""

import numpy as np
import pytest

from gsdyn.diagnosis import planted


def drawn(name, n=400):
    case = next(case for case in planted.CASES if case.name == name)
    return case.make(n, case.agreement, np.random.default_rng(0))


@pytest.mark.parametrize("name", [case.name for case in planted.CASES])
def test_attributes_agree_with_labels_as_often_as_said(name):
    problem = drawn(name)
    for attribute in problem.train.planted.values():
        n = len(attribute)
        share = np.mean(attribute == problem.train.y)
        assert abs(share - problem.agreement) < 4 * (problem.agreement * (1 - problem.agreement) / n) ** 0.5
    assert problem.train.x.shape == problem.test.x.shape
    for name, attribute in problem.test.planted.items():
        share = np.mean(attribute == problem.test.y)
        expected = 0.5 if name == "linear coordinate" else 1 - problem.agreement
        assert abs(share - expected) < 4 * 0.5 / len(attribute) ** 0.5


def test_attributes_are_in_the_inputs():
    colour = drawn("two at once").train
    red, green = colour.x[:, :64].sum(axis=1), colour.x[:, 64:].sum(axis=1)
    np.testing.assert_array_equal(np.where(green > red, 1, -1), colour.planted["colour"])
    assert colour.images.shape == (400, 8, 8, 3)
    patch = drawn("patch-80%").train
    corner = patch.x.reshape(-1, 8, 8)[:, 0, 0]
    np.testing.assert_array_equal(corner == 1, patch.planted["patch"] > 0)
    hospital = drawn("hospital-90%").train
    np.testing.assert_array_equal(np.sign(hospital.x[:, -1]), hospital.planted["hospital"])
    z = drawn("perception").train
    np.testing.assert_array_equal(z.x[:, 0], 10 * z.planted["z"])


def test_the_table_counts(monkeypatch):
    def verdicts(problem, seed):
        given = {"accuracy_aligned": 0.9, "accuracy_conflicting": 0.1}
        planted_ones = {name: given | {"verdict": "shortcut"} for name in problem.train.planted}
        return planted_ones | {"random 0": given | {"verdict": "shortcut" if seed else "no shortcut"}}

    monkeypatch.setattr(planted, "_reported", verdicts)
    cases = [case for case in planted.CASES if case.name in ("two at once", "colour-50%", "slabs-5")]
    rows = planted.planted_shortcuts(cases, n=100, seeds=2, other=lambda images, y: f"{images.shape[0]} seen")
    counts = {row["case"]: [row[key] for key in ("planted", "found", "innocent", "false_alarms")] for row in rows}
    assert counts == {"two at once": [4, 4, 2, 1], "colour-50%": [0, 0, 4, 3], "slabs-5": [2, 2, 2, 1]}
    assert [row["other"] for row in rows] == ["no images", "100 seen", "100 seen"]
    table = planted.markdown(rows, 2, 100)
    assert "| two at once | digits: colour and patch | 85% | 4 of 4 | 0 | 1 of 2 | 90% | 10% | 100 seen |" in table
    assert "Found 6 of 6 planted shortcuts; 5 false alarms on 8 attributes that are none." in table
