"""Kernels that are no network's: what they say of embeddings that a trained network made."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks

SAMPLE = 1000  # examples whose distances the median is taken over


class _OfRows:
    """A kernel of examples that are rows of numbers."""

    def check(self, name: str, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """`x`, the argument called `name`, for which `kernel` must be able to answer."""
        if x.ndim != 2:
            raise ValueError(f"{name} must have 2 dimensions, got shape {x.shape}")
        return x


@dataclasses.dataclass(frozen=True)
class Linear(_OfRows):
    """`k(x, x') = x . x' / d + b_std^2`: a linear model of the rows, the last layer alone of a network of embeddings.

    - `b_std`: the scale of a constant beside them, finite and >= 0.

        >>> print(gs.kernels.infinite_ntk(gs.networks.Linear(), x).shape)
        (4, 4)
    """

    b_std: float = 0.0

    def __post_init__(self) -> None:
        _checks.number("b_std", self.b_std, "finite and >= 0", lambda v: 0 <= v < math.inf)

    def kernel(
        self, x1: Float[Array, "n1 d"], x2: Float[Array, "n2 d"], same: Bool[Array, "n1 n2"] | None = None
    ) -> Float[Array, "n1 n2"]:
        """The kernel in one block, without checks: see `gsdyn.kernels.infinite_ntk`."""
        del same
        return x1 @ x2.T / x1.shape[1] + float(self.b_std) ** 2


@dataclasses.dataclass(frozen=True)
class RBF(_OfRows):
    """`k(x, x') = exp(-|x - x'|^2 / (2 b^2))`.

    - `bandwidth`: `b`, finite and > 0; `RBF.of(x)` takes the median distance between the rows of `x`.

        >>> print(gs.kernels.infinite_ntk(gs.networks.RBF(1.0), x).shape)
        (4, 4)
    """

    bandwidth: float

    def __post_init__(self) -> None:
        _checks.number("bandwidth", self.bandwidth, "finite and > 0", lambda v: 0 < v < math.inf)

    @classmethod
    def of(cls, x: ArrayLike, *, seed: int = 0) -> RBF:
        """The kernel whose bandwidth is the median distance between rows of `x`, of 1,000 drawn ones where more."""
        rows = np.asarray(_checks.finite("x", x, ndim=2), float)
        if len(rows) > SAMPLE:
            rows = rows[np.random.default_rng(seed).permutation(len(rows))[:SAMPLE]]
        size = max(float(np.abs(rows).max(initial=0.0)), np.finfo(float).tiny)
        rows = rows / size - (rows / size).mean(axis=0)
        squares = np.sum(rows * rows, axis=1)
        apart = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
        median = float(np.sqrt(max(np.median(apart[np.triu_indices(len(rows), 1)]), 0.0))) if len(rows) > 1 else 0.0
        if median == 0:
            raise ValueError(f"x must have rows of which most differ, got a median distance of 0 among {len(rows)}")
        return cls(median * size)

    def kernel(
        self, x1: Float[Array, "n1 d"], x2: Float[Array, "n2 d"], same: Bool[Array, "n1 n2"] | None = None
    ) -> Float[Array, "n1 n2"]:
        """The kernel in one block, without checks: see `gsdyn.kernels.infinite_ntk`."""
        centre = jnp.mean(x2, axis=0, keepdims=True)  # squares of what is far from zero would cancel
        x1, x2 = ((x - centre) / self.bandwidth for x in (x1, x2))
        apart = jnp.sum(x1 * x1, axis=1)[:, None] + jnp.sum(x2 * x2, axis=1)[None, :] - 2 * x1 @ x2.T
        theta = jnp.exp(-jnp.maximum(apart, 0) / 2)
        return theta if same is None else jnp.where(same, 1.0, theta)
