"""The parameters of a network of any kind: the arrays that training changes, and the rest that it keeps.

Arrays of parameters are enough (dictionaries, Flax linen), so is an Equinox module, whose functions and integers stay
as they are, and so is a Flax nnx module, of which the variables of type `nnx.Param` are trained.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

COLLECTIONS = "batch_stats"
"""What Flax linen calls the statistics that networks keep beside their parameters."""


class Rest(eqx.Module):
    """What a network has beside the arrays that are trained: makes the network again from them."""

    kept: Any
    graph: Any = eqx.field(static=True, default=None)

    def whole(self, arrays: Any) -> Any:
        """The network with these arrays."""
        return eqx.combine(arrays, self.kept) if self.graph is None else _nnx().merge(self.graph, arrays, self.kept)


def split(params: Any) -> tuple[Any, Rest]:
    """The arrays that are trained, and the rest. Raises `ValueError` where there are none, or more than parameters."""
    if isinstance(params, Mapping) and COLLECTIONS in params:
        raise ValueError(
            f"params must be the parameters alone, such as variables['params'], got the collections {sorted(params)}"
        )
    if _is_nnx(params):
        graph, arrays, kept = _nnx().split(params, _nnx().Param, ...)
        rest = Rest(kept, graph)
    else:
        arrays, kept = eqx.partition(_as_arrays(params), eqx.is_inexact_array)
        rest = Rest(kept)
    leaves = jax.tree.leaves(arrays)
    if not leaves or any(jnp.issubdtype(leaf.dtype, jnp.complexfloating) for leaf in leaves):
        given = "complex ones" if leaves else f"none in a value of type {type(params).__name__}"
        raise ValueError(f"params must hold real floating-point arrays, got {given}")
    return arrays, rest


def trainable(params: Any) -> Any:
    """The arrays of `params` that are trained."""
    return split(params)[0]


def squared_norm(arrays: Any) -> Float[Array, ""]:
    """The sum of the squares of all entries."""
    return jnp.asarray(sum(jnp.sum(part * part) for part in jax.tree.leaves(arrays)))


def _as_arrays(params: Any) -> Any:
    """NumPy's arrays as JAX's; Python's floats too, but where a module keeps them as settings."""
    nodes = jax.tree.leaves(params, is_leaf=lambda node: isinstance(node, eqx.Module))
    kinds = (
        np.ndarray | np.generic
        if any(isinstance(node, eqx.Module) for node in nodes)
        else np.ndarray | np.generic | float
    )
    for leaf in jax.tree.leaves(params):
        if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "OSU":
            raise ValueError(f"params must hold arrays of numbers, got one of dtype {leaf.dtype}")
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, kinds) else leaf, params)


def _nnx() -> Any:
    return sys.modules.get("flax.nnx")


def _is_nnx(params: Any) -> bool:
    return _nnx() is not None and isinstance(params, _nnx().Module)
