"""The kernel of a network on the examples, and between new ones and them; its memory is told before it starts."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn import _checks
from gsdyn._numerics import psd
from gsdyn.diagnosis import _networks
from gsdyn.diagnosis.problem import Problem
from gsdyn.kernels import NotEnoughMemory, _memory, _model, empirical_ntk, infinite_ntk
from gsdyn.kernels.infinite import InfiniteWidth
from gsdyn.networks import FullyConnected

COPIES = 5  # kernels of the examples that are held at once, at most: its own, one without a feature, factors


@dataclasses.dataclass(frozen=True, eq=False)
class Gram:
    """`theta` (n, n), `new` (m, n) or None, what made them, in words, and whether they are those of `one` output of
    several classes alone."""

    theta: Array
    new: Array | None
    words: str
    one: bool = False


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
    """The kernels of a network at infinite width, at given parameters, or those that were given; in double precision
    where that is on, and without negative eigenvalues, which the rounding of what was single leaves in them."""
    if problem.kernel is not None:
        if network is not None or params is not None:
            raise ValueError("network must be None where a kernel is given")
        theta, told = semidefinite(_checks.as_float(problem.kernel))
        new = None if problem.test is None else problem.test.kernel
        return Gram(theta, None if new is None else _double(new), f"a kernel given{told}")
    network = FullyConnected(depth=3) if network is None else network
    x, new = _inputs(problem, isinstance(network, FullyConnected))
    if params is None and isinstance(network, InfiniteWidth):
        theta = infinite_ntk(network, x)
        between = None if new is None else infinite_ntk(network, new, x)
        return Gram(theta, between, f"NTK at infinite width of {_brief(network)}")
    model, _, outputs = _model.prepare(network, params, x=x)
    apply = _networks.single(model, outputs.count, problem.output)
    found = _at(apply, model.leaves, x, new, f"NTK of {_checks.in_short(network)} at its parameters")
    return dataclasses.replace(found, one=problem.output is not None and outputs.count > 1)


def _brief(network: InfiniteWidth) -> str:
    """A network in words, without what is as always, and what has no meaning at infinite width."""
    if not dataclasses.is_dataclass(network):
        return _checks.in_short(network)
    told = [
        f"{field.name}={getattr(network, field.name)!r}"
        for field in dataclasses.fields(network)
        if field.repr and field.name != "width" and getattr(network, field.name) != field.default
    ]
    return f"{type(network).__name__}({', '.join(told)})"


def at_start(problem: Problem, net: _networks.Network) -> Gram:
    """The kernels of a network that is to be trained, at its start."""
    x, new = _inputs(problem, False)
    new = None if new is None else net.inputs("test x", new)
    return _at(net.apply, net.leaves, net.inputs("x", x), new, "NTK at the start")


def _at(apply: Any, leaves: list[Array], x: ArrayLike, new: ArrayLike | None, words: str) -> Gram:
    theta, told = semidefinite(empirical_ntk(apply, leaves, x))
    return Gram(theta, None if new is None else _double(empirical_ntk(apply, leaves, new, x)), words + told)


def semidefinite(theta: Array) -> tuple[Array, str]:
    """A kernel of one output as one without negative eigenvalues, by a part of the identity, and by how much, in words.

    Raises `ValueError` for what is no kernel in the precision that it came in.
    """
    whole = _double(theta)
    try:
        whole = psd.symmetric(whole, theta)
        below = psd.slack(whole, psd.accuracy(theta, whole), told=True)
    except ValueError as error:
        told = str(error).removeprefix("theta ").removesuffix(": tolerance says how accurate it is")
        raise ValueError(f"the kernel {told}") from None
    if not below:
        return whole, ""
    mean = float(jnp.mean(jnp.diagonal(whole)))
    told = f", {below / mean:.1g} of its mean diagonal added to that, as its least eigenvalue was negative by rounding"
    return whole.at[jnp.diag_indices(len(whole))].add(below), told


def _double(theta: ArrayLike) -> Array:
    return jnp.asarray(theta, jnp.zeros(()).astype(float).dtype)


def _inputs(problem: Problem, flat: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs of examples and of new ones, as the network takes them."""
    assert problem.x is not None
    x, new = problem.x, None if problem.test is None else problem.test.x
    if flat:
        return x.reshape(len(x), -1), None if new is None else new.reshape(len(new), -1)
    return x, new
