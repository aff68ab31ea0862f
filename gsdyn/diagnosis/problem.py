"""What is to be diagnosed: examples with labels and attributes, a test set, and which examples are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from gsdyn import _checks
from gsdyn._numerics import psd
from gsdyn.data.labels import BinaryLabels, ClassLabels, read_labels
from gsdyn.diagnosis import attributes as reading
from gsdyn.diagnosis import draws
from gsdyn.diagnosis._networks import Output
from gsdyn.diagnosis.attributes import Attribute


@dataclasses.dataclass(frozen=True, eq=False)
class TestSet:
    """m new examples: inputs `x` or a `kernel` (m, n) between them and all training examples given, labels `y`."""

    x: np.ndarray | None
    kernel: np.ndarray | None
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """n examples, labels -1 and +1, attributes, and new examples.

    - `x`, `kernel`: inputs, or a kernel (n, n) made elsewhere. `y`: (n,). `names`: of the classes -1 and +1.
    - `rows`: which of the examples given these are. `held_out`: a mask, those left out of the second solution.
    - `test`: new examples, or None. `notes`: what was done to what was given, in sentences.
    - `output`: of several classes, the one that is learnt against the rest.
    """

    x: np.ndarray | None
    kernel: np.ndarray | None
    y: np.ndarray
    names: tuple[str, str]
    attributes: list[Attribute]
    test: TestSet | None
    rows: np.ndarray
    held_out: np.ndarray
    given: int
    labels: str
    subsample: str
    notes: tuple[str, ...]
    columns: tuple[str, ...] | None
    output: Output | None = None

    @property
    def n(self) -> int:
        return len(self.y)

    @property
    def splits(self) -> list[str]:
        """What margins are known of."""
        held = ["held-out"] if self.held_out.any() else []
        return ["train", *held, *(["test"] if self.test is not None else [])]

    def examples(self, split: str) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray] | None]]:
        """The labels of a split, and the codes and directions of each attribute there, None where not known."""
        if split == "test":
            assert self.test is not None
            return self.test.y, [
                None if a.test_code is None or a.test_b is None else (a.test_code, a.test_b) for a in self.attributes
            ]
        rows = np.flatnonzero(self.held_out) if split == "held-out" else np.arange(self.n)
        return self.y[rows], [a.take(rows) for a in self.attributes]


def read(
    x: Any,
    y: Any,
    attributes: Mapping[str, Any] | None,
    test: Any,
    kernel: Any,
    *,
    positive: Any,
    limit: int | None,
    seed: int,
) -> Problem:
    """The problem, all arguments checked; raises `ValueError` in one line that names the one that is wrong."""
    x, kernel = _inputs("x", x, "kernel", kernel)
    if x is not None and all((row == x[0]).all() for row in x):
        raise ValueError(f"x must differ between examples, got the same in all {len(x)}")
    attributes = reading.columns(attributes)
    n = len(x) if x is not None else len(kernel)  # pyright: ignore[reportArgumentType]
    if kernel is not None and kernel.shape != (n, n):
        raise ValueError(f"kernel must be square, one row for each example, got shape {kernel.shape}")
    labels = y if isinstance(y, BinaryLabels | ClassLabels) else read_labels(y)
    signs, names, sentence, output = _two_classes(labels, positive)
    if len(signs) != n:
        raise ValueError(f"y must have one label for each of the {n} examples, got {len(signs)}")
    new, test_attributes = _test(test, x, n, labels, names)
    rank = draws.ranks(x, kernel, seed)
    known = reading.read(attributes, signs, test_attributes, 0 if new is None else len(new), rank)
    rows, told = draws.subsample(np.asarray(labels.classes), known, limit, rank)
    if told:  # once more: which values are rare is for those kept
        part = {name: np.asarray(column)[rows] for name, column in (attributes or {}).items()}
        rank = rank[rows]
        known = reading.read(part, signs[rows], test_attributes, 0 if new is None else len(new), rank)
        x, kernel = (None if x is None else x[rows]), (None if kernel is None else kernel[np.ix_(rows, rows)])
        if new is not None and new.kernel is not None:
            new = dataclasses.replace(new, kernel=new.kernel[:, rows])
    signs = signs[rows]
    held = draws.held_out(signs, np.asarray(labels.classes)[rows], known, rank)
    notes = [sentence, *(a.reading for a in known), *([told] if told else []), *_remarks(x, held, known, new, names)]
    if not held.any():
        notes.append(f"none held out: fewer than {draws.FEWEST} examples of a class")
    return Problem(x, kernel, signs, names, known, new, rows, held, n, sentence, told, tuple(notes), None, output)


def _remarks(
    x: np.ndarray | None, held: np.ndarray, known: list[Attribute], new: TestSet | None, names: tuple[str, str]
) -> list[str]:
    """What a reader should know about the data before believing what they say."""
    told = []
    if x is not None:
        rows = [row.tobytes() for row in np.ascontiguousarray(x)]
        again = len(x) - len(set(rows))
        learnt = {row for row, out in zip(rows, held, strict=True) if not out}
        old = sum(row in learnt for row, out in zip(rows, held, strict=True) if out)
        if again:
            told.append(f"{again} of {len(x)} rows repeat another one, {old} of those held out one that is learnt")
    if new is not None:
        lacking = [a.name for a in known if a.test_code is None]
        if lacking:
            told.append(f"the test set has no column {', '.join(lacking)}: judged on training examples instead")
        told += [f"the test set has no example of {names[sign > 0]}" for sign in (-1, 1) if not (new.y == sign).any()]
    return told


def _inputs(name: str, x: Any, other: str, kernel: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    if (x is None) == (kernel is None):
        given = "both" if x is not None else "neither"
        raise ValueError(f"{name} must be given, or {other} in its place, got {given}")
    if kernel is not None:
        array = np.asarray(_checks.require(other, psd.of_one_output(kernel), "a matrix", lambda v: v.ndim == 2, ndim=2))
        _finite_rows(other, array)
        return None, array
    array = np.asarray(x) if hasattr(x, "shape") else np.asarray(x, float)
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"{name} must have one row for each example, got shape {array.shape}")
    if array.dtype.kind not in "iu":
        array = np.asarray(_checks.real(name, array))
        _finite_rows(name, array)
    return array, None


def _finite_rows(name: str, array: np.ndarray) -> None:
    """Every entry must be finite; the message says in which row one is not."""
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(array), -1).all(axis=1)))
        raise ValueError(f"{name} must be finite, got {array[row][~finite[row]].ravel()[0]} in row {row}")


def _two_classes(
    labels: BinaryLabels | ClassLabels, positive: Any
) -> tuple[np.ndarray, tuple[str, str], str, Output | None]:
    """Labels -1 and +1; of several classes one against the rest, and which."""
    if isinstance(labels, BinaryLabels) and positive is None:
        return labels.y, labels.names, labels.sentence, None
    if positive is None:
        count = len(labels.names)
        raise ValueError(
            f"y must have two classes, got {count}: name by positive= the one to learn against the rest, such as "
            f"{labels.names[0]!r}"
        )
    if str(positive) not in labels.names:
        raise ValueError(f"positive must be one of the classes {', '.join(labels.names[:8])}, got {positive!r}")
    at = labels.names.index(str(positive))
    rest = labels.names[1 - at] if isinstance(labels, BinaryLabels) else f"not {positive}"
    sentence = f"y: {positive} read as +1, {'the rest' if len(labels.names) > 2 else rest} as -1"
    output = Output(at, len(labels.names)) if len(labels.names) > 2 else None
    return np.where(np.asarray(labels.classes) == at, 1.0, -1.0), (rest, str(positive)), sentence, output


def _test(
    test: Any, x: np.ndarray | None, n: int, labels: BinaryLabels | ClassLabels, names: tuple[str, str]
) -> tuple[TestSet | None, Mapping[str, Any] | None]:
    """The test set from a mapping, or an object with the same names as attributes, such as `gs.data.Examples`."""
    if test is None:
        return None, None
    get = test.get if isinstance(test, Mapping) else lambda key: getattr(test, key, None)
    given = get("labels") if get("labels") is not None else get("y")
    if given is None or (get("x") is None and get("kernel") is None):
        raise ValueError("test must have x (or kernel) and y, got " + _checks.in_short(test))
    new, kernel = _inputs("test x", get("x"), "test kernel", get("kernel"))
    m = len(new) if new is not None else len(kernel)  # pyright: ignore[reportArgumentType]
    if (new is None) != (x is None):
        raise ValueError("test must have x where the examples have, and a kernel where they have a kernel")
    if new is not None and x is not None and new.shape[1:] != x.shape[1:]:
        raise ValueError(f"test x must have examples of shape {x.shape[1:]} like x, got {new.shape[1:]}")
    if kernel is not None and kernel.shape[1] != n:
        raise ValueError(f"test kernel must have one column for each of the {n} examples, got shape {kernel.shape}")
    if not isinstance(given, BinaryLabels | ClassLabels):
        given = read_labels(given, name="test y", like=labels)
    word = np.asarray(given.named) == names[1]
    if len(word) != m:
        raise ValueError(f"test y must have one label for each of the {m} test examples, got {len(word)}")
    return TestSet(new, kernel, np.where(word, 1.0, -1.0)), reading.columns(get("attributes"), "test attributes") or {}


def named(problem: Problem, columns: Any, notes: tuple[str, ...]) -> Problem:
    """The problem with names of its inputs and what is to be repeated about them."""
    if columns is not None:
        columns = tuple(str(column) for column in columns)
        width = 0 if problem.x is None else int(np.prod(problem.x.shape[1:]))
        if len(columns) != width:
            raise ValueError(f"columns must name each of the {width} inputs, got {len(columns)} names")
    return dataclasses.replace(problem, columns=columns, notes=(*map(str, notes), *problem.notes))
