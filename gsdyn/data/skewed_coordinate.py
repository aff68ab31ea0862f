"""One more coordinate, which agrees with the label but for a small minority (Nagarajan et al.)."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks


class Skewed(NamedTuple):
    """Points with one more coordinate, the last.

    - `x` (n, d + 1): the points; `y` (n,): their labels, -1 or +1.
    - `aligned` (n,): +1 where the coordinate has the sign of the label, -1 for the minority.

        >>> print(gs.data.skewed_coordinate(x, y, minority=0.0).aligned)
        [1. 1. 1. 1.]
    """

    x: Float[Array, "n d1"]
    y: Float[Array, " n"]
    aligned: Float[Array, " n"]


def skewed_coordinate(
    x: ArrayLike, y: ArrayLike, minority: float = 0.1, *, strength: float = 1.0, seed: int = 0
) -> Skewed:
    """Points with a spurious coordinate, `B y` for most of them and `-B y` for a minority (Nagarajan et al.).

        x' = (x, B y s),    s = -1 for round(minority n_c) of the n_c points of each class, else +1

    The larger the norm that separates the points by `x` alone, the more the widest margin gains from the coordinate: it
    does most of the work for the majority, and `x` only has to separate the few of the minority (geometric skew). The
    same seed draws minorities that contain each other.

    - `x`: shape (n, d), finite. `y`: labels -1 or +1, shape (n,).
    - `minority`: the share of points whose coordinate contradicts the label, in [0, 1]; 0.5 is balanced.
    - `strength`: B, finite and >= 0.
    - `seed`: an integer in [0, 2^32).

    Raises `ValueError` outside these ranges.

    Reference: Nagarajan, Andreassen, Neyshabur, Understanding the failure modes of out-of-distribution generalization
    (2021), arXiv:2010.15775, section 4.

        >>> skewed = gs.data.skewed_coordinate(x, y, minority=0.5)
        >>> print(skewed.x.shape, skewed.aligned.sum())
        (4, 3) 0.0
    """
    x, y = _checks.finite("x", x, ndim=2), _checks.labels("y", y)
    _checks.same_length("y", y, "x", x)
    minority = _checks.number("minority", minority, "in [0, 1]", lambda v: 0 <= v <= 1)
    strength = _checks.number("strength", strength, "finite and >= 0", lambda v: 0 <= v < math.inf)
    rng = np.random.default_rng(_checks.integer("seed", seed, 0, 2**32 - 1))
    aligned = np.ones(len(y))
    for label in (-1, 1):
        own = rng.permutation(np.flatnonzero(np.asarray(y) == label))
        aligned[own[: round(minority * len(own))]] = -1
    column = jnp.asarray(strength * aligned, x.dtype) * y.astype(x.dtype)
    return Skewed(jnp.concatenate([x, column[:, None]], axis=1), y, jnp.asarray(aligned, x.dtype))
