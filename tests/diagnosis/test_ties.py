"""Ties between features and attributes: effect sizes by least squares, and no more false ones than allowed."""

import numpy as np
import pytest

from gsdyn.diagnosis import ties
from gsdyn.diagnosis.attributes import read

RNG = np.random.default_rng(0)


def residual(columns, v):
    return np.sum((v - columns @ np.linalg.lstsq(columns, v, rcond=None)[0]) ** 2)


def data(n=120, k=4):
    y = np.where(RNG.random(n) < 0.4, 1.0, -1.0)
    U = np.linalg.qr(RNG.normal(size=(n, k)))[0]
    return y, U


def test_effect_sizes_are_those_of_least_squares():
    y, U = data()
    site = RNG.integers(3, size=len(y)).astype(str)
    colour = np.where(RNG.random(len(y)) < 0.8, y, -y)
    attributes = read({"site": site, "colour": colour}, y, None, 0, np.arange(len(y)))
    found = ties.ties(U, y, attributes, 0.05)
    one = np.ones_like(y)
    sites = np.stack([site == "1", site == "2"], axis=1).astype(float)
    for j in range(U.shape[1]):
        phi = y * U[:, j]
        for i, (own, other) in enumerate(((sites, colour[:, None]), (colour[:, None], sites))):
            bases = one[:, None], np.stack([one, y], axis=1), np.column_stack([one, y, other])
            for base, name in zip(bases, ("tie", "tie_given_label", "tie_given_others"), strict=True):
                expected = 1 - residual(np.hstack([base, own]), phi) / residual(base, phi)
                assert found[name][j, i] == pytest.approx(expected, abs=1e-12)
    # of two values, beyond label and constant: the correlation of U with y b, once y and the constant are out
    X = np.stack([one, y], axis=1)
    left = [v - X @ np.linalg.lstsq(X, v, rcond=None)[0] for v in (U[:, 0], y * colour)]
    assert found["tie_given_label"][0, 1] == pytest.approx(np.corrcoef(*left)[0, 1] ** 2, abs=1e-12)


def test_intervals_and_corrections_of_worked_examples():
    p = np.array([[0.01, 0.04], [0.03, np.nan], [0.005, 0.5]])
    np.testing.assert_allclose(ties.holm(p), [[0.04, 0.09], [0.09, np.nan], [0.025, 0.5]], rtol=1e-14)
    low, high = ties.interval(np.array([0.25, 0.0]), 103, 1)
    # artanh(0.5) = log(3)/2, and 1.959964/10 either side
    expected = [np.tanh(np.log(3) / 2 + d * 0.1959963984540054) ** 2 for d in (-1, 1)]
    np.testing.assert_allclose([low[0], high[0]], expected, rtol=1e-14)
    assert low[1] == 0 < high[1] < 0.05


def test_an_attribute_that_tells_the_label_has_no_tie_of_its_own():
    y, U = data()
    found = ties.ties(U, y, read({"same": y}, y, None, 0, np.arange(len(y))), 0.05)
    assert np.isnan(found["tie_p"]).all()
    assert not found["tied"].any()


def test_no_tie_beyond_the_others_with_more_attributes_than_examples():
    y, U = data(n=12, k=2)
    y[:6], y[6:] = 1, -1
    many = {f"a{i}": RNG.permutation([0, 1] * 6) for i in range(15)}
    found = ties.ties(U, y, read(many, y, None, 0, np.arange(len(y))), 0.05)
    assert np.isnan(found["tie_given_others"]).all()
    assert np.isfinite(found["tie_given_label"]).any()


def test_false_ties_in_any_of_twenty_attributes_are_as_rare_as_the_level():
    n, k, rounds = 200, 20, 120
    y = np.where(np.arange(n) < 80, 1.0, -1.0)
    # heavy tails: features that few examples carry
    U = np.linalg.qr(RNG.standard_t(2.5, size=(n, k)))[0]
    alarms = 0
    for _ in range(rounds):
        # most go with the label, none with anything else
        chance = np.where(y > 0, 0.8, 0.3)[:, None]
        b = RNG.random((n, 20)) < chance
        attributes = read({f"a{i}": b[:, i] for i in range(20)}, y, None, 0, np.arange(len(y)))
        alarms += ties.ties(U, y, attributes, 0.05)["tied"].any()
    # 0.05 within three standard deviations
    assert alarms / rounds <= 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5


def test_a_planted_tie_is_found():
    y, U = data(n=300, k=5)
    b = np.where(RNG.random(300) < 0.85, y, -y)
    U[:, 2] = y * b + 0.5 * RNG.normal(size=300)
    found = ties.ties(U / np.linalg.norm(U, axis=0), y, read({"b": b}, y, None, 0, np.arange(len(y))), 0.05)
    assert found["tied"][:, 0].tolist() == [False, False, True, False, False]
    assert found["tie_low"][2, 0] <= found["tie"][2, 0] <= found["tie_high"][2, 0]
