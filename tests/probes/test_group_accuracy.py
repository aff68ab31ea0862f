"""Group accuracies against counting by hand, Wilson's interval against SciPy's."""

import numpy as np
import pytest
import scipy.stats

from gsdyn.probes import group_accuracy, wilson

Y = np.array([1, 1, 1, -1, -1, -1, -1, 1])
COLOUR = np.array(["red", "red", "blue", "red", "blue", "blue", "blue", "blue"])
F = np.array([2.0, -1.0, 3.0, 1.0, -2.0, -0.5, 0.0, 1.0])


def test_cells_are_counted():
    found = group_accuracy(F[:, None], Y[:, None], COLOUR)
    assert list(zip(found.labels.tolist(), found.attributes.tolist(), strict=True)) == [
        (-1, "blue"), (-1, "red"), (1, "blue"), (1, "red"),
    ]  # fmt: skip
    np.testing.assert_array_equal(found.counts, [3, 1, 2, 2])
    np.testing.assert_array_equal(found.right, [2, 0, 2, 1])  # an output of 0 is wrong
    np.testing.assert_allclose(found.margin, [2.5 / 3, -1.0, 2.0, 0.5], rtol=1e-15)
    assert found.worst == 1
    assert found.worst_group.share == 0
    assert found.average == wilson(5, 8)
    assert found.weighted == pytest.approx(5 / 8, rel=1e-15)
    shares = {(-1, "blue"): 1, (-1, "red"): 2, (1, "blue"): 3, (1, "red"): 4}
    weighted = group_accuracy(F, Y, COLOUR, shares=shares).weighted
    assert weighted == pytest.approx((2 / 3 + 0 + 3 + 2) / 10, rel=1e-15)


def test_logits_and_ties():
    logits = np.array([[1.0, 0.0, 2.0], [5.0, 5.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
    found = group_accuracy(logits, [2, 0, 1, 1], [0, 0, 0, 1])
    np.testing.assert_array_equal(found.labels, [0, 1, 1, 2])
    np.testing.assert_array_equal(found.right, [0, 1, 0, 1])  # a tie is wrong
    np.testing.assert_allclose(found.margin, [0, 1, -3, 1])


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_wilson_is_scipys(confidence):
    for right, count in [(0, 1), (1, 1), (0, 40), (40, 40), (3, 7), (999_999, 1_000_000), (1, 10**9)]:
        ours = wilson(right, count, confidence)
        expected = scipy.stats.binomtest(right, count).proportion_ci(confidence, method="wilson")
        assert ours.share == right / count
        np.testing.assert_allclose(ours[1:], [expected.low, expected.high], rtol=1e-12, atol=1e-16)


BAD = {
    "no examples": ({"outputs": [], "y": [], "attribute": []}, "outputs must have shape"),
    "NaN": ({"outputs": [np.nan, 1.0]}, "outputs must be finite"),
    "labels 0 and 1": ({"y": [0, 1]}, "y must be a vector of -1 and +1, got 0.0: convert 0 and 1 by 2*y - 1"),
    "one label": ({"y": [1]}, "y must have as many rows as outputs"),
    "one attribute": ({"attribute": [1]}, "attribute must have shape (2,)"),
    "attribute NaN": ({"attribute": [1, np.nan]}, "attribute must hold no NaN"),
    "class 3 of 3": ({"outputs": np.eye(3)[:2], "y": [0, 3]}, "y must be a vector of integers in 0..2, got 3"),
    "confidence 1": ({"confidence": 1.0}, "confidence must be a number in (0, 1)"),
    "confidence None": ({"confidence": None}, "confidence must be a number in (0, 1)"),
    "a share is missing": ({"shares": {(1, 0): 1.0}}, "shares must have a number for the group (-1, 1)"),
    "a share is negative": ({"shares": {(1, 0): -1.0, (-1, 1): 1.0}}, "shares must be finite and >= 0"),
    "shares of 0": ({"shares": {(1, 0): 0.0, (-1, 1): 0.0}}, "shares must have a positive sum"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    change, message = BAD[name]
    given = {"outputs": [1.0, -1.0], "y": [1, -1], "attribute": [0, 1], **change}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below, literally
        group_accuracy(**given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("right", "count"), [(1, 0), (-1, 3), (4, 3), (0.5, 2)])
def test_wilson_needs_counts(right, count):
    with pytest.raises(ValueError, match="must be"):
        wilson(right, count)
