"""Random problems of the first paper, and their solutions by the library, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from numpy.random import Generator

from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint, fixed_point
from gsdyn.losses import Loss
from gsdyn.penalties import Penalty
from gsdyn.starvation import starvation_matrix

SIZE = 5


class Problems(NamedTuple):
    """A batch of problems: bases `U`, strengths `s`, penalties' strength `lam`."""

    U: np.ndarray
    s: np.ndarray
    lam: np.ndarray

    def place(self) -> dict[str, np.ndarray]:
        """What names a problem in a report."""
        return {"s": self.s, "lam": self.lam}

    def kernels(self, filtered: np.ndarray) -> np.ndarray:
        """`U diag(c) U^T` of every problem, for `c` of shape (count, k)."""
        return (self.U * filtered[:, None, :]) @ np.swapaxes(self.U, 1, 2)

    def weight_decay(self) -> np.ndarray:
        """`K/lam` of every problem."""
        return self.kernels(self.s**2 / self.lam[:, None])


def log_uniform(random: Generator, low: float, high: float, size: Any) -> np.ndarray:
    """Numbers whose logarithm is uniform."""
    return np.exp(random.uniform(np.log(low), np.log(high), size))


def orthogonal(random: Generator, count: int, size: int = SIZE) -> np.ndarray:
    """Random orthogonal matrices."""
    return np.linalg.qr(random.normal(size=(count, size, size)))[0]


def dense(random: Generator, count: int, size: int = SIZE) -> Problems:
    """Features that are all spread over all examples, strengths in [0.1, 10], lam in [1e-3, 10]."""
    strengths = log_uniform(random, 0.1, 10, (count, size))
    return Problems(orthogonal(random, count, size), strengths, log_uniform(random, 1e-3, 10, count))


def solved(loss: Loss, penalty: Callable[..., Penalty], problems: Problems, *parameters: np.ndarray) -> FixedPoint:
    """The fixed points of a batch, one compilation for each loss, kind of penalty and size.

    `parameters`: of the penalty, one entry a problem; by default `lam` alone.
    """
    return _solved(loss, penalty, problems.U, problems.s, *(parameters or (problems.lam,)))


@eqx.filter_jit
def _solved(loss: Loss, penalty: Callable[..., Penalty], U: Any, s: Any, *parameters: Any) -> FixedPoint:
    def one(U, s, *parameters):
        return fixed_point(FeatureBasis(U, s), loss, penalty(*parameters))

    return eqx.filter_vmap(one)(U, s, *parameters)


@eqx.filter_jit
def starvation_matrices(loss: Loss, penalty: Callable[..., Penalty], problems: Problems, *parameters: Any) -> Any:
    """The starvation matrices of a batch."""

    def one(U, s, *parameters):
        basis = FeatureBasis(U, s)
        return starvation_matrix(basis, fixed_point(basis, loss, penalty(*parameters)))

    return eqx.filter_vmap(one)(problems.U, problems.s, *(parameters or (problems.lam,)))
