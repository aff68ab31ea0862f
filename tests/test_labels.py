"""Labels as people have them."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from gsdyn.data import read_labels

BINARY = {
    "0 and 1": ([0, 1, 1, 0], ("0", "1")),
    "signs": (np.array([-1, 1, 1, -1]), ("-1", "1")),
    "floats": (np.array([-1.0, 1.0, 1.0, -1.0], np.float32), ("-1", "1")),
    "booleans": (np.array([False, True, True, False]), ("False", "True")),
    "unsigned": (np.array([0, 255, 255, 0], np.uint8), ("0", "255")),
    "words": (["land", "water", "water", "land"], ("land", "water")),
    "words of NumPy": (np.array(["a", "b", "b", "a"]), ("a", "b")),
    "bytes": (np.array([b"a", b"b", b"b", b"a"]), ("a", "b")),
    "objects": (np.array(["no", "yes", "yes", "no"], object), ("no", "yes")),
    "objects of numbers": (np.array([3, 7.0, 7, np.int64(3)], object), ("3", "7")),
    "numbers in words": (["10", "9", "9", "10"], ("9", "10")),
    "column": (np.array([[0], [1], [1], [0]]), ("0", "1")),
    "rows of one": ([[0], [1], [1], [0]], ("0", "1")),
    "one-hot": (np.array([[1, 0], [0, 1], [0, 1], [1, 0]]), ("0", "1")),
    "jax": (jnp.array([0, 1, 1, 0]), ("0", "1")),
    "series": (pd.Series([0, 1, 1, 0], index=[5, 2, 3, 9]), ("0", "1")),
    "series of words": (pd.Series(["a", "b", "b", "a"]), ("a", "b")),
    "nullable": (pd.Series([True, False, False, True], dtype="boolean").map({True: 0, False: 1}), ("0", "1")),
    "nullable integers": (pd.Series([4, 5, 5, 4], dtype="Int64"), ("4", "5")),
    "frame": (pd.DataFrame({"y": [0, 1, 1, 0]}), ("0", "1")),
    "categories in their order": (
        pd.Series(pd.Categorical(["small", "big", "big", "small"], ["small", "big"])),
        ("small", "big"),
    ),
}


@pytest.mark.parametrize("case", BINARY)
def test_two_classes_become_signs(case):
    given, names = BINARY[case]
    labels = read_labels(given)
    expected = [1, -1, -1, 1] if case == "numbers in words" else [-1, 1, 1, -1]
    np.testing.assert_array_equal(labels.y, expected)
    assert labels.y.dtype == float
    assert labels.names == names
    assert labels.sentence == f"y: {names[0]} read as -1, {names[1]} as +1"
    assert list(labels.named) == [names[int(sign > 0)] for sign in expected]


def test_more_classes_become_numbers():
    labels = read_labels(["cat", "dog", "ant", "dog"], name="animal")
    np.testing.assert_array_equal(labels.y, [1, 2, 0, 2])
    assert labels.sentence == "animal: 3 classes, ant as 0, cat as 1, dog as 2"
    gaps = read_labels(np.array([7, 1, 3, 7], float))
    np.testing.assert_array_equal(gaps.classes, [2, 0, 1, 2])
    assert gaps.sentence == "y: 3 classes, 1 as 0, 3 as 1, 7 as 2"
    assert read_labels([2, 0, 1, 1]).sentence == "y: 3 classes, 0 to 2"
    assert read_labels(np.arange(20) % 10 * 2).sentence.endswith("10 as 5 and 4 more")
    np.testing.assert_array_equal(read_labels(np.eye(3)[[0, 2, 1, 1]]).y, [0, 2, 1, 1])


def test_labels_of_a_test_set_are_read_as_those_of_the_training_set():
    train = read_labels(["land", "water", "land"])
    np.testing.assert_array_equal(read_labels(["water", "water"], like=train).y, [1, 1])
    three = read_labels([4, 5, 9, 9])
    np.testing.assert_array_equal(read_labels(["9", "4"], like=three).y, [2, 0])
    for bad, told in ((["sea"], "got 'sea', which it lacks"), ([1], "such as 'land', got 1")):
        with pytest.raises(ValueError, match=told):
            read_labels(bad, like=train)


BAD = {
    "must have at least two classes, got 1 alone": [1, 1, 1],
    "whole numbers or words, got 0.3 in row 1": [0, 0.3, 1],
    "whole numbers or words, got inf in row 0": [np.inf, 1],
    "got NaN in row 2": np.array([0, 1, np.nan]),
    "got none in row 1": ["a", None, "b"],
    "got none in row 0": [" ", "a", "b"],
    "must have a label in every row, got NaN in row 2": pd.Series([1, 2, None], dtype="Int64"),
    "all words, got 0 in row 0 and 'a' in row 1": [0, "a"],
    "got True in row 1 and 0 in row 0": [0, True],
    "in one way, got 'Yes' and 'yes'": ["Yes", "no", "yes"],
    "in one way, got 'a' and 'a '": ["a", "a ", "b"],
    r"one-hot rows, got shape \(2, 3\)": np.ones((2, 3)),
    "got 4 values in as many rows": ["id1", "id2", "id3", "id4"],
    r"got shape \(0,\)": [],
    r"got shape \(\)": 3,
    r"got shape \(2, 2, 1\)": np.zeros((2, 2, 1)),
    "got the text '0101'": "0101",
    r"got rows of \[1, 2\] entries": [[1], [1, 2]],
    "got a value of type datetime64 in row 0": pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])),
    "got a value of type dict in row 0": [{}, {}],
    "got none in row 1 ": np.ma.masked_array([0, 1, 1], [False, True, False]),
}


@pytest.mark.parametrize("told", BAD)
def test_bad_labels_are_refused_in_one_line(told):
    with pytest.raises(ValueError, match=told.strip()) as caught:
        read_labels(BAD[told])
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("y must ")
