"""Tables of numbers to read, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from gsdyn.experiments.catalogue import Table


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
    """With four digits."""
    rows = [[_short(cell) for cell in row] for row in table.rows]
    lines = [table.columns, ["---"] * len(table.columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _short(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell
    return "" if _missing(cell) else f"{cell:.4g}"


def _missing(cell: str | float) -> bool:
    return isinstance(cell, float) and math.isnan(cell)
