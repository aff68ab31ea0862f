"""Eigenvectors and singular vectors whose derivatives are right where eigenvalues repeat, in all that is well defined.

In a space of equal eigenvalues the single vectors are arbitrary, and their derivatives infinite. What depends on the
matrix only is smooth there all the same. So within such a space the tangent of `U` is chosen symmetric,

    dU = U A,    A_ij = B_ij/(L_i + L_j),    B = U^T dK U,

instead of antisymmetric, `A_ij = B_ij/(L_j - L_i)`, as it is between spaces. Then `d(U L U^T) = dK` to the last entry.
A spectral function `U c(L) U^T` other than `K` itself needs `aligned` to have the same property.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn._numerics import dense
from gsdyn._numerics.precision import full_precision


@jax.custom_jvp
def eigh(K: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Eigenvalues, descending, and eigenvectors of a symmetric positive semi-definite matrix."""
    values, vectors = dense.eigh(K)
    return values[::-1], vectors[:, ::-1]


@eigh.defjvp
@full_precision
def _eigh_jvp(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    values, U = eigh(*primals)
    B = U.T @ tangents[0] @ U
    told = jnp.where(values > len(values) * jnp.finfo(values.dtype).eps * jnp.max(values), values, 0.0)
    return (values, U), (jnp.diagonal(B), U @ (_inverse_gaps(told) * B))


@jax.custom_jvp
def svd(phi: Float[Array, "n m"]) -> tuple[Float[Array, "n r"], Float[Array, " r"], Float[Array, "r m"]]:
    """The singular value decomposition `U s V^T`, r = min(n, m); `V` has no derivative."""
    return dense.one_at_a_time(lambda problem: tuple(jnp.linalg.svd(*problem, full_matrices=False)))((phi,))


@svd.defjvp
@full_precision
def _svd_jvp(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    U, values, V = svd(*primals)
    moved = tangents[0] @ V.T
    P = U.T @ moved
    s = jnp.where(values > max(primals[0].shape) * jnp.finfo(values.dtype).eps * jnp.max(values), values, 0.0)
    dU = U @ (_inverse_gaps(s * s) * (P * s[None, :] + s[:, None] * P.T))
    if U.shape[0] > U.shape[1]:
        dU = dU + (moved - U @ P) * jnp.where(s > 0, 1 / jnp.where(s > 0, s, 1.0), 0.0)[None, :]
    return (U, values, V), (dU, jnp.diagonal(P), jnp.zeros_like(V))


def together(values: Float[Array, " k"]) -> Array:
    """Which pairs of eigenvalues are too near each other to tell their vectors apart, or their derivatives."""
    eps = jnp.finfo(values.dtype).eps
    apart, total = jnp.abs(values[:, None] - values[None, :]), values[:, None] + values[None, :]
    return apart <= jnp.maximum(eps**0.5 * total, 8 * len(values) * eps * jnp.max(values))


def _inverse_gaps(values: Float[Array, " k"]) -> Float[Array, "k k"]:
    """`A / B` of the module's docstring, zero on the diagonal and between eigenvalues of zero."""
    below = jnp.where(together(values), values[:, None] + values[None, :], values[None, :] - values[:, None])
    off = (below != 0) & ~jnp.eye(len(values), dtype=bool)
    return jnp.where(off, 1 / jnp.where(off, below, 1.0), 0.0)


@jax.custom_jvp
def aligned(
    U: Float[Array, "n k"], values: Float[Array, " k"], c: Float[Array, " k"], slope: Float[Array, " k"]
) -> Float[Array, "n k"]:
    """`U`, with a tangent such that `d(U c U^T)` is right for a spectral filter `c(L)` of slope `c'`.

    The tangent of eigenvectors from this module has the symmetric part `B_ij/(L_i + L_j)` where eigenvalues repeat,
    which is right for `c = L`; here it becomes `c' B_ij/(c_i + c_j)`.
    """
    del values, c, slope
    return U


@aligned.defjvp
@full_precision
def _aligned_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    U, values, c, slope = primals
    dU = tangents[0]
    A = _gram(U, dU)
    A = (A + A.T) / 2
    total, bent = values[:, None] + values[None, :], c[:, None] + c[None, :]
    ratio = total * (slope[:, None] + slope[None, :]) / 2 / jnp.where(bent > 0, bent, 1.0)
    off = together(values) & ~jnp.eye(len(values), dtype=bool)
    return U, dU + _gram(U.T, jnp.where(off, (ratio - 1) * A, 0.0))


def _gram(a: Float[Array, "p q"], b: Float[Array, "p r"]) -> Float[Array, "q r"]:
    """`a^T b`; for (2, 2) as sums, so that a batch is elementwise work."""
    return jnp.sum(a[:, :, None] * b[:, None, :], axis=0) if a.shape == (2, 2) else a.T @ b
