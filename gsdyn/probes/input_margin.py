"""The margin in input space: how far every example lies from where the network's decision turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision

BATCH = 16
COARSE, FINE, CANDIDATES = 8, 32, 8
"""Halvings along every ray, and then along those rays that came out shortest."""


class InputMargins(NamedTuple):
    """Margins in input space.

    - `distance`: from every example to the nearest change of the decision, shape (n,); `reach` where none was met.
    - `margin`: the same with the sign of the decision: negative for an example on the wrong side.
    - `nearest`: the point where the decision changes, shape (n, d).

        >>> found = gs.probes.input_margin(net.apply, params, x, y)
        >>> print(found.nearest.shape)
        (4, 2)
    """

    distance: Float[Array, " n"]
    margin: Float[Array, " n"]
    nearest: Float[Array, "n d"]


def circle(count: int, dtype: Any = float) -> Float[Array, "count 2"]:
    """`count` directions of the plane, evenly spaced."""
    angle = jnp.arange(count, dtype=dtype) * (2 * jnp.pi / count)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


@full_precision
def input_margin(
    apply: Callable[[Any, Array], Array],
    params: Any,
    x: ArrayLike,
    y: ArrayLike,
    *,
    directions: ArrayLike | None = None,
    reach: ArrayLike = 4.0,
    shells: int = 100,
) -> InputMargins:
    """The distance from every example to the decision boundary `f = 0`, by bisection along many directions.

    Around each example shells of growing radius are looked at in all directions, until some shell has a point of the
    other decision; along the directions that meet it bisection finds where the decision changes. With D directions of
    the plane the distance to a flat boundary comes out at most `1/cos(pi/D)` times too large (1.0001 for the default),
    and never too small; an excursion of the boundary thinner than `reach/shells` may be missed.

    - `apply`, `params`: the network, from inputs (m, d) to outputs (m,) or (m, 1).
    - `x`, `y`: examples (n, d) and their labels -1 or +1 (n,).
    - `directions`: unit vectors (D, d); default 200 evenly spaced ones in the plane, and needed for d > 2.
    - `reach`: how far to look, > 0. `shells`: in how many shells, at least 1.

    Raises `ValueError` for inputs of wrong shape or outside their domain.

        >>> found = gs.probes.input_margin(net.apply, params, x, y)
        >>> print(found.distance.shape)
        (4,)
    """
    x = _checks.finite("x", x, ndim=2)
    y = _checks.labels("y", y).astype(x.dtype)
    _checks.same_length("y", y, "x", x)
    _checks.integer("shells", shells, 1)
    reach = _checks.positive("reach", reach, ndim=0).astype(x.dtype)
    _checks.function("apply", apply)
    if directions is None:
        if x.shape[1] != 2:
            raise ValueError(f"directions must be given beyond the plane, got inputs of {x.shape[1]} columns")
        directions = circle(200, x.dtype)
    directions = _checks.finite("directions", directions, ndim=2).astype(x.dtype)
    if directions.shape[1] != x.shape[1]:
        raise ValueError(f"directions must have {x.shape[1]} columns, got shape {directions.shape}")
    return _margins(apply, params, x, y, directions, reach, shells)


@eqx.filter_jit
def _margins(apply, params, x, y, rays, reach, shells) -> InputMargins:
    def out(x: Array) -> Array:
        return _checks.one_output(apply(params, x), x.shape[0])

    f = out(x)
    width = reach / shells

    def turned(x: Array, rays: Array, radius: Array, side: Array) -> Array:
        """Along which rays (p, d) from `x` (d,) the decision at `radius` (p,) is another than at x."""
        return (out(x[None, :] + radius[:, None] * rays) > 0) != side

    def halved(x: Array, rays: Array, low: Array, high: Array, side: Array, times: int) -> tuple[Array, Array]:
        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            beyond = turned(x, rays, middle, side)
            return jnp.where(beyond, low, middle), jnp.where(beyond, middle, high)

        return jax.lax.fori_loop(0, times, halve, (low, high))

    def one(part):
        x, side = part

        def search(state):
            shell, _ = state
            radius = jnp.broadcast_to((shell + 1).astype(x.dtype) * width, rays.shape[:1])
            return shell + 1, turned(x, rays, radius, side)

        def unmet(state):
            shell, met = state
            return (shell < shells) & ~jnp.any(met)

        start = jnp.zeros((), int), jnp.zeros(rays.shape[:1], bool)
        count, met = jax.lax.while_loop(unmet, search, start)
        # a ray that does not turn in this shell is no candidate: its interval is pushed out of reach
        low = jnp.broadcast_to((count - 1).astype(x.dtype) * width, rays.shape[:1])
        low, high = halved(x, rays, low, low + width, side, COARSE)
        order = jnp.argsort(jnp.where(met, high, jnp.inf))[:CANDIDATES]
        low, high = halved(x, rays[order], low[order], high[order], side, FINE)
        radius = jnp.where(met[order], (low + high) / 2, jnp.inf)
        best = jnp.argmin(radius)
        distance = jnp.minimum(radius[best], reach)
        return distance, x + distance * rays[order][best]

    # neighbours in |f| are met in shells of like number, so that no batch waits long for one of its examples
    order = jnp.argsort(jnp.abs(f))
    distance, nearest = jax.lax.map(one, (x[order], f[order] > 0), batch_size=BATCH)
    back = jnp.argsort(order)
    distance, nearest = distance[back], nearest[back]
    right = (f > 0) == (y > 0)
    return InputMargins(distance, jnp.where(right, distance, -distance), nearest)
