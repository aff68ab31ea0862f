"""Groups: how right a network is in every (label, attribute) cell, and in the worst of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from gsdyn import _checks, groups


class Interval(NamedTuple):
    """A share and its Wilson interval.

    >>> share, low, high = gs.probes.wilson(70, 100)
    >>> print(f"{share:.2f} {low:.3f} {high:.3f}")
    0.70 0.604 0.781
    """

    share: float
    low: float
    high: float


class GroupAccuracy(NamedTuple):
    """Accuracies by group, all of NumPy, one entry for each cell that has examples, in the order of their values.

    - `labels`, `attributes`: what the cell is, shape (G,).
    - `counts`, `right`: its examples, and how many of them the network gets right.
    - `accuracy`, `low`, `high`: `right/counts` and the ends of its Wilson interval.
    - `margin`: the mean of its margins `y f`, or of the label's logit minus the largest other.
    - `worst`: the number of the cell of least accuracy (the first of several).
    - `average`: the accuracy over all examples, with its interval.
    - `weighted`: the mean of the cells' accuracies with `shares` for weights; without `shares` the same as the average.

        >>> found = gs.probes.group_accuracy(np.array([2.0, -1.0, 0.5, 0.5]), y, np.array([1, 1, 1, 0]))
        >>> print(found.counts, found.average.share)
        [1 1 2] 0.75
    """

    labels: np.ndarray
    attributes: np.ndarray
    counts: Int[np.ndarray, " G"]
    right: Int[np.ndarray, " G"]
    accuracy: Float[np.ndarray, " G"]
    low: Float[np.ndarray, " G"]
    high: Float[np.ndarray, " G"]
    margin: Float[np.ndarray, " G"]
    worst: int
    average: Interval
    weighted: float

    @property
    def worst_group(self) -> Interval:
        """The accuracy of the worst group, with its Wilson interval. It is the interval of that group alone: that the
        group was chosen for being the worst is not in it."""
        return Interval(*(float(part[self.worst]) for part in (self.accuracy, self.low, self.high)))


def group_accuracy(
    outputs: ArrayLike,
    y: ArrayLike,
    attribute: ArrayLike,
    *,
    confidence: float = 0.95,
    shares: Mapping[tuple[Any, Any], float] | None = None,
) -> GroupAccuracy:
    """The accuracy in every (label, attribute) cell.

    **The worst group is the cell of least accuracy** among those with examples. An example is right where its margin is
    **above** zero: an output of exactly 0, or a tie of logits, is wrong for every label.

    - `outputs`: what the network gives: (n,) or (n, 1) with labels -1 and +1, or logits (n, C) with classes 0..C-1.
    - `y`: the labels, shape (n,). `attribute`: anything that can be sorted, such as a colour's number, shape (n,).
    - `confidence`: of the Wilson intervals, in (0, 1).
    - `shares`: weights of the cells, `{(label, attribute): share}`, for an average as over the training distribution
      (Waterbirds); every cell with examples needs one, and they are divided by their sum.

    Raises `ValueError` for inputs of wrong shape, without examples, or outside their domain.

        found = group_accuracy(net.apply(run.params, x), y, colour)
        found.worst_group, found.average

        >>> found = gs.probes.group_accuracy(np.array([2.0, -1.0, 0.5, 0.5]), y, np.array([1, 1, 1, 0]))
        >>> print(found.labels, found.attributes, found.accuracy, found.worst_group.share)
        [-1 -1  1] [0 1 1] [0. 1. 1.] 0.0
    """
    f, y, attribute = _read(outputs, y, attribute)
    confidence = groups.checked_confidence(confidence)
    if shares is not None:
        _checks.mapping("shares", shares)
    cells = [(label, value) for label in np.unique(y) for value in np.unique(attribute[y == label])]
    members = [(y == label) & (attribute == value) for label, value in cells]
    counts = np.array([member.sum() for member in members])
    right = np.array([(f[member] > 0).sum() for member in members])
    intervals = [wilson(int(k), int(n), confidence) for k, n in zip(right, counts, strict=True)]
    accuracy, low, high = (np.array(part) for part in zip(*intervals, strict=True))
    weights = counts if shares is None else np.array([_share(shares, cell) for cell in cells])
    if not weights.sum() > 0:
        raise ValueError(f"shares must have a positive sum over the groups there are, got {dict(shares or {})}")
    return GroupAccuracy(
        labels=np.array([label for label, _ in cells]),
        attributes=np.array([value for _, value in cells]),
        counts=counts,
        right=right,
        accuracy=accuracy,
        low=low,
        high=high,
        margin=np.array([f[member].mean() for member in members]),
        worst=int(np.argmin(accuracy)),
        average=wilson(int(right.sum()), int(counts.sum()), confidence),
        weighted=float(weights @ accuracy / weights.sum()),
    )


def wilson(right: int, count: int, confidence: float = 0.95) -> Interval:
    """A share `right/count` and its Wilson score interval, as in `gsdyn.groups.wilson`.

    - `right`, `count`: integers with 0 <= right <= count and count >= 1. `confidence`: in (0, 1).

        >>> share, low, high = gs.probes.wilson(70, 100)
        >>> print(f"{share:.2f} {low:.3f} {high:.3f}")
        0.70 0.604 0.781
    """
    count = _checks.integer("count", count, 1)
    share = np.float64(_checks.integer("right", right, 0, count) / count)
    low, high = groups.wilson(share, np.float64(count), groups.checked_confidence(confidence))
    return Interval(float(share), float(low), float(high))


def _read(outputs: Any, y: Any, attribute: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins, labels and attributes."""
    outputs = np.asarray(_checks.finite("outputs", outputs))
    if outputs.ndim == 2 and outputs.shape[1] == 1:
        outputs = outputs[:, 0]
    if outputs.ndim not in (1, 2) or outputs.size == 0:
        raise ValueError(f"outputs must have shape (n,), (n, 1) or (n, classes), got {outputs.shape}")
    if outputs.ndim == 1:
        y = np.asarray(_checks.labels("y", y)).astype(int)
        _checks.same_length("y", y, "outputs", outputs)
        f = y * outputs
    else:
        y = np.asarray(_checks.classes("y", y, outputs.shape[1]))
        _checks.same_length("y", y, "outputs", outputs)
        rows = np.arange(len(y))
        others = outputs.astype(float).copy()
        others[rows, y] = -np.inf
        f = outputs[rows, y] - others.max(axis=1)
    attribute = np.asarray(attribute)
    if attribute.ndim == 2 and attribute.shape[1] == 1:
        attribute = attribute[:, 0]
    if attribute.shape != y.shape:
        raise ValueError(f"attribute must have shape {y.shape}, one entry for each example, got {attribute.shape}")
    if attribute.dtype.kind == "f" and np.isnan(attribute).any():
        raise ValueError("attribute must hold no NaN, got some")
    return f, y, attribute


def _share(shares: Any, cell: tuple[Any, Any]) -> float:
    try:
        share = float(shares[cell[0].item(), cell[1].item()])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"shares must have a number for the group {(cell[0].item(), cell[1].item())}") from None
    if not 0 <= share < math.inf:
        raise ValueError(f"shares must be finite and >= 0, got {share}")
    return share
