"""Gaussians whose centres lie evenly on a circle: the modes that a generator is to cover."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from gsdyn import _checks


def ring_centres(modes: int = 8, radius: float = 1.0) -> Float[Array, "modes 2"]:
    """The centres `radius (cos(2 pi j/modes), sin(2 pi j/modes))`.

    - `modes`: at least 1. `radius`: finite and > 0.

    Raises `ValueError` outside these ranges.

        >>> print(gs.data.ring_centres(4).shape)
        (4, 2)
    """
    modes = _checks.integer("modes", modes, 1)
    radius = _checks.number("radius", radius, "finite and > 0", lambda v: 0 < v < math.inf)
    angle = 2 * math.pi / modes * jnp.arange(modes, dtype=float)
    return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def ring(
    n: int, key: PRNGKeyArray, *, modes: int = 8, radius: float = 1.0, width: ArrayLike = 0.02
) -> Float[Array, "n 2"]:
    """Points of an even mixture of round Gaussians on a circle.

    - `n`: how many points, at least 1. `key`: a key of `jax.random`.
    - `modes`, `radius`: of `ring_centres`. `width`: the standard deviation of each Gaussian, finite and >= 0.

    C18 does not state the width; .01 to .02 at radius 1 is usual. Raises `ValueError` outside these ranges.

    Reference: C18 section 6; Lin et al., PacGAN (2018).

        points = gs.data.ring(2500, jax.random.key(0))

        >>> print(gs.data.ring(5, jax.random.key(0)).shape)
        (5, 2)
    """
    n = _checks.integer("n", n, 1)
    width = _checks.nonnegative("width", width, ndim=0)
    centres = ring_centres(modes, radius)
    which, where = jax.random.split(key)
    own = centres[jax.random.randint(which, (n,), 0, len(centres))]
    return own + width.astype(own.dtype) * jax.random.normal(where, (n, 2), own.dtype)
