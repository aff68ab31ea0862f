"""Any JAX network as one function of its parameters and a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn import _checks


class Model(eqx.Module):
    """A network at given parameters, seen one example at a time.

    - `leaves`: its floating-point parameters, in the order of `jax.tree.leaves`.
    """

    leaves: list[Array]
    rest: Any
    tree: Any = eqx.field(static=True)
    call: Callable = eqx.field(static=True)

    def one(self, leaves: list[Array], x: Array) -> Array:
        """The outputs for one example, shape (C,), or (1,) for a network of one output."""
        params = eqx.combine(jax.tree.unflatten(self.tree, leaves), self.rest)
        return self.call(params, x[None])[0].reshape(-1)

    @property
    def size(self) -> int:
        """Number of parameters m."""
        return sum(leaf.size for leaf in self.leaves)


class Outputs(NamedTuple):
    """What a network gives for one example: the shape, (C,) or () for one number, and the dtype."""

    shape: tuple[int, ...]
    dtype: Any

    @property
    def count(self) -> int:
        """Number of outputs C."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return self.dtype.itemsize


def model(net: Any, params: Any) -> Model:
    """The network `net` at `params`: see `ntrf` for what both may be.

    Raises `ValueError` for an object that is no network, and for parameters that hold no real floating-point array.
    """
    if isinstance(net, eqx.Module) and not hasattr(net, "apply"):
        params, call = (net if params is None else params), _module
        if not callable(params):
            raise ValueError(f"params must be None or a module like net, got a value of type {type(params).__name__}")
    else:
        call = getattr(net, "apply", net)
    if isinstance(net, type) or not callable(call):
        raise ValueError(f"net must be a function of params and x, a module or have a method apply, got {net!r}")
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, params)
    chosen, rest = eqx.partition(params, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(chosen)
    if sum(leaf.size for leaf in leaves) == 0:
        raise ValueError("params must hold at least one floating-point array, got none")
    if any(jnp.iscomplexobj(leaf) for leaf in leaves):
        raise ValueError("params must be real, got a complex array")
    return Model(leaves, rest, tree, call)


def _module(module: Callable, x: Array) -> Array:
    """An Equinox module, which by convention takes one example."""
    return jax.vmap(module)(x)


def inputs(name: str, x: ArrayLike) -> Array:
    """`x` with one example a row: finite floats of any shape, or integers (tokens) as they are."""
    if not jnp.issubdtype(getattr(x, "dtype", float), jnp.integer):
        x = _checks.finite(name, x)
    x = jnp.asarray(x)
    if x.ndim == 0 or 0 in x.shape:
        raise ValueError(f"{name} must have at least one example, a row each, got shape {x.shape}")
    return x


def outputs(model: Model, x: Array) -> Outputs:
    """The shape of the network's outputs, which must be (n,) or (n, C) for n examples."""

    def run(model: Model, x: Array) -> Array:
        return model.call(eqx.combine(jax.tree.unflatten(model.tree, model.leaves), model.rest), x)

    out = eqx.filter_eval_shape(run, model, x[:1])
    shape = getattr(out, "shape", None)
    if shape is None or len(shape) not in (1, 2) or shape[0] != 1 or math.prod(shape) == 0:
        given = f"a value of type {type(out).__name__}" if shape is None else f"shape {shape}"
        raise ValueError(f"net must give outputs of shape (n,) or (n, C) for n examples, got {given} for n = 1")
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise ValueError(f"net must give real floating-point outputs, got {out.dtype}")
    return Outputs(shape[1:], out.dtype)
