"""The one linear system of the library: `(I + B^T W B) x = b` with `W = R^T R`, symmetric and >= I.

`B = U sqrt(c)` holds all of basis and penalty, `W` the curvature of the loss. Newton steps, implicit derivatives
and starvation matrices all solve it.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn import _dense
from gsdyn._pairs import entries, pair

QR_LIMIT = 64
DENSE_LIMIT = 512
GRAM_LIMIT = 512


def product(matrix: Float[Array, "p q"], v: Array) -> Array:
    """`matrix @ v`; for (2, 2) written out, so that a batch is elementwise work and not a million small products."""
    if matrix.shape != (2, 2) or v.ndim != 1:
        return matrix @ v
    m11, m12, m21, m22 = entries(matrix)
    return pair(m11 * v[0] + m12 * v[1], m21 * v[0] + m22 * v[1])


def adjoint(matrix: Float[Array, "p q"], v: Array) -> Array:
    """`matrix^T @ v` as `v @ matrix`, which reads the matrix in order (XLA is 20 times slower otherwise)."""
    if v.ndim != 1 or matrix.shape != (2, 2):
        return v @ matrix if v.ndim == 1 else matrix.T @ v
    m11, m12, m21, m22 = entries(matrix)
    return pair(m11 * v[0] + m21 * v[1], m12 * v[0] + m22 * v[1])


def gram(A: Float[Array, "k n"]) -> Float[Array, "k k"]:
    """`A A^T`; beyond `GRAM_LIMIT` rows by halves, which spares nearly half the operations of a product."""
    half = A.shape[0] // 2
    if A.shape[0] <= GRAM_LIMIT:
        return A @ A.T
    upper, lower = A[:half], A[half:]
    across = upper @ lower.T
    rows = [gram(upper), across], [across.T, gram(lower)]
    return jnp.concatenate([jnp.concatenate(row, axis=1) for row in rows])


def weighted(root: Array, B: Float[Array, "n k"]) -> Float[Array, "p q"]:
    """`R B` as one matrix, so that `B^T W B` is its Gram matrix; with C classes of shape (n C, k C)."""
    if root.ndim == 1:
        return root[:, None] * B
    n, classes, _ = root.shape
    k = B.shape[1]
    return jnp.einsum("iab,ij->iajb", root, B).reshape(n * classes, k * classes)


def dense_solver(root: Array, B: Float[Array, "n k"]) -> Callable[[Array], Array]:
    """A function that solves `(I + B^T W B) X = b` for a matrix `b` of right-hand sides, shape (p, m).

    By the closed form for two features in two examples, by QR of the stacked `[I; R B]` where that is cheap
    (its accuracy does not suffer from the square of the condition number), else by Cholesky.
    """
    g = weighted(root, B)
    unknowns = g.shape[1]
    if g.shape == (2, 2):
        return _cramer(g)
    if unknowns <= QR_LIMIT:
        return _dense.shifted_gram_solver(g)
    return _dense.spd_solver(jnp.eye(unknowns, dtype=g.dtype) + gram(g.T))


def dense_response_solver(root: Array, B: Float[Array, "n k"]) -> Callable[[Array], Array]:
    """`dense_solver` for one `b` shaped like a response, (k,) or (k, C)."""
    solve = dense_solver(root, B)
    return lambda b: solve(b.reshape(-1, 1)).reshape(b.shape)


def solver(root: Array, B: Float[Array, "n k"], rtol: Float[Array, ""] | float = 0.0) -> Callable[[Array], Array]:
    """A function that solves `(I + B^T W B) x = b` for one `b` shaped like a response, (k,) or (k, C).

    By `dense_solver` up to `DENSE_LIMIT` unknowns, beyond by preconditioned conjugate gradients to the relative
    residual `rtol` (0: what rounding allows).
    """
    unknowns = B.shape[1] * (root.shape[1] if root.ndim == 3 else 1)
    if unknowns > DENSE_LIMIT:
        return lambda b: _conjugate_gradient(root, B, b, rtol)
    return dense_response_solver(root, B)


def _cramer(g: Float[Array, "2 2"]) -> Callable[[Array], Array]:
    # det(I + G^T G) = 1 + |G|^2 + det(G)^2: a sum of positive terms
    s11 = 1 + g[0, 0] ** 2 + g[1, 0] ** 2
    s22 = 1 + g[0, 1] ** 2 + g[1, 1] ** 2
    s12 = g[0, 0] * g[0, 1] + g[1, 0] * g[1, 1]
    det = s11 + (s22 - 1) + (g[0, 0] * g[1, 1] - g[0, 1] * g[1, 0]) ** 2
    return lambda b: jnp.stack([(s22 / det) * b[0] - (s12 / det) * b[1], (s11 / det) * b[1] - (s12 / det) * b[0]])


def curvature_product(root: Array, v: Array) -> Array:
    """`W v` for `W = R^T R`, one example at a time."""
    if root.ndim == 1:
        return (root * root).reshape((-1,) + (1,) * (v.ndim - 1)) * v
    return jnp.einsum("iba,ibc,ic->ia", root, root, v)


def _conjugate_gradient(root: Array, B: Float[Array, "n k"], b: Array, rtol: Float[Array, ""] | float) -> Array:
    rows = root.shape[0] * (root.shape[1] if root.ndim == 3 else 1)
    diagonal = 1 + jnp.sum(root * root) / rows * jnp.sum(B * B, axis=0)
    diagonal = diagonal.reshape((-1,) + (1,) * (b.ndim - 1))

    def matvec(x: Array) -> Array:
        return x + adjoint(B, curvature_product(root, B @ x))

    def solve(matvec: Callable[[Array], Array], b: Array) -> Array:
        return _pcg(matvec, b, diagonal, rtol)

    return jax.lax.custom_linear_solve(matvec, b, solve, symmetric=True)


def _pcg(matvec: Callable[[Array], Array], b: Array, diagonal: Array, rtol: Float[Array, ""] | float) -> Array:
    limit = 4 * b.size
    stop = jnp.maximum(rtol, 4 * jnp.finfo(b.dtype).eps) ** 2 * jnp.sum(b * b)

    def go(state: tuple[Array, ...]) -> Array:
        _, r, _, _, i = state
        return (jnp.sum(r * r) > stop) & (i < limit)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, r, p, rz, i = state
        q = matvec(p)
        t = rz / jnp.sum(p * q)
        x, r = x + t * p, r - t * q
        s = r / diagonal
        new = jnp.sum(r * s)
        return x, r, s + (new / rz) * p, new, i + 1

    s = b / diagonal
    state = (jnp.zeros_like(b), b, s, jnp.sum(b * s), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(go, step, state)[0]
