"""Axes of a sweep as people type them: `1e-4:10:200`, `0.1,0.5`, `0.1`, and `1e-4:10` to draw samples from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tyro.constructors import PrimitiveConstructorSpec

from gsdyn.cli._grid import Grid, Spacing, parse_grid

if TYPE_CHECKING:
    from gsdyn.sweeps import Distribution


@dataclasses.dataclass(frozen=True)
class Axis:
    """What was typed: the values in `grid`, or a range, given by its ends there, if it is without a count.

    `ranged` says whether it is a range, even by `spacing`, and `counted` whether it says how many values it has.
    """

    text: str
    grid: Grid
    spacing: Spacing
    ranged: bool
    counted: bool
    whole: bool

    def __str__(self) -> str:
        return self.text

    @property
    def numbers(self) -> tuple[float, ...]:
        """What an option's values are checked by."""
        return self.grid.values

    def values(self) -> Any:
        """Its values as an array."""
        import numpy as np

        array = np.asarray(self.grid.values)
        return np.rint(array).astype(np.int64) if self.whole else array

    def distribution(self) -> Distribution:
        """What samples are drawn from."""
        from gsdyn.sweeps import Integers, LogUniform, Uniform

        low, high = self.grid.values[0], self.grid.values[-1]
        if self.whole:
            return Integers(int(low), int(high) + 1)
        return LogUniform(low, high) if self.spacing == "log" else Uniform(low, high)


def parse_axis(text: str, spacing: Spacing) -> Axis:
    """A range or list as `parse_grid` reads it, or `A:B`, optionally with `:log` or `:lin`, to draw from.

    `:int` at the end asks for whole numbers. Raises `ValueError` in one line for anything else.
    """
    parts = text.split(":")
    whole = parts[-1] == "int"
    if whole:
        parts, spacing = parts[:-1], "lin"
    if len(parts) > 1 and parts[-1] in ("log", "lin"):
        spacing = "log" if parts.pop() == "log" else "lin"
    ranged, counted = len(parts) > 1, len(parts) != 2
    typed = ":".join(parts if counted else [*parts, "2"]) + f":{spacing}" * ranged
    try:
        grid = parse_grid(typed, spacing)
    except ValueError as error:
        raise ValueError(str(error).replace(repr(typed), repr(text))) from None
    if whole and any(abs(value - round(value)) > 1e-9 * max(1.0, abs(value)) for value in grid.values):
        raise ValueError(f"an axis with :int is of whole numbers, got {text!r}")
    return Axis(text, grid, spacing, ranged, counted, whole)


def axis(spacing: Spacing) -> PrimitiveConstructorSpec[Axis]:
    """How the command line reads and shows an `Axis`, for an annotation."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="A:B:N",
        instance_from_str=lambda words: parse_axis(words[0], spacing),
        is_instance=lambda value: isinstance(value, Axis),
        str_from_instance=lambda value: [value.text],
    )


def named_axis() -> PrimitiveConstructorSpec[tuple[str, Axis]]:
    """How the command line reads `NAME=A:B:N`."""

    def read(words: list[str]) -> tuple[str, Axis]:
        name, equals, text = words[0].partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"an axis of a function is NAME=A:B:N, got {words[0]!r}")
        return name, parse_axis(text, "lin")

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME=A:B:N",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [f"{value[0]}={value[1]}"],
    )


UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def parse_size(text: str) -> int:
    """Bytes: `500MB`, `2GiB`, `1e9`. Raises `ValueError` in one line for anything else."""
    number, unit = text.removesuffix("B"), ""
    for name in UNITS:
        if name and number.endswith(name):
            number, unit = number.removesuffix(name), name
            break
    try:
        size = float(number) * UNITS[unit]
    except ValueError:
        size = -1.0
    if not 1 <= size <= 2**60:
        raise ValueError(f"a size is a number of bytes such as 500MB or 2GiB, got {text!r}")
    return int(size)


SIZE = PrimitiveConstructorSpec(
    nargs=1,
    metavar="BYTES",
    instance_from_str=lambda words: parse_size(words[0]),
    is_instance=lambda value: isinstance(value, int),
    str_from_instance=lambda value: [str(value)],
)
