"""Nagarajan's geometric skew: the widest margin of real data leans on a coordinate that few examples contradict."""

from __future__ import annotations

import numpy as np
import xarray as xr
from sklearn.datasets import load_breast_cancer, load_digits

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data import skewed_coordinate
from gsdyn.experiments import catalogue
from gsdyn.experiments._datasets import labelled
from gsdyn.hard_margins import hard_margin

MINORITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
PUBLISHED = (0.00857, 0.1240)
"""The share on the obesity table of the paper, balanced and with the minority cut fifty-fold."""

NAMES = {
    "data": "data",
    "seed": "seed of the minority",
    "minority": "share of examples that contradict the spurious coordinate",
    "share": "weight on the spurious coordinate, over the norm of all weights",
    "norm": "norm of all weights",
    "norm_all": "norm that separates all examples without the coordinate",
    "norm_minority": "norm that separates the minority without the coordinate",
}


def geometric_skew(
    *,
    seeds: int = catalogue.GeometricSkew.seeds,
    strength: float = catalogue.GeometricSkew.strength,
    progress: Progress = silent,
) -> xr.Dataset:
    """The weight of the widest margin on a spurious coordinate that ever fewer examples contradict (Nagarajan 2021).

    Two real data sets that a line separates, with a coordinate `B y s` added, s = -1 for the minority: scikit-learn's
    breast cancer table (569 examples, 30 columns scaled to variance 1) and its digits 3 against 8 (357, 64 pixels),
    both with a constant column.

    - `seeds`: how many draws of the minority, at least 1. `strength`: B, finite and > 0.

    Returns a dataset with the share `w_spurious/|w|` (data, seed, minority) and the norms that separate all examples
    and the minority alone by the other columns. Raises `ValueError` outside these ranges.
    """
    seeds = _checks.integer("seeds", seeds, 1)
    strength = _checks.number("strength", strength, "finite and > 0", lambda v: 0 < v < float("inf"))
    tables = {"breast cancer": _cancer(), "digits 3 and 8": _digits()}
    shape = (len(tables), seeds, len(MINORITIES))
    share, norm, alone = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    whole = np.array([np.linalg.norm(_widest(x, y)) for x, y in tables.values()])
    for i, (name, (x, y)) in enumerate(tables.items()):
        for j in range(seeds):
            progress(name, j, seeds)
            for k, minority in enumerate(MINORITIES):
                found = skewed_coordinate(x, y, minority, strength=strength, seed=j)
                w = _widest(np.asarray(found.x), y)
                few = np.asarray(found.aligned) < 0
                norm[i, j, k] = np.linalg.norm(w)
                share[i, j, k] = w[-1] / norm[i, j, k]
                alone[i, j, k] = np.linalg.norm(_widest(x[few], y[few]))
        progress(name, seeds, seeds)
    over = ("data", "seed", "minority")
    dataset = xr.Dataset(
        {
            "share": (over, share),
            "norm": (over, norm),
            "norm_all": (("data",), whole),
            "norm_minority": (over, alone),
        },
        coords={"data": list(tables), "seed": range(seeds), "minority": list(MINORITIES)},
        attrs={"title": "Geometric skew", "strength": strength, "published": list(PUBLISHED)},
    )
    return labelled(dataset, NAMES)


def _cancer() -> tuple[np.ndarray, np.ndarray]:
    x, target = (np.asarray(part) for part in load_breast_cancer(return_X_y=True))
    return _with_constant((x - x.mean(axis=0)) / x.std(axis=0)), 2.0 * target - 1


def _digits() -> tuple[np.ndarray, np.ndarray]:
    ink, digit = (np.asarray(part) for part in load_digits(return_X_y=True))
    kept = (digit == 3) | (digit == 8)
    return _with_constant(ink[kept] / 16), np.where(digit[kept] == 8, 1.0, -1.0)


def _with_constant(x: np.ndarray) -> np.ndarray:
    return np.column_stack([x, np.ones(len(x))])


def _widest(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The weights of the widest margin."""
    found = hard_margin(x @ x.T, y)
    if not bool(found.converged):
        raise RuntimeError("the hard margin did not converge")
    return x.T @ (y * np.asarray(found.coefficients))
