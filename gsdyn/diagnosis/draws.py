"""Which examples are drawn, by what they hold: neither their order nor the names of classes decide."""

from __future__ import annotations

import hashlib

import numpy as np

from gsdyn.diagnosis.attributes import Attribute

HELD_OUT = 0.2  # of the training examples
FEWEST = 10  # examples of each class below which none is held out
_ODD = np.uint64(0x9E3779B97F4A7C15)


def ranks(x: np.ndarray | None, kernel: np.ndarray | None, seed: int) -> np.ndarray:
    """The place of every example in an order drawn at random, (n,): examples of the same inputs, or the same entries in
    the kernel, are neighbours, in the order in which they were given."""
    key = seed.to_bytes(8, "little")
    rows = x if x is not None else _bags(kernel) if kernel is not None else ()
    drawn = [hashlib.blake2b(_bytes(row), digest_size=8, key=key).digest() for row in rows]
    place = np.empty(len(drawn), int)
    place[np.argsort(np.array(drawn, "S8"), kind="stable")] = np.arange(len(drawn))
    return place


def _bytes(row: np.ndarray) -> bytes:
    return (np.asarray(row, float) + 0.0).tobytes()  # of the same value whatever the precision, and for -0


def _bags(kernel: np.ndarray) -> np.ndarray:
    """A number for the entries of every row, in whatever order they stand, and one for that on the diagonal."""
    found = np.empty((len(kernel), 2))
    for i, row in enumerate(kernel):
        bits = (np.asarray(row, float) + 0.0).view(np.uint64) * _ODD
        mixed = (bits ^ (bits >> np.uint64(29))) * _ODD
        found[i] = (mixed.sum(dtype=np.uint64) >> np.uint64(12)).astype(float), row[i]
    return found


def held_out(y: np.ndarray, classes: np.ndarray, known: list[Attribute], rank: np.ndarray) -> np.ndarray:
    """A fifth of every cell: of several classes the same, whichever is learnt against the rest."""
    held = np.zeros(len(y), bool)
    if min((y > 0).sum(), (y < 0).sum()) < FEWEST:
        return held
    for rows in _ordered(_cells(classes, known, FEWEST), rank):
        held[rows[: round(HELD_OUT * len(rows))]] = True
    return held


def subsample(
    classes: np.ndarray, known: list[Attribute], limit: int | None, rank: np.ndarray
) -> tuple[np.ndarray, str]:
    """At most `limit` rows, in order, the same share of every cell."""
    if limit is None or len(classes) <= limit:
        return np.arange(len(classes)), ""
    rows = evenly(_cells(classes, known, FEWEST), limit, rank)
    return rows, f"{limit} of {len(classes)} examples were taken, the same share of every group"


def evenly(cell: np.ndarray, limit: int, rank: np.ndarray) -> np.ndarray:
    """At most `limit` rows, in order, the same share of every cell, by the number of each example's."""
    if len(cell) <= limit:
        return np.arange(len(cell))
    order = np.concatenate(_ordered(cell, rank))
    return np.sort(order[np.linspace(0, len(cell) - 1, limit).round().astype(int)])


def _ordered(cell: np.ndarray, rank: np.ndarray) -> list[np.ndarray]:
    """The rows of every cell by their ranks, the cell of the first of all first."""
    order = np.argsort(rank)
    numbers, first = np.unique(cell[order], return_index=True)
    return [order[cell[order] == number] for number in numbers[np.argsort(first)]]


def _cells(classes: np.ndarray, known: list[Attribute], fewest: int) -> np.ndarray:
    """The number of each example's cell of class and attributes, as many attributes as leave cells large enough."""
    cell = classes
    for attribute in known:
        finer = np.unique(np.stack([cell, attribute.code]), axis=1, return_inverse=True)[1].reshape(-1)
        if np.bincount(finer).min() >= fewest:
            cell = finer
    return cell
