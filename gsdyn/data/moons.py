"""Two moons that one axis separates, or just fails to (P21 section 4.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gsdyn import _checks


class Moons(NamedTuple):
    """The points `x` (n, 2) and their labels `y` (n,), -1 or +1.

    >>> points = gs.data.moons(4)
    >>> print(points.x.shape, points.y)
    (4, 2) [ 1.  1. -1. -1.]
    """

    x: Float[Array, "n 2"]
    y: Float[Array, " n"]


def moons(n: int = 300, *, margin: float = 0.1, noise: float = 0.1, seed: int = 0, rotation: float = 0.0) -> Moons:
    """Two moons whose first coordinate has the sign opposite to the label, with a margin.

    From scikit-learn's `make_moons` points `(p, q)` with labels `y`, as in the authors' code:

        x_2 = p - 0.5,    q' = q - 0.3 y,    x_1 = -y (|q' - mean(q')| + margin)

    so the first axis alone separates the classes by `2 margin` for `margin > 0` (the paper shows
    +0.1), while for `margin < 0` (-0.1) they overlap along it and only a curve separates them.

    - `n`: points, at least 2.
    - `margin`: finite.
    - `noise`: the standard deviation of the points about the moons, finite and >= 0.
    - `seed`: an integer in [0, 2^32).
    - `rotation`: degrees by which the points are then turned about 0, clockwise as in the authors' code; finite.

    Raises `ValueError` outside these ranges.

        >>> points = gs.data.moons(300, margin=-0.1, seed=1)
        >>> print(points.x.shape)
        (300, 2)
    """
    n, seed = _checks.integer("n", n, 2), _checks.integer("seed", seed, 0, 2**32 - 1)
    margin, rotation = (
        _checks.number(name, value, "finite", math.isfinite)
        for name, value in (("margin", margin), ("rotation", rotation))
    )
    noise = _checks.number("noise", noise, "finite and >= 0", lambda v: 0 <= v < math.inf)
    from sklearn.datasets import make_moons  # a second, on first use

    points, moon = (np.asarray(a) for a in make_moons(n, noise=noise, random_state=seed))
    y = 2.0 * moon - 1.0
    q = points[:, 1] - 0.3 * y
    x = np.stack([-y * (abs(q - q.mean()) + margin), points[:, 0] - 0.5], axis=1)
    if rotation:
        c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
        x = x @ np.array([[c, -s], [s, c]])
    return Moons(jnp.asarray(x, float), jnp.asarray(y, float))
