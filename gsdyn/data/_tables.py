"""Tables in files, by the names of their columns; every error is one line that begins with the file's name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
SPLIT = "split"
"""The column that says which part of the data an example belongs to."""
PARTS = {"train": ("train", "training", "0"), "val": ("val", "valid", "validation", "1"), "test": ("test", "2")}
"""The parts, and what they are called in metadata of WILDS and elsewhere."""


def is_table(path: Path) -> bool:
    """Whether the name is that of a table."""
    return path.name.lower().endswith(SUFFIXES)


def read_table(path: Path) -> pd.DataFrame:
    """The table in a csv, tsv or parquet file; csv and tsv need a first row of names, and may be gzipped.

    Raises `ValueError` in one line, with the file's name, for what cannot be read.
    """
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"{path} must be a file, got {'a folder' if path.is_dir() else 'nothing there'}")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            plain = Path(path.name.lower().removesuffix(".gz")).suffix
            table = pd.read_csv(path, sep=SEPARATORS[plain], low_memory=False)
            _check_header(path, SEPARATORS[plain])
    except ImportError:
        raise ValueError(f"{path} must be a csv file unless pyarrow is installed, which reads parquet") from None
    except (OSError, ValueError, EOFError) as error:  # pandas' and pyarrow's own errors are of these kinds
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} must be a table that can be read, got: {_first_line(error)}") from None
    table.columns = [str(name).strip() for name in table.columns]
    if not len(table) or not len(table.columns):
        raise ValueError(f"{path} must have rows, got {len(table)} of {len(table.columns)} columns")
    return table


def _check_header(path: Path, separator: str) -> None:
    import pandas as pd

    first = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str).iloc[0]
    names = [str(name).strip() for name in first]
    other = next((mark for mark in (";", "\t", "|", ",") if mark in names[0]), None)
    if len(names) == 1 and other:
        raise ValueError(f"{path} must have {separator!r} between columns, got {other!r}: {names[0]}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path} must name every column once, got {twice!r} twice")
    if all(_is_number(name) for name in names):
        raise ValueError(f"{path} must have the names of its columns in the first row, got numbers there")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return word != "nan"  # what an empty name is read as


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def require_columns(there: Iterable[str], needed: Iterable[str], source: str, argument: str = "") -> None:
    """Raises `ValueError` for the first of `needed` that is not there, with what is, and the argument that named it."""
    there = list(there)
    for name in needed:
        if name not in there:
            near = difflib.get_close_matches(name, there, 3)
            there = [*near, *(other for other in there if other not in near)]
            shown = ", ".join(there[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
            hint = argument and f": {argument} (--{argument}) says which"
            raise ValueError(f"{source} must have a column {name!r}, got {shown}{hint}")


def parts_in(table: pd.DataFrame) -> tuple[str, ...]:
    """The parts, "train", "val" and "test", that the column `split` knows; none without such a column."""
    if SPLIT not in table.columns:
        return ()
    words = set(_words(table))
    return tuple(part for part, names in PARTS.items() if words & set(names))


def part_of(table: pd.DataFrame, part: str, source: str) -> pd.DataFrame:
    """The rows of one part by the column `split` (0, 1, 2 or words), with the index that they have in the table."""
    if part not in PARTS:
        raise ValueError(f"split must be one of {', '.join(PARTS)}, got {part!r}")
    require_columns(table.columns, [SPLIT], source)
    words = _words(table)
    rows = table.loc[words.isin(PARTS[part])]
    if not len(rows):
        found = ", ".join(sorted(set(words))[:8])
        raise ValueError(f"{source} must have rows whose {SPLIT} is {part}, got {found}")
    return rows


def _words(table: pd.DataFrame) -> pd.Series:
    return table[SPLIT].astype(str).str.strip().str.lower().str.removesuffix(".0")
