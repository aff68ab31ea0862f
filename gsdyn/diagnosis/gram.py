"""The kernel of a network on the examples, and between new ones and them; its memory is told before it starts."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn import _checks
from gsdyn.diagnosis.problem import Problem
from gsdyn.kernels import NotEnoughMemory, _memory, empirical_ntk, infinite_ntk
from gsdyn.kernels.infinite import InfiniteWidth
from gsdyn.networks import FullyConnected

COPIES = 5  # kernels of the examples that are held at once, at most: its own, one without a feature, factors


@dataclasses.dataclass(frozen=True, eq=False)
class Gram:
    """`theta` (n, n), `new` (m, n) or None, and what made them, in words."""

    theta: Array
    new: Array | None
    words: str


def needed(problem: Problem) -> int:
    """Bytes that the report holds at once, about."""
    m = 0 if problem.test is None else len(problem.test)
    size = jnp.zeros(()).astype(float).dtype.itemsize
    return size * (COPIES * problem.n**2 + 2 * m * problem.n)


def require_memory(problem: Problem, limit: int | None) -> int:
    """The bytes needed, or an error where there are not as many."""
    count = needed(problem)
    there = _memory.available() if limit is None else limit
    if there is not None and count > there:
        raise NotEnoughMemory(
            f"a report on {problem.n} examples needs {count / 2**30:.3g} GiB of memory, got {there / 2**30:.3g} GiB: "
            "give examples=, the number to take of them at random"
        )
    return count


def gram(problem: Problem, network: Any, params: Any) -> Gram:
    """The kernels of a network at infinite width, at given parameters, or those that were given."""
    if problem.kernel is not None:
        if network is not None or params is not None:
            raise ValueError("network must be None where a kernel is given")
        new = None if problem.test is None else problem.test.kernel
        return Gram(_checks.as_float(problem.kernel), None if new is None else _checks.as_float(new), "a kernel given")
    network = FullyConnected(depth=3) if network is None else network
    x, new = _inputs(problem, isinstance(network, FullyConnected))
    if params is None and isinstance(network, InfiniteWidth):
        theta = infinite_ntk(network, x)
        between = None if new is None else infinite_ntk(network, new, x)
        return Gram(theta, between, f"NTK at infinite width of {network}")
    theta = _one_output(empirical_ntk(network, params, x))
    between = None if new is None else _one_output(empirical_ntk(network, params, new, x))
    return Gram(theta, between, f"NTK of {_checks.in_short(network)} at its parameters")


def _inputs(problem: Problem, flat: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs of examples and of new ones, as the network takes them."""
    assert problem.x is not None
    x, new = problem.x, None if problem.test is None else problem.test.x
    if flat:
        return x.reshape(len(x), -1), None if new is None else new.reshape(len(new), -1)
    return x, new


def _one_output(theta: Array) -> Array:
    """The kernel of one output; of two, that of their difference, which decides."""
    if theta.ndim == 2:
        return theta
    if theta.shape[2:] == (1, 1):
        return theta[:, :, 0, 0]
    if theta.shape[2:] == (2, 2):
        return theta[:, :, 0, 0] + theta[:, :, 1, 1] - theta[:, :, 0, 1] - theta[:, :, 1, 0]
    raise ValueError(f"network must have one output, or two for two classes, got {theta.shape[2]}")
