"""Networks of any JAX library as a function of parameters and a batch, and which of their arrays are parameters."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn import _checks


def functional(net: Any, params: Any) -> tuple[Any, Any, Callable]:
    """The parameters of `net`, which of their leaves training changes, and the function of them and of a batch.

    The function is hashable, and the same for the same network, so that what is compiled for it is found again.
    """
    if is_nnx(net):
        return _nnx(net, params)
    if isinstance(net, eqx.Module) and not hasattr(net, "apply"):
        params = _as_jax(net if params is None else params)
        if not callable(params):
            raise ValueError(f"params must be None or a module like net, got a value of type {type(params).__name__}")
        return params, eqx.is_inexact_array, _module
    call, params = getattr(net, "apply", net), _as_jax(params)
    if isinstance(net, type) or not callable(call):
        given = _checks.in_short(net)
        raise ValueError(f"net must be a function of params and x, a module or have a method apply, got {given}")
    owner = getattr(net, "__self__", net)
    if type(owner).__module__.partition(".")[0] == "haiku":
        return _haiku(call, params)
    if hasattr(owner, "apply") and isinstance(params, Mapping) and "params" in params:  # Flax's collections
        return dict(params), _only("params", params), call
    return params, eqx.is_inexact_array, call


def _as_jax(params: Any) -> Any:
    """`params` with NumPy's arrays as JAX's."""

    def one(leaf: Any) -> Any:
        numbers = isinstance(leaf, np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.number)
        return jnp.asarray(leaf) if numbers else leaf

    return jax.tree.map(one, params)


def is_nnx(net: Any) -> bool:
    """Whether `net` is a module of Flax nnx, which holds its own parameters."""
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(net, nnx.Module)


def _nnx(net: Any, params: Any) -> tuple[Any, Any, Callable]:
    nnx = sys.modules["flax.nnx"]
    module = net if params is None else params
    if not is_nnx(module):
        raise ValueError(f"params must be None or a module like net, got a value of type {type(module).__name__}")
    graph, chosen, kept = nnx.split(module, nnx.Param, ...)
    parts = {"params": chosen, "kept": kept}
    return parts, _only("params", parts), _Merged(graph)


@dataclasses.dataclass(frozen=True)
class _Merged:
    """A Flax nnx module by the graph of its parts."""

    graph: Any

    def __call__(self, parts: Any, x: Array) -> Array:
        return sys.modules["flax.nnx"].merge(self.graph, parts["params"], parts["kept"])(x)


def _haiku(call: Callable, params: Any) -> tuple[Any, Any, Callable]:
    """What `haiku.transform` gives: its function also takes a key, which a network without noise does not need."""
    names = list(inspect.signature(call).parameters)
    if "state" in names[:2]:
        if not isinstance(params, tuple) or len(params) != 2:
            raise ValueError("params must be the pair (params, state) of a network with state")
        parts = {"params": params[0], "state": params[1]}
        return parts, _only("params", parts), _WithState(call, "rng" in names)
    return params, eqx.is_inexact_array, _Keyless(call) if "rng" in names else call


@dataclasses.dataclass(frozen=True)
class _Keyless:
    """A function of parameters, key and inputs, without a key."""

    call: Callable

    def __call__(self, params: Any, x: Array) -> Array:
        return self.call(params, None, x)


@dataclasses.dataclass(frozen=True)
class _WithState:
    """A function of parameters, state and inputs; what becomes of the state is not kept."""

    call: Callable
    keyed: bool

    def __call__(self, parts: Any, x: Array) -> Array:
        key = (None,) if self.keyed else ()
        return self.call(parts["params"], parts["state"], *key, x)[0]


def _only(name: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Which leaves are parameters: the floats in one part."""
    nothing = {other: jax.tree.map(lambda _: False, part) for other, part in parts.items()}
    return {**nothing, name: jax.tree.map(eqx.is_inexact_array, parts[name])}


def _module(module: Callable, x: Array) -> Array:
    """An Equinox module, which by convention takes one example."""
    return jax.vmap(module)(x)
