"""Labels as people have them: what was given, in what order, and the sentence that says how it was read."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

SHOWN = 6  # classes that a sentence names one by one


@dataclasses.dataclass(frozen=True, eq=False)
class BinaryLabels:
    """Labels of two classes.

    - `y`: -1.0 and +1.0, shape (n,). `names`: what was read as -1 and as +1. `sentence`: the same in words.

        >>> labels = gs.data.read_labels(["cat", "dog", "dog"])
        >>> print(labels.y, labels.names)
        [-1.  1.  1.] ('cat', 'dog')
    """

    y: Float[np.ndarray, " n"]
    names: tuple[str, str]
    sentence: str
    _values: tuple[Any, ...] = dataclasses.field(repr=False)

    @property
    def classes(self) -> Int[np.ndarray, " n"]:
        """The labels as 0 and 1."""
        return (self.y > 0).astype(int)

    @property
    def named(self) -> np.ndarray:
        """The name of every label, shape (n,)."""
        return np.asarray(self.names)[self.classes]


@dataclasses.dataclass(frozen=True, eq=False)
class ClassLabels:
    """Labels of three classes or more.

    - `classes`: class numbers 0..C-1, shape (n,); `y` is the same. `names`: what each was. `sentence`: in words.

        >>> labels = gs.data.read_labels(["cat", "dog", "owl"] * 2)
        >>> print(labels.classes, labels.names)
        [0 1 2 0 1 2] ('cat', 'dog', 'owl')
    """

    classes: Int[np.ndarray, " n"]
    names: tuple[str, ...]
    sentence: str
    _values: tuple[Any, ...] = dataclasses.field(repr=False)

    @property
    def y(self) -> Int[np.ndarray, " n"]:
        return self.classes

    @property
    def named(self) -> np.ndarray:
        """The name of every label, shape (n,)."""
        return np.asarray(self.names)[self.classes]


Labels = BinaryLabels | ClassLabels


def read_labels(labels: Any, *, name: str = "y", like: Labels | None = None) -> Labels:
    """Labels in any form in which people have them, as -1 and +1 or as class numbers.

    - `labels`: one for each example, shape (n,) or a column (n, 1): numbers, booleans or words, in a list, an array of
      NumPy (of objects too), pandas, JAX or PyTorch. Numbers that are written as words count as numbers. Or one-hot
      rows, shape (n, C), of zeros and a single one.
    - `name`: what errors call them.
    - `like`: labels of a training set, whose classes these must be among; not all of them need occur.

    Two classes become -1 and +1 in their order (numbers by size, False before True, words by the alphabet, categories
    of pandas as they are ordered), more of them 0, 1, ... likewise. Returns `BinaryLabels` or `ClassLabels`, with a
    `sentence` that says which is which.

    Raises `ValueError`, in one line, for a single class, for missing labels (the row is named, counted from 0), for
    numbers that are not whole, numbers beside words, one word in two spellings, and as many classes as examples.

        read_labels(["land", "water", "land"]).y           # -1., 1., -1.
        read_labels([0, 1, 1]).sentence                    # "y: 0 read as -1, 1 as +1"

        >>> print(gs.data.read_labels([0, 1, 1]).y)
        [-1.  1.  1.]
    """
    column, order = _column(labels, name)
    values = _plain(column, name)
    found = _ordered(values, order, name)
    if like is not None:
        found = _among(found, like._values, name)
    elif len(found) < 2:
        raise ValueError(f"{name} must have at least two classes, got {values[0]!r} alone")
    elif len(found) > 2 and len(found) == len(values):
        raise ValueError(f"{name} must name classes with several examples, got {len(found)} values in as many rows")
    number = {value: i for i, value in enumerate(found)}
    classes = np.array([number[value] for value in values])
    names = tuple(str(value) for value in found)
    if len(found) == 2:
        sentence = f"{name}: {names[0]} read as -1, {names[1]} as +1"
        return BinaryLabels(2.0 * classes - 1.0, (names[0], names[1]), sentence, found)
    return ClassLabels(classes, names, f"{name}: {_told(names)}", found)


def _told(names: tuple[str, ...]) -> str:
    if names == tuple(map(str, range(len(names)))):
        return f"{len(names)} classes, 0 to {len(names) - 1}"
    shown = ", ".join(f"{word} as {i}" for i, word in enumerate(names[:SHOWN]))
    rest = len(names) - SHOWN
    return f"{len(names)} classes, {shown}{f' and {rest} more' if rest > 0 else ''}"


def _column(labels: Any, name: str) -> tuple[list[Any], Sequence[Any] | None]:
    """One label for each example, and the order of the categories where pandas knows one."""
    categories = getattr(getattr(labels, "dtype", None), "categories", None)  # a categorical of pandas
    if isinstance(labels, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(labels)):
        row = int(np.argmax(np.ma.getmaskarray(labels).reshape(len(labels), -1).any(axis=1)))
        raise ValueError(f"{name} must have a label in every row, got none in row {row}")
    if isinstance(labels, str | bytes):
        raise ValueError(f"{name} must be one label for each example, got the text {labels!r}")
    array: Any
    if isinstance(labels, list | tuple):
        array = np.empty(len(labels), object)
        try:
            array[:] = labels
        except ValueError:
            array = np.array(labels, dtype=object)
    else:
        try:
            array = np.asarray(labels)
        except (TypeError, ValueError, RuntimeError):
            kind = type(labels).__name__
            raise ValueError(f"{name} must be one label for each example, got a value of type {kind}") from None
    if array.ndim == 1 and array.size and isinstance(array[0], list | tuple | np.ndarray):
        array = _rows(array, name)
    if array.ndim == 2 and array.shape[1] > 1:
        array = _hot(array, name)
    elif array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} must be one label for each example, got shape {array.shape}")
    return list(array), None if categories is None else list(categories)


def _rows(array: np.ndarray, name: str) -> np.ndarray:
    """Rows in a list as a matrix."""
    lengths = {np.size(row) for row in array}
    if len(lengths) != 1:
        raise ValueError(f"{name} must be one label for each example, got rows of {sorted(lengths)} entries")
    return np.array([np.asarray(row).reshape(-1) for row in array])


def _hot(array: np.ndarray, name: str) -> np.ndarray:
    """The place of the one in every one-hot row."""
    try:
        rows = array.astype(float)
    except (TypeError, ValueError):
        rows = np.full(array.shape, np.nan)
    if not (np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise ValueError(f"{name} must be one label for each example or one-hot rows, got shape {array.shape}")
    return np.argmax(rows, axis=1)


def _plain(column: list[Any], name: str) -> list[Any]:
    """Every label as an integer or a word; all of one kind."""
    values = [_value(entry, row, name) for row, entry in enumerate(column)]
    kinds = {_kind(value) for value in values}
    if kinds == {"word"} and all(_whole(value) is not None for value in values):
        return [_whole(value) for value in values]
    if len(kinds) > 1:
        rows = {kind: next(i for i, value in enumerate(values) if _kind(value) == kind) for kind in sorted(kinds)}
        told = " and ".join(f"{values[row]!r} in row {row}" for row in rows.values())
        raise ValueError(f"{name} must be all numbers, all booleans or all words, got {told}")
    return values


def _kind(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "number" if isinstance(value, int) else "word"


def _value(entry: Any, row: int, name: str) -> bool | int | str:
    if isinstance(entry, bytes):
        entry = entry.decode(errors="replace")
    if isinstance(entry, str):
        if not entry.strip():
            raise ValueError(f"{name} must have a label in every row, got none in row {row}")
        return str(entry)
    if isinstance(entry, bool | np.bool_):
        return bool(entry)
    if entry is None or type(entry).__name__ in ("NAType", "NaTType"):
        raise ValueError(f"{name} must have a label in every row, got none in row {row}")
    if not _is_number(entry):
        kind = type(entry).__name__
        raise ValueError(f"{name} must hold numbers, booleans or words, got a value of type {kind} in row {row}")
    try:
        value = float(entry)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must hold numbers, booleans or words, got {entry!r} in row {row}") from None
    if math.isnan(value):
        raise ValueError(f"{name} must have a label in every row, got NaN in row {row}")
    if not math.isfinite(value) or value != int(value):
        raise ValueError(f"{name} must be classes, whole numbers or words, got {value:g} in row {row}")
    return int(entry)


def _is_number(entry: Any) -> bool:
    if isinstance(entry, np.generic):  # kind "V": bfloat16 and its like
        return entry.dtype.kind in "iufV"
    return isinstance(entry, numbers.Real)


def _whole(word: Any) -> int | None:
    """The number that a word writes, such as "1" or "-1.0"."""
    try:
        value = float(word)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and value == int(value) else None


def _ordered(values: list[Any], order: Sequence[Any] | None, name: str) -> tuple[Any, ...]:
    """The classes that there are, in order."""
    found = sorted(set(values))
    if isinstance(found[0], str):
        spellings: dict[str, str] = {}
        for word in found:
            other = spellings.setdefault(" ".join(word.split()).casefold(), word)
            if other != word:
                raise ValueError(f"{name} must spell every class in one way, got {other!r} and {word!r}")
    if order is not None:
        rank = {value: i for i, value in enumerate(order)}
        if all(value in rank for value in found):
            found = sorted(found, key=rank.__getitem__)
    return tuple(found)


def _among(found: tuple[Any, ...], known: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    """The classes of the training set, which these must be among."""
    if _kind(found[0]) != _kind(known[0]):
        raise ValueError(f"{name} must be classes of the training set, such as {known[0]!r}, got {found[0]!r}")
    strange = [value for value in found if value not in known]
    if strange:
        raise ValueError(f"{name} must be classes of the training set, got {strange[0]!r}, which it lacks")
    return known
