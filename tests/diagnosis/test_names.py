"""What a report says does not depend on what classes and attributes are called, nor on the order of the examples."""

import numpy as np
import pytest

import gsdyn as gs
from gsdyn.diagnosis import attributes, draws, problem

N, M = 60, 30
RNG = np.random.default_rng(8)
Y = RNG.choice([-1.0, 1.0], N)
SITE = np.where(RNG.random(N) < 0.8, Y, -Y)
NEW_Y = np.where(np.arange(M) % 2 == 0, 1.0, -1.0)
NEW_SITE = np.where(RNG.random(M) < 0.4, NEW_Y, -NEW_Y)


def inputs(y, site):
    return np.stack([3 * site, y + RNG.normal(size=len(y)), *RNG.normal(size=(3, len(y)))], axis=1)


X, NEW = inputs(Y, SITE), inputs(NEW_Y, NEW_SITE)


def words(y, swapped=False):
    return np.array(["lion", "cow"])[((y > 0) ^ swapped).astype(int)]


def places(site, swapped=False):
    return np.array(["north", "south"])[((site > 0) ^ swapped).astype(int)]


def ask(order=None, new_order=None, swapped=False, attribute="site", renamed=False):
    rows, new = (slice(None) if o is None else o for o in (order, new_order))
    test = {
        "x": NEW[new], "y": words(NEW_Y[new], swapped), "attributes": {attribute: places(NEW_SITE[new], renamed)},
    }  # fmt: skip
    return gs.diagnose(
        X[rows], words(Y[rows], swapped), attributes={attribute: places(SITE[rows], renamed)}, test=test, features=6,
        network=gs.networks.FullyConnected(depth=2), progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def report():
    return ask()


# rows, words, and what is left of rounding
OTHERS = {"carrier_example", "carrier_label", "carrier_weight", "attribute_reading", "duality_gap", "alpha_error"}
OTHERS |= {"eigen_residual", "response_decay_error", "starvation_decay_error"}


def same(report, other, names=lambda name: name, turned=1.0, attribute="site"):
    """All numbers are the same, groups by their names; examples by their rows are left to others."""
    a, b = report.dataset, other.dataset
    assert [names(name) for name in a.group_name.values] == sorted(
        b.group_name.values, key=[names(name) for name in a.group_name.values].index
    )
    b = b.isel(group=[list(b.group_name.values).index(names(name)) for name in a.group_name.values])
    for name in sorted(set(a.data_vars) - OTHERS):
        value, expected = b[name].values, a[name].values
        if name == "direction":
            expected = turned * expected
        if value.dtype.kind in "bUi":
            np.testing.assert_array_equal(value, expected, err_msg=name)
            continue
        scale = np.nanmax(np.abs(expected), initial=1e-12)
        # margins of examples held out are as exact as a duality gap of 1e-10 makes them
        np.testing.assert_allclose(value, expected, atol=1e-4 * scale, err_msg=name)
    said = [sentence.replace(f"'{attribute}'", "'site'") for sentence in other.verdict.sentences]
    assert said == list(report.verdict.sentences)


def test_names_of_classes_can_change_places(report):
    swap = {"y = lion": "y = cow", "y = cow": "y = lion"}

    def named(name):
        start, _, label = name.rpartition("y = ")
        return start + swap[f"y = {label}"] if start else name

    assert report.dataset.attrs["positive"] == "lion"
    other = ask(swapped=True)
    assert other.dataset.attrs["positive"] == "lion"  # another class
    # a feature as a function of inputs points to the class that is called +1
    same(report, other, named, turned=-1.0)


def test_examples_come_in_any_order(report):
    order, new_order = RNG.permutation(N), RNG.permutation(M)
    other = ask(order, new_order)
    same(report, other)
    rows = other.dataset.carrier_example.values
    np.testing.assert_array_equal(order[rows], report.dataset.carrier_example.values)


def test_attributes_and_their_values_have_any_name(report):
    swap = {"site = north": "time = south", "site = south": "time = north"}

    def named(name):
        value, comma, rest = name.partition(",")
        return swap.get(value, value.replace("site:", "time:")) + comma + rest

    same(report, ask(attribute="time", renamed=True), named, attribute="time")


def test_responses_grow_at_first(report):
    assert (report.dataset.response_time.values[0] > 0).all()


@pytest.mark.parametrize("limit", [None, 50])
@pytest.mark.parametrize("given", ["inputs", "kernel"])
def test_what_is_held_out_and_drawn_is_of_the_examples_themselves(given, limit):
    order = RNG.permutation(N)

    def read(rows, y):
        x, theta = (X[rows], None) if given == "inputs" else (None, (X @ X.T)[np.ix_(rows, rows)])
        known = {"site": SITE[rows]}
        return problem.read(x, y, known, None, theta, positive=None, limit=limit, seed=3)

    one, other = read(np.arange(N), Y), read(order, -Y[order])
    assert one.held_out.sum() == other.held_out.sum() > 0
    np.testing.assert_array_equal(np.sort(order[other.rows]), one.rows)
    np.testing.assert_array_equal(np.sort(order[other.rows[other.held_out]]), np.sort(one.rows[one.held_out]))


def test_the_order_is_of_values_and_a_seed():
    assert (draws.ranks(X, None, 0) != draws.ranks(X, None, 1)).any()
    grid = np.arange(12).reshape(6, 2) - 4
    expected = draws.ranks(grid.astype(float), None, 0)
    for same in (grid, grid.astype(np.float32), np.where(grid == 0, -0.0, grid)):
        np.testing.assert_array_equal(draws.ranks(same, None, 0), expected)
    # one after the other where they are the same
    np.testing.assert_array_equal(np.diff(draws.ranks(np.ones((5, 2)), None, 0)), 1)


def test_values_that_go_with_both_labels_alike_have_a_direction_all_the_same():
    y, even = np.tile([1.0, 1.0, -1.0, -1.0], 5), np.tile([0, 1], 10)
    rank = RNG.permutation(20)
    (one,) = attributes.read({"a": even}, y, None, 0, rank)
    (swapped,) = attributes.read({"a": even}, -y, None, 0, rank)
    (renamed,) = attributes.read({"a": 1 - even}, y, None, 0, rank)
    order = RNG.permutation(20)
    (moved,) = attributes.read({"a": even[order]}, y[order], None, 0, rank[order])
    assert set(one.b) == {-1.0, 1.0}
    np.testing.assert_array_equal(swapped.b, -one.b)
    np.testing.assert_array_equal(renamed.b, one.b)
    np.testing.assert_array_equal(moved.b, one.b[order])
    (three,) = attributes.read({"a": np.repeat([0, 1, 2], [8, 4, 8])}, y, None, 0, rank)
    (turned,) = attributes.read({"a": np.repeat([2, 0, 1], [8, 4, 8])}, -y, None, 0, rank)
    np.testing.assert_array_equal(turned.b, -three.b)
