"""How the columns of a table become numbers: words one-hot, numbers standardised, the same for new rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

WORDS = 50  # more different words than this are no categories


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table: its mean and spread, or the words in it."""

    name: str
    mean: float = 0.0
    spread: float = 1.0
    words: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the inputs made of it are called."""
        return (self.name,) if self.words is None else tuple(f"{self.name}={word}" for word in self.words)


@dataclasses.dataclass(frozen=True)
class Coding:
    """How a table's columns become inputs.

    - `columns`: those that do. `notes`: what was left out, and why, in sentences.

    A column of words becomes one input for every word, 1 where it stands and 0 elsewhere; a column of numbers, or of
    booleans, has its mean taken off and is divided by its standard deviation.
    """

    columns: tuple[Column, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What every input is called."""
        return tuple(name for column in self.columns for name in column.names)

    def encode(self, table: pd.DataFrame, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """The inputs of a table's rows, shape (n, d), and notes about words that were not there before."""
        parts, notes = [], []
        for column in self.columns:
            cells = cells_of(table, column.name, source)
            if column.words is None:
                if cells.dtype == object:
                    raise ValueError(f"{source} must have numbers in column {column.name!r}, got {cells[0]!r} in row 0")
                parts.append(cells[:, None] / column.spread - column.mean / column.spread)
                continue
            words = cells.astype(str)
            strange = sorted(set(words) - set(column.words))
            if strange:
                notes.append(f"{column.name!r} has {_listed(strange)}, new in {source}: zero in all its inputs")
            parts.append((words[:, None] == np.array(column.words)[None, :]).astype(float))
        return np.concatenate(parts, axis=1), tuple(notes)


def coding_of(table: pd.DataFrame, names: Sequence[str], source: str) -> Coding:
    """The coding of the columns `names`, fitted to this table.

    Raises `ValueError` in one line for columns of words with too many different ones, and where none is left.
    """
    columns, constant = [], []
    for name in names:
        cells = cells_of(table, name, source)
        if len(set(cells.tolist())) < 2:
            constant.append(name)
        elif cells.dtype == object:
            columns.append(Column(name, words=_words(cells, name, source)))
        else:
            size = np.abs(cells).max()  # sums of squares of the cells themselves may overflow
            columns.append(Column(name, float((cells / size).mean() * size), float((cells / size).std() * size)))
    if not columns:
        raise ValueError(f"{source} must have a column beside labels and attributes that is not constant, got none")
    notes = []
    numbers = sum(column.words is None for column in columns)
    if numbers:
        notes.append(f"{numbers} columns of numbers were standardised: less their mean, over their standard deviation")
    if numbers < len(columns):
        told = _listed([column.name for column in columns if column.words is not None])
        notes.append(f"columns of words became an input of 0 and 1 for each word: {told}")
    if constant:
        notes.append(f"constant columns were left out: {_listed(constant)}")
    return Coding(tuple(columns), tuple(notes))


def cells_of(table: pd.DataFrame, name: str, source: str) -> np.ndarray:
    """A column as floats, or as words in an array of objects; no cell is empty.

    Raises `ValueError` in one line, with the row counted from 0, for empty cells, for numbers that are infinite and for
    a word in a column of numbers.
    """
    import pandas as pd

    cells = table[name]
    empty = np.asarray(cells.isna())
    if empty.any():
        raise ValueError(f"{source} must have no empty cells, got one in column {name!r}, row {int(np.argmax(empty))}")
    if pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_bool_dtype(cells):
        numbers: Any = np.asarray(cells, float)
    elif pd.api.types.is_datetime64_any_dtype(cells):
        raise ValueError(f"{source} must have numbers or words in column {name!r}, got dates: leave it out of inputs")
    else:
        words = np.asarray(cells.astype(str).str.strip(), object)
        if (words == "").any():
            row = int(np.argmax(words == ""))
            raise ValueError(f"{source} must have no empty cells, got one in column {name!r}, row {row}")
        read = np.asarray(pd.to_numeric(pd.Series(words), errors="coerce"), float)
        wrong = np.isnan(read)
        if 2 * wrong.sum() >= len(words):
            return words
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{source} must have numbers in column {name!r}, got {words[row]!r} in row {row}")
        numbers = read
    wild = ~np.isfinite(numbers)
    if wild.any():
        row = int(np.argmax(wild))
        raise ValueError(f"{source} must have finite numbers, got {numbers[row]} in column {name!r}, row {row}")
    return numbers


def _words(cells: np.ndarray, name: str, source: str) -> tuple[str, ...]:
    words = tuple(sorted(set(cells.tolist())))
    if len(words) > WORDS or len(words) == len(cells):
        raise ValueError(
            f"{source} must have at most {WORDS} different words in column {name!r}, got {len(words)} in {len(cells)} "
            "rows: leave it out of inputs"
        )
    return words


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(map(str, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
