"""Two features in two examples, entry by entry: matrices and vectors that a batch of them can be taken apart from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Pair = tuple[Array, Array]
Quad = tuple[Array, Array, Array, Array]


def square(m11: Array, m12: Array, m21: Array, m22: Array) -> Float[Array, "2 2"]:
    """The matrix of four entries, which `entries` takes apart again at no cost, in a batch too."""
    rows = [jnp.concatenate([x.reshape(1, 1), y.reshape(1, 1)], axis=1) for x, y in ((m11, m12), (m21, m22))]
    return jnp.concatenate(rows, axis=0)


def entries(matrix: Float[Array, "2 2"]) -> Quad:
    """The entries of a matrix by its rows, and these piece by piece: XLA then sees what `square` put together."""
    rows = [jax.lax.slice_in_dim(matrix, i, i + 1, axis=0) for i in range(2)]
    m11, m12, m21, m22 = (jax.lax.slice_in_dim(row, j, j + 1, axis=1).reshape(()) for row in rows for j in range(2))
    return m11, m12, m21, m22


def pair(x: Float[Array, "*m"], y: Float[Array, "*m"]) -> Float[Array, "*m 2"]:
    """The vector of two entries, as a choice: XLA cannot fuse what it stacks."""
    return jnp.where(jnp.asarray([True, False]), x[..., None], y[..., None])


def scaled(u: Quad, c: Pair) -> tuple[Quad, Pair]:
    """`B = U sqrt(c)` and `sqrt(c)`."""
    r1, r2 = jnp.sqrt(c[0]), jnp.sqrt(c[1])
    return (u[0] * r1, u[1] * r2, u[2] * r1, u[3] * r2), (r1, r2)


def gram(b: Quad) -> Quad:
    """`B B^T` by its three entries and, without cancellation, its determinant."""
    b11, b12, b21, b22 = b
    area = b11 * b22 - b12 * b21
    return b11 * b11 + b12 * b12, b11 * b21 + b12 * b22, b21 * b21 + b22 * b22, area * area
