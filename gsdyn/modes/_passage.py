"""The time cross-entropy needs along a hyperbola, by quadrature, and its inverse (C18-Eq20, Eq21).

With `theta' = 2 r / (1 + e^u)` the time is `1/(2 r)` times `T(a) = int_0^a (w + e^u(s)) ds`, `w = 1`; softmax over
C classes has `w = C - 1`. The integrand is almost constant over most of the path and then grows doubly
exponentially, so the path is cut at the logits -1, 0 and 1: between -1 and 1 the part beyond a constant,
`e^u - 1`, is integrated over the angle, and outside over the logit, where it is `e^u / sqrt(u^2 + kappa^2)`. Of
every part only the last 40 units before its larger end count. Four Gauss-Legendre panels of twenty nodes then
reach rounding on each.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn.modes._arrays import elementwise
from gsdyn.modes.hyperbola import angle_between, inverse_power_of_two, logit_at
from gsdyn.special import largest_logit

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_PANELS = 4
_REACH = 40.0
_MAX_STEPS = 60


def _scaled_time(angle: Array, u0: Array, u: Array, growing: Array, shrinking: Array, w: Array, scale: Array) -> Array:
    """`T e^-scale` for one path from the logit `u0` to `u`, where `scale >= u`, so that nothing overflows."""
    kappa2 = growing * shrinking
    below, middle, above = _crossings(angle, u0, u, growing, shrinking)

    def over_angle(s):
        # the bound holds on the part itself; elsewhere it is empty but still evaluated
        return jnp.exp(-scale) * jnp.expm1(jnp.minimum(logit_at(s, u0, growing, shrinking), 2))

    def over_logit(x):
        return jnp.exp(x - scale) / jnp.sqrt(x * x + kappa2)

    # each end moves exactly one of the parts, also where it lies on a cut, or on the other end
    low, high = jnp.where(u <= -1, u, -1), jnp.where(u0 >= 1, u0, 1)
    first = jnp.where((u0 < -1) | (u <= -1), u0, low)
    angles = (
        jnp.stack([below, jnp.maximum(middle, above - _REACH)]),
        jnp.stack([jnp.minimum(middle, below + _REACH), above]),
    )
    logits = (
        jnp.stack([jnp.maximum(first, low - _REACH), jnp.maximum(high, u - _REACH)]),
        jnp.stack([low, jnp.where(u > 1, u, high)]),
    )
    # panels of equal length in the angle, and in the logarithm of the logit
    growth = jnp.log(logits[1] / logits[0])

    def panel(total, edge):
        # counted back from the end, which carries the most and must be exact
        back = jnp.stack([edge - 1, edge - 1 + 1 / _PANELS])[:, None]
        part = _gauss(over_angle, *(angles[1][None] + back * (angles[1] - angles[0])[None]))
        return total + part + _gauss(over_logit, *(logits[1][None] * jnp.exp(back * growth[None]))), None

    constant = (w * angle + (above - below)) * jnp.exp(-scale)
    return jax.lax.scan(panel, constant, jnp.arange(_PANELS, dtype=angle.dtype) / _PANELS)[0]


def _gauss(integrand, start: Array, stop: Array) -> Array:
    """The sum of the integrals over the ranges `[start, stop]`, by one Gauss-Legendre rule each."""
    nodes, weights = (jnp.asarray(v, start.dtype)[None] for v in (_NODES, _WEIGHTS))
    half = ((stop - start) / 2)[:, None]
    return jnp.sum(half * weights * integrand(start[:, None] + half * (1 + nodes)))


def _crossings(angle: Array, u0: Array, u: Array, growing: Array, shrinking: Array) -> Array:
    """The angles at which the logit crosses -1, 0 and 1; 0 or `angle` for what lies before or after the path."""

    def crossing(level):
        inside = (u0 < level) & (level < u)
        found = angle_between(u0, jnp.where(inside, level, u0), growing, shrinking)
        return jnp.where(inside, found, jnp.where(level < u, 0, angle))

    return jax.vmap(crossing)(jnp.array([-1, 0, 1], angle.dtype))


def _time(angle, u0, u, growing, shrinking, pace, w):
    scale = jax.lax.stop_gradient(jnp.maximum(u, 0))
    # e^(u/2) twice: the time may fit where e^u does not
    half = jnp.exp(jnp.minimum(scale, largest_logit(u.dtype)) / 2)
    # and in units of the pace, whose square derivatives divide by
    unit = inverse_power_of_two(pace)
    return _scaled_time(angle, u0, u, growing, shrinking, w, scale) * half * unit / (pace * unit) * half


class _Search(NamedTuple):
    low: Array
    high: Array
    angle: Array
    going: Array
    steps: Array


def _upper_bound(time: Array, log_time: Array, u0: Array, growing: Array, shrinking: Array, end: Array, w: Array):
    """An angle at which `T >= time`, close enough for a few steps to finish; the time itself may be infinite."""
    # the integrand exceeds w, and w + 1 from logit 0 on
    crosses = (growing > 0) & (shrinking > 0)
    zero = jnp.log(jnp.where(crosses, shrinking, 1) / jnp.where(crosses, growing, 1)) / 2
    zero = jnp.where(crosses, jnp.maximum(zero, 0), jnp.where(growing > 0, 0, jnp.inf))
    beyond = time > w * zero
    slow = jnp.where(beyond, (time + jnp.where(beyond, zero, 0)) / (w + 1), time / w)
    # e^u - e^u0 = int e^x sqrt(x^2 + kappa^2) ds <= time * (the largest root)
    kappa, speed = jnp.sqrt(growing * shrinking), (growing + shrinking) / 2
    u = 2 * (jnp.maximum(u0, 0) + jnp.logaddexp(0, log_time) + jnp.log1p(kappa + jnp.abs(u0))) + 5
    for _ in range(5):
        root = jnp.maximum(speed, jnp.sqrt(u * u + kappa * kappa))
        u = jnp.logaddexp(u0, log_time + jnp.log(root))
    u = u + 8 * jnp.finfo(u.dtype).eps * (1 + jnp.abs(u))
    never = (growing == 0) & (u >= 0) | (growing + shrinking == 0)
    safe = jnp.where(never, u0, u)
    fast = jnp.where(never, jnp.inf, angle_between(u0, safe, growing, shrinking))
    return jnp.minimum(jnp.minimum(slow, fast), end)


def _step(time, log_time, u0, growing, shrinking, w, angle):
    """`T - time` at an angle, up to scale, with Newton's and Halley's next angle, and `du/da`."""
    u = jnp.maximum(logit_at(angle, u0, growing, shrinking), u0)
    scale = jnp.maximum(u, 0)
    excess = _scaled_time(angle, u0, u, growing, shrinking, w, scale)
    excess = excess - jnp.where(u > 0, jnp.exp(log_time - scale), time)
    newton = -excess / (w * jnp.exp(-scale) + jnp.exp(u - scale))
    speed = (growing * jnp.exp(angle) + shrinking * jnp.exp(-angle)) / 2
    bend = jnp.clip(newton * speed, -1, 1) * jax.nn.sigmoid(u - jnp.log(w)) / 2
    return excess, angle + newton, angle + newton / (1 + bend), speed


@jax.custom_jvp
def _angle_after(t, u0, growing, shrinking, end, pace, w):
    tolerance = float(jnp.finfo(t.dtype).eps) ** 0.375
    positive = t > 0
    t = jnp.maximum(t, jnp.finfo(t.dtype).tiny)
    time, log_time = jnp.maximum(pace * t, jnp.finfo(t.dtype).tiny), jnp.log(pace) + jnp.log(t)
    high = _upper_bound(time, log_time, u0, growing, shrinking, end, w)

    def body(s: _Search) -> _Search:
        excess, newton, halley, speed = _step(time, log_time, u0, growing, shrinking, w, s.angle)
        low = jnp.where(excess < 0, s.angle, s.low)
        high = jnp.where(excess < 0, s.high, s.angle)
        middle = low + (high - low) / 2
        new = jnp.where((newton >= low) & (newton <= high), newton, middle)
        new = jnp.where((halley >= low) & (halley <= high), halley, new)
        change = jnp.abs(new - s.angle)
        near = change * jnp.maximum(jnp.maximum(1, speed), 1 / s.angle) <= tolerance
        return _Search(low, high, new, ~near, s.steps + 1)

    start = _Search(jnp.zeros_like(high), high, high, positive & (high > 0), jnp.zeros((), int))
    found = jax.lax.while_loop(lambda s: s.going & (s.steps < _MAX_STEPS), body, start)
    return jnp.where(positive, found.angle, 0)


@_angle_after.defjvp
def _angle_after_jvp(primals, tangents):
    t, u0, growing, shrinking, end, pace, w = primals
    dt, du0, dgrowing, dshrinking, dend, dpace, dw = tangents
    angle = _angle_after(*primals)
    u = jnp.maximum(logit_at(angle, u0, growing, shrinking), u0)
    scale = jax.lax.stop_gradient(jnp.maximum(u, 0))

    def scaled(u0, growing, shrinking, w):
        u = logit_at(angle, u0, growing, shrinking)
        return _scaled_time(angle, u0, u, growing, shrinking, w, scale)

    _, moved = jax.jvp(scaled, (u0, growing, shrinking, w), (du0, dgrowing, dshrinking, dw))
    slope = w * jnp.exp(-scale) + jnp.exp(u - scale)
    half = jnp.exp(-scale / 2)
    change = (half * pace * half * dt + half * t * half * dpace - moved) / slope
    return angle, jnp.where(angle >= end, dend, change)


_time_along = elementwise(_time)
_angle_along = elementwise(_angle_after)


def time_along(
    angle: Array, u0: Array, u: Array, growing: Array, shrinking: Array, pace: ArrayLike = 1.0, w: ArrayLike = 1.0
) -> Array:
    """`T / pace` for `T = int_0^a (w + e^u(s)) ds`, an angle `a` and the logits `u0`, `u` at its ends."""
    return _time_along(angle, u0, u, growing, shrinking, *_like(angle, pace, w))


def angle_after(
    t: Array,
    u0: Array,
    growing: Array,
    shrinking: Array,
    end: Array,
    pace: ArrayLike = 1.0,
    w: ArrayLike = 1.0,
) -> Array:
    """The angle at which `T` is `pace * t`, which need have no float, or `end` if the path ends before."""
    return _angle_along(t, u0, growing, shrinking, end, *_like(t, pace, w))


def _like(x: Array, *values: ArrayLike) -> list[Array]:
    return [jnp.broadcast_to(jnp.asarray(v, x.dtype), x.shape) for v in values]
