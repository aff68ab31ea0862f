"""Which modes of a mixture a generator covers, and how evenly."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks


class Coverage(NamedTuple):
    """What samples cover of a mixture.

    - `covered`: how many modes have at least one good sample, one that lies within three widths of its nearest centre.
    - `good`: the share of good samples.
    - `divergence`: the Jensen-Shannon divergence, in nats, of the good samples' shares of the modes and even shares:
      0 where all modes are met equally often, at most log 2, NaN without a good sample.

        >>> centres = gs.data.ring_centres(8)
        >>> print(gs.probes.coverage(centres[:4], centres, 0.02).covered)
        4
    """

    covered: Int[Array, ""]
    good: Float[Array, ""]
    divergence: Float[Array, ""]


def coverage(samples: ArrayLike, centres: ArrayLike, width: ArrayLike) -> Coverage:
    """How samples cover an even mixture of round Gaussians.

    - `samples`: shape (n, d). `centres`: shape (modes, d). `width`: the standard deviation of each mode, > 0.

    Samples that are not finite are not good. Works under `jit` and `vmap`. Raises `ValueError` for shapes that do not
    fit and widths that are not positive.

    Reference: C18 section 6; Lin et al., PacGAN (2018).

        found = gs.probes.coverage(samples, gs.data.ring_centres(), 0.02)

        >>> centres = gs.data.ring_centres(8)
        >>> print(gs.probes.coverage(centres, centres, 0.02).covered)
        8
    """
    samples = _checks.real("samples", samples)
    centres, width = _checks.finite("centres", centres, ndim=2), _checks.positive("width", width, ndim=0)
    samples, centres, width = _checks.common(samples, centres, width)
    if samples.ndim != 2 or samples.shape[1] != centres.shape[1] or not samples.size or not centres.size:
        raise ValueError(
            f"samples and centres must have rows of one length, got shapes {samples.shape} and {centres.shape}"
        )
    squares = jnp.sum((samples[:, None, :] - centres[None, :, :]) ** 2, axis=2)
    nearest = jnp.argmin(jnp.where(jnp.isnan(squares), jnp.inf, squares), axis=1)
    good = jnp.min(squares, axis=1) <= (3 * width) ** 2
    mine = (nearest[:, None] == jnp.arange(len(centres))[None, :]) & good[:, None]
    counts = jnp.sum(mine, axis=0).astype(squares.dtype)
    shares, even = counts / jnp.sum(counts), 1 / len(centres)
    middle = (shares + even) / 2
    divergence = jnp.sum(xlogy(shares, shares / middle) + xlogy(even, even / middle)) / 2
    return Coverage(jnp.sum(counts > 0), jnp.mean(good.astype(divergence.dtype)), divergence)
