"""Distributions to draw the parameters of a sweep from."""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol, runtime_checkable

import numpy as np

from gsdyn import _checks


@runtime_checkable
class Distribution(Protocol):
    """Independent draws of a number. The first of many draws must be those of fewer.

    >>> print(gs.sweeps.Uniform(0.0, 1.0).draw(np.random.default_rng(0), 3))
    [0.637 0.27  0.041]
    """

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        """`count` draws, shape (count, ...)."""
        ...


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Uniform in [low, high).

    >>> print(gs.sweeps.Uniform(0.0, 1.0).draw(np.random.default_rng(0), 3))
    [0.637 0.27  0.041]
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _floats(self, "low", "high")
        _check(self.low, self.high, -math.inf)

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        share = stream.random(count)
        return self.low * (1 - share) + self.high * share


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Positive, its logarithm uniform in [log low, log high).

    >>> print(gs.sweeps.LogUniform(0.01, 1.0).draw(np.random.default_rng(0), 3))
    [0.188 0.035 0.012]
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _floats(self, "low", "high")
        _check(self.low, self.high, 0.0)

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        share = stream.random(count)
        draws = np.exp(math.log(self.low) * (1 - share) + math.log(self.high) * share)
        return np.clip(draws, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Normal with the given mean and standard deviation.

    >>> print(gs.sweeps.Normal(0.0, 1.0).draw(np.random.default_rng(0), 3))
    [ 0.126 -0.132  0.64 ]
    """

    mean: float = 0.0
    deviation: float = 1.0

    def __post_init__(self) -> None:
        _floats(self, "mean", "deviation")
        if not (math.isfinite(self.mean) and 0 < self.deviation < math.inf):
            raise ValueError(f"Normal must have a finite mean and a deviation > 0, got {self.mean}, {self.deviation}")

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        return self.mean + self.deviation * stream.standard_normal(count)


@dataclasses.dataclass(frozen=True)
class Integers:
    """Whole numbers low <= i < high, equally likely.

    >>> print(gs.sweeps.Integers(0, 10).draw(np.random.default_rng(0), 3))
    [6 2 0]
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, _checks.integer(name, getattr(self, name), -(2**62), 2**62))
        if not self.low < self.high <= self.low + 2**53:
            raise ValueError(f"Integers must have low < high <= low + 2^53, got {self.low}, {self.high}")

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        return self.low + np.floor(stream.random(count) * (self.high - self.low)).astype(np.int64)


def _floats(distribution: object, *names: str) -> None:
    """The fields of these names as Python's floats."""
    for name in names:
        given = getattr(distribution, name)
        try:
            value = math.nan if isinstance(given, str | bytes) else float(given)
        except (TypeError, ValueError):
            value = math.nan
        if math.isnan(value):
            kind = type(distribution).__name__
            raise ValueError(f"{kind} must have numbers, got {name} = {_checks.in_short(given)}")
        object.__setattr__(distribution, name, value)


def _check(low: float, high: float, floor: float) -> None:
    if not floor < low < high < math.inf:
        raise ValueError(f"a range must have finite low < high{', above 0' * (floor == 0)}, got {low}, {high}")
