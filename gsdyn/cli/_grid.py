"""Ranges as people type them: `1e-4:10:200`, `0.1,0.5` or `0.1`."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from tyro.constructors import PrimitiveConstructorSpec

Spacing = Literal["log", "lin"]
MOST = 1_000_000


@dataclasses.dataclass(frozen=True)
class Grid:
    """The values of one axis, and the text that they were typed as."""

    text: str
    values: tuple[float, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def numbers(self) -> tuple[float, ...]:
        """What an option's values are checked by."""
        return self.values


def parse_grid(text: str, spacing: Spacing) -> Grid:
    """`A:B:N` (N values from A to B, both included), `A:B:N:log`, `A:B:N:lin`, a list `A,B,C`, or one value.

    Raises `ValueError` in one line for anything else.
    """
    if ":" not in text:
        return Grid(text, tuple(_number(part, text) for part in text.split(",")))
    parts = [part.strip() for part in text.split(":")]
    if len(parts) == 4 and parts[3] in ("log", "lin"):
        spacing = "log" if parts.pop() == "log" else "lin"
    if len(parts) != 3:
        raise ValueError(f"a range is first:last:count, optionally with :log or :lin, got {text!r}")
    first, last = _number(parts[0], text), _number(parts[1], text)
    count = int(parts[2]) if parts[2].isascii() and parts[2].isdigit() else 0
    if not 2 <= count <= MOST:
        raise ValueError(f"the count of a range is an integer in 2..{MOST}, got {text!r}")
    if not first < last:
        raise ValueError(f"a range runs from a smaller to a larger number, got {text!r}")
    if spacing == "log" and first <= 0:
        raise ValueError(f"a logarithmic range is of numbers > 0 (append :lin for even steps), got {text!r}")
    return Grid(text, _between(first, last, count, spacing))


def grid(spacing: Spacing) -> PrimitiveConstructorSpec[Grid]:
    """How the command line reads and shows a `Grid`, for an annotation."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="A:B:N",
        instance_from_str=lambda words: parse_grid(words[0], spacing),
        is_instance=lambda value: isinstance(value, Grid),
        str_from_instance=lambda value: [value.text],
    )


def _number(part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"a range or list is made of finite numbers, got {text!r}")
    return value


def _between(first: float, last: float, count: int, spacing: Spacing) -> tuple[float, ...]:
    low, high = (math.log(first), math.log(last)) if spacing == "log" else (first, last)
    inner = (low * (1 - i / (count - 1)) + high * (i / (count - 1)) for i in range(1, count - 1))
    middle = (math.exp(value) if spacing == "log" else value for value in inner)
    # in a range of a few units of rounding the steps are smaller than the errors
    return first, *sorted(min(max(value, first), last) for value in middle), last
