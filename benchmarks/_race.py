"""Competitors in one run: interleaved, after a first call that is timed apart, until what they return is there."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SHORTEST = 0.25  # seconds: one call of a few milliseconds after another competitor measures how cold the caches are


@dataclass(frozen=True)
class Entry:
    """One competitor in one race.

    - `run`: does the work once.
    - `share`: the part of the work it does, where the whole would take too long.
    - `note`: what else to know of it, such as the error of its answer.
    """

    name: str
    run: Callable[[], Any]
    share: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class Result:
    """What one competitor took for the whole work, in seconds; `first` is its first call, compilation included, and
    only for its share."""

    race: str
    name: str
    median: float
    least: float
    most: float
    first: float
    ratio: float = float("nan")
    note: str = ""
    made_with: str = ""


def race(title: str, entries: Iterable[Entry], repeats: int = 5) -> list[Result]:
    """Times all entries in turn, `repeats` times over; `ratio` is each one's median over the first entry's."""
    entries = list(entries)
    first = [entry.share * _seconds(entry) for entry in entries]
    times: list[list[float]] = [[] for _ in entries]
    for _ in range(repeats):
        for entry, own in zip(entries, times, strict=True):
            own.append(_seconds(entry, SHORTEST))
    medians = [statistics.median(own) for own in times]
    return [
        Result(title, entry.name, median, min(own), max(own), start, median / medians[0], entry.note)
        for entry, own, start, median in zip(entries, times, first, medians, strict=True)
    ]


def _seconds(entry: Entry, least: float = 0.0) -> float:
    """For the whole work; what takes less than `least` is done again until it does not."""
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < least:
        jax.block_until_ready(entry.run())
        calls += 1
    return (time.perf_counter() - start) / (calls * entry.share)


def on_all_devices(solve: Callable[..., Any], *batch: np.ndarray) -> Callable[[], Any]:
    """`jit(vmap(solve))` of a batch of which each device holds an equal part."""
    mesh, spec = Mesh(np.array(jax.devices()), ("batch",)), PartitionSpec("batch")
    parts = jax.device_put(batch, NamedSharding(mesh, spec))
    spread = jax.jit(jax.shard_map(jax.vmap(solve), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False))
    return lambda: spread(*parts)


def peer(name: str) -> Any:
    """The module of an optional competitor, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
