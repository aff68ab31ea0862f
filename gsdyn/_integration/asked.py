"""Times and tolerances as they are asked for, checked."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn import _checks
from gsdyn._traced import error_if


def checked_times(ts: ArrayLike, name: str = "ts") -> Array:
    """`ts` as an array, after checking that it holds increasing times."""
    ts = _checks.require(name, ts, "finite and >= 0", lambda v: (v >= 0) & (v < float("inf")), ndim=1)
    if not ts.size:
        raise ValueError(f"{name} must hold at least one time, got none")
    if not _checks.is_concrete(ts):
        return error_if(ts, ~(ts[1:] >= ts[:-1]).all(), f"{name} must increase")
    # In NumPy, because inside `jit` JAX stages even operations on concrete arrays
    values = np.asarray(ts)
    rising = values[1:] >= values[:-1]
    if not rising.all():
        i = int(np.argmin(rising))
        raise ValueError(f"{name} must increase, got {values[i]} before {values[i + 1]}")
    return ts


def checked_tolerances(dtype: Any, rtol: float | None, atol: float | None) -> tuple[float, float]:
    """Both tolerances, by default the root of the unit roundoff, and never below what rounding allows."""
    eps = float(jnp.finfo(dtype).eps)

    def tolerance(name: str, value: float | None) -> float:
        if value is not None:
            value = _checks.number(name, value, "a number in (0, 1)", lambda v: 0 < v < 1)
        return max(eps**0.5 if value is None else value, 64 * eps)

    return tolerance("rtol", rtol), tolerance("atol", atol)
