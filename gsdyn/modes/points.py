"""The hinge loss on many points of one class, full batch, in closed form (C18-C.2).

Only the sum X of the points matters, so `w = w_perp + (y/|X|^2) X` with `(y, z)` on the hyperbola of one point
of norm |X|. **The paper stops there. Its formula holds until the first point reaches its margin:** that point
leaves the sum, and the rest go on with a shorter X. So the exact path is a chain of hyperbolas, one for
every set of points still below their margin (**beyond**).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._checks import together
from gsdyn._numerics.precision import full_precision
from gsdyn.modes._arrays import demand
from gsdyn.modes.hyperbola import angle_between

_BISECTIONS = 60


class _Leg(eqx.Module):
    """The path from a time on, under one sum of points; the last leg has `total = 0` and rests."""

    time: Float[Array, "..."]
    w: Float[Array, "... d"]
    z: Float[Array, "..."]
    total: Float[Array, "... d"]

    def at(self, elapsed: Array) -> tuple[Array, Array]:
        """`(w, z)` a time after the beginning of the leg, for one leg."""
        square = self.total @ self.total
        moving = square > 0
        norm = jnp.sqrt(jnp.where(moving, square, 1))
        y = self.w @ self.total
        step = jnp.where(moving, norm * elapsed, 0)
        # y cosh + r z sinh and z cosh + (y/r) sinh, with cosh - 1 kept exact
        half = jnp.sinh(step / 2)
        rise, run = 2 * half * half, jnp.sinh(step)
        gain = (y * rise + norm * self.z * run) / norm**2
        return self.w + gain * self.total, self.z * (1 + rise) + (y / norm) * run


class HingePoints(eqx.Module):
    """One neuron that learns m points of one class under hinge, full batch (C18-C.2).

        w' = p z sum_i x_i,    z' = p sum_i w.x_i,    over the points with `z w.x_i < 1`

    Under H1-H3 no margin ever falls, so every point stops once.

    **Arguments:** `points`: shape (m, d), with positive inner products (H1). `w0`: shape (d,), with `w0.x_i > 0`
    for every point (H2). `z0 > 0` (H3) and `rate` p > 0, numbers.

    **Raises:** `ValueError` if the shapes do not fit or H1, H2 or H3 does not hold.

    **Methods:** `logit(x, t)` and `free_logit(x, t)`, `margins(t)`, `weights(t)`; `stops`.

        >>> points = gs.modes.HingePoints(points=[[1.0, 0.0], [0.8, 0.6]], w0=[0.1, 0.1], z0=0.1)
        >>> print(points.stops, points.margins(np.array([0.0, 1.0])))
        [1.177 1.156] [[0.01  0.014]
         [0.526 0.556]]
    """

    points: Float[Array, "m d"]
    w0: Float[Array, " d"]
    z0: Float[Array, ""]
    rate: Float[Array, ""]

    def __init__(self, points: ArrayLike, w0: ArrayLike, z0: ArrayLike, rate: ArrayLike = 1.0):
        points, w0 = _checks.finite("points", points, ndim=2), _checks.finite("w0", w0, ndim=1)
        if points.shape[1:] != w0.shape:
            raise ValueError(f"w0 must have shape {points.shape[1:]}, got {w0.shape}")
        z0, rate = _checks.positive("z0", z0, ndim=0), _checks.positive("rate", rate, ndim=0)
        if points.size == 0:
            raise ValueError(f"points must not be empty, got shape {points.shape}")
        points, w, z, p = together(points=points, w0=jnp.broadcast_to(w0[None], points.shape), z0=z0, rate=rate)
        self.z0, self.rate = z[0, 0], p[0, 0]
        self.points = demand(points, points @ points.T > 0, "points must have positive inner products")
        self.w0 = demand(w[0], points @ w[0] > 0, "w0 must have w0.x > 0 for every point")

    @property
    @full_precision
    def stops(self) -> Float[Array, " m"]:
        """The time at which every point reaches its margin 1; 0 for one that starts beyond it."""
        return _path(self)[1] / self.rate

    @full_precision
    def weights(self, t: ArrayLike) -> tuple[Float[Array, "... d"], Float[Array, "..."]]:
        """`(w, z)` at times `t >= 0`."""
        return _weights(self, _checks.nonnegative("t", t).astype(self.z0.dtype))

    @full_precision
    def margins(self, t: ArrayLike) -> Float[Array, "... m"]:
        """The margin `z w.x_i` of every point at `t >= 0`."""
        return self.logit(self.points, _checks.nonnegative("t", t)[..., None])

    @full_precision
    def logit(self, x: ArrayLike, t: ArrayLike) -> Float[Array, "..."]:
        """The network's output `z max(w.x, 0)` on inputs `x`, shape (..., d), at times `t` that broadcast with it."""
        x, t = self._examples(x, t)
        w, z = _weights(self, t)
        return z * jnp.maximum(jnp.sum(w * x, axis=-1), 0)

    @full_precision
    def free_logit(self, x: ArrayLike, t: ArrayLike) -> Float[Array, "..."]:
        """The paper's `u <X, x>/|X|^2 + z w_perp.x` (C18-C.2), as if no point ever stopped.

        It is exact up to `min(stops)`.
        """
        x, t = self._examples(x, t)
        leg = _Leg(jnp.zeros_like(self.z0), self.w0, self.z0, jnp.sum(self.points, axis=0))
        w, z = _map_times(leg.at, self.rate * t)
        return z * jnp.sum(w * x, axis=-1)

    def _examples(self, x: ArrayLike, t: ArrayLike) -> tuple[Array, Array]:
        x = _checks.finite("x", x).astype(self.z0.dtype)
        t = _checks.nonnegative("t", t).astype(self.z0.dtype)
        if x.shape[-1:] != self.w0.shape:
            raise ValueError(f"x must have {self.w0.shape[0]} columns, got shape {x.shape}")
        shape = _checks.broadcastable(x=x[..., 0], t=t)
        return jnp.broadcast_to(x, (*shape, x.shape[-1])), jnp.broadcast_to(t, shape)


def _map_times(function, t: Array):
    w, z = jax.vmap(function)(t.reshape(-1))
    return w.reshape(*t.shape, w.shape[-1]), z.reshape(t.shape)


@eqx.filter_jit
def _weights(points: HingePoints, t: Array) -> tuple[Array, Array]:
    legs, _ = _path(points)

    def at(time):
        leg = jax.tree.map(lambda leaf: leaf[jnp.searchsorted(legs.time, time, side="right") - 1], legs)
        return leg.at(time - leg.time)

    return _map_times(at, points.rate * t)


@eqx.filter_jit
def _path(points: HingePoints) -> tuple[_Leg, Array]:
    """All legs in order, m + 1 of them, in the time of rate 1, and the time at which every point stops."""
    x = points.points

    def leg(carry, _):
        time, w, z, active, stops = carry
        active = active & (z * (x @ w) < 1)
        stops = jnp.where(active, stops, jnp.minimum(stops, time))
        here = _Leg(time, w, z, active.astype(w.dtype) @ x)
        elapsed = _first_margin(here, x, active)
        w, z = here.at(elapsed)
        # the point whose turn it was stops whatever rounding says
        left = jnp.where(active, z * (x @ w), -jnp.inf)
        active = active & (left < jnp.max(left) * (1 - 16 * jnp.finfo(w.dtype).eps))
        return (time + elapsed, w, z, active, stops), here

    infinite = jnp.full(x.shape[:1], jnp.inf, x.dtype)
    zero = jnp.zeros_like(points.z0)
    start = (zero, points.w0, points.z0, infinite > 0, infinite)
    (time, *_, stops), legs = jax.lax.scan(leg, start, None, length=x.shape[0] + 1)
    return legs, jnp.minimum(stops, time)


def _first_margin(leg: _Leg, x: Array, active: Array) -> Array:
    """The time from the beginning of a leg to the first active margin of 1; 0 if none is active."""

    def worst(elapsed):
        w, z = leg.at(elapsed)
        return jnp.max(jnp.where(active, z * (x @ w), -jnp.inf))

    square = leg.total @ leg.total
    any_active = active.any()
    norm = jnp.sqrt(jnp.where(any_active, square, 1))
    y = leg.w @ leg.total
    grow, shrink = (y + norm * leg.z) ** 2 / (2 * norm), (y - norm * leg.z) ** 2 / (2 * norm)
    # the margins sum to y z; when that is their number, one of them is 1
    count = jnp.sum(active).astype(y.dtype)
    u0 = jnp.where(any_active, y * leg.z, 1)
    high = angle_between(u0, jnp.maximum(count, u0), grow, shrink) / (2 * norm)

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        over = worst(middle) >= 1
        return jnp.where(over, low, middle), jnp.where(over, middle, high)

    bounds = (jnp.zeros_like(high), jax.lax.stop_gradient(high))
    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, jax.lax.stop_gradient(bounds))
    # one Newton step carries the derivative, which bisection has not
    root = jax.lax.stop_gradient((low + high) / 2)
    slope = jax.lax.stop_gradient(jax.grad(worst)(root))
    return jnp.where(any_active, root - (worst(root) - 1) / jnp.where(any_active, slope, 1), 0)
