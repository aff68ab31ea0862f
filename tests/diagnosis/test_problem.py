"""What is read: labels, attributes, test sets, what is held out; and one clear line for what cannot be."""

import jax.numpy as jnp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn.diagnosis import attributes, groups, paths, problem

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), np.repeat([-1.0, 1.0], 20)
COLOUR = np.where(RNG.random(40) < 0.7, Y, -Y)


def read(x=X, y=Y, known=None, test=None, kernel=None, positive=None, limit=None):
    return problem.read(x, y, known, test, kernel, positive=positive, limit=limit, seed=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": np.ones(40)}, "y must have at least two classes, got 1 alone"),
        ({"y": np.append(Y[:-1], np.nan)}, "y must have a label in every row, got NaN in row 39"),
        ({"y": Y[:-1]}, "y must have one label for each of the 40 examples, got 39"),
        ({"y": np.arange(40) % 3}, "y must have two classes, got 3: name by positive= the one to learn"),
        ({"y": np.arange(40) % 3, "positive": 7}, "positive must be one of the classes 0, 1, 2, got 7"),
        ({"x": np.where(np.arange(120).reshape(40, 3) == 22, np.nan, X)}, "x must be finite, got nan in row 7"),
        ({"x": None, "kernel": np.diag([*np.ones(39), np.inf])}, "kernel must be finite, got inf in row 39"),
        ({"x": np.ones((40, 2))}, "x must differ between examples, got the same in all 40"),
        (
            {"test": {"x": X, "y": Y, "attributes": {"color": COLOUR}}, "known": {"colour": COLOUR}},
            "test attributes must be among those of the examples, colour, got 'color'",
        ),
        ({"x": Y}, "x must have one row for each example, got shape (40,)"),
        ({"x": None}, "x must be given, or kernel in its place, got neither"),
        ({"x": None, "kernel": X}, "kernel must be square, one row for each example, got shape (40, 3)"),
        ({"known": {"site": np.zeros(40)}}, "attributes['site'] must take at least two values, got 0 in every row"),
        (
            {"known": {"site": COLOUR[:9]}},
            "attributes['site'] must have one entry for each of the 40 examples, got shape",
        ),
        (
            {"known": {"age": np.append(COLOUR[:-1], np.nan)}},
            "attributes['age'] must have a finite value in every row, got nan in row 39",
        ),
        (
            {"known": {"site": ["a", None] * 20}},
            "attributes['site'] must have a value in every row, got None in row 1",
        ),
        (
            {"known": {"id": [f"patient {i}" for i in range(40)]}},
            "attributes['id'] must have values that repeat, got 40 different ones in 40 rows",
        ),
        ({"known": [COLOUR]}, "attributes must be a dictionary of columns by name, got"),
        ({"test": {"x": X}}, "test must have x (or kernel) and y, got"),
        ({"test": {"x": X[:, :2], "y": Y}}, "test x must have examples of shape (3,) like x, got (2,)"),
        ({"test": {"x": X, "y": Y[:5]}}, "test y must have one label for each of the 40 test examples, got 5"),
        ({"test": {"x": X, "y": Y + 5}}, "test y must be classes of the training set, got 4"),
        ({"test": {"kernel": X, "y": Y}}, "test must have x where the examples have"),
        (
            {"test": {"x": X, "y": Y, "attributes": {"colour": ["red"] * 40}}, "known": {"colour": COLOUR}},
            "test attributes['colour'] must be of the kind that it is in training, got",
        ),
    ],
)
def test_bad_input_is_one_line_that_names_the_argument(given, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read(**given)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"select": "train"}, "select must be 'held-out' or 'test', got 'train'"),
        ({"select": "test"}, "select must be 'held-out' where there is no test set, got 'test'"),
        ({"features": 0}, "features must be at least 1, got 0"),
        ({"level": 1}, "level must be a number in (0, 1), got 1"),
        ({"decays": [1, 0.1]}, "decays must be increasing numbers, got [1, 0.1]"),
        ({"decouplings": [-1]}, "decouplings must be finite and > 0, got -1"),
        ({"ts": [0.0]}, "ts must hold a number above 0, got [0.0]"),
        ({"columns": ["a"]}, "columns must name each of the 3 inputs, got 1 names"),
        ({"network": 3, "kernel": np.eye(40), "x": None}, "network must be None where a kernel is given"),
    ],
)
def test_bad_options_are_told_before_anything_is_computed(given, message):
    given = {"x": X, **given}
    with pytest.raises(ValueError) as error:  # noqa: PT011
        gs.diagnose(given.pop("x"), Y, progress=False, **given)
    assert str(error.value).startswith(message)


def test_too_little_memory_is_told_before_the_kernel():
    with pytest.raises(gs.kernels.NotEnoughMemory, match=r"a report on 40 examples needs .* give examples="):
        gs.diagnose(X, Y, memory=1000, progress=False)


def test_values_become_groups_and_directions():
    site = np.array(["a"] * 12 + ["b"] * 14 + ["c"] * 12 + ["d"] * 2)
    age = np.linspace(0, 1, 40)
    new = {"site": ["a", "d", "e"], "age": [0.1, 0.9, 0.5]}
    place, old = attributes.read({"site": site, "age": age}, Y, new, 3, np.arange(40))
    assert place.values == ("a", "b", "c", "(rare)")
    assert place.reading.startswith("site: 3 values and 1 with fewer than 5 examples taken as one")
    # a: all -1; b: 8 of 14 are -1; c and d: all +1
    assert (place.b == np.where(np.isin(site, ("a", "b")), -1, 1)).all()
    assert place.test_code.tolist() == [0, 3, -1]
    assert place.test_b.tolist() == [-1, 1, 0]
    assert old.values == ("<= 0.5", "> 0.5")
    assert (old.b == Y).all()
    assert old.test_b.tolist() == [-1, 1, -1]


def test_of_few_examples_all_values_that_repeat_are_kept():
    y = np.repeat([-1.0, 1.0], 6)
    (one,) = attributes.read({"kind": np.array(["a", "b", "c"] * 4)}, y, None, 0, np.arange(12))
    assert one.values == ("a", "b", "c")
    assert one.code.tolist() == [0, 1, 2] * 4
    (one,) = attributes.read({"kind": list("aaabbbbccccc")}, y, None, 0, np.arange(12))
    assert one.values == ("c", "(rare)")
    for several, n in ((7, 12), (11, 36)):
        words = [f"patient {i % several}" for i in range(n)]
        with pytest.raises(ValueError, match=f"must have values that repeat, got {several} different ones in {n} rows"):
            attributes.read({"kind": words}, np.resize(y, n), None, 0, np.arange(n))


def test_labels_in_any_form_and_one_class_against_the_rest():
    words = np.where(Y > 0, "water", "land")
    found = read(y=words)
    assert (found.y == Y).all()
    assert found.names == ("land", "water")
    some = np.array(["a", "b", "c", "a"] * 10)
    found = read(y=some, positive="b")
    assert (found.y == np.where(some == "b", 1, -1)).all()
    assert found.names == ("not b", "b")
    assert found.labels == "y: b read as +1, the rest as -1"


def test_the_same_share_of_every_cell_is_held_out_and_none_of_few_examples():
    colour = np.tile(np.repeat([-1.0, 1.0], 10), 2)
    found = read(known={"colour": colour})
    cells = [(a == Y) & (colour == b) for a in (-1, 1) for b in (-1, 1)]
    assert [int(found.held_out[cell].sum()) for cell in cells] == [2, 2, 2, 2]
    assert found.splits == ["train", "held-out"]
    few = read(x=X[15:25], y=Y[15:25])
    assert few.splits == ["train"]
    assert few.notes[-1] == "none held out: fewer than 10 examples of a class"


def test_a_subsample_has_the_same_share_of_every_group_and_says_so():
    x, y = RNG.normal(size=(1000, 2)), np.where(np.arange(1000) < 200, 1.0, -1.0)
    b = np.where(np.arange(1000) % 4 == 0, 1, 0)
    found = read(x=x, y=y, known={"b": b}, limit=100)
    assert found.n == 100
    assert found.given == 1000
    assert (found.x == x[found.rows]).all()
    shares = [((found.y == s) & (b[found.rows] == v)).sum() for s in (1, -1) for v in (0, 1)]
    np.testing.assert_allclose(shares, [15, 5, 60, 20], atol=1)
    assert found.subsample == "100 of 1000 examples were taken, the same share of every group"


def test_groups_hold_who_they_say():
    test = {"x": X, "y": Y, "attributes": {"colour": COLOUR}}
    found = read(known={"colour": COLOUR}, test=test)
    parts = groups.of(found)
    names = [g.name for g in parts.all]
    assert names == [
        "all", "colour = -1, y = -1", "colour = 1, y = -1", "colour = -1, y = 1", "colour = 1, y = 1",
        "colour: aligned", "colour: conflicting",
    ]  # fmt: skip
    assert (parts.members["test"][5] == (COLOUR == Y)).all()
    assert (parts.members["train"][2] == ((COLOUR > 0) & (Y < 0))).all()
    assert parts.judged_on("colour") == "test"
    f = RNG.normal(size=(3, 40))
    told = groups.metrics(parts, "train", f)
    assert told["accuracy"][6].tolist() == pytest.approx([(row[COLOUR != Y] > 0).mean() for row in f])
    assert told["margin"][0].tolist() == pytest.approx(f.mean(axis=1))
    contrast = groups.contrasts(parts, "train", ["colour"])
    expected = f[:, COLOUR == Y].mean(axis=1) - f[:, COLOUR != Y].mean(axis=1)
    np.testing.assert_allclose(groups.gap(contrast, f)[0], expected)


def test_cells_of_two_examples_decide_nothing():
    b = np.where(np.arange(40) < 38, -Y, Y)  # two examples in one group
    parts = groups.of(read(known={"b": b}))
    assert len(parts.deciding("train", "b")) < 4
    sizes = parts.count("train")[parts.deciding("train", "b")]
    assert sizes.min() >= 5


def test_what_a_reader_should_know_of_the_data_is_said():
    twice = X.copy()
    twice[30:] = twice[:10]
    site = np.array(["a", "b"])[(COLOUR > 0).astype(int)]
    there = np.where(np.arange(6) < 2, "c", "a")
    test = {"x": X[:6], "y": np.ones(6), "attributes": {"site": there}}
    notes = " | ".join(read(twice, known={"site": site, "age": np.arange(40.0)}, test=test).notes)
    assert "10 of 40 rows repeat another one, " in notes
    again = read(np.repeat(X[:20], 2, axis=0), np.repeat(Y[::2], 2))
    assert "20 of 40 rows repeat another one, 0 of those held out one that is learnt" in again.notes
    assert "site: 2 values (a goes with -1, b goes with +1); 2 of 6 test examples, with other values such as c" in notes
    assert "the test set has no column age: judged on training examples instead" in notes
    assert "the test set has no example of -1" in notes
    many = attributes.read({"site": np.arange(40) % 8}, Y, None, 0, np.arange(40))[0]
    assert many.reading.endswith("and so on for 2 more)")
    assert not any("repeat" in note or "test set" in note for note in read(known={"site": site}).notes)


def test_tables_of_pandas_are_taken_with_the_names_of_their_columns():
    pandas = pytest.importorskip("pandas")
    table, known = pandas.DataFrame(X, columns=["a", "b", "c"]), pandas.DataFrame({"colour": COLOUR})
    test = {"x": table[:10], "y": pandas.Series(Y), "attributes": known}
    found = read(table, pandas.Series(Y), known, test | {"x": table})
    assert [a.name for a in found.attributes] == ["colour"]
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.attributes[0].test_code, found.attributes[0].code)


def test_without_its_only_feature_a_kernel_is_zero_and_others_stay_symmetric():
    v = RNG.normal(size=40)
    for theta, left in ((np.outer(v, v), 0.0), (np.outer(v, v) + np.eye(40), 1.0)):
        solver = paths.Solver(jnp.asarray(theta), Y, jnp.asarray(theta[:3]), Y[:3])
        size = np.linalg.norm(v)
        less = solver.without(Y * v / size, size**2, Y[:3] * v[:3] / size)
        np.testing.assert_array_equal(less.theta, np.asarray(less.theta).T)
        np.testing.assert_allclose(less.theta, left * np.eye(40), atol=1e-12 if left else 0.0)


def test_groups_of_numbers_that_are_cut_are_named_as_they_are_read():
    names = [g.name for g in groups.of(read(known={"age": np.arange(40.0), "colour": COLOUR})).all]
    assert names[1:3] == ["age <= 19.5, y = -1", "age > 19.5, y = -1"]
    assert "colour = 1, y = 1" in names
