"""Coordinates that separate the classes at once, or only by several cuts (Shah et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gsdyn import _checks

SHARES: dict[int, tuple[float, ...]] = {
    2: (1, 1),
    3: (1 / 2, 1, 1 / 2),
    5: (1 / 8, 1 / 2, 3 / 4, 1 / 2, 1 / 8),
    7: (1 / 16, 1 / 4, 7 / 16, 1 / 2, 7 / 16, 1 / 4, 1 / 16),
}
"""How much of its class every slab holds, from left to right."""


class Slabs(NamedTuple):
    """The points `x` (n, d), their labels `y` (n,), -1 or +1, and how many slabs every coordinate has, d integers.

    >>> print(gs.data.slabs(10, (2, 3)).kinds)
    (2, 3)
    """

    x: Float[Array, "n d"]
    y: Float[Array, " n"]
    kinds: tuple[int, ...]


def slabs(
    n: int = 1000,
    kinds: Sequence[int] = (2, *(5,) * 49),
    *,
    margin: float = 0.1,
    noise: float = 0.0,
    seed: int = 0,
) -> Slabs:
    """Points in [-1, 1]^d of which every coordinate tells the class, by one cut or by several (Shah et al.).

    A coordinate of k slabs is cut into k intervals of equal width `(2 - 2 (k - 1) margin)/k`, gaps of `2 margin`
    between them. Neighbours belong to different classes, the middle one of 3, 5 or 7 to -1; points are uniform within
    their slab. With two slabs the coordinate is linear:

        x_j = y (margin + (1 - margin) u),    u uniform in [0, 1]

    Of more slabs each holds the share of its class that the authors' code gives it: 3/4 of class -1 lie in the middle
    one of 5, 7/8 of class +1 in the inner two of 7. So with 5 and 7 slabs (and no margin) both classes have the same
    mean and the same variance. Given the label, coordinates are independent.

    - `n`: points, at least 1.
    - `kinds`: how many slabs each coordinate has, 2, 3, 5 or 7; by default one linear coordinate and 49 of 5 slabs.
    - `margin`: half the gap between slabs, > 0 and below 1/(k - 1) for the largest k.
    - `noise`: the share of points whose linear coordinates say nothing, uniform in [-margin, margin], in [0, 1].
    - `seed`: an integer in [0, 2^32).

    Raises `ValueError` outside these ranges.

    Reference: Shah, Tamuly, Raghunathan, Jain, Netrapalli, The pitfalls of simplicity bias in neural networks (2020),
    arXiv:2006.07710, section 3 (LMS-k: `(2, k, k, ...)`; noisy: with `noise`; MS-(5, 7): `(5, 7, 7, ...)`).

        >>> points = gs.data.slabs(1000, (2, 5, 5))
        >>> print(points.x.shape, points.kinds)
        (1000, 3) (2, 5, 5)
    """
    n, seed = _checks.integer("n", n, 1), _checks.integer("seed", seed, 0, 2**32 - 1)
    kinds = _kinds(kinds)
    bound = 1 / (max(kinds) - 1)
    margin = _checks.number("margin", margin, f"> 0 and below {bound:g}", lambda v: 0 < v < bound)
    noise = _checks.number("noise", noise, "in [0, 1]", lambda v: 0 <= v <= 1)
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], n)
    x = np.stack([_coordinate(rng, y, k, margin) for k in kinds], axis=1)
    silent = rng.random(n) < noise
    linear = np.asarray(kinds) == 2
    x = np.where(silent[:, None] & linear[None, :], rng.uniform(-margin, margin, x.shape), x)
    return Slabs(jnp.asarray(x, float), jnp.asarray(y, float), kinds)


def _kinds(kinds: Sequence[int]) -> tuple[int, ...]:
    try:
        found = tuple(int(k) for k in kinds)
    except (TypeError, ValueError):
        found = ()
    if not found or any(k not in SHARES for k in found):
        raise ValueError(f"kinds must be a list of 2, 3, 5 or 7 for each coordinate, got {_checks.in_short(kinds)}")
    return found


def _coordinate(rng: np.random.Generator, y: np.ndarray, k: int, margin: float) -> np.ndarray:
    """One coordinate of points with labels `y`."""
    # neighbours alternate; the last of two is +1, the middle of an odd number -1
    sign = np.array([-1, 1]) if k == 2 else np.where((np.arange(k) - k // 2) % 2, 1, -1)
    slab = np.zeros(len(y), int)
    for label in (-1, 1):
        own = np.flatnonzero(sign == label)
        slab[y == label] = rng.choice(own, int((y == label).sum()), p=np.asarray(SHARES[k])[own])
    width = (2 - 2 * (k - 1) * margin) / k
    return -1 + slab * (width + 2 * margin) + width * rng.random(len(y))
