"""The clock of one mode at any depth: `int x^(a-1) (1 + e^x) dx` with `a = 2/N - 1`, and its inverse (C18-Eq4).

A learning time is a difference between two logits, and every difference here is taken before anything can
cancel: a short time has as many right digits as a long one, and depth two, `a = 0`, is no limit to approach.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.special._arguments import on_reals
from gsdyn.special._expansion import (
    asymptotic_coefficients,
    divided_difference,
    exp_power,
    expansion,
    polynomial,
    power_coefficients,
)


def time_integral(u0: ArrayLike, u: ArrayLike, a: ArrayLike) -> Float[Array, "..."]:
    """The time a mode takes from logit `u0` to logit `u`, before its rate (C18-Eq4, in closed form).

    `int_u0^u x^(a-1) (1 + e^x) dx = Psi(u) - Psi(u0)`, with `a = 2/N - 1` at depth `N` and `Psi` the
    `depth_primitive`; `a = 0` (N = 2) gives `log u + Ei(u) - log u0 - Ei(u0)`, `a = -1` is infinite depth.

    **Arguments:** `u0`, `u`: positive and finite, of shapes that broadcast; `a` in [-1, 0], which may be an
    array or traced, and which derivatives go through too.

    **Returns:** the integral, negative for `u < u0`, to about 1e-15 of itself (3e-7 in float32) however close
    `u` is to `u0`. It overflows to infinity where it exceeds the float range, at `u` about 716 (float32: 93).

    **Raises:** `ValueError` if `a` is outside [-1, 0].

        >>> print(f"{gs.special.time_integral(0.1, 2.0, 0.0):.4f}")
        9.5728
    """
    return _time_integral(u0, u, _check_power(a))


def inverse_time_integral(u0: ArrayLike, time: ArrayLike, a: ArrayLike) -> Float[Array, "..."]:
    """The logit that a mode reaches from `u0` in a given time: the inverse of `time_integral` in `u`.

    `du/dtime = u^(1-a) / (1 + e^u)`, and the derivatives in `u0` and `a` follow from the integral's.

    **Arguments:** `u0`: positive and finite; `time`: `>= 0`, up to the largest float; `a` in [-1, 0]. Shapes
    broadcast.

    **Returns:** `u >= u0`, to one unit in the last place of `u` and three of `time`. Where `u0^a` is huge that
    may leave `u` few digits: at `u0 = 1e-12, N = 64` the time at `u = 3` tells it to 3e-5 only.

    **Raises:** `ValueError` if `a` is outside [-1, 0].

        >>> print(f"{gs.special.inverse_time_integral(0.1, gs.special.time_integral(0.1, 2.0, 0.0), 0.0):.4f}")
        2.0000
    """
    return _inverse_time_integral(u0, time, _check_power(a))


def depth_primitive(u: ArrayLike, a: ArrayLike) -> Float[Array, "..."]:
    """`Psi(u) = (u^a / a) (1 + 1F1(a; a + 1; u))`, the primitive of `u^(a-1) (1 + e^u)` (C18-Eq4).

    **Arguments:** `u`: positive; `a` in (-1, 0), where it is finite. For a time, a difference of two values,
    `time_integral` is the accurate and the more general way.

    **Returns:** `Psi(u)`, to about 1e-15 of the larger of itself and its pole term `2 u^a / a`.

    **Raises:** `ValueError` if `a` is outside (-1, 0).

        >>> print(gs.special.depth_primitive(np.array([0.5, 2.0]), -0.5))
        [-4.112  1.511]
    """
    return _depth_primitive(u, _checks.require("a", a, "inside (-1, 0)", lambda v: (v > -1) & (v < 0)))


def _check_power(a: ArrayLike) -> Array:
    return _checks.require("a", a, "in [-1, 0]", lambda v: (v >= -1) & (v <= 0))


@on_reals
def _time_integral(u0: Array, u: Array, a: Array) -> Array:
    u0, u, a = _checks.together(u0=u0, u=u, a=a)
    return passage_time(u0, u, a, jnp.ones_like(a))


@on_reals
def _inverse_time_integral(u0: Array, time: Array, a: Array) -> Array:
    u0, time, a = _checks.together(u0=u0, time=time, a=a)
    return logit_after(u0, time, a, jnp.ones_like(a))


@on_reals
def _depth_primitive(u: Array, a: Array) -> Array:
    return _primitive_in_a(0, *_checks.together(u=u, a=a))


def passage_time(u0: Array, u: Array, a: Array, pace: Array) -> Array:
    """`time_integral(u0, u, a) / pace`, which may have a float where the integral has none; arrays of one shape."""
    return _moment(_SIGMOID, 0, u0, u, a, pace)


def free_passage_time(u0: Array, u: Array, a: Array, pace: Array) -> Array:
    """`int_u0^u x^(a-1) dx / pace`: the time of a mode whose pull is 1 throughout; arrays of one shape."""
    return _moment(_CONSTANT, 0, u0, u, a, pace)


def logit_after(u0: Array, time: Array, a: Array, pace: Array) -> Array:
    """`inverse_time_integral(u0, pace * time, a)`, though the product may have no float; arrays of one shape."""
    return _logit_after(u0, time, a, pace)


class _Pull(NamedTuple):
    """A pull `g` on a logit, by the time `int x^(a-1) / g(x) dx` that it takes."""

    rise: Callable[[Array, Array, Array, Array], Array]
    speed: Callable[[Array, Array, Array], Array]


def _in_a(function: Callable[[Array], Array], order: int) -> Callable[[Array], Array]:
    """The derivative of some order of an elementwise function."""
    if order == 0:
        return function
    lower = _in_a(function, order - 1)
    return lambda a: jax.jvp(lower, (a,), (jnp.ones_like(a),))[1]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _moment(pull: _Pull, order: int, u0: Array, u: Array, a: Array, pace: Array) -> Array:
    """`int_u0^u x^(a-1) (log x)^order / g(x) dx / pace`, the time's derivative in `a` of this order.

    Its derivatives are known, so that none ever goes through the expansions but in `a`.
    """
    # Behind the barrier `a` is an array of its own. Else XLA makes a program of every coefficient of a scalar
    # `a`, and keeps all of them from one call to the next, in memory.
    u0, u, a, pace = jax.lax.optimization_barrier((u0, u, a, pace))
    low, high = jnp.minimum(u0, u), jnp.maximum(u0, u)
    time = jnp.where(low == high, 0, _in_a(lambda a: pull.rise(low, high, a, pace), order)(a))
    return jnp.where(u < u0, -time, time)


@partial(_moment.defjvp, symbolic_zeros=True)
def _moment_jvp(pull, order, primals, tangents):
    u0, u, a, pace = primals
    value = _moment(pull, order, *primals)
    tangent = jnp.zeros_like(value)
    for x, sign, dx in ((u, 1, tangents[1]), (u0, -1, tangents[0])):
        if not isinstance(dx, SymbolicZero):
            tangent = tangent + sign * pull.speed(x, a, pace) * jnp.log(x) ** order * dx
    if not isinstance(tangents[2], SymbolicZero):
        tangent = tangent + _moment(pull, order + 1, *primals) * tangents[2]
    if not isinstance(tangents[3], SymbolicZero):
        tangent = tangent - value / pace * tangents[3]
    return value, tangent


@jax.custom_jvp
def _logit_after(u0: Array, time: Array, a: Array, pace: Array) -> Array:
    largest = float(jnp.finfo(time.dtype).max)
    product = pace * time
    # where the logit alone says it all, and the time itself comes near the end of its range
    late = (product > largest**0.8) | (u0 > 0.9 * expansion(time.dtype).end / 2)
    u = _early(jnp.where(late, 1, u0), jnp.where(late, 1, product), a)
    u = jnp.where(late, _late(u0, jnp.log(pace) + jnp.log(time), a), u)
    at_the_ends = jnp.where(time == 0, u0, jnp.where(time == jnp.inf, time, jnp.nan))
    return jnp.where((time > 0) & (time < jnp.inf), u, at_the_ends)


@partial(_logit_after.defjvp, symbolic_zeros=True)
def _logit_after_jvp(primals, tangents):
    u0, time, a, pace = primals
    found = _logit_after(*primals)
    end = expansion(found.dtype).end
    u = jnp.where(found < jnp.inf, found, end)
    half = jnp.exp(-u / 2)
    # du/dT in two factors, for neither T nor e^u need have a float
    first, second = jnp.power(u, 1 - a) * half, half / (1 + half * half)
    tangent = jnp.zeros_like(u)
    if not isinstance(tangents[0], SymbolicZero):
        slower = jnp.exp((u0 - u) / 2)
        lag = slower * jnp.power(u0 / u, a - 1) * slower * ((1 + jnp.exp(-u0)) / (1 + jnp.exp(-u)))
        tangent = tangent + lag * tangents[0]
    if not isinstance(tangents[1], SymbolicZero):
        tangent = tangent + first * pace * second * tangents[1]
    if not isinstance(tangents[2], SymbolicZero):
        moment = _moment(_SIGMOID, 1, u0, u, a, jnp.exp(jnp.minimum(u, end) / 2))
        tangent = tangent - jnp.power(u, 1 - a) * moment * second * tangents[2]
    if not isinstance(tangents[3], SymbolicZero):
        tangent = tangent + first * time * second * tangents[3]
    return found, tangent


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _primitive_in_a(order: int, u: Array, a: Array) -> Array:
    """The derivative of the primitive in `a`, of this order."""
    u, a = jax.lax.optimization_barrier((u, a))
    return _in_a(lambda a: _primitive(u, a), order)(a)


@partial(_primitive_in_a.defjvp, symbolic_zeros=True)
def _primitive_in_a_jvp(order, primals, tangents):
    u, a = primals
    value = _primitive_in_a(order, u, a)
    tangent = jnp.zeros_like(value)
    if not isinstance(tangents[0], SymbolicZero):
        tangent = tangent + _speed(u, a, jnp.ones_like(a)) * jnp.log(u) ** order * tangents[0]
    if not isinstance(tangents[1], SymbolicZero):
        tangent = tangent + _primitive_in_a(order + 1, u, a) * tangents[1]
    return value, tangent


def _speed(u: Array, a: Array, pace: Array) -> Array:
    """`u^(a-1) (1 + e^u) / pace`, the derivative of the time in `u`, without forming `e^u`."""
    return jnp.power(u, a - 1) / pace + exp_power(u, a - 1, 1 / pace)


def _primitive(u: Array, a: Array) -> Array:
    switch, scale, *_ = expansion(u.dtype)
    low, high = jnp.minimum(u, switch), jnp.maximum(u, switch)
    v = low / scale
    rise = low / (1 + a) + v * v * polynomial(power_coefficients(a, u.dtype), v)
    half = jnp.exp(high / 2)
    tail = half * (half * (polynomial(asymptotic_coefficients(a, u.dtype), 1 / high) / high)) + 1 / a
    return jnp.power(u, a) * jnp.where(u > switch, tail, 2 / a + rise)


def _free_rise(u0: Array, u: Array, a: Array, pace: Array) -> Array:
    """`int_u0^u x^(a-1) dx / pace`."""
    spread = _log_ratio(u0, u)
    return jnp.power(u0, a) / pace * spread * _exprel(a * spread)


def _sigmoid_rise(u0: Array, u: Array, a: Array, pace: Array) -> Array:
    """`int_u0^u x^(a-1) (1 + e^x) dx / pace` for `u0 <= u`.

    That is what `1 + e^x` has at 0, and the two sides of the switch.
    """
    end = expansion(u.dtype).end
    beyond = u > end
    u0, u = jnp.minimum(u0, end), jnp.minimum(u, end)
    switch = jnp.full((), expansion(u.dtype).switch, u.dtype)
    power0, power, power_switch = jnp.power(u0, a), jnp.power(u, a), jnp.power(switch, a)
    early0, early = u0 < switch, u < switch
    rise = _rise(
        (jnp.minimum(u0, switch), jnp.where(early0, power0, power_switch)),
        (jnp.minimum(u, switch), jnp.where(early, power, power_switch)),
        a,
    )
    tail = _tail(
        (jnp.maximum(u0, switch), jnp.where(early0, power_switch, power0)),
        (jnp.maximum(u, switch), jnp.where(early, power_switch, power)),
        a,
        pace,
    )
    # times one that depends on `a`, so that what is infinite has infinite derivatives
    return jnp.where(beyond, jnp.inf * power, 2 * _free_rise(u0, u, a, pace) + rise / pace + tail)


def _rise(start: tuple[Array, Array], end: tuple[Array, Array], a: Array) -> Array:
    """`int x^(a-1) (e^x - 1) dx` between two ends `(u, u^a)` up to the switch."""
    (u0, power0), (u, power) = start, end
    scale = expansion(u.dtype).scale
    v0, v, gap = u0 / scale, u / scale, (u - u0) / scale
    spread = _log_ratio(u0, u)
    first = u * power * spread * _exprel(-(1 + a) * spread)
    # the rest is u^a v^2 p(v); its difference, one factor at a time
    value, slope = divided_difference(power_coefficients(a, u.dtype), v0, v)
    bend = power0 * jnp.expm1(a * spread) * (v0 * v0 * value)
    return first + (power * gap * (v * v * slope + (v + v0) * value) + bend)


def _tail(start: tuple[Array, Array], end: tuple[Array, Array], a: Array, pace: Array) -> Array:
    """`int x^(a-1) e^x dx / pace` between two ends `(u, u^a)` from the switch on."""
    (u0, _), (u, power) = start, end
    gap = u - u0
    value, slope = divided_difference(asymptotic_coefficients(a, u.dtype), 1 / u0, 1 / u)
    grown = -jnp.expm1(-(gap + (a - 1) * _log_ratio(u0, u)))
    half = jnp.exp(u / 2)
    return half * (half * (power / u / pace * (grown * value - gap / (u * u0) * slope)))


def _log_ratio(u0: Array, u: Array) -> Array:
    """`log(u / u0)`, to the last digits also when the two are close."""
    ratio = u / u0
    apart = ratio != 1
    safe = jnp.where(apart, ratio, 2)
    # log(r) / (r - 1) is flat near r = 1, so the rounding of r does no harm
    return (u - u0) / u0 * jnp.where(apart, jnp.log(safe) / (safe - 1), 1)


def _exprel(z: Array) -> Array:
    """`(e^z - 1) / z`, with right derivatives at 0."""
    small = jnp.abs(z) < 0.5
    near, far = jnp.where(small, z, 0), jnp.where(small, 1, z)
    series = jnp.ones_like(z)
    for k in range(16, 1, -1):
        series = 1 + series * near * (1 / k)
    return jnp.where(small, series, jnp.expm1(far) / far)


_SIGMOID, _CONSTANT = _Pull(_sigmoid_rise, _speed), _Pull(_free_rise, lambda u, a, pace: jnp.power(u, a - 1) / pace)


def _early(u0: Array, time: Array, a: Array) -> Array:
    """`u` with `time_integral(u0, u, a) = time`, where the time has its float."""
    one = jnp.ones_like(u0)
    # the time since u = 1, on which the fitted starts depend
    total = jnp.minimum(time + _moment(_SIGMOID, 0, one, u0, a, one), jnp.finfo(time.dtype).max)
    start = jnp.where(total > 0, _late_start(total, a), _early_start(total, a))
    return jax.lax.fori_loop(0, 3, lambda _, u: _step(u0, u, time, a), jnp.maximum(start, u0))


def _late(u0: Array, log_time: Array, a: Array) -> Array:
    """The same from the logarithm of the time, where only `e^u` counts: `log Psi(u) = log(T + Psi(u0))`."""

    def log_primitive(u):
        return u + (a - 1) * jnp.log(u) + jnp.log(polynomial(asymptotic_coefficients(a, u.dtype), 1 / u))

    since = jnp.logaddexp(log_time, log_primitive(jnp.maximum(u0, expansion(u0.dtype).switch)))
    since = jnp.maximum(since, expansion(u0.dtype).switch)
    start = since + (1 - a) * jnp.log(since)

    def newton(_, u):
        return u - (log_primitive(u) - since) / (1 + (a - 1) / u)

    return jnp.maximum(jax.lax.fori_loop(0, 4, newton, start), u0)


def _early_start(total: Array, a: Array) -> Array:
    """`u < 1` within 12% from the primitive that vanishes at 1, fitted between the limits `u -> 1` and `u -> 0`."""
    time, decay = jnp.maximum(-total, 0), jnp.maximum(-a, 1e-6)
    c = (1.62 + decay * (4.76 + 0.83 * decay)) * (1 - 0.208 * decay * jnp.log1p(time))
    power = time * ((c + 0.859 * time) / (3.718 * c + 1.718 * time))
    return jnp.exp(-jnp.log1p(decay * power) / decay)


def _late_start(total: Array, a: Array) -> Array:
    """`u > 1` within 0.08, fitted to the inverse of `e^u u^(a-1)` and what is left of it."""
    s = jnp.log(jnp.maximum(total, 0) + jnp.exp(1.8972 - 0.088 * a))
    w = s + (1 - a) * jnp.log1p(s)
    bump = (1.2585 - 2.5292 * a) / (1 + jnp.square(1.2553 * (s - 1.9814)))
    return s + (1 - a) * jnp.log(w - (1.5057 + 1.4767 * a)) - bump


def _step(u0: Array, u: Array, time: Array, a: Array) -> Array:
    """One step of Halley's method on `time_integral(u0, u, a) = time`."""
    half = jnp.exp(-u / 2)
    decay = half * half
    miss = half * (_moment(_SIGMOID, 0, u0, u, a, jnp.ones_like(u)) - time) * half
    newton = u * (miss * jnp.power(u, -a)) / (1 + decay)
    bend = (a - 1) / u + 1 / (1 + decay)
    move = -newton / jnp.maximum(1 - newton * bend / 2, 0.5)
    # The start is nearer than `far`. A longer step only follows the rounding of a `time` that has no digit
    # left for `u`, as when u0^a is huge.
    far = 0.3 * jnp.minimum(u, 1)
    return jnp.maximum(u + jnp.clip(move, -far, far), u0)
