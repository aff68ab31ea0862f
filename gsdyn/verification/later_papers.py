"""Claims of later papers that check this theory from outside (THEORY section 12)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from scipy.optimize import brentq, nnls
from scipy.special import expit

from gsdyn.data import linear_perception, skewed_coordinate, slabs
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.hard_margins import hard_margin
from gsdyn.kernel_fixed_points import kernel_fixed_point
from gsdyn.kernels import infinite_ntk
from gsdyn.losses import CrossEntropy
from gsdyn.networks import FullyConnected
from gsdyn.penalties import SpectralDecoupling, WeightDecay
from gsdyn.predictions import coefficients, predict
from gsdyn.probes import randomised_auc
from gsdyn.verification._problems import log_uniform
from gsdyn.verification._registry import Group, Trials

GROUP = Group("later papers")
LOSS = CrossEntropy()
EXAMPLES, FEW, MANY = 12, 6, 24  # n, and d on either side of it
DECAY = 0.01
MINORITIES = 0.5, 0.2, 0.05


def _seed(random: Generator) -> int:
    return int(random.integers(1 << 31))


def _perceived(random: Generator, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Examples of which at least one contradicts the shortcut, or nothing could tell it from the label."""
    while True:
        x, y, z = (np.asarray(part) for part in linear_perception(EXAMPLES, d, seed=_seed(random)))
        if (y != z).any():
            return x, y


@GROUP.check(
    "beyond-Puli-SD",
    "Puli: a phase transition at d = n, in closed form",
    "of x = (B z, y, noise) spectral decoupling learns w = f* e_y for d < n, and f* X^T (X X^T)^-1 y for d > n",
    "fixed points of 12 examples in 6 and 24 dimensions, not all with z = y, against NumPy's solve and SciPy's brentq",
    "error of a weight",
    samples=20,
    tolerance=1e-8,
)
def transition(random: Generator, count: int) -> Trials:
    errors, lams = [], log_uniform(random, 1e-2, 1, count)
    for lam in lams:
        found: Any = brentq(lambda f, lam=lam: expit(-f) - lam * f, 0, 1 / lam, xtol=1e-15)
        for d in (FEW, MANY):
            x, y = _perceived(random, d)
            basis = FeatureBasis.from_ntrf(x, y)
            beta = np.asarray(coefficients(basis, fixed_point(basis, LOSS, SpectralDecoupling(lam))))
            stated = np.eye(d)[1] if d < EXAMPLES else x.T @ np.linalg.solve(x @ x.T, y)
            errors.append(np.abs(x.T @ (y * beta) - found * stated).max())
    return Trials(np.reshape(errors, (count, 2)), {"lam": lams})


def _separable(random: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sixty points that one coordinate separates by 1 or more, among nine of noise."""
    y = random.permutation(np.repeat([-1.0, 1.0], 30))
    return np.column_stack([y * (1 + np.abs(random.normal(size=60))), random.normal(size=(60, 9))]), y


def _widest(signed: np.ndarray) -> np.ndarray:
    """`min |w|` with `signed w >= 1` by Lawson and Hanson's least distance programming (SciPy's NNLS)."""
    E = np.vstack([signed.T, np.ones(len(signed))])
    target = np.append(np.zeros(signed.shape[1]), 1.0)
    residual = E @ nnls(E, target)[0] - target
    return -residual[:-1] / residual[-1]


@GROUP.check(
    "beyond-Nagarajan-skew",
    "Nagarajan: the widest margin leans on a skewed coordinate",
    "the widest margin's mean share of weight on a spurious coordinate grows as the minority against it shrinks",
    "hard_margin of 60 points, minorities of 1/2, 1/5, 1/20: weights against SciPy's NNLS, the order of mean shares",
    "error of a weight, relative to the largest, or a mean share above the next",
    samples=20,
    tolerance=1e-8,
)
def geometric_skew(random: Generator, count: int) -> Trials:
    errors, shares = [], []
    for _ in range(count):
        x, y = _separable(random)
        seed = _seed(random)
        mine = []
        for minority in MINORITIES:
            skewed = np.asarray(skewed_coordinate(x, y, minority, seed=seed).x)
            w = skewed.T @ (y * np.asarray(hard_margin(skewed @ skewed.T, y).coefficients))
            errors.append(np.abs(w - _widest(y[:, None] * skewed)).max() / np.abs(w).max())
            mine.append(w[-1] / np.linalg.norm(w))
        shares.append(mine)
    # of single draws the balanced one can lean more than the next
    mean = np.mean(shares, axis=0)
    above = np.full((count, 1), max(0.0, -float(np.diff(mean).min())))
    return Trials(np.hstack([np.reshape(errors, (count, -1)), above]), details={"mean shares": mean})


@GROUP.check(
    "beyond-Shah-AUC",
    "Shah: of linear and slab coordinates only the linear counts",
    "a wide network on one linear and 49 coordinates of 5 slabs: AUC 1/2 once the linear is randomised, 1 the slabs",
    "fixed points of the NTK of 300 examples under weight decay; randomised AUC of 1,000 new ones, two permutations",
    "distance of an AUC from the paper's 0.5 and 1.0",
    samples=3,
    tolerance=0.1,
)
def slabs_unused(random: Generator, count: int) -> Trials:
    net, errors = FullyConnected(depth=2), []
    for _ in range(count):
        x, y, kinds = slabs(1300, seed=_seed(random))
        old, new = slice(0, 300), slice(300, None)
        beta = kernel_fixed_point(infinite_ntk(net, x[old]), y[old], LOSS, WeightDecay(DECAY)).alpha / DECAY

        def apply(beta, inputs, x=x[old], y=y[old]):
            return predict(infinite_ntk(net, inputs, x), y, beta)

        for linear, wanted in ((True, 0.5), (False, 1.0)):
            columns = [j for j, k in enumerate(kinds) if (k == 2) == linear]
            found = randomised_auc(apply, beta, x[new], y[new], columns, repeats=2).randomised
            errors.append(abs(found - wanted))
    return Trials(np.reshape(errors, (count, 2)))
