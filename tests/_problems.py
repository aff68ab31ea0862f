"""Random problems for every loss and penalty, and one compiled solver that all tests share.

Compiling is what these tests spend their time on, so problems come in one shape and in batches of one size.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
import pytest
from _programs import FULL, QUICK

import gsdyn as gs

EXAMPLES = 8
LANES = 66
CELLS = 4097  # no multiple of anything
LABELS = np.array([1, -1, -1, 1, 1, 1, -1, 1])
CLASSES = np.array([2, 0, 1, 1, 0, 2, 2, 0])

LOSSES = {
    "cross-entropy": gs.CrossEntropy(),
    "first-order": gs.FirstOrderCrossEntropy(),
    "squared": gs.SquaredError(),
    "hinge": gs.Hinge(),
    "softmax": gs.Softmax(CLASSES, 3),
}
PENALTIES = {
    "decay": gs.WeightDecay,
    "decoupling": gs.SpectralDecoupling,
    "mixed": lambda lam: gs.Mixed(lam, lam / 3),
    "by-class": lambda lam: gs.SpectralDecoupling.by_class(LABELS, (lam, 2.5 * lam), (0.4, -0.3)),
}
# The penalty enters every loss by the same filter and tilt: cross-entropy meets all penalties in every run, the other
# losses a few, the rest waits for `make slow`.
OFTEN = {"cross-entropy": PENALTIES, "first-order": ["decay"], "squared": ["by-class"], "softmax": ["decay", "mixed"]}
OFTEN["hinge"] = ["decay", "by-class"]
# Softmax has no margins that a target of each example could bend
PAIRS = [
    pytest.param((a, b), id=f"{a}-{b}", marks=[] if b in OFTEN[a] else [pytest.mark.slow])
    for a in LOSSES
    for b in PENALTIES
    if (a, b) != ("softmax", "by-class")
]


class Solved(NamedTuple):
    """A batch of fixed points and starvation matrices, in NumPy."""

    alpha: np.ndarray
    z: np.ndarray
    margins: np.ndarray
    gap: np.ndarray
    error_bound: np.ndarray
    objective: np.ndarray
    converged: np.ndarray
    G: np.ndarray


def _solve(U, s, loss, penalty):
    basis = gs.FeatureBasis(U, s)
    return _solved(basis, gs.fixed_point(basis, loss, penalty))


def _solved(basis, fp):
    return Solved(*(getattr(fp, name) for name in Solved._fields[:-1]), gs.starvation_matrix(basis, fp))


_lanes = jax.jit(jax.vmap(_solve, in_axes=(0, 0, None, 0)), compiler_options=FULL)
_lanes_quick = jax.jit(jax.vmap(_solve, in_axes=(0, 0, None, 0)), compiler_options=QUICK)


def solve(U, s, loss, penalties, *, quick=False) -> Solved:
    """The fixed points of up to `LANES` problems, one penalty each, with their starvation matrices."""
    count = len(s)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *penalties)
    batch = jax.tree.map(lambda x: np.resize(x, (LANES, *x.shape[1:])), (U, s, stacked))
    solved = (_lanes_quick if quick else _lanes)(batch[0], batch[1], loss, batch[2])
    return Solved(*(np.asarray(x)[:count] for x in solved))


def _cell(loss, s1, s2, delta, lam):
    basis = gs.FeatureBasis.rotation(s1, s2, delta)
    return _solved(basis, gs.fixed_point(basis, loss, gs.WeightDecay(lam)))


_cells = {
    name: jax.jit(jax.vmap(_cell, in_axes=(None, 0, 0, 0, 0)), compiler_options=options)
    for name, options in (("cross-entropy", FULL), ("first-order", QUICK))
}


def solve_cells(name, s1, s2, delta, lam) -> Solved:
    """The same for any number of two-feature cells under weight decay (P21-Eq15); arguments broadcast."""
    cells = np.broadcast_arrays(*(np.atleast_1d(x) for x in (s1, s2, delta, lam)))
    count = cells[0].size
    parts = []
    for start in range(0, count, CELLS):
        batch = [np.resize(x[start : start + CELLS], CELLS) for x in cells]
        parts.append(_cells[name](LOSSES[name], *batch))
    return Solved(*(np.concatenate(x)[:count] for x in zip(*parts, strict=True)))


def orthogonal(rng, count, n=EXAMPLES):
    """Random orthogonal matrices, shape (count, n, n)."""
    return np.linalg.qr(rng.standard_normal((count, n, n)))[0]


def central_difference(values, steps):
    """First derivatives, to fourth order, from values at `-2h, -h, h, 2h` along the first axis."""
    low2, low, high, high2 = values
    return (8 * (high - low) - (high2 - low2)) / (12 * steps)
