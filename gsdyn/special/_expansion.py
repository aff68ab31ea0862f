"""The integral behind every learning time, `int x^(a-1) e^x dx`, in two expansions that share the half-line.

Up to a switch point (`u = 48` in double precision) the power series serves: its terms are all positive, so
nothing cancels. From there on the terms of the asymptotic series fall below one unit in the last place
before they turn. Both are polynomials, in `u` and in `1 / u`, whose coefficients depend on `a`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.typing import DTypeLike
from jaxtyping import Array, Float

Coefficients = Sequence[Any]


class Expansion(NamedTuple):
    """Where the two expansions meet, and how many terms each of them needs there for `a` in [-1, 0].

    The power series is one in `u / scale`, a power of two, so that single precision can hold its coefficients.
    Beyond `end` even the square root of a time has no float, nor the time over any rate of learning.
    """

    switch: float
    scale: float
    end: float
    power_terms: int
    asymptotic_terms: int


_DOUBLE = Expansion(48.0, 64.0, 1400.0, 118, 36)
_SINGLE = Expansion(24.0, 32.0, 170.0, 56, 22)


def expansion(dtype: DTypeLike) -> Expansion:
    """The expansion that reaches the accuracy of this dtype."""
    return _DOUBLE if jnp.finfo(dtype).bits > 32 else _SINGLE


@jax.custom_jvp
def exp_power(u: Array, p: Array, x: Array) -> Array:
    """`e^u u^p x` for `x > 0`, which may have a float where `e^u` has none, as may its derivatives."""
    beyond = u > expansion(u.dtype).end
    half = jnp.exp(jnp.where(beyond, 0, u) / 2)
    return jnp.where(beyond, jnp.exp(u), half * (half * (jnp.power(u, p) * x)))


@partial(exp_power.defjvp, symbolic_zeros=True)
def _exp_power_jvp(primals, tangents):
    u, p, x = primals
    value = exp_power(*primals)
    slopes = (lambda: value * (1 + p / u), lambda: value * jnp.log(u), lambda: value / x)
    tangent = jnp.zeros_like(value)
    for slope, change in zip(slopes, tangents, strict=True):
        if not isinstance(change, SymbolicZero):
            tangent = tangent + slope() * change
    return value, tangent


def power_coefficients(a: Any, dtype: DTypeLike) -> list[Any]:
    """`c_k` with `u^-a int_0^u x^(a-1) (e^x - 1 - x) dx = v^2 sum_(k >= 0) c_k v^k`, `v = u / scale`.

    The sum on the left is `sum_(k >= 2) u^k / (k! (k + a))`.
    """
    _, scale, _, terms, _ = expansion(dtype)
    coefficients, weight = [], scale
    for k in range(2, terms + 1):
        weight *= scale / k
        coefficients.append(weight / (k + a))
    return coefficients


def asymptotic_coefficients(a: Any, dtype: DTypeLike) -> list[Any]:
    """`c_k = (1-a)_k` with `u^(1-a) e^-u int^u x^(a-1) e^x dx ~ sum_(k >= 0) c_k u^-k`."""
    coefficients = [1.0 + 0 * a]
    for k in range(1, expansion(dtype).asymptotic_terms):
        coefficients.append(coefficients[-1] * (k - a))
    return coefficients


def polynomial(coefficients: Coefficients, x: Float[Array, "..."]) -> Array:
    """`sum_k c_k x^k`."""
    total = jnp.zeros_like(x)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def divided_difference(
    coefficients: Coefficients, x0: Float[Array, "..."], x: Float[Array, "..."]
) -> tuple[Array, Array]:
    """`P(x0)` and `(P(x) - P(x0)) / (x - x0)` for the polynomial `P`, without the subtraction.

    The second is the polynomial that Horner's scheme at `x0` leaves behind, taken at `x`.
    """
    value = jnp.zeros_like(x0)
    slope = jnp.zeros_like(x)
    for c in reversed(coefficients):
        slope = slope * x + value
        value = value * x0 + c
    return value, slope


def largest_logit(dtype: DTypeLike) -> float:
    """The logit beyond which no time has a float, over no rate of learning."""
    return expansion(dtype).end
