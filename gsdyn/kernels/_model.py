"""Any JAX network as one function of its parameters and a batch."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn import _checks
from gsdyn.kernels import _frameworks

PROBES = 4  # examples that are tried alone and beside each other
DEPENDS = 0.02  # the change of outputs, as a part of the largest, that is more than rounding in any precision


class Model(eqx.Module):
    """A network at given parameters, seen one example at a time.

    - `leaves`: its floating-point parameters, in the order of `jax.tree.leaves`.
    """

    leaves: list[Array]
    rest: Any
    tree: Any = eqx.field(static=True)
    call: Callable = eqx.field(static=True)

    def many(self, x: Array) -> Array:
        """What the network gives for a batch."""
        return self.call(eqx.combine(jax.tree.unflatten(self.tree, self.leaves), self.rest), x)

    def one(self, leaves: list[Array], x: Array) -> Array:
        """The outputs for one example, shape (C,), or (1,) for a network of one output."""
        params = eqx.combine(jax.tree.unflatten(self.tree, leaves), self.rest)
        out = self.call(params, x[None])[0].reshape(-1)
        return out.astype(np.promote_types(out.dtype, leaves[0].dtype))

    @property
    def size(self) -> int:
        """Number of parameters m."""
        return sum(leaf.size for leaf in self.leaves)


class Outputs(NamedTuple):
    """What a network gives for one example: the shape, (C,) or () for one number, and the dtype of its derivatives."""

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


def prepare(net: Any, params: Any, **inputs: ArrayLike | None) -> tuple[Model, list[Array], Outputs]:
    """The network `net` at `params` (see `ntrf` for what both may be), the inputs and what it gives for them.

    Parameters and inputs of different precisions are all taken to the widest, float32 at least. Raises `ValueError` for
    an object that is no network, for parameters that hold no real floating-point array, for inputs that do not fit, for
    outputs of other shapes, and for outputs of one example that change with the rest of the batch.
    """
    params, which, call = _frameworks.functional(net, params)
    chosen, rest = eqx.partition(params, which)
    leaves, tree = jax.tree.flatten(chosen)
    if sum(leaf.size for leaf in leaves) == 0:
        raise ValueError("params must hold at least one floating-point array, got none")
    if any(jnp.iscomplexobj(leaf) for leaf in leaves):
        raise ValueError("params must be real, got a complex array")
    arrays = [_checks.examples(name, x) for name, x in inputs.items() if x is not None or name != "x2"]
    floats = [x for x in arrays if jnp.issubdtype(x.dtype, jnp.floating)]
    widest = functools.reduce(np.promote_types, [x.dtype for x in (*leaves, *floats)], jnp.float32)
    arrays = [x.astype(widest) if jnp.issubdtype(x.dtype, jnp.floating) else x for x in arrays]
    rest = jax.tree.map(lambda leaf: _widened(leaf, widest), rest)
    model = Model([leaf.astype(widest) for leaf in leaves], rest, tree, call)
    out = _outputs(model, arrays[0])
    if _checks.is_concrete((model, arrays[0])):
        _require_independent(model, arrays[0])
    return model, arrays, out


def _widened(leaf: Any, dtype: Any) -> Any:
    """What a network keeps beside its parameters, such as running averages."""
    floats = eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
    return leaf.astype(dtype) if floats else leaf


def _outputs(model: Model, x: Array) -> Outputs:
    """The shape of the network's outputs, which must be (n,) or (n, C) for n examples."""
    try:
        out = eqx.filter_eval_shape(lambda model, x: model.many(x), model, x[:1])
    except Exception as error:
        why = (str(error).strip().splitlines() or [""])[0]
        given = f"{type(error).__name__}: {why}"
        raise ValueError(f"net must take params and an array of shape {x[:1].shape}, got {given}") from error
    shape = getattr(out, "shape", None)
    if shape is None or len(shape) not in (1, 2) or shape[0] != 1 or math.prod(shape) == 0:
        given = f"a value of type {type(out).__name__}" if shape is None else f"shape {shape}"
        raise ValueError(f"net must give outputs of shape (n,) or (n, C) for n examples, got {given} for n = 1")
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise ValueError(f"net must give real floating-point outputs, got {out.dtype}")
    return Outputs(shape[1:], np.promote_types(out.dtype, model.leaves[0].dtype))


def _require_independent(model: Model, x: Array) -> None:
    """A few examples must give the same alone and beside each other: else no kernel of pairs describes the network."""
    few = x[: min(len(x), PROBES)]
    alone, beside = (np.asarray(out, np.float64) for out in _twice(model, few))
    if alone.shape != beside.shape:
        raise ValueError(f"net must give a row for each example, got {beside.shape} for {len(few)} of them")
    if not (np.isfinite(alone).all() and np.isfinite(beside).all()):
        return  # nothing to compare: the kernel itself is looked at later
    noise = float(jnp.finfo(model.leaves[0].dtype).eps) ** 0.75  # of outputs that cancel, such as centred ones
    size, apart = np.max(np.abs(alone)), np.max(np.abs(alone - beside))
    if apart > DEPENDS * size + noise:
        raise ValueError(
            "net must give outputs of an example that do not depend on the others, got "
            f"{apart / max(size, noise):.0%} of change in a batch of {len(few)}: "
            "take averages over a batch (batch normalisation) from what training stored"
        )


@eqx.filter_jit
def _twice(model: Model, x: Array) -> tuple[Array, Array]:
    return jax.lax.map(lambda row: model.many(row[None])[0], x), model.many(x)
