"""Dual flows of two features in two examples, entry by entry: what every method of integrating a batch starts from."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gsdyn._numerics.pairs import Pair, Quad
from gsdyn.losses import CellLoss

SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0


class Cell(NamedTuple):
    """One flow: rows of `U`, filter, rate, start and the times to save; or a batch of them along the first axis."""

    u: Quad
    c: Pair
    eta: Array
    alpha0: Pair
    ts: Float[Array, "*m t"]


class Saved(NamedTuple):
    """What was saved of one flow, whether every time was reached, and its steps."""

    alpha: Pair
    z: Pair
    reached: Bool[Array, "*m"]
    accepted: Int[Array, "*m"]
    rejected: Int[Array, "*m"]


class Method(NamedTuple):
    """What all flows of a batch share."""

    loss: CellLoss
    rtol: float
    atol: float
    limit: int


def responses(cell: Cell, p: Pair) -> Pair:
    """`z = c U^T p`."""
    u11, u12, u21, u22 = cell.u
    return cell.c[0] * (u11 * p[0] + u21 * p[1]), cell.c[1] * (u12 * p[0] + u22 * p[1])


def velocity(cell: Cell, slope: Pair, z: Pair) -> Pair:
    """`eta (h'(p) - U z)` (P21-Eq9)."""
    u11, u12, u21, u22 = cell.u
    return cell.eta * (slope[0] - u11 * z[0] - u12 * z[1]), cell.eta * (slope[1] - u21 * z[0] - u22 * z[1])


def first_length(method: Method, cell: Cell, k: Pair) -> Array:
    """A time in which a flow of velocity `k` moves little."""
    share = 0.1 * method.rtol**0.2
    h1, h2 = (
        jnp.where(v == 0, jnp.inf, share * (q + method.rtol) / jnp.where(v == 0, 1.0, abs(v)))
        for v, q in zip(k, cell.alpha0, strict=True)
    )
    return jnp.minimum(jnp.minimum(h1, h2), cell.ts[..., -1])


def length(t: Array, h: Array, end: Array) -> tuple[Array, Array]:
    """A step of at most `h` that does not pass `end`, and whether it ends there.

    Two equal steps rather than a long one and the rest; a flow that waits for others goes on without moving.
    """
    left = end - t
    last = h >= left
    return jnp.where(left > 0, jnp.where(last, left, jnp.minimum(h, left / 2)), h), last


def judge(error: Array, h: Array, proposed: Array) -> tuple[Array, Array]:
    """Whether a step of length `h`, of which `proposed` was allowed, is taken, and how long the next may be."""
    taken = error <= 1
    factor = jnp.clip(SAFETY * jnp.exp(-jnp.log(jnp.maximum(error, 1e-30)) / 5), SHRINK, jnp.where(taken, GROW, 1.0))
    factor = jnp.where(jnp.isfinite(error), factor, SHRINK)
    return taken, jnp.where(taken & (h < proposed), jnp.maximum(proposed, factor * h), factor * h)


def moved(
    p: tuple[Array | float, Array | float], weights: Float[np.ndarray, " s"], k: list[Pair]
) -> tuple[Array, Array]:
    """`p` and so much of each stage."""
    first, second = p
    for weight, (k1, k2) in zip(weights.tolist(), k, strict=False):
        if weight:
            first, second = first + weight * k1, second + weight * k2
    return first, second  # pyright: ignore[reportReturnType]
