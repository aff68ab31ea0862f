"""A shortcut with large values beside a coordinate that is the label itself (Puli et al.)."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gsdyn import _checks


class LinearPerception(NamedTuple):
    """The points `x` (n, d), their labels `y` and their shortcuts `z` (n,), both -1 or +1.

    >>> points = gs.data.linear_perception(1000, 300, agreement=1.0)
    >>> print((points.z == points.y).all())
    True
    """

    x: Float[Array, "n d"]
    y: Float[Array, " n"]
    z: Float[Array, " n"]


def linear_perception(
    n: int = 1000, dimension: int = 300, *, strength: float = 10.0, agreement: float = 0.9, seed: int = 0
) -> LinearPerception:
    """Points whose second coordinate is the label, and whose first is a stronger one that only mostly agrees (Puli).

        x = (B z, y, noise),    P(z = y) = agreement,    noise standard normal in d - 2 coordinates

    The label can be read off without an error, yet the widest margin uses the shortcut z as well. Under spectral
    decoupling the optimum is `w = f* e_y` for d < n, nothing on the shortcut, and `f* X^T (X X^T)^-1 y` for d > n: see
    `gsdyn reproduce perception`.

    - `n`: points, at least 1. `dimension`: d, at least 2.
    - `strength`: B, finite and > 0.
    - `agreement`: the probability that the shortcut is the label, in [0, 1]: 0.9 to train, 0.1 to test.
    - `seed`: an integer in [0, 2^32).

    Raises `ValueError` outside these ranges.

    Reference: Puli, Zhang, Wald, Ranganath, Don't blame dataset shift! Shortcut learning due to gradients and cross
    entropy (2023), arXiv:2308.12553, section 2.

        >>> points = gs.data.linear_perception(1000, 300)
        >>> print(points.x.shape, (points.x[:, 1] == points.y).all())
        (1000, 300) True
    """
    n, dimension = _checks.integer("n", n, 1), _checks.integer("dimension", dimension, 2)
    seed = _checks.integer("seed", seed, 0, 2**32 - 1)
    strength = _checks.number("strength", strength, "finite and > 0", lambda v: 0 < v < math.inf)
    agreement = _checks.number("agreement", agreement, "in [0, 1]", lambda v: 0 <= v <= 1)
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], n)
    z = y * np.where(rng.random(n) < agreement, 1.0, -1.0)
    x = np.column_stack([strength * z, y, rng.normal(size=(n, dimension - 2))])
    return LinearPerception(*(jnp.asarray(part, float) for part in (x, y, z)))
