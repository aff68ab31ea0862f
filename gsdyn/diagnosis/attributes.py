"""What is known of the examples besides their labels: values of each attribute, and which examples it agrees with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from gsdyn import _checks

RARE = 5  # examples below which a value is no group of its own, and a group decides nothing
CUT = ("<= ", "> ")  # how values of numbers that are cut begin
SHOWN = 6  # values that a sentence names one by one
MANY = 10  # different numbers above which an attribute is cut at its median, and values that are kept though all rare


@dataclasses.dataclass(frozen=True, eq=False)
class Attribute:
    """One attribute of n training examples and of those of the test set.

    - `values`: its values in words. `code`: the value of each example, 0.. or -1 for one that training lacks, (n,).
    - `b`: -1 or +1, the label that goes with the value more often than on average in the training data; 0 where
      unknown. Examples with `b = y` are aligned, those with `b = -y` conflicting.
    - `test_code`, `test_b`: the same of the test set, or None. `reading`: how it was read, in words.
    """

    name: str
    values: tuple[str, ...]
    code: np.ndarray
    b: np.ndarray
    reading: str
    test_code: np.ndarray | None = None
    test_b: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes and directions of some training examples."""
        return self.code[rows], self.b[rows]

    def agreement(self, y: np.ndarray) -> float:
        """The share of the training examples that are aligned."""
        return float(np.mean(self.b == y))


def column(name: str, given: Any, n: int, rows: str) -> np.ndarray:
    """One entry for each example, as numbers or words; raises `ValueError` for what is missing or of another length."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be one entry for each example, got {_checks.in_short(given)}") from None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n,):
        raise ValueError(f"{name} must have one entry for each of the {n} {rows}, got shape {array.shape}")
    if array.dtype.kind in "biufV":  # V: bfloat16 and its like
        numbers = array.astype(float)
        if not np.isfinite(numbers).all():
            row = int(np.argmin(np.isfinite(numbers)))
            raise ValueError(f"{name} must have a finite value in every row, got {numbers[row]} in row {row}")
        return numbers
    for row, entry in enumerate(array):
        if entry is None or entry != entry or not str(entry).strip():
            raise ValueError(f"{name} must have a value in every row, got {entry!r} in row {row}")
    return np.array([str(entry).strip() for entry in array])


def columns(given: Any, name: str = "attributes") -> dict[Any, Any] | None:
    """Columns by name, of a dictionary or of a table of pandas; None where there are none."""
    if given is None:
        return None
    if not isinstance(given, Mapping) and not hasattr(given, "columns"):
        raise ValueError(f"{name} must be a dictionary of columns by name, got {_checks.in_short(given)}")
    return dict(given.items())


def read(
    given: Mapping[str, Any] | None, y: np.ndarray, test: Mapping[str, Any] | None, m: int, rank: np.ndarray
) -> list[Attribute]:
    """The attributes of the training examples with labels `y`, and of m test examples where they have them; `rank`: the
    places of the examples in an order that does not depend on names (`draws.ranks`)."""
    if given is None:
        return []
    strange = [name for name in (test or {}) if name not in given]
    if strange:
        known = ", ".join(map(str, list(given)[:SHOWN])) or "none"
        raise ValueError(f"test attributes must be among those of the examples, {known}, got {str(strange[0])!r}")
    found = []
    for name, entries in given.items():
        called = f"attributes[{str(name)!r}]"
        own = column(called, entries, len(y), "examples")
        other = None
        if test is not None and name in test:
            other = column(f"test {called}", test[name], m, "test examples")
            if (other.dtype.kind == "f") != (own.dtype.kind == "f"):
                raise ValueError(f"test {called} must be of the kind that it is in training, got {other[0]!r}")
        found.append(_attribute(str(name), called, own, other, y, rank))
    return found


def _attribute(
    name: str, called: str, own: np.ndarray, other: np.ndarray | None, y: np.ndarray, rank: np.ndarray
) -> Attribute:
    values, counts = np.unique(own, return_counts=True)
    if len(values) < 2:
        raise ValueError(f"{called} must take at least two values, got {_word(values[0])} in every row")
    if own.dtype.kind == "f" and len(values) > MANY:
        middle = float(np.median(own))
        middle = middle if middle < values[-1] else float(values[-2])
        words = (f"{CUT[0]}{middle:g}", f"{CUT[1]}{middle:g}")
        code, reading = (own > middle).astype(int), f"{name}: numbers, cut at their median {middle:g}"
        test_code = None if other is None else (other > middle).astype(int)
    else:
        words, code, test_code, reading = _categories(name, called, own, other, values, counts)
    direction = _directions(code, len(words), y, rank)
    test_b = None if test_code is None else np.where(test_code >= 0, direction[test_code], 0.0)
    told = [f"{word} goes with {'+1' if d > 0 else '-1'}" for word, d in zip(words[:SHOWN], direction, strict=False)]
    told += [f"and so on for {len(words) - SHOWN} more"] if len(words) > SHOWN else []
    reading = f"{reading} ({', '.join(told)})"
    if other is not None and test_code is not None and (test_code < 0).any():
        reading += (
            f"; {(test_code < 0).sum()} of {len(test_code)} test examples, with other values such as "
            f"{_word(other[np.argmax(test_code < 0)])}, are in none of its groups"
        )
    return Attribute(name, words, code, direction[code], reading, test_code, test_b)


def _directions(code: np.ndarray, count: int, y: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """The label that goes with each value more often than on average. With a value that goes with both as on average it
    is that of its first example by `rank`, and the other one with the other value, of two."""
    member = code == np.arange(count)[:, None]
    sizes, positive = member.sum(axis=1), (member & (y > 0)).sum(axis=1)
    found = np.sign(positive * len(y) - sizes * (y > 0).sum()).astype(float)
    even = np.flatnonzero(found == 0)
    for i in even:
        if member[i].any():
            found[i] = y[member[i]][np.argmin(rank[member[i]])]
    if count == 2 and even.size:
        first = code[np.argmin(rank)]
        found[1 - first] = -found[first]
    return np.where(found == 0, 1.0, found)


def _categories(
    name: str, called: str, own: np.ndarray, other: np.ndarray | None, values: np.ndarray, counts: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray | None, str]:
    """Values as they are, but for the rare ones of several, which become one."""
    kept = counts >= RARE
    reading = f"{name}: {len(values)} values"
    repeat = 2 * len(values) <= len(own)
    if len(values) == 2 or kept.all() or (not kept.any() and repeat and len(values) <= MANY):
        kept = np.ones(len(values), bool)
    elif not kept.any() or not repeat:
        raise ValueError(f"{called} must have values that repeat, got {len(values)} different ones in {len(own)} rows")
    else:
        several = "values" if kept.sum() > 1 else "value"
        reading = f"{name}: {kept.sum()} {several} and {(~kept).sum()} with fewer than {RARE} examples taken as one"
    words = tuple(_word(v) for v in values[kept]) + (() if kept.all() else ("(rare)",))
    place = np.where(kept, np.cumsum(kept) - 1, kept.sum())
    code = place[np.searchsorted(values, own)]
    test_code = None
    if other is not None:
        at = np.minimum(np.searchsorted(values, other), len(values) - 1)
        test_code = np.where(values[at] == other, place[at], -1)
    return words, code, test_code, reading


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
