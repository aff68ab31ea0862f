"""Two features that differ in how well they predict the label and in how easily they are found (Hermann et al.)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gsdyn import _checks


class CoreAndShortcut(NamedTuple):
    """The points `x` (n, d), their labels `y` (n,), -1 or +1, and the two hidden features `z` (n, 2), core first.

    >>> print(gs.data.core_and_shortcut(10).z.shape)
    (10, 2)
    """

    x: Float[Array, "n d"]
    y: Float[Array, " n"]
    z: Float[Array, "n 2"]


def core_and_shortcut(
    n: int = 1000,
    dimension: int = 100,
    *,
    predictivity: Sequence[float] = (0.9, 0.85),
    amplification: Sequence[float] = (1.0, 4.0),
    nesting: Sequence[int] = (0, 0),
    correlation: float = 0.0,
    seed: int = 0,
) -> CoreAndShortcut:
    """Points made of two hidden features of chosen predictivity and availability, after Hermann et al.

        z | y  normal with mean y (mu_1, mu_2), variances 1 and `correlation`;   mu_i = Phi^-1(predictivity_i)
        x = sum_i amplification_i e_i/sqrt(d),    e_i = tanh(R tanh(... R sqrt(d) w_i z_i)), nesting_i layers

    so that the sign of `z_i` is the label with probability `predictivity_i`. Every feature has a random direction `w_i`
    of length 1, orthogonal to the other's, and layers `R` of its own with standard normal entries over sqrt(d). A
    feature is more available the more it is amplified and the less it is nested; without nesting `x` is
    `sum_i amplification_i w_i z_i`.

    - `n`: points, at least 1. `dimension`: d, at least 2.
    - `predictivity`: of the core and of the shortcut, inside (0, 1).
    - `amplification`: of both, finite and >= 0. `nesting`: of both, integers >= 0.
    - `correlation`: of the features given the label, inside (-1, 1).
    - `seed`: an integer in [0, 2^32). Directions and layers depend on the seed and `dimension` alone.

    Raises `ValueError` outside these ranges.

    Reference: Hermann, Mobahi, Fel, Mozer, On the foundations of shortcut learning (2024), arXiv:2310.16228, section 2;
    the scale of the layers is this library's.

        >>> points = gs.data.core_and_shortcut(1000, amplification=(1, 8))
        >>> print(points.x.shape, points.z.shape)
        (1000, 100) (1000, 2)
    """
    n, dimension = _checks.integer("n", n, 1), _checks.integer("dimension", dimension, 2)
    seed = _checks.integer("seed", seed, 0, 2**32 - 1)
    predictivity, amplification, nesting = (
        _pair(*given)
        for given in (("predictivity", predictivity), ("amplification", amplification), ("nesting", nesting))
    )
    chances = [_checks.number("predictivity", v, "inside (0, 1)", lambda v: 0 < v < 1) for v in predictivity]
    sizes = [_checks.number("amplification", v, "finite and >= 0", lambda v: 0 <= v < math.inf) for v in amplification]
    layers = [_checks.integer("nesting", v, 0) for v in nesting]
    correlation = _checks.number("correlation", correlation, "inside (-1, 1)", lambda v: -1 < v < 1)
    rng = np.random.default_rng([seed, 0])
    y = rng.choice([-1.0, 1.0], n)
    first, second = rng.normal(size=(2, n))
    noise = np.stack([first, correlation * first + math.sqrt(1 - correlation**2) * second], axis=1)
    z = y[:, None] * np.array([NormalDist().inv_cdf(p) for p in chances])[None, :] + noise
    fixed = np.random.default_rng([seed, 1])
    directions = np.linalg.qr(fixed.normal(size=(dimension, 2)))[0].T
    x = np.zeros((n, dimension))
    for i in range(2):
        own = np.random.default_rng([seed, 2 + i])
        hidden = math.sqrt(dimension) * z[:, i : i + 1] * directions[i]
        for _ in range(layers[i]):
            hidden = np.tanh(hidden @ own.normal(size=(dimension, dimension)) / math.sqrt(dimension))
        x += sizes[i] * hidden / math.sqrt(dimension)
    return CoreAndShortcut(*(jnp.asarray(part, float) for part in (x, y, z)))


def _pair(name: str, given: Any) -> tuple[Any, Any]:
    try:
        first, second = given
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be two numbers, of the core and of the shortcut, got {_checks.in_short(given)}"
        ) from None
    return first, second
