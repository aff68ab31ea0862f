"""`log u + Ei(u)` and its inverse: the clock of one mode of depth two (C18-Thm3.2)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn.special._arguments import on_reals
from gsdyn.special._expansion import (
    asymptotic_coefficients,
    exp_power,
    expansion,
    polynomial,
    power_coefficients,
)

_EULER_GAMMA = 0.5772156649015329
_EXP_MINUS_HALF_GAMMA = 0.749306001288449

# Both starts were fitted to the inverse: the early one to 4e-4 of u up to u = 1.5, the late one to 0.007 above.
_START_SWITCH = 3.2466


@on_reals
def log_plus_ei(u: ArrayLike) -> Float[Array, "..."]:
    """`log u + Ei(u)`, the clock of one mode of depth two (C18-Thm3.2, Eq2).

    `log u + Ei(u) = 2 log u + gamma + sum_(k >= 1) u^k / (k k!)`, so both logarithms count at `u -> 0`. The
    derivative is `(1 + e^u) / u`.

    **Arguments:** `u`: any shape, positive.

    **Returns:** the value, with the shape and dtype of `u`, to 2e-15 of itself or of 1, whichever is larger
    (float32: 5e-7). It is infinite where it exceeds the float range, above `u = 716` (float32: 92). NaN for
    `u < 0`.

        >>> print(gs.special.log_plus_ei(np.array([0.1, 1.0])))
        [-3.925  1.895]
    """
    return _log_plus_ei(u)


@on_reals
def inverse_log_ei(x: ArrayLike) -> Float[Array, "..."]:
    """The logit `u > 0` with `log u + Ei(u) = x` (C18-Thm3.2, Eq2).

    `u ~ exp((x - gamma)/2)` for `x -> -inf`, `u ~ log(x log x)` for large `x`, and `du/dx = u / (1 + e^u)`.

    **Arguments:** `x`: any shape, any real. Every float `x` has its `u`, at most 716.4 (float32: 92.4), so
    no logarithmic time is needed.

    **Returns:** `u`, with the shape and dtype of `x`, within 3 units in the last place. It is 0 where
    `exp(x / 2)` underflows.

        >>> print(gs.special.inverse_log_ei(gs.special.log_plus_ei(np.array([0.1, 1.0]))))
        [0.1 1. ]
    """
    return _inverse_log_ei(x)


@jax.custom_jvp
def _log_plus_ei(u: Array) -> Array:
    switch, _, end, *_ = expansion(u.dtype)
    low = 2 * jnp.log(u) + _EULER_GAMMA + _rise(jnp.minimum(u, switch))
    high = jnp.clip(u, switch, end)
    # e^(u/2) twice: the result fits where e^u does not
    half = jnp.exp(high / 2)
    return jnp.where(u > switch, half * (_tail(high) / high) * half + jnp.log(high), low)


@_log_plus_ei.defjvp
def _log_plus_ei_jvp(primals, tangents):
    (u,) = primals
    slope = exp_power(u, -jnp.ones_like(u), jnp.ones_like(u)) + 1 / u
    return _log_plus_ei(u), tangents[0] * jnp.where(u < 0, jnp.nan, slope)


@jax.custom_jvp
def _inverse_log_ei(x: Array) -> Array:
    root = jnp.exp(x / 2) * _EXP_MINUS_HALF_GAMMA
    solvable = (root >= jnp.finfo(x.dtype).tiny) & (x < jnp.inf)
    root, safe = jnp.where(solvable, root, 1), jnp.where(solvable, x, 0)
    u = jnp.where(x > _START_SWITCH, _late_start(safe), _early_start(root))
    for _ in range(2):
        u = _step(u, safe, root)
    return jnp.where(solvable, u, jnp.maximum(x, 0))


@_inverse_log_ei.defjvp
def _inverse_log_ei_jvp(primals, tangents):
    (x,) = primals
    u = _inverse_log_ei(x)
    limits = expansion(u.dtype)
    half = jnp.exp(-jnp.minimum(u, limits.end) / 2)
    slope = (jnp.minimum(u, limits.end) * half) * (half / (1 + half * half))
    # `e^u/u` by the equation: a rounding of a large `u` is multiplied by it in `e^u`
    late = (u > limits.switch) & (x < jnp.inf)
    high = jnp.where(late, u, limits.switch)
    far = 1 / ((jnp.where(late, x, 1) - jnp.log(high)) / _tail(high) + 1 / high)
    return u, tangents[0] * jnp.where(late, far, slope)


def _early_start(root: Array) -> Array:
    """A start for `u`, given `root = exp((x - gamma) / 2) ~ u`."""
    root = jnp.minimum(root, 4)
    return root * (1 + 0.02444 * root) / (1 + root * (0.52734 + 0.00135 * root))


def _late_start(x: Array) -> Array:
    """A start for `u`, from `x ~ e^u / u`."""
    s = jnp.log(jnp.maximum(x, _START_SWITCH))
    w = s + jnp.log1p(s)
    return s + jnp.log(w) - (0.823 + w) / (14.2001 + w * (-7.35566 + w * 1.43792))


def _step(u: Array, x: Array, root: Array) -> Array:
    """One step of Halley's method on `log u + Ei(u) - x`, scaled by `e^-u`.

    For `x < 0` the same residual is `2 log(u e^(S/2) / root)`, `S` the sum in `log_plus_ei`: a large negative
    `x` then costs no digit.
    """
    switch = expansion(u.dtype).switch
    half = jnp.exp(-u / 2)
    decay = half * half
    low = jnp.minimum(u, switch)
    total = _rise(low)
    high = jnp.maximum(u, switch)
    early = jnp.where(
        x < 0,
        2 * jnp.log(low / (root * jnp.exp(-total / 2))),
        2 * jnp.log(low) + _EULER_GAMMA + total - x,
    )
    late = _tail(high) / high + jnp.log(high) * decay - half * x * half
    newton = u * jnp.where(u > switch, late, early * decay) / (1 + decay)
    bend = -1 / u + 1 / (1 + decay)
    return u - newton / (1 - newton * bend / 2)


def _rise(u: Array) -> Array:
    """`Ei(u) - log u - gamma = sum_(k >= 1) u^k / (k k!)`, up to the switch."""
    v = u / expansion(u.dtype).scale
    return u + v * v * polynomial(power_coefficients(0.0, u.dtype), v)


def _tail(u: Array) -> Array:
    """`u e^-u Ei(u)`, from the switch on."""
    return polynomial(asymptotic_coefficients(0.0, u.dtype), 1 / u)
