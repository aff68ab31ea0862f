"""What no argument of a kind may be, by kind."""

from typing import Any

import numpy as np

import gsdyn as gs

NAN, INF = float("nan"), float("inf")
EYE = np.eye(2)
NONSENSE = {
    "text": "three",
    "bytes": b"three",
    "object": object(),
    "dictionary": {"a": 1.0},
    "set": {1.0, 2.0},
    "complex": 1j,
    "complex array": np.array([1j, 2j]),
    "function": len,
    "class": gs.CrossEntropy,
    "list of text": ["a", "b"],
    "ragged": [[1.0, 2.0], [3.0]],
    "array of objects": np.array([None, 1.0]),
    "dates": np.array(["2020-01-01"], "M8[D]"),
}
NONE = {"None": None}
NOT_FINITE = {"nan": NAN, "inf": INF, "-inf": -INF, "a nan among": np.array([1.0, NAN])}
NUMBERS = {"number": 1.5, "array": np.ones(2)}
SHAPED = {"a tensor": np.ones((2, 3, 4))}


def but(names: str, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names.split(", ")}


ARRAY = NONSENSE | NONE
FINITE = ARRAY | NOT_FINITE
POSITIVE = FINITE | {"0": 0.0, "-1": -1.0}
COUNT = NONSENSE | NONE | {"nan": NAN, "inf": INF, "1.5": 1.5, "-1": -1, "array": np.ones(2)}
THING = NONSENSE | NONE | NUMBERS
FLAG = NONSENSE | NONE | NUMBERS
KINDS: dict[str, dict[str, Any]] = {
    # numbers and arrays of any shape
    "array": ARRAY,
    "finite": FINITE,
    "positive": POSITIVE,
    "nonnegative": FINITE | {"-1": -1.0},
    "times": FINITE | {"-1": -1.0},
    "share": POSITIVE | {"1": 1.0},
    "confidence": POSITIVE | {"1/2": 0.5, "1": 1.0},
    "overlap": FINITE | {"-1": -1.0, "1": 1.0},
    "depth": FINITE | {"1": 1.0, "-1": -1.0},
    # one number
    "one finite": FINITE | {"vector": [1.0, 2.0]},
    "one positive": POSITIVE | {"vector": [1.0, 2.0]},
    "one nonnegative": FINITE | {"-1": -1.0, "vector": [1.0, 2.0]},
    "probability": FINITE | {"-1": -1.0, "2": 2.0, "vector": [0.1, 0.2]},
    "tolerance": POSITIVE | {"1": 1.0, "vector": [0.1, 0.2]},
    "tolerance or none": but("None", POSITIVE | {"1": 1.0, "vector": [0.1, 0.2]}),
    "inaccuracy or none": but("None", FINITE | {"-1": -1.0, "1": 1.0, "vector": [0.1, 0.2]}),
    # vectors and matrices
    "rising": FINITE | {"falling": [2.0, 1.0], "empty": [], "scalar": 1.0, "matrix": [[1.0]], "negative": [-1.0]},
    "matrix": FINITE | SHAPED | {"vector": np.ones(2), "scalar": 1.0},
    "kernel": FINITE | SHAPED | {"vector": np.ones(2), "oblong": np.ones((2, 3)), "skew": [[1.0, 2.0], [0.0, 1.0]]},
    "two": FINITE | SHAPED | {"three": np.ones(3), "a matrix": EYE},
    "three rows or none": but("None", FINITE | SHAPED | {"five rows": np.ones((5, 2)), "scalar": 1.0}),
    "labels": FINITE | {"2": [1, 2], "0": [1, 0], "three": [1, -1, 1], "a matrix": EYE, "scalar": 1.0},
    "labels or none": but("None", FINITE | {"2": [1, 2], "three": [1, -1, 1], "a matrix": EYE, "scalar": 1.0}),
    "classes": FINITE | {"real": [0.0, 1.0], "a matrix": [[0, 1], [1, 0]], "scalar": 1},
    # counts, flags and things
    "count": COUNT | {"0": 0},
    "natural": COUNT,
    "count or none": but("None", COUNT | {"0": 0}),
    "flag": FLAG,
    "thing": THING,
    "thing or none": but("None", THING),
    "callable": but("function, class", THING),
    "callable or none": but("None, function, class", THING),
    "path": but("text, bytes", THING),
    "path or none": but("text, bytes, None", THING),
}


KINDS |= {
    "signs": but("three", KINDS["labels"]),
    "real": ARRAY,
    "one number": FINITE | {"vector": [1.0, 2.0]},
    "one nonnegative but inf": but("inf, a nan among", FINITE) | {"-1": -1.0} | {"vector": [1.0, 2.0]},
    "one positive or none": but("None", POSITIVE | {"vector": [1.0, 2.0]}),
    "finite but none": but("None", FINITE),
    "negative": FINITE | {"0": 0.0, "1": 1.0},
    "pair of positive": but("ragged", POSITIVE) | {"three": [1.0, 1.0, 1.0]},
    "confidence of many": POSITIVE | {"1": 1.0},
    "two or none": but("None", KINDS["two"]),
    "square": but("nan, inf, -inf, a nan among", KINDS["matrix"]) | {"oblong": np.ones((2, 3))},
    "square or none": but("None", KINDS["matrix"]) | {"oblong": np.ones((2, 3))},
    "matrix or none": but("None", KINDS["matrix"]),
    "matrix but infinite": NONSENSE | NONE,
    "rows": but("a tensor, vector", KINDS["matrix"]) | {"vector": np.ones(2)},
    "examples": FINITE | {"scalar": 1.0},
    "examples or none": but("None", FINITE) | {"scalar": 1.0},
    "outputs": but("inf, -inf", FINITE) | SHAPED | {"scalar": 1.0},
    "two or rows": but("a matrix", KINDS["two"]),
    "any times": but("empty", KINDS["rising"]),
    "brightness": but("None", KINDS["one finite"]),
    "groups": but("real", KINDS["classes"]),
    "error": ARRAY | {"-1": -1.0, "a vector of three": np.ones(3)},
    "many by two": ARRAY | SHAPED | {"three": np.ones(3)},
    "mask": NONSENSE | NONE | {"three": [True, False, True], "real": [0.5, 1.0], "nan": NAN, "scalar": True},
    "attribute": {"scalar": 1.0, "three": [0, 1, 1], "a matrix": EYE, "object": object(), "None": None},
    "shares": FINITE | {"-1": -1.0, "2": 2.0, "empty": [], "matrix": EYE * 0.5},
    "integer": but("-1", COUNT),
    "count of devices": but("None", COUNT) | {"0": 0, "empty": [], "million": 10**6},
    "text": but("text", NONSENSE) | NONE | NUMBERS | {"empty": ""},
    "words": but("text", NONSENSE) | NONE | NUMBERS,
    "text or none": but("text", NONSENSE) | NUMBERS,
    "names": but("list of text", NONSENSE) | NONE | NUMBERS,
    "mapping or none": but("dictionary", NONSENSE) | NUMBERS,
    "axes": but("dictionary", NONSENSE)
    | NONE
    | NUMBERS
    | {"none": {}, "numbered": {1: [1.0]}, "of text": {"lam": "abc"}, "of objects": {"lam": [object()]}},
    "pair or none": but("None", FINITE) | {"three": [0.0, 1.0, 2.0], "reversed": (1.0, 0.0)},
    "key": NONSENSE | NONE | NUMBERS,
    "key or none": NONSENSE | NUMBERS,
    "dtype": {
        "text": "three",
        "object": object(),
        "dictionary": {"a": 1.0},
        "integers": int,
        "complex": complex,
        "number": 1.5,
    },
    "network": but("function, class", THING),
    "runs": but("list of text, ragged, array of objects", THING) | {"empty": [], "unlike": [np.ones(2), np.ones(3)]},
    "params": but("array, number", NUMBERS)
    | {"text": "three", "function": len, "None": None, "integers": np.ones(2, int)},
    "data": but("array of objects", THING)
    | {
        "no rows": (np.ones((0, 2)), np.ones(0)),
        "unlike": (EYE, np.ones(3)),
        "a scalar": (EYE, 1.0),
        "bad labels": (EYE, np.array([0.0, 2.0])),
    },
    "steps": FINITE
    | {"falling": [2, 1], "negative": [-1, 1], "real": [0.5], "scalar": 1, "empty": [], "matrix": [[1]]},
}
