"""Functions of numbers mapped over arrays, and the checks that several modules share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn import _checks
from gsdyn._traced import error_if


def elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers, compiled and mapped over arrays that broadcast."""
    return jax.jit(jnp.vectorize(function))


def along(function: Callable[..., Any], outputs: int) -> Callable[..., Any]:
    """A function of numbers and a vector of times, mapped over numbers of one shape; the times come last."""

    def mapped(*arguments: Array) -> Any:
        *numbers, ts = arguments
        signature = ",".join(["()"] * len(numbers)) + ",(t)->" + ",".join(["(t)"] * outputs)
        ts = ts.reshape((1,) * numbers[0].ndim + ts.shape)
        return jnp.vectorize(function, signature=signature)(*numbers, ts)

    return mapped


def at_least(name: str, x: Array, low: Array, what: str) -> Array:
    """`x`, raised to `low` where rounding left it a few units below it; further below is an error."""
    low = jax.lax.stop_gradient(low)
    slack = 64 * float(jnp.finfo(x.dtype).eps) * jnp.abs(low)
    return jnp.where(x >= low, x, _refuse(name, x, low, x >= low - slack, f"at least {what}"))


def at_most(name: str, x: Array, high: Array, what: str) -> Array:
    """`x`, lowered to `high` where rounding left it a few units above it; further above is an error."""
    high = jax.lax.stop_gradient(high)
    slack = 64 * float(jnp.finfo(x.dtype).eps) * jnp.abs(high)
    return jnp.where(x <= high, x, _refuse(name, x, high, x <= high + slack, f"at most {what}"))


def _refuse(name: str, x: Array, limit: Array, ok: Array, allowed: str) -> Array:
    """`limit`, after an error where `x` is not `ok`."""
    if not _checks.is_concrete(ok):
        return error_if(limit, ~ok, f"{name} must be {allowed}")
    bad = ~np.asarray(ok)
    if bad.any():
        given, bound = np.asarray(x)[bad][0], np.asarray(limit)[bad][0]
        raise ValueError(f"{name} must be {allowed} ({bound:.6g}), got {given:.6g}")
    return limit


def check_confidence(name: str, x: ArrayLike) -> Array:
    """`x`, a confidence inside (1/2, 1)."""
    return _checks.require(name, x, "inside (1/2, 1)", lambda v: (v > 0.5) & (v < 1))


def check_fraction(name: str, x: ArrayLike) -> Array:
    """`x`, a share of the examples inside (0, 1)."""
    return _checks.require(name, x, "inside (0, 1)", lambda v: (v > 0) & (v < 1))


def check_times(name: str, ts: ArrayLike) -> Array:
    """`ts`, a vector of times in ascending order."""
    ts = _checks.nonnegative(name, ts, ndim=1)
    return demand(ts, (ts[1:] >= ts[:-1]).all(), f"{name} must be in ascending order")


def demand(x: Array, ok: Array, message: str) -> Array:
    """`x`, after an error with `message` unless all of `ok` holds."""
    if not _checks.is_concrete(ok):
        return error_if(x, ~ok, message)
    if not np.asarray(ok).all():
        raise ValueError(message)
    return x
