"""Input checks: one line that names the argument, what was given and what is allowed.

A concrete value that is not allowed raises `ValueError` at once. Inside `jit`, `vmap` or `grad` the value
is not known yet; `equinox.error_if` then raises the same line when the compiled code runs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float


def is_concrete(x: Any) -> bool:
    """Whether every leaf of `x` has a value now (is not being traced)."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))


def as_float(x: ArrayLike) -> Float[Array, "..."]:
    """`x` as a real floating-point array: floats keep their dtype, all else takes the default one.

    A Python integer counts as the Python float of its value, so beside a float32 array it is float32.
    """
    x = jnp.asarray(_number(x))
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x
    return x.astype(jnp.result_type(float))


def _number(x: Any) -> Any:
    return float(x) if type(x) is int else x


def require(
    name: str, x: ArrayLike, allowed: str, ok: Callable[[Any], Any], *, ndim: int | None = None
) -> Float[Array, "..."]:
    """`x` as a float array, after checking `ok(x)` elementwise; `allowed` says the same in words."""
    array = _float_or_error(name, x, allowed)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {array.shape}")
    if is_concrete(array):
        values = np.asarray(array)
        good = np.asarray(ok(values))
        if not good.all():
            bad = values if good.ndim == 0 else values[~np.broadcast_to(good, values.shape)][0]
            shown = bad if np.ndim(bad) == 0 else f"an array of shape {values.shape} that is not"
            raise ValueError(f"{name} must be {allowed}, got {shown}")
        return array
    # A factor of one that waits for the check: what the check itself lets through, it copies
    one = jax.lax.full_like(array, 1.0, shape=())
    return array * eqx.error_if(one, ~jnp.asarray(ok(array)), f"{name} must be {allowed}")


def _float_or_error(name: str, x: ArrayLike, allowed: str) -> Float[Array, "..."]:
    try:
        array = jnp.asarray(_number(x))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {allowed}, got {x!r}") from None
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{name} must be real, got dtype {array.dtype}")
    return as_float(array)


def finite(name: str, x: ArrayLike, *, ndim: int | None = None) -> Float[Array, "..."]:
    """`x`, whose every entry must be finite."""
    return require(name, x, "finite", lambda v: abs(v) < float("inf"), ndim=ndim)


def positive(name: str, x: ArrayLike, *, ndim: int | None = None) -> Float[Array, "..."]:
    """`x`, whose every entry must be finite and above zero."""
    return require(name, x, "finite and > 0", lambda v: (v > 0) & (v < float("inf")), ndim=ndim)


def nonnegative(name: str, x: ArrayLike, *, ndim: int | None = None) -> Float[Array, "..."]:
    """`x`, whose every entry must be finite and not below zero."""
    return require(name, x, "finite and >= 0", lambda v: (v >= 0) & (v < float("inf")), ndim=ndim)


def labels(name: str, y: ArrayLike) -> Float[Array, " n"]:
    """`y` as a float vector whose every entry is -1 or +1."""
    return require(name, y, "a vector of -1 and +1", lambda v: (v == 1) | (v == -1), ndim=1)


def square(name: str, x: Array) -> None:
    """`x`, a matrix, must have as many rows as columns, and some."""
    if x.shape != x.shape[::-1] or x.size == 0:
        raise ValueError(f"{name} must be square and not empty, got shape {x.shape}")


def integer(name: str, x: Any, low: int, high: int | None = None) -> int:
    """`x` as a Python integer of `low..high`."""
    allowed = f"at least {low}" if high is None else f"in {low}..{high}"
    try:
        value = operator.index(x)
    except TypeError:
        raise ValueError(f"{name} must be an integer {allowed}, got {x!r}") from None
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return value


def instance(name: str, x: Any, kind: type) -> None:
    """`x` must be an object of the class `kind`."""
    if not isinstance(x, kind):
        given = f"the class {x.__name__}" if isinstance(x, type) else f"a value of type {type(x).__name__}"
        raise ValueError(f"{name} must be a {kind.__name__}, got {given}")


def broadcastable(**arrays: Array) -> None:
    """The named arrays must have shapes that broadcast."""
    shapes = [x.shape for x in arrays.values()]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{', '.join(arrays)} must have shapes that broadcast, got {shapes}") from None


def same_length(name: str, x: Array, other: str, y: Array) -> None:
    """`x` and `y` must agree in their first axis."""
    if x.shape[:1] != y.shape[:1]:
        raise ValueError(f"{name} must have as many rows as {other} ({y.shape[:1]}), got shape {x.shape}")
