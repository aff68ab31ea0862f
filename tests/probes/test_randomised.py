"""The randomised AUC against pairs counted one by one, and what it says of models that are known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gsdyn import data
from gsdyn.probes import randomised_auc
from gsdyn.probes.randomised import auc


def test_auc_counts_pairs():
    rng = np.random.default_rng(0)
    for n in (5, 40):
        outputs, y = rng.integers(0, 6, n).astype(float), np.where(np.arange(n) % 3, 1.0, -1.0)
        pairs = [(a > b) + (a == b) / 2 for a in outputs[y > 0] for b in outputs[y < 0]]
        assert auc(outputs, y) == pytest.approx(np.mean(pairs), abs=1e-14)
        assert auc(outputs, y) == pytest.approx(roc_auc_score(y, outputs), abs=1e-14)
    assert auc(np.array([-np.inf, 0.0, np.inf]), np.array([-1.0, 1.0, 1.0])) == 1


def test_what_a_model_uses_is_found():
    x, y, _ = data.slabs(2000, (2, 5, 5))
    linear = randomised_auc(lambda w, x: x @ w, np.array([1.0, 0.0, 0.0]), x, y, [0], repeats=5)
    assert linear.auc == 1
    assert abs(linear.randomised - 0.5) < 3 * 0.0129 / np.sqrt(5)  # sqrt((n+1)/(12 n+ n-)) of a random ranking
    assert 0.003 < linear.spread < 0.03
    other = randomised_auc(lambda w, x: x @ w, np.array([1.0, 0.0, 0.0]), x, y, [1, 2], repeats=1)
    assert other[:2] == (1, 1)
    assert np.isnan(other.spread)


def test_chosen_coordinates_move_together_and_nothing_else():
    x = np.arange(12.0).reshape(6, 2)
    x = np.concatenate([x, x], axis=1)
    seen = []
    randomised_auc(lambda _, z: seen.append(np.asarray(z)) or z[:, 0], None, x, [1, -1] * 3, [0, 2], repeats=2)
    for mixed in seen[:2]:
        np.testing.assert_array_equal(mixed[:, 1], x[:, 1])
        np.testing.assert_array_equal(mixed[:, 0], mixed[:, 2])
        assert sorted(mixed[:, 0]) == sorted(x[:, 0])
    assert (seen[0] != seen[1]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": []}, "columns must be a list of integers in 0..1, got"),
        ({"columns": [2]}, r"got \[2\]"),
        ({"columns": 0}, "columns must be a list of integers"),
        ({"columns": [0.0]}, "columns must be a list of integers"),
        ({"y": [1, 1, 1]}, r"y must have both labels, got 3 of \[1.0\]"),
        ({"y": [1, -1]}, "y must have as many rows as x"),
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
        ({"apply": 3}, "apply must be a function"),
        ({"apply": lambda _, x: x}, r"apply must give outputs of shape \(3,\) or \(3, 1\)"),
        ({"apply": lambda _, x: x[:, 0] * np.nan}, "apply must give numbers for every example, got NaN"),
    ],
)
def test_bad_input_is_named(arguments, message):
    given = {"apply": lambda _, x: x[:, 0], "params": None, "x": np.ones((3, 2)), "y": [1, -1, 1], "columns": [0]}
    with pytest.raises(ValueError, match=message):
        randomised_auc(**{**given, **arguments})
