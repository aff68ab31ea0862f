"""A real network to train: a network of gsdyn at a drawn start, or a network of any JAX library at its parameters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn import _checks
from gsdyn.kernels import _model
from gsdyn.kernels.infinite import InfiniteWidth
from gsdyn.networks import FullyConnected, Stax


class Output(NamedTuple):
    """The number of the class that is learnt against the rest, and `of` how many classes it is."""

    number: int
    of: int


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A network of one number for each example as a function of a list of arrays.

    - `apply`: from `leaves` and inputs (n, ...) to outputs (n,). `leaves`: its parameters at the start.
    - `shape`: of one input; `dtype`: in which it computes.
    """

    apply: Callable[[Any, Array], Array]
    leaves: list[Array]
    shape: tuple[int, ...]
    dtype: Any

    def inputs(self, name: str, x: ArrayLike) -> Array:
        """Inputs in the shape and precision that the network takes."""
        x = jnp.asarray(x)
        if jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(self.dtype)
        if int(np.prod(x.shape[1:])) != int(np.prod(self.shape)):
            raise ValueError(f"{name} must have examples of shape {self.shape}, got {x.shape[1:]}")
        return x.reshape(-1, *self.shape)


def trainable(network: Any, params: Any) -> bool:
    """Whether there is a network to train, and not a kernel alone."""
    return params is not None or drawn(network, params) or not isinstance(network, InfiniteWidth)


def drawn(network: Any, params: Any) -> bool:
    """Whether the network's start is drawn here, by a seed."""
    return params is None and (network is None or isinstance(network, FullyConnected | Stax))


def network_of(network: Any, params: Any, x: ArrayLike, seed: int, output: Output | None = None) -> Network:
    """The network to train.

    It computes in the precision of its parameters; a start that is drawn is in single precision.
    Of two outputs, one a class, their difference decides; of those of more classes `output` is looked at.
    Raises `ValueError` for a kernel without a network, and for networks with other numbers of outputs.
    """
    seed = _checks.integer("seed", seed, 0, 2**32 - 1)
    network = FullyConnected(3) if network is None else network
    if not trainable(network, params):
        raise ValueError(f"network must be one that can be trained, got {_checks.in_short(network)}")
    x = np.asarray(x)
    if params is None and isinstance(network, FullyConnected):
        x = x.reshape(len(x), -1)
        params = network.init(jax.random.key(seed), x.shape[1], jnp.float32)
    elif params is None and isinstance(network, Stax):
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), network.init(jax.random.key(seed), x.shape[1:]))
    floats = [
        leaf.dtype for leaf in jax.tree.leaves(params) if jnp.issubdtype(getattr(leaf, "dtype", int), jnp.floating)
    ]
    if floats and x.dtype.kind == "f":
        x = x.astype(functools.reduce(np.promote_types, floats))
    model, (rows,), outputs = _model.prepare(network, params, x=x)
    return Network(single(model, outputs.count, output), model.leaves, rows.shape[1:], model.leaves[0].dtype)


def single(model: _model.Model, count: int, output: Output | None) -> Callable[[Any, Array], Array]:
    """Of a network's `count` outputs the one number that decides, as a function of its leaves and inputs."""
    if count != 1 and count != (2 if output is None else output.of):
        more = "two for two classes" if output is None else f"one for each of {output.of} classes"
        raise ValueError(f"network must have one output, or {more}, got {count}")

    def apply(leaves: list[Array], x: Array) -> Array:
        out = dataclasses.replace(model, leaves=leaves).many(x).reshape(len(x), -1)
        if count == 1:
            return out[:, 0]
        return out[:, 1] - out[:, 0] if output is None else out[:, output.number]

    return apply
