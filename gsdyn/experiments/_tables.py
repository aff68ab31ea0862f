"""Tables of numbers to read, made of labelled arrays, and written as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import xarray as xr

from gsdyn.experiments.catalogue import Table


def tabulated(over: tuple[str, ...], columns: Mapping[str, xr.DataArray]) -> Table:
    """A row for every place along the axes `over`, but for places where there is no number at all.

    Every array has some of these axes; one with an axis `seed` besides is told by mean and standard deviation.
    """
    places = [next(values[axis].values for values in columns.values() if axis in values.dims) for axis in over]
    names = [name for key, v in columns.items() for name in ((key, f"{key} sd") if "seed" in v.dims else (key,))]
    rows: list[tuple[str | float, ...]] = []
    for place in itertools.product(*places):
        at = dict(zip(over, place, strict=True))
        cells = [cell for v in columns.values() for cell in _cells(v.sel({a: at[a] for a in over if a in v.dims}))]
        if not all(map(_missing, cells)):
            rows.append((*map(_plain, place), *cells))
    return Table((*(axis.replace("_", " ") for axis in over), *names), rows)


def over_seeds(values: xr.DataArray) -> tuple[float, float]:
    """Mean, and standard deviation of a sample, of the seeds that have a number; NaN for what there are too few for."""
    known = values.dropna("seed").values
    return (float(known.mean()) if known.size else math.nan, float(known.std(ddof=1)) if known.size > 1 else math.nan)


def _cells(values: xr.DataArray) -> tuple[str | float, ...]:
    return over_seeds(values) if "seed" in values.dims else (_plain(values.item()),)


def _plain(value: object) -> str | float:
    return value if isinstance(value, str) else float(value)  # pyright: ignore[reportArgumentType]


def save_table(table: Table, path: Path) -> None:
    """Write a table as the suffix of `path` says, `.csv` or `.md`."""
    path.write_text(csv_of(table) if path.suffix == ".csv" else markdown_of(table))


def csv_of(table: Table) -> str:
    """With the shortest digits that give every number back; nothing for a number that there is not."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([["" if _missing(cell) else cell for cell in row] for row in table.rows])
    return file.getvalue()


def markdown_of(table: Table) -> str:
    """With four digits, whole numbers with all of theirs."""
    rows = [[_short(cell) for cell in row] for row in table.rows]
    lines = [map(_short, table.columns), ["---"] * len(table.columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _short(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell.replace("|", "\\|")
    whole = float(cell).is_integer() and abs(cell) < 1e6
    return "" if _missing(cell) else f"{cell:.0f}" if whole else f"{cell:.4g}"


def _missing(cell: str | float) -> bool:
    return isinstance(cell, float) and math.isnan(cell)
